"""Requests as lines of Combined Log Format, in files rotated at 06:25 local time as logrotate would.

The file of a day holds what was written from 06:25 of the day before to 06:25 of that day, in the time of
Berlin. A line is written when its request ends, so lines are out of order by a few seconds.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from photo_popularity.sample_site.traffic import Request

ZONE = ZoneInfo("Europe/Berlin")
ROTATION = timedelta(hours=6, minutes=25)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MALFORMED_SHARE = 0.003


@dataclass(frozen=True)
class LogFile:
    """A written log file with the number of its lines, malformed ones included."""

    name: str
    lines: int
    malformed: int


def rotation_day(moment: datetime) -> date:
    """The day whose rotation closes the file that a line written at that moment is in."""
    wall_clock = moment.astimezone(ZONE).replace(tzinfo=None)
    return (wall_clock - ROTATION).date() + timedelta(days=1)


def write_log_files(folder: Path, requests: Iterable[Request], rng: Random) -> list[LogFile]:
    """Write `access.log-YYYYMMDD.gz` for every rotation that has lines."""
    folder.mkdir(parents=True)
    written = sorted(
        ((request.epoch_seconds + rng.expovariate(1), request) for request in requests), key=lambda p: p[0]
    )
    stamps = _Stamps()
    files = []
    for day, group in groupby(written, key=lambda pair: stamps.rotation(pair[0])):
        good = (_line(request, stamps.text(request.epoch_seconds)) for _, request in group)
        lines, malformed = _with_malformed(good, rng)
        path = folder / f"access.log-{day:%Y%m%d}.gz"
        # mtime 0: the same lines have to give the same bytes
        path.write_bytes(gzip.compress(b"".join(lines), compresslevel=6, mtime=0))
        files.append(LogFile(path.name, len(lines), malformed))
    return files


class _Stamps:
    """Local times of moments; converts once a minute's worth, because time zones are slow."""

    def __init__(self) -> None:
        self._minutes: dict[int, tuple[str, str, date]] = {}

    def text(self, epoch_seconds: int) -> str:
        """As in a log line, such as 25/Oct/2026:02:59:59 +0200."""
        minute, second = divmod(epoch_seconds, 60)
        head, offset, _ = self._of(minute)
        return f"{head}:{second:02d} {offset}"

    def rotation(self, epoch_seconds: float) -> date:
        """The day of rotation; rotations happen at full minutes."""
        return self._of(int(epoch_seconds // 60))[2]

    def _of(self, minute: int) -> tuple[str, str, date]:
        if minute not in self._minutes:
            local = datetime.fromtimestamp(minute * 60, ZONE)
            # not %b, which follows the machine's language
            head = f"{local:%d}/{MONTHS[local.month - 1]}/{local:%Y:%H:%M}"
            self._minutes[minute] = head, f"{local:%z}", rotation_day(local)
        return self._minutes[minute]


def _line(request: Request, stamp: str) -> bytes:
    http = f"{request.method} {request.path} HTTP/1.1" if request.method else request.path
    size = request.size or "-"
    client = f"{request.visitor.address} - - [{stamp}]"
    origin = f'"{request.referrer}" "{request.visitor.agent}"'
    return f'{client} "{http}" {request.status} {size} {origin}\n'.encode()


def _with_malformed(good: Iterator[bytes], rng: Random) -> tuple[list[bytes], int]:
    """The lines with malformed ones strewn in, and how many those are."""
    lines: list[bytes] = []
    malformed = 0
    for line in good:
        lines.append(line)
        if rng.random() < MALFORMED_SHARE:
            lines.append(_malformed(line, rng))
            malformed += 1
    return lines, malformed


def _malformed(line: bytes, rng: Random) -> bytes:
    """A line in no log format, most of them a good line gone wrong."""
    kind = rng.randrange(7)
    if kind == 0:
        return line[: rng.randrange(5, line.index(b'"') + 5)] + b"\n"
    if kind == 1:
        return (
            b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03"
            + bytes(rng.randrange(128, 256) for _ in range(40))
            + b"\n"
        )
    if kind == 2:
        return b'{"time": "2026-10-10T10:10:10Z", "level": "warn", "message": "slow upstream"}\n'
    if kind == 3:
        return b"\n"
    if kind == 4:
        return b"Oct 10 10:10:10 web1 kernel: [12345.678] eth0: link becomes ready\n"
    if kind == 5:
        return line.replace(b"] ", b" ", 1)
    start = line.index(b"[")
    return line[: start + 1] + b"31/Sep/2026" + line[start + 12 :]
