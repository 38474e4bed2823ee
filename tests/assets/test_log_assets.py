"""The assets of log files, called as the plain functions that they are."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from assets.behavior_signals import behavior_signals
from assets.log_signals import counting_rules, log_signals
from photo_popularity.domain import tables
from resources.environment import Environment
from resources.output_parts import Result, file_part
from resources.settings import Settings
from resources.source_file import SourceFile
from resources.sources import FileSource
from tests import small_site
from tests.assets.test_photo_assets import work_on
from tests.photo_site import log_line


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment("local", "ann", tmp_path / "home", Settings(visitor_salt="s"))


def scanned(
    folder: Path, environment: Environment, key: str
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, object]]:
    source = FileSource("log_files", str(folder), setting="logs")
    file = SourceFile(source, key, dg.get_dagster_logger())
    made = log_signals(file, environment)
    assert key in source.versions_read
    # so that a file with another name need not be scanned again
    assert not file.name_was_asked_for
    assert made["quarantined_lines"].detail == made["log_signals"].detail
    signals, quarantined = (
        tables.to_frame(made[asset].made) for asset in ("log_signals", "quarantined_lines")
    )
    return signals, quarantined, dict(made["log_signals"].detail)


def test_a_file_is_counted_and_its_broken_lines_are_kept(tmp_path: Path, environment: Environment) -> None:
    line = log_line(datetime(2026, 10, 10, 23, 30), "/photos/p1.jpg")
    (tmp_path / "a.log").write_text(line + line + "no log line\n")
    signals, quarantined, detail = scanned(tmp_path, environment, "a.log")
    assert signals[["photo_id", "lines", "views"]].to_numpy().tolist() == [["p1", 2, 2]]
    assert quarantined[["line_number", "line"]].to_numpy().tolist() == [[3, "no log line"]]
    assert detail == {
        "lines": 3,
        "good_lines": 2,
        "quarantined_lines": 1,
        "first_moment": "2026-10-10T23:30:00+00:00",
        "last_moment": "2026-10-10T23:30:00+00:00",
    }


@pytest.mark.parametrize("data", [b"\xfd7zXZ\0 xz", b"BZh91AY&SY bzip2", None])
def test_a_file_that_cannot_be_read_is_one_quarantined_line(
    tmp_path: Path, environment: Environment, data: bytes | None
) -> None:
    if data is not None:
        (tmp_path / "bad.log").write_bytes(data)
    signals, quarantined, detail = scanned(tmp_path, environment, "bad.log")
    assert signals.empty
    assert quarantined[["line_number", "line"]].to_numpy().tolist() == [[1, ""]]
    assert str(quarantined["reason"].iloc[0]).startswith(
        "the file cannot be read (" if data is None else "the file is compressed with "
    )
    assert detail == {"lines": 1, "good_lines": 0, "quarantined_lines": 1}
    # the tables can be stored once the name is added
    for asset, frame in (("log_signals", signals), ("quarantined_lines", quarantined)):
        file_part(asset, "bad.log", Result(frame), of_the_name=False)


def test_the_salt_is_a_parameter_of_the_counts_and_not_told(environment: Environment) -> None:
    rules = counting_rules(environment)
    assert rules["salt"] != counting_rules(Environment("local", "ann", environment.home))["salt"]
    assert "visitor_salt" not in str(rules)


def test_the_picture_of_a_day_shows_the_days_before_it_and_the_rows_do_not(tmp_path: Path) -> None:
    site = small_site.an_installation(small_site.an_environment(tmp_path))
    small_site.commit(
        site, "behavior_signals", small_site.behavior("2026-10-09", p1=5), partitions=["2026-10-09"]
    )
    empty = small_site.a_frame("log_signals", [])
    result = behavior_signals(work_on("2026-10-10"), empty, site.storage)
    assert result.made.empty
    assert (result.metadata["views"], result.metadata["robot_views"]) == (0, 0)
    alone = behavior_signals(work_on("2026-01-10"), empty, site.storage)
    shown, bare = (r.metadata["daily_views"].value for r in (result, alone))
    assert shown.startswith("![](data:image/png;base64,")
    assert len(shown) < 200_000
    assert shown != bare
