"""The memory that Python and the kernel share: blocks of lines, arrays that grow, open hash tables.

The kernel checks no bound, so every array has room for the worst that a block can bring before the kernel sees it.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

import numpy as np

from photo_popularity.domain.log_kernel import layout as at

BLOCK_BYTES = 1024 * 1024
# a good line of the fewest bytes: `a b c [20/Sep/2026:02:01:51 +0200] "" 200 -`
SHORTEST_LINE = 44
# the kernel reads so many bytes at once, also those after the last
READ_AHEAD = 64
CACHE_LINE = 64
_INT64 = np.iinfo(np.int64)

Words: TypeAlias = "array[int]"
"""Of these Python reads a few for every block; as items of NumPy's each would be an object of its own."""


def address_of(items: np.ndarray | Words) -> int:
    """Where an array's items stand."""
    return items.buffer_info()[0] if isinstance(items, array) else int(items.ctypes.data)


def zeros(words: int) -> Words:
    """So many words for Python and the kernel."""
    return array("q", bytes(8 * words))


def aligned_zeros(shape: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
    """Zeros whose first item starts a line of the cache."""
    size = prod(shape) * np.dtype(kind).itemsize
    memory = np.zeros(size + CACHE_LINE, dtype=np.uint8)
    start = -address_of(memory) % CACHE_LINE
    return memory[start : start + size].view(kind).reshape(shape)


def untouched(shape: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
    """Zeros that cost memory only where they are used, a small page at a time; NumPy asks for large ones."""
    size = prod(shape) * np.dtype(kind).itemsize
    # shared, as it is by default, a forked process would write into it too
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    return np.frombuffer(mmap.mmap(-1, size, **private), kind).reshape(shape)


class Rules:
    """The rules of a site as the kernel reads them; without `patterns`, views first, it leaves all paths to Python."""

    def __init__(self, patterns: Sequence[tuple[bytes, bytes]], extensions: Sequence[bytes]) -> None:
        self._words = np.zeros(at.EXTENSIONS + len(extensions), dtype=np.int64)
        self._words[at.ARE_PLAIN], self._words[at.EXTENSION_COUNT] = bool(patterns), len(extensions)
        self._texts = [
            np.frombuffer(text + bytes(READ_AHEAD), np.uint8) for pair in patterns for text in pair
        ]
        lengths = [len(text) for pair in patterns for text in pair]
        places = zip(map(address_of, self._texts), lengths, strict=True)
        self._words[at.PATTERNS : at.PATTERNS + 2 * len(lengths)] = [
            word for place in places for word in place
        ]
        self._words[at.EXTENSIONS :] = [int.from_bytes(text, "little") for text in extensions]
        self.address = address_of(self._words)


class Block:
    """A block of whole lines, and what the kernel finds in them."""

    def __init__(self, seed: int, rules: Rules) -> None:
        most = BLOCK_BYTES // SHORTEST_LINE + 1
        # room for the newline that a last line may lack
        self.bytes = bytearray(BLOCK_BYTES + 1 + READ_AHEAD)
        self.view = memoryview(self.bytes)[: BLOCK_BYTES + 1]
        self._buffer = np.frombuffer(self.bytes, dtype=np.uint8)
        self._tokens = untouched((BLOCK_BYTES + 1 + 16,), np.int32)
        self._records = untouched((most, at.RECORD_WORDS), np.int64)
        self._rejects = untouched((BLOCK_BYTES + 1, at.REJECT_WORDS), np.int32)
        self._day_runs = untouched((most, 2), np.int64)
        self._fields = np.empty(at.FIELD_WORDS, dtype=np.int64)
        # bytes that no time has
        self._clock = np.full(at.CLOCK_WORDS, -1, dtype=np.int64)
        self.words = zeros(at.BLOCK_WORDS)
        for place, its in (
            (at.BUFFER, self._buffer),
            (at.TOKENS, self._tokens),
            (at.RECORDS, self._records),
            (at.REJECTS, self._rejects),
            (at.DAY_RUNS, self._day_runs),
            (at.FIELDS, self._fields),
            (at.CLOCK, self._clock),
        ):
            self.words[place] = address_of(its)
        self.words[at.SEED] = seed
        # a parser that is left over from an interrupted scan still reads them
        self._rules = rules
        self.words[at.RULES] = rules.address
        self.address = address_of(self.words)

    def start(self, length: int) -> None:
        """Make ready for the `length` bytes of lines in the buffer, the last of which is a newline."""
        self.words[at.LENGTH] = length
        self.words[at.FIRST_MOMENT], self.words[at.LAST_MOMENT] = _INT64.max, _INT64.min

    @property
    def rejects(self) -> np.ndarray:
        """Line in the block, reason, start and end of every line that is in no known format."""
        return self._rejects[: self.words[at.REJECT_COUNT]]


@dataclass
class Array:
    """An array that grows, at one place of the store's words."""

    place: int
    array: np.ndarray

    @classmethod
    def of(cls, words: Words, place: int, items: np.ndarray) -> Array:
        """An array that the kernel finds at a place of the store's words."""
        words[place] = address_of(items)
        return cls(place, items)

    def reserve(self, words: Words, length: int) -> None:
        """Make room for `length` items, keeping what is there."""
        if length <= len(self.array):
            return
        shape = (max(length, 2 * len(self.array)), *self.array.shape[1:])
        grown = aligned_zeros(shape, self.array.dtype.type)
        grown[: len(self.array)] = self.array
        self.array = grown
        words[self.place] = address_of(grown)


class Slots:
    """An open hash table of numbers, at two places of the store's words: at most half full."""

    def __init__(self, words: Words, place: int, mask: int) -> None:
        self._words, self._place, self._mask = words, place, mask
        self.empty(1024)

    def reserve(self, items: int) -> bool:
        """Make room for so many items; whether all have to be put in again."""
        if 2 * items <= len(self._slots):
            return False
        self.empty(1 << (3 * items - 1).bit_length())
        return True

    def empty(self, length: int = 0) -> None:
        if length:
            self._slots = np.empty(length, dtype=np.int32)
            self._words[self._place], self._words[self._mask] = address_of(self._slots), length - 1
        self._slots.fill(-1)
