"""The time of a log line: from its 26 bytes to seconds since 1970."""

from __future__ import annotations

from photo_popularity.domain.log_kernel.characters import is_digit, two_digits
from photo_popularity.domain.log_kernel.machine import (
    BLANK,
    DASH,
    Bytes,
    Words,
    compiled,
    i64,
    load64,
    word,
)

NO_TIME = -(1 << 62)
# the words from the seventeenth and from the nineteenth byte of a time, without its seconds
_WITHOUT_SECONDS, _FROM_SECONDS = word(b"\xff\xff\0\0\xff\xff\xff\xff"), word(b"\0\0" + b"\xff" * 6)
_MONTHS = tuple(
    int.from_bytes(name, "big") for name in b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
)


@compiled
def is_time(text: Bytes, start: int) -> bool:
    """Whether 26 bytes are written as `20/Sep/2026:02:01:51 +0200`, whatever the numbers are."""
    for i in (0, 1, 7, 8, 9, 10, 12, 13, 15, 16, 18, 19, 22, 23, 24, 25):
        if not is_digit(text[start + i]):
            return False
    if not (65 <= text[start + 3] <= 90 and 97 <= text[start + 4] <= 122 and 97 <= text[start + 5] <= 122):
        return False
    sign = text[start + 21]
    return (
        text[start + 2] == 47
        and text[start + 6] == 47
        and text[start + 11] == 58
        and text[start + 14] == 58
        and text[start + 17] == 58
        and text[start + 20] == BLANK
        and (sign == 43 or sign == DASH)
    )


@compiled
def moment_of(text: Bytes, start: int, clock: Words) -> int:
    """Seconds since 1970 of 26 bytes of time; `NO_TIME` when they are none. `clock` keeps the minute last seen."""
    a, b = i64(load64(text, start)), i64(load64(text, start + 8))
    c = i64(load64(text, start + 16) & _WITHOUT_SECONDS)
    d = i64(load64(text, start + 18) & _FROM_SECONDS)
    if a != clock[0] or b != clock[1] or c != clock[2] or d != clock[3]:
        minute = _minute_start(text, start) if is_time(text, start) else NO_TIME
        if minute == NO_TIME:
            return NO_TIME
        clock[0], clock[1], clock[2], clock[3], clock[4] = a, b, c, d, minute
    second = two_digits(text, start + 18)
    return clock[4] + second if 0 <= second <= 60 else NO_TIME  # 60 is a leap second


@compiled
def _minute_start(text: Bytes, start: int) -> int:
    """Seconds since 1970 at the start of the minute of a time that `is_time`; `NO_TIME` for one that never was."""
    day, month = two_digits(text, start), _month(text, start + 3)
    year = two_digits(text, start + 7) * 100 + two_digits(text, start + 9)
    hour, minute = two_digits(text, start + 12), two_digits(text, start + 15)
    zone_hours, zone_minutes = two_digits(text, start + 22), two_digits(text, start + 24)
    if month == 0 or not (1970 <= year < 9999) or hour > 23 or minute > 59:
        return NO_TIME
    if zone_hours > 15 or zone_minutes > 59 or not (1 <= day <= _days_of_month(year, month)):
        return NO_TIME
    ahead = zone_hours * 60 + zone_minutes
    if text[start + 21] == DASH:
        ahead = -ahead
    return ((_days_since_1970(year, month, day) * 24 + hour) * 60 + minute - ahead) * 60


@compiled
def _month(text: Bytes, start: int) -> int:
    """1 to 12, or 0."""
    name = (text[start] << 16) | (text[start + 1] << 8) | text[start + 2]
    for number in range(12):
        if _MONTHS[number] == name:
            return number + 1
    return 0


@compiled
def _days_of_month(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


@compiled
def _days_since_1970(year: int, month: int, day: int) -> int:
    """Days of the Gregorian calendar, with years that begin in March so that the leap day is their last."""
    if month <= 2:
        year, month = year - 1, month + 12
    of_year = (153 * (month - 3) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719_468
