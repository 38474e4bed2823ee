"""What was counted so far, by (day, photo), and the texts that were seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.memory import (
    READ_AHEAD,
    Array,
    Block,
    Slots,
    address_of,
    aligned_zeros,
    zeros,
)
from photo_popularity.domain.log_kernel.object_code import Work
from photo_popularity.domain.log_kernel.pairs import PairRuns

# beyond this the texts are forgotten and found anew: whoever sends another path each time fills no memory
MOST_ARENA_WORDS = 3 << 20
# visitors are kept from file to file up to so many
MOST_VISITORS = 1 << 21
PAIRS_AT_ONCE = 1 << 21
# memory that is not touched costs nothing, and arrays that need not grow are not copied
LIKELY_ROWS, LIKELY_PHOTOS = 1 << 19, 1 << 17

PhotoNumber = Callable[[bytes], int]
Meaning = Callable[[int, bytes, PhotoNumber], int]
"""What a text means, by its kind (`layout.PATH_TEXT` and so on), as `layout` writes it; photos are asked for by name."""


@dataclass(frozen=True)
class Rows:
    """The counts of each (day, photo), in no order, the pairs of rows and visitors, and the good lines of each day.

    Photos are numbers; `name_offsets` say where in `names` the name of each begins, and the last where it ends.
    """

    days: np.ndarray
    photos: np.ndarray
    name_offsets: np.ndarray
    names: np.ndarray
    counts: np.ndarray
    pairs: PairRuns
    visitors: np.ndarray
    lines_of_day: dict[int, int]


class Store:
    """Counts blocks as they come; `take_rows` starts anew, and keeps the texts and visitors it knows."""

    def __init__(self, work: Work, *, seed: int, key: bytes, meaning: Meaning) -> None:
        self._work, self._meaning = work, meaning
        self.is_whole = True
        self._words = zeros(at.STORE_WORDS)
        self._address = address_of(self._words)
        self._hash_state = np.zeros(at.HASH_WORDS, dtype=np.int64)
        self._arena = self._array(at.ARENA, (MOST_ARENA_WORDS,))
        self._new_texts = self._array(at.NEW_TEXTS, (1024,))
        self._photos = self._array(at.PHOTOS, (LIKELY_PHOTOS, at.PHOTO_WORDS))
        self._photo_names = Array.of(self._words, at.PHOTO_NAMES, np.zeros(64 * LIKELY_PHOTOS, np.uint8))
        self._asked = Array.of(self._words, at.ASKED_NAME, np.zeros(1024, np.uint8))
        self._known_photos: dict[bytes, int] = {}
        self._rows = self._array(at.ROWS, (LIKELY_ROWS, at.ROW_WORDS))
        self._pairs = self._array(at.PAIRS, (PAIRS_AT_ONCE,))
        self._visitors = self._array(at.VISITORS, (LIKELY_ROWS,))
        self._days = self._array(at.DAYS, (at.LATEST_DAY - at.EARLIEST_DAY + 1,))
        self._text_slots = Slots(self._words, at.TEXT_SLOTS, at.TEXT_MASK)
        self._photo_slots = Slots(self._words, at.PHOTO_SLOTS, at.PHOTO_MASK)
        self._row_slots = Slots(self._words, at.ROW_SLOTS, at.ROW_MASK)
        self._visitor_slots = Slots(self._words, at.VISITOR_SLOTS, at.VISITOR_MASK)
        self._runs = PairRuns()
        self._start_rows()
        self._words[at.STORE_SEED] = seed
        self._words[at.HASH_STATE] = address_of(self._hash_state)
        self._hash_state[at.HASH_MESSAGE : at.HASH_MESSAGE + 8] = np.frombuffer(key, dtype=np.int64)
        self._call(at.ABSORB_KEY)

    def add(self, block: Block) -> None:
        """Count a block that has been parsed; after an error or an interruption here the store is of no use."""
        self.is_whole = False
        self._find(block)
        self._count(block)
        self.is_whole = True

    def _find(self, block: Block) -> None:
        words, records = self._words, block.words[at.RECORD_COUNT]
        if words[at.ARENA_USED] > MOST_ARENA_WORDS:
            self._forget_texts()
        longest = block.words[at.LENGTH] // 8 + 4 * records * (at.HEADER_WORDS + 1)
        self._arena.reserve(words, words[at.ARENA_USED] + longest + READ_AHEAD)
        self._new_texts.reserve(words, 3 * records)
        self._reserve_photos(records, block.words[at.LENGTH])
        self._make_room(self._text_slots, words[at.TEXT_COUNT] + 4 * records, at.FILL_TEXTS)
        self._call(at.FIND_TEXTS, block)
        self._resolve()

    def _count(self, block: Block) -> None:
        words, records = self._words, block.words[at.RECORD_COUNT]
        most_rows = words[at.ROW_COUNT] + records
        most_visitors = words[at.VISITOR_COUNT] + records
        self._rows.reserve(words, most_rows)
        self._visitors.reserve(words, most_visitors)
        self._make_room(self._row_slots, most_rows, at.FILL_ROWS)
        self._make_room(self._visitor_slots, most_visitors, at.FILL_VISITORS)
        if words[at.PAIR_COUNT] + records > PAIRS_AT_ONCE:
            self._end_run()
        self._pairs.reserve(words, words[at.PAIR_COUNT] + records)
        self._call(at.COUNT_BLOCK, block)

    def photo_number(self, name: bytes) -> int:
        """The number of a photo by its name, for the meanings of paths."""
        number = self._known_photos.get(name)
        if number is None:
            self._reserve_photos(1, len(name))
            self._asked.reserve(self._words, len(name) + READ_AHEAD)
            self._asked.array[: len(name)] = np.frombuffer(name, np.uint8)
            self._words[at.ASKED_BYTES] = len(name)
            self._call(at.FIND_PHOTO)
            number = self._known_photos[name] = self._words[at.ASKED_BYTES]
        return number

    @property
    def photo_count(self) -> int:
        """How many photos have a number."""
        return self._words[at.PHOTO_COUNT]

    def _reserve_photos(self, photos: int, name_bytes: int) -> None:
        words = self._words
        count = words[at.PHOTO_COUNT]
        used = int(self._photos.array[count, at.PHOTO_START])
        self._photos.reserve(words, count + photos + 1)
        self._photo_names.reserve(words, used + name_bytes + READ_AHEAD)
        self._make_room(self._photo_slots, count + photos, at.FILL_PHOTOS)

    def take_rows(self) -> Rows:
        """Everything counted since the last time, to be used before the next block is counted."""
        self._runs.add_last(self._pairs.array[: self._words[at.PAIR_COUNT]])
        count = self._words[at.ROW_COUNT]
        first, last = self._words[at.FIRST_DAY], self._words[at.LAST_DAY]
        lines = self._days.array[first - at.EARLIEST_DAY : last - at.EARLIEST_DAY + 1]
        found = np.flatnonzero(lines)
        counted = self._rows.array[:count]
        keys = counted[:, at.ROW_KEY]
        rows = Rows(
            days=keys >> 32,
            photos=keys & 0xFFFF_FFFF,
            name_offsets=self._photos.array[: self.photo_count + 1, at.PHOTO_START],
            names=self._photo_names.array,
            counts=counted[:, : at.ROW_KEY],
            pairs=self._runs,
            visitors=self._visitors.array[: self._words[at.VISITOR_COUNT]].view(np.uint64),
            lines_of_day=dict(zip((found + first).tolist(), lines[found].tolist(), strict=True)),
        )
        lines[:] = 0
        self._start_rows()
        return rows

    def _start_rows(self) -> None:
        self._words[at.ROW_COUNT] = self._words[at.PAIR_COUNT] = 0
        self._words[at.FIRST_DAY], self._words[at.LAST_DAY] = at.LATEST_DAY, at.EARLIEST_DAY
        self._row_slots.empty()
        self._runs = PairRuns()
        if self._words[at.VISITOR_COUNT] > MOST_VISITORS:
            self._words[at.VISITOR_COUNT] = 0
            self._visitor_slots.empty()
            self._forget_texts()

    def _forget_texts(self) -> None:
        self._words[at.TEXT_COUNT] = self._words[at.ARENA_USED] = 0
        self._text_slots.empty()

    def _resolve(self) -> None:
        """Ask what the new texts mean; what an address does the kernel knows itself."""
        words, meaning = memoryview(self._arena.array.data), self._meaning
        text, mask = words.cast("B"), (1 << at.KIND_BITS) - 1
        for place in self._new_texts.array[: self._words[at.NEW_TEXT_COUNT]].tolist():
            kind, start = words[place + at.TEXT_KIND], 8 * (place + at.HEADER_WORDS)
            its = bytes(text[start : start + (kind >> at.KIND_BITS)])
            words[place + at.MEANING] = meaning(kind & mask, its, self.photo_number)
        self._words[at.NEW_TEXT_COUNT] = 0

    def _end_run(self) -> None:
        if count := self._words[at.PAIR_COUNT]:
            self._runs.add(self._pairs.array[:count])
            self._words[at.PAIR_COUNT] = 0

    def _make_room(self, slots: Slots, items: int, fill: int) -> None:
        if slots.reserve(items):
            self._call(fill)

    def _call(self, operation: int, block: Block | None = None) -> None:
        self._work(operation, self._address, block.address if block else 0)

    def _array(self, place: int, shape: tuple[int, ...]) -> Array:
        return Array.of(self._words, place, aligned_zeros(shape, np.int64))
