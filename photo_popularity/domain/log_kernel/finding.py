"""The second pass: a place in the arena for each text of a block's records."""

from __future__ import annotations

from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.machine import (
    Bytes,
    Words,
    bytes_at,
    compiled,
    i64,
    prefetch,
    slots_at,
    u64,
    words_at,
)
from photo_popularity.domain.log_kernel.parsing import PHOTO_SEED, counts_with
from photo_popularity.domain.log_kernel.texts import same_bytes, text_hash

# how many records before it is needed memory is asked for
AHEAD = 8


@compiled
def find_texts(store: Words, block: Words) -> None:
    """Replace the hashes of a block's records by the places of their texts in the arena, adding those that are new.

    A record that is known to count for no photo is marked so, and its other texts are left alone.
    """
    arena = words_at(store[at.ARENA])
    count = block[at.RECORD_COUNT]
    for number in range(-2 * AHEAD, count):
        _fetch_ahead(store, block, number + 2 * AHEAD, number + AHEAD)
        if number < 0:
            continue
        record = words_at(block[at.RECORDS] + 8 * at.RECORD_WORDS * number)
        if record[at.DEED] == at.UNKNOWN:
            _find_path(store, block, record)
        else:
            span = record[at.TEXTS + 1]
            record[at.TEXTS] = find_photo(
                store, bytes_at(block[at.BUFFER]), span >> 32, span & 0xFFFF_FFFF, record[at.TEXTS]
            )
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
    photo_slots, photo_mask = store[at.PHOTO_SLOTS], store[at.PHOTO_MASK]
    count, records = block[at.RECORD_COUNT], block[at.RECORDS] + 8 * at.TEXTS
    if far < count:
        texts = words_at(records + 8 * at.RECORD_WORDS * far)
        prefetch(photo_slots + 4 * (texts[0] & photo_mask))
        for which in range(1, 4):
            prefetch(slots + 4 * (texts[2 * which] & mask))
    if 0 <= near < count:
        texts = words_at(records + 8 * at.RECORD_WORDS * near)
        prefetch(store[at.PHOTOS] + 8 * at.PHOTO_WORDS * slots_at(photo_slots)[texts[0] & photo_mask])
        for which in range(1, 4):
            prefetch(store[at.ARENA] + 8 * slots_at(slots)[texts[2 * which] & mask])


@compiled
def _find_path(store: Words, block: Words, record: Words) -> None:
    """Find a record's path; if it is known what it asks for, the record has its deed and photo from now on."""
    place = _find_text(store, block, record, at.PATH_TEXT)
    meaning = words_at(store[at.ARENA])[place + at.MEANING]
    if meaning == at.UNKNOWN:
        return
    deed = meaning & at.DEED_MASK
    record[at.DEED] = deed if counts_with(deed, record[at.STATUS_BITS]) else at.NO_DEED
    record[at.TEXTS] = meaning >> at.DEED_BITS


@compiled
def find_photo(store: Words, text: Bytes, start: int, length: int, h: int) -> int:
    """The number of a photo by its name, which is a new one for a name that has none."""
    slots, mask = slots_at(store[at.PHOTO_SLOTS]), store[at.PHOTO_MASK]
    photos, names = words_at(store[at.PHOTOS]), bytes_at(store[at.PHOTO_NAMES])
    slot = h & mask
    number = slots[slot]
    while number >= 0:
        photo = at.PHOTO_WORDS * number
        begin, end = photos[photo + at.PHOTO_START], photos[photo + at.PHOTO_WORDS + at.PHOTO_START]
        if (
            photos[photo + at.PHOTO_HASH] == h
            and end - begin == length
            and same_bytes(text, start, names, begin, length)
        ):
            return number
        slot = (slot + 1) & mask
        number = slots[slot]
    number = store[at.PHOTO_COUNT]
    slots[slot] = number
    photo = at.PHOTO_WORDS * number
    begin = photos[photo + at.PHOTO_START]
    for i in range(length):
        names[begin + i] = text[start + i]
    photos[photo + at.PHOTO_HASH] = h
    photos[photo + at.PHOTO_WORDS + at.PHOTO_START] = begin + length
    store[at.PHOTO_COUNT] = number + 1
    return number


@compiled
def find_asked_photo(store: Words) -> None:
    """Answer for the name that Python asks for."""
    name, length = bytes_at(store[at.ASKED_NAME]), store[at.ASKED_BYTES]
    h = i64(text_hash(name, 0, length, u64(store[at.STORE_SEED]) + PHOTO_SEED))
    store[at.ASKED_BYTES] = find_photo(store, name, 0, length, h)


@compiled
def _find_text(store: Words, block: Words, record: Words, which: int) -> int:
    """Where one text of a record stands in the arena, which the record has from now on; -1 when it has none."""
    cell = at.TEXTS + 2 * which
    span = record[cell + 1]
    if span < 0:
        record[cell] = -1
        return -1
    start, length, h = span >> 32, span & 0xFFFF_FFFF, record[cell]
    kind = (length << at.KIND_BITS) | which
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
