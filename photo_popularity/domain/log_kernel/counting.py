"""The third pass: the counts of each (day, photo), its visitors, the lines of each day."""

from __future__ import annotations

import numpy as np

from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.blake2b import visitor_hash
from photo_popularity.domain.log_kernel.finding import counts_with, text_words
from photo_popularity.domain.log_kernel.machine import (
    MIX,
    ONE,
    Words,
    compiled,
    i64,
    slots_at,
    u64,
    words_at,
)


@compiled
def count_block(store: Words, block: Words) -> None:
    """Count a block's records and good lines; every path, agent and host has a meaning by now."""
    arena = words_at(store[at.ARENA])
    counts, pairs = words_at(store[at.COUNTS]), words_at(store[at.PAIRS])
    pair = store[at.PAIR_COUNT]
    for number in range(block[at.RECORD_COUNT]):
        record = words_at(block[at.RECORDS] + 8 * at.RECORD_WORDS * number)
        texts = words_at(block[at.RECORDS] + 8 * (at.RECORD_WORDS * number + at.TEXTS))
        if record[at.COUNTS_AS] == 0:
            continue
        meaning = arena[texts[2 * at.PATH_TEXT] + at.MEANING]
        deed, agent = meaning & 3, texts[2 * at.AGENT_TEXT]
        if not counts_with(deed, record[at.COUNTS_AS]):
            continue
        is_robot = agent >= 0 and arena[agent + at.MEANING] == 1
        if is_robot and deed != at.VIEW:
            continue
        row = _find_row(store, (record[at.DAY] << 32) | (meaning >> 2))
        cell = at.COUNT_WORDS * row
        counts[cell + at.LINES_COUNT] += 1
        if is_robot:
            counts[cell + at.ROBOT_VIEWS] += 1
        elif deed == at.LIKE:
            counts[cell + at.LIKES] += 1
        elif deed == at.DOWNLOAD:
            counts[cell + at.DOWNLOADS] += 1
        else:
            host = texts[2 * at.HOST_TEXT]
            counts[cell + at.VIEWS] += 1
            counts[cell + at.BYTES_SUM] += record[at.BYTES]
            if host >= 0:
                counts[cell + at.REFERRALS] += arena[host + at.MEANING]
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
    slots, keys, mask = slots_at(store[at.ROW_SLOTS]), words_at(store[at.ROW_KEYS]), store[at.ROW_MASK]
    slot = _row_hash(key) & mask
    while slots[slot] >= 0:
        row = slots[slot]
        if keys[row] == key:
            return row
        slot = (slot + 1) & mask
    row = store[at.ROW_COUNT]
    slots[slot], keys[row] = row, key
    counts = words_at(store[at.COUNTS])
    for cell in range(at.COUNT_WORDS * row, at.COUNT_WORDS * (row + 1)):
        counts[cell] = 0
    store[at.ROW_COUNT] = row + 1
    return row


@compiled
def _visitor(store: Words, address: int) -> int:
    """The number of the visitor whose address stands at a place of the arena."""
    arena = words_at(store[at.ARENA])
    if arena[address + at.MEANING] != at.UNKNOWN:
        return arena[address + at.MEANING]
    h = visitor_hash(store, 8 * (address + at.HEADER_WORDS), arena[address + at.TEXT_KIND] >> 2)
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
def fill_slots(store: Words) -> None:
    """Put every text, row and visitor into slots that have just been emptied or made larger."""
    slots, mask, arena = slots_at(store[at.TEXT_SLOTS]), store[at.TEXT_MASK], words_at(store[at.ARENA])
    place = 0
    while place < store[at.ARENA_USED]:
        _place(slots, mask, arena[place + at.TEXT_HASH], place)
        place += text_words(arena[place + at.TEXT_KIND] >> 2)
    slots, mask, keys = slots_at(store[at.ROW_SLOTS]), store[at.ROW_MASK], words_at(store[at.ROW_KEYS])
    for row in range(store[at.ROW_COUNT]):
        _place(slots, mask, _row_hash(keys[row]), row)
    slots, mask, visitors = (
        slots_at(store[at.VISITOR_SLOTS]),
        store[at.VISITOR_MASK],
        words_at(store[at.VISITORS]),
    )
    for visitor in range(store[at.VISITOR_COUNT]):
        _place(slots, mask, visitors[visitor], visitor)


@compiled
def _place(slots: Words, mask: int, h: int, number: int) -> None:
    slot = h & mask
    while slots[slot] >= 0:
        slot = (slot + 1) & mask
    slots[slot] = number
