"""BLAKE2b, RFC 7693, as far as `behavior_rules.visitor_hash` needs it."""

from __future__ import annotations

import numpy as np

from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.characters import low_bits
from photo_popularity.domain.log_kernel.machine import (
    ZERO,
    Words,
    bytes_at,
    compiled,
    i64,
    load64,
    u64,
    words_at,
)

_BLAKE_IV = np.array(
    [
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ],
    dtype=np.uint64,
)
# in which order each of the ten first rounds takes the words of a message
_BLAKE_ORDER = np.array(
    [
        int(digit, 16)
        for digit in "0123456789abcdef" "ea489fd61c02b753" "b8c052fdae367194" "7931dcbe265a40f8" "905724afe1bc683d"
        "2c6a0b834d75fe19" "c51fed4a0763928b" "db7ec13950f4862a" "6fe9b308c2d714a5" "a2847615fb9e3cd0"
    ],
    dtype=np.uint8,
)  # fmt: skip
# a digest of 8 bytes, a key of 64, one leaf
_BLAKE_PARAMETERS = np.uint64(0x0101_0000 | 64 << 8 | 8)
_BLAKE_BLOCK = 128


@compiled
def absorb_key(store: Words) -> None:
    """Start the hash of every visitor: the key of 64 bytes stands where the message of `HASH_STATE` does."""
    state = words_at(store[at.HASH_STATE])
    message = words_at(store[at.HASH_STATE] + 8 * at.HASH_MESSAGE)
    for i in range(8):
        state[i] = i64(_BLAKE_IV[i])
    state[0] = i64(u64(state[0]) ^ _BLAKE_PARAMETERS)
    _compress(state, message, _BLAKE_BLOCK, False)


@compiled
def visitor_hash(store: Words, start: int, length: int) -> int:
    """The hash that `behavior.visitor_hash` has of the address at an offset of the arena."""
    begun = words_at(store[at.HASH_STATE])
    state = words_at(store[at.HASH_STATE] + 8 * at.HASH_RESULT)
    message = words_at(store[at.HASH_STATE] + 8 * at.HASH_MESSAGE)
    arena = bytes_at(store[at.ARENA])
    for i in range(8):
        state[i] = begun[i]
    done = 0
    while done < length:
        here = min(length - done, _BLAKE_BLOCK)
        for i in range(16):
            left = here - 8 * i
            word = load64(arena, start + done + 8 * i) & low_bits(8 * left) if left > 0 else ZERO
            message[i] = i64(word)
        done += here
        _compress(state, message, _BLAKE_BLOCK + done, done == length)
    h, swapped = u64(state[0]), ZERO
    for _ in range(8):
        swapped = (swapped << np.uint64(8)) | (h & np.uint64(255))
        h >>= np.uint64(8)
    return i64(swapped)


@compiled
def _compress(h: Words, message: Words, length: int, is_last: int) -> None:
    """BLAKE2b's compression of one block, `length` bytes into the input."""
    v0, v1, v2, v3 = u64(h[0]), u64(h[1]), u64(h[2]), u64(h[3])
    v4, v5, v6, v7 = u64(h[4]), u64(h[5]), u64(h[6]), u64(h[7])
    v8, v9, v10, v11 = _BLAKE_IV[0], _BLAKE_IV[1], _BLAKE_IV[2], _BLAKE_IV[3]
    v12, v13, v14, v15 = _BLAKE_IV[4] ^ u64(length), _BLAKE_IV[5], _BLAKE_IV[6], _BLAKE_IV[7]
    if is_last:
        v14 = ~v14
    for turn in range(12):
        order = 16 * (turn % 10)
        v0, v4, v8, v12 = _mixed(v0, v4, v8, v12, message, order)
        v1, v5, v9, v13 = _mixed(v1, v5, v9, v13, message, order + 2)
        v2, v6, v10, v14 = _mixed(v2, v6, v10, v14, message, order + 4)
        v3, v7, v11, v15 = _mixed(v3, v7, v11, v15, message, order + 6)
        v0, v5, v10, v15 = _mixed(v0, v5, v10, v15, message, order + 8)
        v1, v6, v11, v12 = _mixed(v1, v6, v11, v12, message, order + 10)
        v2, v7, v8, v13 = _mixed(v2, v7, v8, v13, message, order + 12)
        v3, v4, v9, v14 = _mixed(v3, v4, v9, v14, message, order + 14)
    h[0], h[1] = i64(u64(h[0]) ^ v0 ^ v8), i64(u64(h[1]) ^ v1 ^ v9)
    h[2], h[3] = i64(u64(h[2]) ^ v2 ^ v10), i64(u64(h[3]) ^ v3 ^ v11)
    h[4], h[5] = i64(u64(h[4]) ^ v4 ^ v12), i64(u64(h[5]) ^ v5 ^ v13)
    h[6], h[7] = i64(u64(h[6]) ^ v6 ^ v14), i64(u64(h[7]) ^ v7 ^ v15)


@compiled
def _mixed(a: int, b: int, c: int, d: int, message: Words, order: int) -> tuple[int, int, int, int]:
    a = a + b + u64(message[_BLAKE_ORDER[order]])
    d = _turned(d ^ a, 32)
    c = c + d
    b = _turned(b ^ c, 24)
    a = a + b + u64(message[_BLAKE_ORDER[order + 1]])
    d = _turned(d ^ a, 16)
    c = c + d
    b = _turned(b ^ c, 63)
    return a, b, c, d


@compiled
def _turned(word: int, bits: int) -> int:
    return (word >> u64(bits)) | (word << u64(64 - bits))
