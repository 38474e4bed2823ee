"""The texts of a line that mean something: where they end, their hashes, whether two are the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from photo_popularity.domain.log_kernel.characters import is_blank, is_digit, low_bits
from photo_popularity.domain.log_kernel.machine import (
    MIX,
    ZERO,
    Bytes,
    compiled,
    different64,
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
_QUESTION_MARK, _SLASH, _HASH = 63, 47, 35
# turns capital letters into small ones; some control characters come to look like others, and Python tells them apart
_SMALL = word(b"\x20" * 8)
_HTTPS, _HTTP_SCHEME, _SEVEN = word(b"https://"), word(b"http://"), word(b"\xff" * 7)
_MIX_END: Any = np.uint64(0xD6E8FEB86659FD93)
_STIR: Any = np.uint64(29)
_HALF: Any = np.uint64(32)
_MIX_MORE: Any = np.uint64(0xA0761D6478BD642F)


@compiled
def text_hash(text: Bytes, start: int, length: int, seed: int) -> int:
    """A hash of the bytes that is no secret: whoever finds a text by it compares the bytes too.

    Four words at a time, since a multiplication takes longer than the next one has to wait; the last four may overlap
    the ones before, as every length of text would otherwise be a branch that nobody foresees.
    """
    a = seed ^ (u64(length) * MIX)
    b, c, d = a + MIX, a ^ MIX, ~a
    i = start
    if length >= 32:
        last = start + length - 32
        while i < last:
            a, b = _stirred(a, load64(text, i)), _stirred(b, load64(text, i + 8))
            c, d = _stirred(c, load64(text, i + 16)), _stirred(d, load64(text, i + 24))
            i += 32
        a, b = _stirred(a, load64(text, last)), _stirred(b, load64(text, last + 8))
        c, d = _stirred(c, load64(text, last + 16)), _stirred(d, load64(text, last + 24))
    else:
        bits = 8 * length
        a = _stirred(a, load64(text, i) & low_bits(bits))
        b = _stirred(b, load64(text, i + 8) & low_bits(max(bits - 64, 0)))
        c = _stirred(c, load64(text, i + 16) & low_bits(max(bits - 128, 0)))
        d = _stirred(d, load64(text, i + 24) & low_bits(max(bits - 192, 0)))
    h = _stirred(a ^ (b * _MIX_END), c ^ (d * _MIX_MORE))
    h *= _MIX_END
    return h ^ (h >> _HALF)


@compiled
def _stirred(h: int, word: int) -> int:
    h = (h ^ word) * MIX
    return h ^ (h >> _STIR)


@compiled
def same_bytes(a: Bytes, start: int, b: Bytes, other: int, length: int) -> bool:
    """Whether two runs of so many bytes are the same."""
    i = 0
    while length - i > 64:
        if different64(a, start + i, b, other + i) != ZERO:
            return False
        i += 64
    return different64(a, start + i, b, other + i) & low_bits(length - i) == ZERO


@compiled
def path_start(text: Bytes, start: int, end: int) -> int:
    """Where the path starts, in a request that names one by GET or POST; -1 for other requests."""
    begin = load64(text, start)
    if begin & _GET_MASK == _GET:
        target = start + 4
    elif begin & _POST_MASK == _POST:
        target = start + 5
    else:
        return -1
    return target if target < end and not is_blank(text[target]) else -1


@compiled
def path_end(text: Bytes, target: int, end: int) -> int:
    """Where a path ends: before its query, before the protocol, at the end of the request."""
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
        found = equal64(text, i, _QUESTION_MARK) & low_bits(stop - i)
        if found != ZERO:
            return i + lowest_bit(found)
    return stop


@compiled
def authority_end(text: Bytes, start: int, end: int) -> int:
    """Where scheme and host of a referrer end; -1 when it is none of the web.

    The text is what Python looks into, so one that only looks like a scheme does no harm.
    """
    begin = load64(text, start) | _SMALL
    if begin == _HTTPS:
        host = start + 8
    elif begin & _SEVEN == _HTTP_SCHEME:
        host = start + 7
    else:
        return -1
    for i in range(host, end, 64):
        found = equal64(text, i, _SLASH) | equal64(text, i, _QUESTION_MARK) | equal64(text, i, _HASH)
        if found & low_bits(end - i) != ZERO:
            return i + lowest_bit(found)
    return max(end, start)
