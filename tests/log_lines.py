"""Log lines for tests, and their scan by both scanners, which have to agree on every one."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from photo_popularity.domain import tables
from photo_popularity.domain.behavior_rules import BehaviorRules
from photo_popularity.domain.log_scan import LogScan, scan_by_reference
from photo_popularity.domain.log_scanner import scan_log

PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@dataclass(frozen=True)
class Scanned:
    """A scan with its tables as frames."""

    signals: pd.DataFrame
    quarantined: pd.DataFrame
    lines: int
    good: int
    first_moment: datetime | None
    last_moment: datetime | None


def line(
    request: str = "GET /photos/p1.jpg HTTP/1.1",
    *,
    status: int = 200,
    size: str = "100",
    referrer: str = "-",
    agent: str = PERSON,
    address: str = "10.0.0.1",
    time: str = "20/Sep/2026:12:00:00 +0000",
) -> bytes:
    return f'{address} - - [{time}] "{request}" {status} {size} "{referrer}" "{agent}"\n'.encode()


def scan_both(data: bytes, *, rules: BehaviorRules | None = None, salt: str = "s") -> LogScan:
    """What both scanners say."""
    given: dict[str, Any] = {"rules": rules or BehaviorRules(), "salt": salt, "salt_version": f"v-{salt}"}
    scan, specified = scan_log(io.BytesIO(data), **given), scan_by_reference(io.BytesIO(data), **given)
    assert scan.signals.equals(specified.signals)
    assert scan.quarantined.equals(specified.quarantined)
    assert scan == specified
    return scan


def scan(data: bytes, *, rules: BehaviorRules | None = None, salt: str = "s") -> Scanned:
    """What both scanners say, in frames."""
    found = scan_both(data, rules=rules, salt=salt)
    return Scanned(
        tables.to_frame(found.signals),
        tables.to_frame(found.quarantined),
        found.lines,
        found.good,
        found.first_moment,
        found.last_moment,
    )


def only_row(data: bytes, **options: Any) -> dict[str, Any]:
    """The one row of signals that the lines make."""
    (row,) = scan(data, **options).signals.to_dict("records")
    return {str(key): value for key, value in row.items()}
