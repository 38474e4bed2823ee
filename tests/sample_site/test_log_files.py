"""Rotation at 06:25 in Berlin, the change of clock, and lines that are in no format."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from photo_popularity.sample_site.log_files import rotation_day, write_log_files
from photo_popularity.sample_site.site import SampleSite
from photo_popularity.sample_site.traffic import Request
from photo_popularity.sample_site.visitors import Visitor

STAMP = re.compile(rb"^\S+ - - \[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]")


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 10, 24, 4, 24, 59, tzinfo=UTC), date(2026, 10, 24)),  # 06:24:59 summer time
        (datetime(2026, 10, 24, 4, 25, tzinfo=UTC), date(2026, 10, 25)),  # 06:25 summer time
        (datetime(2026, 10, 25, 5, 24, 59, tzinfo=UTC), date(2026, 10, 25)),  # 06:24:59 winter time
        (datetime(2026, 10, 25, 5, 25, tzinfo=UTC), date(2026, 10, 26)),  # 06:25 winter time
    ],
)
def test_a_file_is_closed_at_0625_local_time(moment: datetime, day: date) -> None:
    assert rotation_day(moment) == day


def test_the_offset_follows_the_change_of_clock_to_the_second(tmp_path: Path) -> None:
    visitor = Visitor("10.0.0.1", "Firefox")
    moments = [datetime(2026, 10, 25, 0, 59, 59, tzinfo=UTC), datetime(2026, 10, 25, 1, 0, 3, tzinfo=UTC)]
    requests = [Request(int(m.timestamp()), visitor, "GET", "/", 200, 5, "-") for m in moments]
    write_log_files(tmp_path / "logs", requests, Random(1))
    lines = gzip.decompress((tmp_path / "logs/access.log-20261025.gz").read_bytes()).splitlines()
    stamps = [line[13:41] for line in lines]
    assert stamps == [b"[25/Oct/2026:02:59:59 +0200]", b"[25/Oct/2026:02:00:03 +0100]"]


def test_every_line_is_in_the_file_of_its_rotation_and_almost_in_order(small_site: SampleSite) -> None:
    for path in sorted((small_site.folder / "logs").iterdir()):
        moments = [
            datetime.strptime(match[1].decode(), "%d/%b/%Y:%H:%M:%S %z")
            for line in gzip.decompress(path.read_bytes()).split(b"\n")
            if (match := STAMP.match(line)) and not match[1].startswith(b"31/Sep")
        ]
        in_other_file = [m for m in moments if f"{rotation_day(m):%Y%m%d}" not in path.name]
        assert len(in_other_file) <= 1  # one that began before the rotation and ended after it
        steps = [(b - a).total_seconds() for a, b in pairwise(moments)]
        assert min(steps) > -30
