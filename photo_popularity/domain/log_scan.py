"""One log file counted: the signals of its (day, photo) pairs, and the lines that could not be read.

`scan_by_reference` is the specification that one can read: a loop over the lines, each by the regular expressions of
`access_log` and the rules of `behavior_rules`. `log_scanner` has the same results from compiled code.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import BinaryIO

import pyarrow as pa

from photo_popularity.domain.access_log import Rejected, Request, read_lines
from photo_popularity.domain.behavior_rules import (
    CACHED_VALUES,
    COUNTS,
    BehaviorRules,
    Meanings,
    counts,
    visitor_hash,
)

SECONDS_PER_DAY = 86_400
MAX_QUARANTINED_CHARACTERS = 500
# beyond this a file holds something else than a log, and what it holds need not be kept twice
MAX_QUARANTINED_ROWS = 100_000

SIGNALS = pa.schema(
    [
        ("day", pa.date32()),
        ("photo_id", pa.string()),
        *((name, pa.int64()) for name in ("lines", *COUNTS)),
        ("visitors", pa.list_(pa.uint64())),
        ("salt_version", pa.string()),
    ]
)
QUARANTINED = pa.schema(
    [("line_number", pa.int64()), ("reason", pa.string()), ("line", pa.string()), ("lines", pa.int64())]
)
_AS_IT_IS = range(32, 127)
_ESCAPES = {byte: f"\\x{byte:02x}" for byte in range(256) if byte not in _AS_IT_IS}


@dataclass(frozen=True)
class LogScan:
    """What one log file holds: `lines` is `good` plus the lines of `quarantined`.

    `signals` and `quarantined` have the columns of log_signals and quarantined_lines without the file's name; the
    lines of `signals` sum up to `good`, and its rows are in the order of day and photo, the lines about no photo last.
    The moments are those of the earliest and the latest good line, in UTC; None without one.
    """

    signals: pa.Table
    quarantined: pa.Table
    lines: int
    good: int
    first_moment: datetime | None
    last_moment: datetime | None


class Quarantine:
    """The lines of a file that could not be read, each a row; of very many, all further ones a row for each reason."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, str, str, int]] = []
        self._further: Counter[str] = Counter()
        self._first_further: dict[str, tuple[int, str]] = {}

    def add(self, rejected: Rejected, lines: int = 1) -> None:
        """Keep one more line, or one that stands for several; they come in the order of the file."""
        number, reason = rejected.line_number, rejected.reason
        if len(self._rows) < MAX_QUARANTINED_ROWS:
            self._rows.append((number, reason, printable(rejected.line), 1))
            return
        if reason not in self._further:
            self._first_further[reason] = number, printable(rejected.line)
        self._further[reason] += lines

    def table(self) -> pa.Table:
        """All of them, as QUARANTINED."""
        further = [
            (number, reason, line, self._further[reason])
            for reason, (number, line) in self._first_further.items()
        ]
        further.sort()
        columns = zip(*self._rows, *further, strict=True) if self._rows else ([], [], [], [])
        return pa.table(list(columns), schema=QUARANTINED)


def printable(line: bytes) -> str:
    """The beginning of a line as text that any terminal and any table can show."""
    text = line[:MAX_QUARANTINED_CHARACTERS].decode("latin-1").translate(_ESCAPES)
    return text[:MAX_QUARANTINED_CHARACTERS]


def moment_of(epoch_seconds: int | None) -> datetime | None:
    """Seconds since 1970 as a moment in UTC."""
    return None if epoch_seconds is None else datetime.fromtimestamp(epoch_seconds, UTC)


def scan_by_reference(
    stream: BinaryIO,
    *,
    rules: BehaviorRules,
    salt: str,
    salt_version: str,
    tell: Callable[[Rejected, int], None] | None = None,
) -> LogScan:
    """The signals and the quarantined lines of one log file; `tell` gets each of those too."""
    meanings = Meanings(rules)
    visitor = lru_cache(CACHED_VALUES)(lambda address: visitor_hash(address, salt))
    tallies: defaultdict[tuple[int, str | None], _Tally] = defaultdict(_Tally)
    quarantine = Quarantine()
    lines, good, first, last = 0, 0, None, None
    for line in read_lines(stream):
        lines += 1
        if isinstance(line, Rejected):
            quarantine.add(line)
            if tell is not None:
                tell(line, 1)
            continue
        good += 1
        moment = line.epoch_seconds
        first = moment if first is None else min(first, moment)
        last = moment if last is None else max(last, moment)
        deed, photo_id = _deed(line, meanings)
        tally = tallies[moment // SECONDS_PER_DAY, photo_id]
        tally.lines += 1
        if deed == "view":
            tally.views += 1
            tally.bytes += line.size
            tally.external_referrals += meanings.is_external(line.referrer)
            tally.visitors.add(visitor(line.address))
        elif deed == "robot view":
            tally.robot_views += 1
        elif deed == "like":
            tally.likes += 1
        elif deed == "download":
            tally.downloads += 1
    return LogScan(
        signals=_signals(tallies, salt_version=salt_version),
        quarantined=quarantine.table(),
        lines=lines,
        good=good,
        first_moment=moment_of(first),
        last_moment=moment_of(last),
    )


@dataclass(slots=True)
class _Tally:
    """What one file holds about one photo on one day."""

    lines: int = 0
    views: int = 0
    likes: int = 0
    downloads: int = 0
    bytes: int = 0
    external_referrals: int = 0
    robot_views: int = 0
    visitors: set[int] = field(default_factory=set)


def _deed(line: Request, meanings: Meanings) -> tuple[str, str | None]:
    """What a request did to which photo; the photo is None when nothing counts."""
    if line.method is None or line.target is None:
        return "", None
    deed, photo_id = meanings.deed(line.method, line.target.partition(b"?")[0])
    if not deed or not counts(deed, line.status):
        return "", None
    if not meanings.is_robot(line.agent):
        return deed, photo_id
    return ("robot view", photo_id) if deed == "view" else ("", None)


def _signals(tallies: Mapping[tuple[int, str | None], _Tally], *, salt_version: str) -> pa.Table:
    ordered = sorted(tallies.items(), key=lambda item: (item[0][0], item[0][1] is None, item[0][1] or ""))
    rows = [
        {
            "day": day,
            "photo_id": photo_id,
            **{name: getattr(tally, name) for name in ("lines", *COUNTS)},
            "visitors": sorted(tally.visitors),
            "salt_version": salt_version,
        }
        for (day, photo_id), tally in ordered
    ]
    return pa.Table.from_pylist(rows, schema=SIGNALS)
