"""Lines of web access logs: from the bytes of a file to requests, and to the lines that are none.

Here is what a line says. What it means for a photo (views, robots, visitors) belongs in `behavior_rules`.

A good line is one in Common or Combined Log Format. Decided where the formats leave room:

- A request that is no HTTP (`-`, a TLS handshake, an attack) in a well-formed line is a good line without
  method.
- Fields after the two quoted ones are accepted and ignored: servers append timings, hosts, forwarded
  addresses.
- Fields before the client's address (a virtual host, a syslog header) make it another format.
- A blank within the user's name, or a bare quote within a quoted field, makes it another format too: the
  fields could not be told apart.
- Bytes stay bytes; whoever needs text decodes the one field and answers for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import BinaryIO

from photo_popularity.domain.log_bytes import BrokenStream, LogBytes

MAX_LINE_BYTES = 64 * 1024
CHUNK_BYTES = 128 * 1024

EMPTY = "empty line"
TOO_LONG = "line is longer than 64 KiB"
FOREIGN = "not a Combined or Common log line"
BAD_TIME = "time is not valid"

# Possessive quantifiers keep a hostile line of 64 KiB linear. A size of twelve digits cannot overflow int64
# sums.
_QUOTED = rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_LINE = re.compile(
    rb"([!#-Z^-~]++) \S++ \S++ "  # client address, identity, user
    rb"\[(\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d):(\d\d) ([+-]\d{4})\] "
    + _QUOTED
    + rb" (\d{3}) (\d{1,12}|-)"
    + rb"(?: "
    + _QUOTED
    + rb" "
    + _QUOTED
    + rb"(?: [^\n]*)?)?\s*",
    re.DOTALL,
)
_REQUEST = re.compile(rb"([A-Z]++) (\S.*?)(?: HTTP/\d(?:\.\d)?)?", re.DOTALL)
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Request:
    """One good line.

    `method` and `target` are None when the request is no HTTP. `referrer` and `agent` are None when the
    format has no such field (Common), and `-` or empty when the client sent none.
    """

    address: bytes
    epoch_seconds: int
    method: bytes | None
    target: bytes | None
    status: int
    size: int
    referrer: bytes | None
    agent: bytes | None

    @property
    def moment(self) -> datetime:
        """When the request came, in UTC."""
        return datetime.fromtimestamp(self.epoch_seconds, UTC)


@dataclass(frozen=True, slots=True)
class Rejected:
    """One line that is in no known format, with its number in the file (the first is 1) and why."""

    line_number: int
    reason: str
    line: bytes


def parse_line(line: bytes) -> Request | str:
    """The request that a line records, or the reason why it records none. The line comes without its newline.

    >>> parse_line(b'::1 - - [01/Nov/2026:00:30:00 +0100] "GET /a HTTP/1.1" 304 -').moment.isoformat()
    '2026-10-31T23:30:00+00:00'
    """
    if len(line) > MAX_LINE_BYTES:
        return TOO_LONG
    match = _LINE.fullmatch(line)
    if match is None:
        return FOREIGN if line.strip() else EMPTY
    address, minute, second, offset, request, status, size, referrer, agent = match.groups()
    minute_start = _epoch_seconds(minute, offset)
    if minute_start is None or second > b"60":  # 60 is a leap second
        return BAD_TIME
    http = _REQUEST.fullmatch(request)
    method, target = http.groups() if http else (None, None)
    return Request(
        address=address,
        epoch_seconds=minute_start + int(second),
        method=method,
        target=target,
        status=int(status),
        size=0 if size == b"-" else int(size),
        referrer=referrer,
        agent=agent,
    )


def read_lines(stream: BinaryIO) -> Iterator[Request | Rejected]:
    """Every line of a log, decompressed as `log_bytes` does it, in bounded memory.

    A compressed stream that breaks off yields its whole lines, then one `Rejected` for the line at which it broke.
    Raises InputError when the file is compressed in an unknown way.
    """
    number, rest = 0, b""
    try:
        for chunk in _chunks(LogBytes(stream)):
            first, *more = chunk.split(b"\n")
            # of a line without end no more is kept than tells that it is too long
            rest = (rest + first)[: MAX_LINE_BYTES + 1]
            if more:
                for line in (rest, *more[:-1]):
                    number += 1
                    yield _request_or_rejected(number, line)
                rest = more[-1]
    except BrokenStream as broken:
        yield Rejected(number + 1, str(broken), rest)
        return
    if rest:
        yield _request_or_rejected(number + 1, rest)


def _chunks(log: LogBytes) -> Iterator[bytes]:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    while count := log.readinto(buffer):
        yield bytes(buffer[:count])


def _request_or_rejected(number: int, line: bytes) -> Request | Rejected:
    parsed = parse_line(line)
    return Rejected(number, parsed, line) if isinstance(parsed, str) else parsed


# Lines of one minute stand together, so few entries hit nearly always even where lines are out of order.
@lru_cache(maxsize=8192)
def _epoch_seconds(minute: bytes, offset: bytes) -> int | None:
    """Seconds since 1970 at the start of a minute such as `20/Sep/2026:02:01`, `+0200`; None if not valid."""
    if minute[3:6] not in _MONTHS:
        return None
    year, hour_offset, minute_offset = int(minute[7:11]), int(offset[1:3]), int(offset[3:5])
    # The year 9999 could leave what datetime holds once the offset is applied.
    if not 1970 <= year < 9999 or hour_offset > 15 or minute_offset > 59:
        return None
    try:
        local = datetime(
            year, _MONTHS.index(minute[3:6]) + 1, int(minute[:2]), int(minute[12:14]), int(minute[15:17])
        )
    except ValueError:
        return None
    ahead = timedelta(hours=hour_offset, minutes=minute_offset)
    utc = local + ahead if offset[:1] == b"-" else local - ahead
    return int((utc - _EPOCH).total_seconds())
