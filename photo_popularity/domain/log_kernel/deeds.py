"""What a path asks for, where the site's rules are plain and the path needs no decoding; the rest is left to Python."""

from __future__ import annotations

from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.characters import low_bits
from photo_popularity.domain.log_kernel.machine import (
    ZERO,
    Bytes,
    Words,
    between64,
    bytes_at,
    compiled,
    equal64,
    highest_bit,
    i64,
    load64,
    word,
)
from photo_popularity.domain.log_kernel.texts import same_bytes

_PERCENT, _SLASH, _DOT = 37, 47, 46
_LONGEST_EXTENSION = 8
POST_BYTES = 5
# turns capital letters into small ones, and leaves small ones and digits alone
_SMALL = word(b"\x20" * 8)


@compiled
def deed_of(text: Bytes, start: int, end: int, method_bytes: int, rules: Words, photo: Words) -> int:
    """The deed of a path, `photo` being set to where the photo begins and ends; UNKNOWN where Python has to say.

    The path comes after `method_bytes` of a method and its blank.
    """
    if rules[at.ARE_PLAIN] == 0:
        return at.UNKNOWN
    for i in range(start, end, 64):
        plain = between64(text, i, 32, 126) & ~equal64(text, i, _PERCENT)
        if ~plain & low_bits(end - i) != ZERO:
            return at.UNKNOWN
    if method_bytes == POST_BYTES:
        return at.LIKE if _find_photo(text, start, end, rules, at.LIKE, photo) else at.NO_DEED
    dot = _extension_dot(text, start, end, rules)
    if dot >= 0 and _find_photo(text, start, dot, rules, at.VIEW, photo):
        return at.VIEW
    return at.DOWNLOAD if _find_photo(text, start, end, rules, at.DOWNLOAD, photo) else at.NO_DEED


@compiled
def _find_photo(text: Bytes, start: int, end: int, rules: Words, deed: int, photo: Words) -> bool:
    """Whether the pattern of a deed matches, and where the photo stands then."""
    pattern = at.PATTERNS + at.PATTERN_WORDS * (deed - at.VIEW)
    before, after = rules[pattern + at.BEFORE_BYTES], rules[pattern + at.AFTER_BYTES]
    first, last = start + before, end - after
    if (
        first >= last
        or not same_bytes(text, start, bytes_at(rules[pattern + at.BEFORE]), 0, before)
        or not same_bytes(text, last, bytes_at(rules[pattern + at.AFTER]), 0, after)
    ):
        return False
    for i in range(first, last, 64):
        if equal64(text, i, _SLASH) & low_bits(last - i) != ZERO:
            return False
    photo[0], photo[1] = first, last
    return True


@compiled
def _extension_dot(text: Bytes, start: int, end: int, rules: Words) -> int:
    """The position of the dot before an image's extension; -1 when the path has none."""
    first = max(end - _LONGEST_EXTENSION - 1, start)
    dots = equal64(text, first, _DOT) & low_bits(end - first)
    if dots == ZERO:
        return -1
    dot = first + highest_bit(dots)
    extension = i64((load64(text, dot + 1) | _SMALL) & low_bits(8 * (end - dot - 1)))
    known = False
    for number in range(rules[at.EXTENSION_COUNT]):
        known |= rules[at.EXTENSIONS + number] == extension
    return dot if known else -1
