"""Log files that come late, change or go: each day stays the merge of all files that have lines of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from photo_popularity.domain.behavior import merge_signals
from resources import day_bundles
from tests.night_fixtures import Place

STEPS = ("log_signals", "behavior_signals")


def write(path: Path, lines: list[bytes], *, minute: int) -> None:
    path.write_bytes(b"".join(lines))
    moment = 1_700_000_000 + 60 * minute
    os.utime(path, (moment, moment))


def read(place: Place, asset: str) -> pd.DataFrame:
    storage = place.installation.storage
    frame = storage.read_table(asset, storage.catalog.current(asset))
    assert isinstance(frame, pd.DataFrame)
    return frame


@pytest.mark.parametrize("fewest", [1, 1_000])
def test_days_are_the_merge_of_their_files_whether_the_rows_of_a_day_are_kept_together_or_not(
    place: Place, monkeypatch: pytest.MonkeyPatch, fewest: int
) -> None:
    monkeypatch.setattr(day_bundles, "FEWEST_FILES", fewest)
    log = sorted(place.site.logs.iterdir())[3]
    lines = log.read_bytes().splitlines(keepends=True)
    late = place.site.logs / "late.log"
    edits: list[Callable[[], None]] = [
        lambda: write(late, lines[::3], minute=1),
        lambda: write(late, lines[::2] + lines[:5], minute=2),
        lambda: write(log, lines[9:], minute=3),
        late.unlink,
    ]
    for edit in edits:
        before = read(place, "behavior_signals")
        edit()
        place.settle(*STEPS)
        found = read(place, "behavior_signals").sort_values(["day", "photo_id"], ignore_index=True)
        days = [pd.Timestamp(day) for day in place.installation.catalog.current("behavior_signals")]
        pd.testing.assert_frame_equal(found, merge_signals(read(place, "log_signals"), days))
        assert not found.equals(before.sort_values(["day", "photo_id"], ignore_index=True))
    assert bool(list(place.environment.home.rglob("*.bundle"))) == (fewest == 1)
