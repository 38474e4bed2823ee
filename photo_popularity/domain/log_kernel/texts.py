"""The texts of a line that mean something: where they end, their hashes, whether two are the same."""

from __future__ import annotations

import numpy as np

from photo_popularity.domain.log_kernel.characters import is_at, is_blank, is_digit, low_bits
from photo_popularity.domain.log_kernel.machine import (
    MIX,
    ZERO,
    Bytes,
    compiled,
    equal64,
    load64,
    lowest_bit,
    u64,
    word,
)

_GET, _GET_MASK = word(b"GET "), word(b"\xff" * 4)
_POST, _POST_MASK = word(b"POST "), word(b"\xff" * 5)
_HTTP, _HTTP_MASK = word(b" HTTP/\0."), word(b"\xff" * 6 + b"\0\xff")
_SHORT_HTTP, _SHORT_HTTP_MASK = word(b" HTTP/"), word(b"\xff" * 6)
_LOWER = word(b"\x20" * 4)
_SCHEME, _SCHEME_MASK = word(b"http"), word(b"\xff" * 4)
_MIX_END = np.uint64(0xD6E8FEB86659FD93)


@compiled
def text_hash(text: Bytes, start: int, length: int, seed: int) -> int:
    """A hash of the bytes that is no secret: whoever finds a text by it compares the bytes too."""
    h = seed ^ (u64(length) * MIX)
    i, left = start, length
    while left >= 8:
        h = (h ^ load64(text, i)) * MIX
        h ^= h >> np.uint64(29)
        i += 8
        left -= 8
    if left > 0:
        h = (h ^ (load64(text, i) & low_bits(left * 8))) * MIX
    h ^= h >> np.uint64(32)
    h *= _MIX_END
    return h ^ (h >> np.uint64(29))


@compiled
def same_bytes(a: Bytes, start: int, b: Bytes, other: int, length: int) -> bool:
    """Whether two runs of so many bytes are the same."""
    i = 0
    while length - i >= 8:
        if load64(a, start + i) != load64(b, other + i):
            return False
        i += 8
    if i == length:
        return True
    return (load64(a, start + i) ^ load64(b, other + i)) & low_bits((length - i) * 8) == ZERO


@compiled
def path_end(text: Bytes, start: int, end: int) -> int:
    """Where the path ends, in a request that names one by GET or POST; -1 for other requests.

    The text of a path is its request up to there, method included.
    """
    begin = load64(text, start)
    if begin & _GET_MASK == _GET:
        target = start + 4
    elif begin & _POST_MASK == _POST:
        target = start + 5
    else:
        return -1
    if target >= end or is_blank(text[target]):
        return -1
    stop = end
    if end - 9 > target and load64(text, end - 9) & _HTTP_MASK == _HTTP:
        if is_digit(text[end - 3]) and is_digit(text[end - 1]):
            stop = end - 9
    elif (
        end - 7 > target
        and load64(text, end - 7) & _SHORT_HTTP_MASK == _SHORT_HTTP
        and is_digit(text[end - 1])
    ):
        stop = end - 7
    for i in range(target, stop, 64):
        found = equal64(text, i, 63) & low_bits(stop - i)
        if found != ZERO:
            return i + lowest_bit(found)
    return stop


@compiled
def authority_end(text: Bytes, start: int, end: int) -> int:
    """Where scheme and host of a referrer end; -1 when it is none of the web."""
    if end - start < 8 or (load64(text, start) | _LOWER) & _SCHEME_MASK != _SCHEME:
        return -1
    i = start + 4
    if text[i] | 32 == 115:
        i += 1
    if not (is_at(text, i, end, 58) and is_at(text, i + 1, end, 47) and is_at(text, i + 2, end, 47)):
        return -1
    i += 3
    while i < end and text[i] != 47 and text[i] != 63 and text[i] != 35:
        i += 1
    return i
