"""Characters and runs of bits: what every part of the kernel asks of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from photo_popularity.domain.log_kernel.machine import (
    ALL,
    ONE,
    Bytes,
    compiled,
    i64,
    load64,
    u64,
    word,
)

_DIGIT_VALUES = word(b"\x0f" * 8)
_PAIRS, _FOURS = word(b"\xff\0" * 4), word(b"\xff\xff\0\0" * 2)
_TEN_ONES: Any = np.uint64(1 + (10 << 8))
_HUNDRED_ONES: Any = np.uint64(1 + (100 << 16))
_TEN_THOUSAND_ONES: Any = np.uint64(1 + (10_000 << 32))


@compiled
def is_digit(byte: int) -> bool:
    """Whether a byte is one of `0` to `9`."""
    return 48 <= byte <= 57


@compiled
def is_blank(byte: int) -> bool:
    """What `\\s` matches in bytes."""
    return byte == 32 or 9 <= byte <= 13


@compiled
def two_digits(text: Bytes, start: int) -> int:
    """The number that two digits write; -1 when one is none."""
    high, low = text[start], text[start + 1]
    return (high - 48) * 10 + (low - 48) if is_digit(high) and is_digit(low) else -1


@compiled
def number_of_digits(text: Bytes, start: int, count: int) -> int:
    """The number that one to eight digits write: pairs, then fours, then all eight at once."""
    digits = (load64(text, start) & _DIGIT_VALUES) << u64(64 - 8 * count)
    pairs = (digits * _TEN_ONES) >> np.uint64(8)
    fours = ((pairs & _PAIRS) * _HUNDRED_ONES) >> np.uint64(16)
    return i64(((fours & _FOURS) * _TEN_THOUSAND_ONES) >> np.uint64(32))


@compiled
def low_bits(count: int) -> int:
    """A mask of the lowest `count` bits, 0 to 64."""
    return ALL if count >= 64 else (ONE << u64(count)) - ONE


@compiled
def is_at(text: Bytes, position: int, end: int, byte: int) -> bool:
    """Whether a byte stands at a position before the end."""
    return position < end and text[position] == byte
