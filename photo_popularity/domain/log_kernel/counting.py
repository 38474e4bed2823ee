"""The third pass: the counts of each (day, photo), its visitors, the lines of each day."""

from __future__ import annotations

import numpy as np

from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.blake2b import visitor_hash
from photo_popularity.domain.log_kernel.finding import AHEAD, text_words
from photo_popularity.domain.log_kernel.machine import (
    MIX,
    ONE,
    Words,
    compiled,
    i64,
    prefetch,
    slots_at,
    u64,
    words_at,
)
from photo_popularity.domain.log_kernel.parsing import counts_with


@compiled
def count_block(store: Words, block: Words) -> None:
    """Count a block's records and good lines; every path, agent and host has a meaning by now."""
    arena = words_at(store[at.ARENA])
    rows, pairs = words_at(store[at.ROWS]), words_at(store[at.PAIRS])
    pair = store[at.PAIR_COUNT]
    for number in range(-2 * AHEAD, block[at.RECORD_COUNT]):
        _fetch_rows_ahead(store, block, number + 2 * AHEAD, number + AHEAD)
        if number < 0:
            continue
        record = words_at(block[at.RECORDS] + 8 * at.RECORD_WORDS * number)
        texts = words_at(block[at.RECORDS] + 8 * (at.RECORD_WORDS * number + at.TEXTS))
        deed, agent = record[at.DEED], texts[2 * at.AGENT_TEXT]
        if deed == at.NO_DEED:
            continue
        photo = texts[2 * at.SUBJECT]
        if deed == at.UNKNOWN:
            meaning = arena[photo + at.MEANING]
            deed, photo = meaning & at.DEED_MASK, meaning >> at.DEED_BITS
            if not counts_with(deed, record[at.STATUS_BITS]):
                continue
        is_robot = agent >= 0 and arena[agent + at.MEANING] == 1
        if is_robot and deed != at.VIEW:
            continue
        row = _find_row(store, (record[at.DAY] << 32) | photo)
        cell = at.ROW_WORDS * row
        rows[cell + at.LINES_COUNT] += 1
        if is_robot:
            rows[cell + at.ROBOT_VIEWS] += 1
        elif deed == at.LIKE:
            rows[cell + at.LIKES] += 1
        elif deed == at.DOWNLOAD:
            rows[cell + at.DOWNLOADS] += 1
        else:
            host = texts[2 * at.HOST_TEXT]
            rows[cell + at.VIEWS] += 1
            rows[cell + at.BYTES_SUM] += record[at.BYTES]
            if host >= 0:
                rows[cell + at.REFERRALS] += arena[host + at.MEANING]
            pairs[pair] = (row << 32) | _visitor(store, texts[2 * at.ADDRESS_TEXT])
            pair += 1
    store[at.PAIR_COUNT] = pair
    _count_days(store, block)


@compiled
def _count_days(store: Words, block: Words) -> None:
    days, runs = words_at(store[at.DAYS]), words_at(block[at.DAY_RUNS])
    for run in range(block[at.DAY_RUN_COUNT]):
        day = runs[2 * run]
        days[day - at.EARLIEST_DAY] += runs[2 * run + 1]
        store[at.FIRST_DAY] = min(store[at.FIRST_DAY], day)
        store[at.LAST_DAY] = max(store[at.LAST_DAY], day)


@compiled
def _row_hash(key: int) -> int:
    h = u64(key) * MIX
    return i64((h ^ (h >> np.uint64(32))) >> ONE)


@compiled
def _find_row(store: Words, key: int) -> int:
    slots, rows, mask = slots_at(store[at.ROW_SLOTS]), words_at(store[at.ROWS]), store[at.ROW_MASK]
    slot = _row_hash(key) & mask
    while slots[slot] >= 0:
        row = slots[slot]
        if rows[at.ROW_WORDS * row + at.ROW_KEY] == key:
            return row
        slot = (slot + 1) & mask
    row = store[at.ROW_COUNT]
    slots[slot] = row
    for cell in range(at.ROW_WORDS * row, at.ROW_WORDS * (row + 1)):
        rows[cell] = 0
    rows[at.ROW_WORDS * row + at.ROW_KEY] = key
    store[at.ROW_COUNT] = row + 1
    return row


@compiled
def _fetch_rows_ahead(store: Words, block: Words, far: int, near: int) -> None:
    """Ask for the slot of one record's row, and for the row that the slot of a nearer one points to."""
    count, records = block[at.RECORD_COUNT], block[at.RECORDS]
    slots, mask = store[at.ROW_SLOTS], store[at.ROW_MASK]
    for number in (far, near):
        if not 0 <= number < count:
            continue
        record = words_at(records + 8 * at.RECORD_WORDS * number)
        if record[at.DEED] == at.NO_DEED or record[at.DEED] == at.UNKNOWN:
            continue
        slot = _row_hash((record[at.DAY] << 32) | record[at.TEXTS]) & mask
        if number == far:
            prefetch(slots + 4 * slot)
        else:
            prefetch(store[at.ROWS] + 8 * at.ROW_WORDS * max(slots_at(slots)[slot], 0))


@compiled
def _visitor(store: Words, address: int) -> int:
    """The number of the visitor whose address stands at a place of the arena."""
    arena = words_at(store[at.ARENA])
    if arena[address + at.MEANING] != at.UNKNOWN:
        return arena[address + at.MEANING]
    h = visitor_hash(store, 8 * (address + at.HEADER_WORDS), arena[address + at.TEXT_KIND] >> at.KIND_BITS)
    slots, visitors = slots_at(store[at.VISITOR_SLOTS]), words_at(store[at.VISITORS])
    mask = store[at.VISITOR_MASK]
    slot = h & mask
    while slots[slot] >= 0 and visitors[slots[slot]] != h:
        slot = (slot + 1) & mask
    if slots[slot] < 0:
        number = store[at.VISITOR_COUNT]
        slots[slot], visitors[number] = number, h
        store[at.VISITOR_COUNT] = number + 1
    arena[address + at.MEANING] = slots[slot]
    return arena[address + at.MEANING]


@compiled
def fill_texts(store: Words) -> None:
    """Put every text into slots that have just been made larger."""
    slots, mask, arena = slots_at(store[at.TEXT_SLOTS]), store[at.TEXT_MASK], words_at(store[at.ARENA])
    place = 0
    while place < store[at.ARENA_USED]:
        _place(slots, mask, arena[place + at.TEXT_HASH], place)
        place += text_words(arena[place + at.TEXT_KIND] >> at.KIND_BITS)


@compiled
def fill_rows(store: Words) -> None:
    """The same for rows."""
    slots, mask, rows = slots_at(store[at.ROW_SLOTS]), store[at.ROW_MASK], words_at(store[at.ROWS])
    for row in range(store[at.ROW_COUNT]):
        _place(slots, mask, _row_hash(rows[at.ROW_WORDS * row + at.ROW_KEY]), row)


@compiled
def fill_visitors(store: Words) -> None:
    """The same for visitors."""
    slots, mask, visitors = (
        slots_at(store[at.VISITOR_SLOTS]),
        store[at.VISITOR_MASK],
        words_at(store[at.VISITORS]),
    )
    for visitor in range(store[at.VISITOR_COUNT]):
        _place(slots, mask, visitors[visitor], visitor)


@compiled
def fill_photos(store: Words) -> None:
    """The same for photos."""
    slots, mask, photos = slots_at(store[at.PHOTO_SLOTS]), store[at.PHOTO_MASK], words_at(store[at.PHOTOS])
    for number in range(store[at.PHOTO_COUNT]):
        _place(slots, mask, photos[at.PHOTO_WORDS * number + at.PHOTO_HASH], number)


@compiled
def _place(slots: Words, mask: int, h: int, number: int) -> None:
    slot = h & mask
    while slots[slot] >= 0:
        slot = (slot + 1) & mask
    slots[slot] = number
