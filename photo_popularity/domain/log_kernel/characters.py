"""Characters and runs of bits: what every part of the kernel asks of them."""

from __future__ import annotations

from photo_popularity.domain.log_kernel.machine import (
    ALL,
    ONE,
    Bytes,
    compiled,
    u64,
)


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
def low_bits(count: int) -> int:
    """A mask of the lowest `count` bits, 0 to 64."""
    return ALL if count >= 64 else (ONE << u64(count)) - ONE


@compiled
def is_at(text: Bytes, position: int, end: int, byte: int) -> bool:
    """Whether a byte stands at a position before the end."""
    return position < end and text[position] == byte
