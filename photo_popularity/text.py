"""How numbers, names and strangers' texts are written for people, the same in every report."""

from __future__ import annotations

import re

# a title may hold newlines, and bytes that move a terminal's cursor or turn its text around
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


def in_one_line(text: str) -> str:
    """The text with each run of newlines and other control characters as one space."""
    return _CONTROL_CHARACTERS.sub(" ", text).strip()


def shortened(text: str, characters: int) -> str:
    """The text in one line of at most so many characters."""
    line = in_one_line(text)
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


def counted(number: int, noun: str) -> str:
    """The number with its noun.

    >>> counted(1, "photo"), counted(1236, "photo"), counted(0, "day")
    ('1 photo', '1,236 photos', '0 days')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(byte_count: int) -> str:
    """The size with its unit.

    >>> size(17), size(2_350), size(48_200_000)
    ('17 B', '2.4 kB', '48.2 MB')
    """
    amount = float(byte_count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
