"""The second pass: a place in the arena for each text of a block's records."""

from __future__ import annotations

from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.machine import (
    Words,
    bytes_at,
    compiled,
    prefetch,
    slots_at,
    words_at,
)
from photo_popularity.domain.log_kernel.parsing import counts_with
from photo_popularity.domain.log_kernel.texts import same_bytes

# how many records before it is needed memory is asked for
_AHEAD = 8
_DEED_MASK = (1 << at.DEED_BITS) - 1


@compiled
def find_texts(store: Words, block: Words) -> None:
    """Replace the hashes of a block's records by the places of their texts in the arena, adding those that are new.

    A record that is known to count for no photo is marked so, and its other texts are left alone.
    """
    arena = words_at(store[at.ARENA])
    count = block[at.RECORD_COUNT]
    for number in range(-2 * _AHEAD, count):
        _fetch_ahead(store, block, number + 2 * _AHEAD, number + _AHEAD)
        if number < 0:
            continue
        record = words_at(block[at.RECORDS] + 8 * at.RECORD_WORDS * number)
        subject = _find_text(store, block, record, at.SUBJECT)
        if record[at.DEED] == at.UNKNOWN and arena[subject + at.MEANING] != at.UNKNOWN:
            deed = arena[subject + at.MEANING] & _DEED_MASK
            record[at.DEED] = deed if counts_with(deed, record[at.STATUS_BITS]) else at.NO_DEED
        if record[at.DEED] == at.NO_DEED:
            continue
        agent = _find_text(store, block, record, at.AGENT_TEXT)
        if agent < 0 or arena[agent + at.MEANING] != 1:
            _find_text(store, block, record, at.HOST_TEXT)
            _find_text(store, block, record, at.ADDRESS_TEXT)


@compiled
def _fetch_ahead(store: Words, block: Words, far: int, near: int) -> None:
    """Ask for the slots of one record's texts, and for the texts that the slots of a nearer one point to."""
    slots, mask = store[at.TEXT_SLOTS], store[at.TEXT_MASK]
    count, records = block[at.RECORD_COUNT], block[at.RECORDS] + 8 * at.TEXTS
    if far < count:
        texts = words_at(records + 8 * at.RECORD_WORDS * far)
        for which in range(4):
            prefetch(slots + 4 * (texts[2 * which] & mask))
    if 0 <= near < count:
        texts = words_at(records + 8 * at.RECORD_WORDS * near)
        for which in range(4):
            prefetch(store[at.ARENA] + 8 * slots_at(slots)[texts[2 * which] & mask])


@compiled
def _find_text(store: Words, block: Words, record: Words, which: int) -> int:
    """Where one text of a record stands in the arena, which the record has from now on; -1 when it has none."""
    cell = at.TEXTS + 2 * which
    span = record[cell + 1]
    if span < 0:
        record[cell] = -1
        return -1
    start, length, h = span >> 32, span & 0xFFFF_FFFF, record[cell]
    kind = at.PHOTO_TEXT if which == at.SUBJECT and record[at.DEED] != at.UNKNOWN else which
    kind |= length << at.KIND_BITS
    slots, mask = slots_at(store[at.TEXT_SLOTS]), store[at.TEXT_MASK]
    arena, stored, text = words_at(store[at.ARENA]), bytes_at(store[at.ARENA]), bytes_at(block[at.BUFFER])
    slot = h & mask
    place = slots[slot]
    while place >= 0:
        if (
            arena[place + at.TEXT_HASH] == h
            and arena[place + at.TEXT_KIND] == kind
            and same_bytes(text, start, stored, 8 * (place + at.HEADER_WORDS), length)
        ):
            record[cell] = place
            return place
        slot = (slot + 1) & mask
        place = slots[slot]
    place = store[at.ARENA_USED]
    slots[slot] = place
    arena[place + at.TEXT_HASH], arena[place + at.TEXT_KIND] = h, kind
    arena[place + at.MEANING] = at.UNKNOWN
    begin = 8 * (place + at.HEADER_WORDS)
    for i in range(length):
        stored[begin + i] = text[start + i]
    store[at.TEXT_COUNT] += 1
    if which != at.ADDRESS_TEXT:
        words_at(store[at.NEW_TEXTS])[store[at.NEW_TEXT_COUNT]] = place
        store[at.NEW_TEXT_COUNT] += 1
    store[at.ARENA_USED] = place + text_words(length)
    record[cell] = place
    return place


@compiled
def text_words(length: int) -> int:
    """How many words of the arena a text of so many bytes takes."""
    return at.HEADER_WORDS + (length + 7) // 8
