"""The first pass: the lines of a block, and a record of each that may count for a photo. It touches the block alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.deeds import deed_of
from photo_popularity.domain.log_kernel.fields import find_tokens, split_exactly, split_plain
from photo_popularity.domain.log_kernel.machine import (
    NEWLINE,
    QUOTE,
    Bytes,
    Words,
    bytes_at,
    compiled,
    i64,
    slots_at,
    u64,
    words_at,
)
from photo_popularity.domain.log_kernel.texts import (
    authority_end,
    path_end,
    path_start,
    text_hash,
)
from photo_popularity.domain.log_kernel.times import NO_TIME

MAX_LINE_BYTES = 64 * 1024
PHOTO_SEED: Any = np.uint64(at.PHOTO_KIND)
_SECONDS_PER_DAY = 86_400


@compiled
def parse_block(block: Words) -> None:
    """Find the fields of every line of a block that ends with a newline."""
    text, tokens = bytes_at(block[at.BUFFER]), slots_at(block[at.TOKENS])
    fields, clock = words_at(block[at.FIELDS]), words_at(block[at.CLOCK])
    rejects, runs = slots_at(block[at.REJECTS]), words_at(block[at.DAY_RUNS])
    length = block[at.LENGTH]
    find_tokens(text, length, tokens)
    lines, rejected, run, token, start = 0, 0, -1, 0, 0
    day, first_moment, last_moment = NO_TIME, block[at.FIRST_MOMENT], block[at.LAST_MOMENT]
    block[at.RECORD_COUNT] = 0
    while start < length:
        quotes = (
            text[tokens[token]] == QUOTE
            and text[tokens[token + 1]] == QUOTE
            and text[tokens[token + 2]] == QUOTE
            and text[tokens[token + 3]] == QUOTE
            and text[tokens[token + 4]] == QUOTE
            and text[tokens[token + 5]] == QUOTE
        )
        last = token + 6 if quotes else token
        while text[tokens[last]] != NEWLINE:
            last += 1
        end = tokens[last]
        if end - start > MAX_LINE_BYTES:
            reason = at.TOO_LONG
        elif quotes and split_plain(text, start, end, tokens, token, fields, clock):
            reason = at.GOOD
        else:
            reason = split_exactly(text, start, end, fields, clock)
        if reason == at.GOOD:
            moment = fields[at.MOMENT]
            first_moment, last_moment = min(first_moment, moment), max(last_moment, moment)
            if not (day * _SECONDS_PER_DAY <= moment < (day + 1) * _SECONDS_PER_DAY) or run < 0:
                day = moment // _SECONDS_PER_DAY
                run += 1
                runs[2 * run], runs[2 * run + 1] = day, 0
            runs[2 * run + 1] += 1
            _record(block, text, start, fields, day)
        else:
            reject = at.REJECT_WORDS * rejected
            rejects[reject], rejects[reject + 1] = lines, reason
            rejects[reject + 2], rejects[reject + 3] = start, end
            rejected += 1
        lines += 1
        start, token = end + 1, last + 1
    block[at.LINES], block[at.REJECT_COUNT], block[at.DAY_RUN_COUNT] = lines, rejected, run + 1
    block[at.FIRST_MOMENT], block[at.LAST_MOMENT] = first_moment, last_moment


@compiled
def _record(block: Words, text: Bytes, start: int, fields: Words, day: int) -> None:
    """Write the line down, unless its status, its method or its path say that it counts for no photo.

    The text of a path is its request up to the path's end, method included.
    """
    status = fields[at.STATUS]
    bits = 0
    if status == 200 or status == 206 or status == 304:
        bits |= at.VIEW_STATUS
    if 200 <= status < 300:
        bits |= at.DEED_STATUS
    if bits == 0:
        return
    request = fields[at.REQUEST]
    path = path_start(text, request, fields[at.REQUEST_END])
    if path < 0:
        return
    end = path_end(text, path, fields[at.REQUEST_END])
    record = words_at(block[at.RECORDS] + 8 * at.RECORD_WORDS * block[at.RECORD_COUNT])
    photo = words_at(block[at.FIELDS] + 8 * at.PHOTO)
    deed = deed_of(text, path, end, path - request, words_at(block[at.RULES]), photo)
    if deed != at.UNKNOWN and not counts_with(deed, bits):
        return
    block[at.RECORD_COUNT] += 1
    record[at.DAY], record[at.DEED], record[at.STATUS_BITS] = day, deed, bits
    record[at.BYTES] = fields[at.SIZE]
    seed = u64(block[at.SEED])
    if deed == at.UNKNOWN:
        _write_text(record, at.PATH_TEXT, text, request, end, seed)
    else:
        _write_text(record, at.SUBJECT, text, photo[0], photo[1], seed + PHOTO_SEED)
    _write_text(record, at.AGENT_TEXT, text, fields[at.AGENT], fields[at.AGENT_END], seed)
    _write_text(record, at.ADDRESS_TEXT, text, start, fields[at.ADDRESS_END], seed)
    referrer = fields[at.REFERRER]
    host_end = authority_end(text, referrer, fields[at.REFERRER_END]) if referrer >= 0 else -1
    _write_text(record, at.HOST_TEXT, text, referrer if host_end >= 0 else -1, host_end, seed)


@compiled
def counts_with(deed: int, status_bits: int) -> bool:
    """Whether a deed counts with the status of its line."""
    if deed == at.NO_DEED:
        return False
    return status_bits & (at.VIEW_STATUS if deed == at.VIEW else at.DEED_STATUS) != 0


@compiled
def _write_text(record: Words, cell: int, text: Bytes, start: int, end: int, seed: int) -> None:
    """One text of a record: its hash and its span; a span of -1 for none."""
    place = at.TEXTS + 2 * cell
    if start < 0:
        record[place + 1] = -1
        return
    record[place] = i64(text_hash(text, start, end - start, seed + u64(cell)))
    record[place + 1] = (start << 32) | (end - start)
