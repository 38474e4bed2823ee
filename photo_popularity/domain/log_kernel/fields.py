"""The fields of a log line: a quick look at lines of the usual shape, and the whole grammar of `access_log`."""

from __future__ import annotations

from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.characters import (
    is_at,
    is_blank,
    is_digit,
    low_bits,
    number_of_digits,
)
from photo_popularity.domain.log_kernel.machine import (
    BACKSLASH,
    BLANK,
    DASH,
    NEWLINE,
    ONE,
    QUOTE,
    ZERO,
    Bytes,
    Words,
    between64,
    bits_set,
    compiled,
    equal64,
    lowest_bit,
)
from photo_popularity.domain.log_kernel.times import NO_TIME, is_time, moment_of


@compiled
def find_tokens(text: Bytes, length: int, tokens: Words) -> None:
    """Write down where quotes, backslashes and newlines stand, and the last newline a few times more."""
    count = 0
    for start in range(0, length, 64):
        found = equal64(text, start, QUOTE) | equal64(text, start, BACKSLASH) | equal64(text, start, NEWLINE)
        if length - start < 64:
            found &= low_bits(length - start)
        # nearly always four are enough, and to write them all costs less than to guess how many there are
        here = bits_set(found)
        for place in range(count, count + 4):
            tokens[place] = start + lowest_bit(found)
            found &= found - ONE
        for place in range(count + 4, count + here):
            tokens[place] = start + lowest_bit(found)
            found &= found - ONE
        count += here
    for extra in range(8):
        tokens[count + extra] = length - 1


@compiled
def split_plain(
    text: Bytes, start: int, end: int, tokens: Words, first: int, fields: Words, clock: Words
) -> bool:
    """Whether the line is a Combined one of the usual shape: six quotes and no backslash before the last of them.

    It knows less than `split_exactly`, and agrees with it wherever it says yes.
    """
    q0, q1, q2 = tokens[first], tokens[first + 1], tokens[first + 2]
    q3, q4, q5 = tokens[first + 3], tokens[first + 4], tokens[first + 5]
    time = q0 - 28
    client = time - 2 - start  # the address, the identity and the user with a blank between, up to a blank
    if client < 5 or client > 63:
        return False
    if not (
        text[time - 2] == BLANK
        and text[time - 1] == 91
        and text[q0 - 2] == 93
        and text[q0 - 1] == BLANK
        and text[q1 + 1] == BLANK
        and text[q1 + 5] == BLANK
        and text[q2 - 1] == BLANK
        and text[q3 + 1] == BLANK
        and q4 == q3 + 2
        and (end == q5 + 1 or text[q5 + 1] == BLANK or (end == q5 + 2 and is_blank(text[q5 + 1])))
    ):
        return False
    here = low_bits(client)
    spaces = equal64(text, start, BLANK) & here
    if bits_set(spaces) != 2:
        return False
    first_space = lowest_bit(spaces)
    second_space = lowest_bit(spaces & (spaces - ONE))
    if first_space == 0 or second_space == first_space + 1 or second_space == client - 1:
        return False
    in_address = low_bits(first_space)
    strange = (~between64(text, start, 33, 126)) | equal64(text, start, 91) | equal64(text, start, 93)
    if (strange & in_address) | (between64(text, start, 9, 13) & here) != ZERO:
        return False

    size_start, size_end = q1 + 6, q2 - 1
    a, b, c = text[q1 + 2], text[q1 + 3], text[q1 + 4]
    if not (is_digit(a) and is_digit(b) and is_digit(c) and 1 <= size_end - size_start <= 12):
        return False
    size = 0
    if not (size_end == size_start + 1 and text[size_start] == DASH):
        if ~between64(text, size_start, 48, 57) & low_bits(size_end - size_start) != ZERO:
            return False
        first = min(size_end - size_start, 8)
        size = number_of_digits(text, size_start, first)
        for i in range(size_start + first, size_end):
            size = size * 10 + (text[i] - 48)
    moment = moment_of(text, time, clock)
    if moment == NO_TIME:
        return False

    fields[at.ADDRESS_END] = start + first_space
    fields[at.MOMENT] = moment
    fields[at.REQUEST], fields[at.REQUEST_END] = q0 + 1, q1
    fields[at.STATUS] = (a - 48) * 100 + (b - 48) * 10 + (c - 48)
    fields[at.SIZE] = size
    fields[at.REFERRER], fields[at.REFERRER_END] = q2 + 1, q3
    fields[at.AGENT], fields[at.AGENT_END] = q4 + 1, q5
    return True


@compiled
def split_exactly(text: Bytes, start: int, end: int, fields: Words, clock: Words) -> int:
    """The fields of any good line, or the reason why it is none: the grammar of `access_log`, a byte at a time."""
    i = start
    while i < end and 33 <= text[i] <= 126 and text[i] != QUOTE and not (91 <= text[i] <= 93):
        i += 1
    fields[at.ADDRESS_END] = i
    if i == start or not is_at(text, i, end, BLANK):
        return _foreign(text, start, end)
    for _ in range(2):
        i += 1
        before = i
        while i < end and not is_blank(text[i]):
            i += 1
        if i == before or not is_at(text, i, end, BLANK):
            return _foreign(text, start, end)
    time = i + 2
    # a bracket, the time, a bracket, a blank and the quote
    if end - i < 31 or text[i + 1] != 91 or not is_time(text, time) or text[time + 26] != 93:
        return at.FOREIGN
    if text[time + 27] != BLANK:
        return at.FOREIGN
    i = time + 28
    stop = _quoted_end(text, i, end)
    if stop < 0 or end - stop < 6 or text[stop] != BLANK or text[stop + 4] != BLANK:
        return at.FOREIGN
    fields[at.REQUEST], fields[at.REQUEST_END] = i + 1, stop - 1
    status = 0
    for j in range(stop + 1, stop + 4):
        if not is_digit(text[j]):
            return at.FOREIGN
        status = status * 10 + (text[j] - 48)
    fields[at.STATUS] = status
    i = stop + 5
    size, digits = 0, 0
    if text[i] == DASH:
        i += 1
    else:
        while i < end and digits < 12 and is_digit(text[i]):
            size = size * 10 + (text[i] - 48)
            digits += 1
            i += 1
        if digits == 0:
            return at.FOREIGN
    fields[at.SIZE] = size
    fields[at.REFERRER], fields[at.REFERRER_END], fields[at.AGENT], fields[at.AGENT_END] = -1, -1, -1, -1
    if not _all_blank(text, i, end):
        stop = _quoted_end(text, i + 1, end) if text[i] == BLANK else -1
        if stop < 0 or not is_at(text, stop, end, BLANK):
            return at.FOREIGN
        fields[at.REFERRER], fields[at.REFERRER_END] = i + 2, stop - 1
        i = stop + 1
        stop = _quoted_end(text, i, end)
        if stop < 0 or not (is_at(text, stop, end, BLANK) or _all_blank(text, stop, end)):
            return at.FOREIGN
        fields[at.AGENT], fields[at.AGENT_END] = i + 1, stop - 1
    fields[at.MOMENT] = moment_of(text, time, clock)
    return at.BAD_TIME if fields[at.MOMENT] == NO_TIME else at.GOOD


@compiled
def _all_blank(text: Bytes, start: int, end: int) -> bool:
    for i in range(start, end):
        if not is_blank(text[i]):
            return False
    return True


@compiled
def _foreign(text: Bytes, start: int, end: int) -> int:
    return at.EMPTY if _all_blank(text, start, end) else at.FOREIGN


@compiled
def _quoted_end(text: Bytes, start: int, end: int) -> int:
    """The position after a quoted field that begins at `start`; -1 when none does, or it has no end."""
    if not is_at(text, start, end, QUOTE):
        return -1
    i = start + 1
    while i < end:
        if text[i] == QUOTE:
            return i + 1
        i += 2 if text[i] == BACKSLASH else 1
    return -1
