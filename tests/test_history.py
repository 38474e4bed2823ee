"""The history of executions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from photo_popularity.domain.errors import InputError
from photo_popularity.history import history_rows, picture_of_runtimes, render_history
from resources.environment import Environment
from tests import small_site

ROW = {
    "asset": "photo_content",
    "partition": "a.jpg",
    "status": "succeeded",
    "run_id": "run-1",
    "environment": "local",
    "launched_by": "ann",
    "started_at": "2026-11-02T06:00:00+00:00",
    "seconds": 0.5,
    "rows": 1,
    "bytes": 2000,
    "content_version": "v",
    "error": None,
    "parameters": {},
    "log": "/logs/run-1.log",
}


def row(**changed: Any) -> dict[str, Any]:
    return {**ROW, **changed}


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    environment = small_site.an_environment(tmp_path)
    site = small_site.an_installation(environment)
    small_site.commit(
        site, "behavior_signals", small_site.behavior("2026-11-01", a=3), partitions=["2026-11-01"]
    )
    small_site.fail(site, "photo_metadata", "the disk is full", partitions=["2026-11-01"], run_id="run-2")
    return environment


def test_every_execution_has_all_fields_newest_first(environment: Environment) -> None:
    failed, made = history_rows(environment)
    assert (failed["asset"], failed["status"], failed["error"]) == (
        "photo_metadata",
        "failed",
        "the disk is full",
    )
    assert failed["content_version"] is None
    assert failed["log"].endswith("run-2.log")
    assert (made["asset"], made["partition"], made["rows"]) == ("behavior_signals", "2026-11-01", 1)
    assert (made["environment"], made["launched_by"], made["run_id"]) == ("local", "ann", "run-1")
    assert made["bytes"] > 0
    assert made["seconds"] >= 0
    assert len(made["content_version"]) == 16
    assert set(made) == set(failed) == set(ROW)


def test_the_history_can_be_narrowed(environment: Environment) -> None:
    assert [r["run_id"] for r in history_rows(environment, assets=["photo_metadata"])] == ["run-2"]
    assert [r["run_id"] for r in history_rows(environment, run_id="run-1")] == ["run-1"]
    assert [r["run_id"] for r in history_rows(environment, limit=1)] == ["run-2"]


def test_json_has_one_line_for_every_execution(environment: Environment) -> None:
    rows = history_rows(environment)
    assert [json.loads(line) for line in render_history(rows, "json").splitlines()] == rows


def test_a_thousand_files_of_one_run_are_one_line() -> None:
    rows = [row(partition=f"{n:04}.jpg") for n in range(1236)]
    heading, line = render_history(rows, "table").rstrip().splitlines()
    assert heading == "2026-11-02 06:00:00 UTC  run run-1  local, by ann, 618.0 s"
    assert (
        line.split() == "photo_content succeeded 618.0 s 1,236 rows 2.5 MB 1,236: 0000.jpg … 1235.jpg".split()
    )


def test_every_execution_has_its_line_when_asked_for() -> None:
    rows = [row(partition="b.jpg"), row(partition="a.jpg")]
    lines = render_history(rows, "table", every=True).rstrip().splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["a.jpg", "b.jpg"]


def test_a_failure_tells_its_cause_once_and_where_its_log_lies() -> None:
    failed = {"status": "failed", "rows": None, "bytes": None, "content_version": None}
    rows = [row(partition=f"{n}.jpg", error="the disk\nis full", **failed) for n in range(3)]
    lines = render_history([*rows, row(partition="9.jpg")], "table").rstrip().splitlines()
    assert [line.split()[1] for line in lines[1:2]] == ["failed"]
    assert lines[2:4] == ["      the disk is full", "      log: /logs/run-1.log"]
    assert lines[4].split()[:2] == ["photo_content", "succeeded"]


def test_runs_stand_newest_first_and_their_assets_in_the_order_they_ran() -> None:
    rows = [
        row(run_id="run-2", asset="photo_metadata", started_at="2026-11-03T06:00:00+00:00"),
        row(asset="cat_dog_scores", started_at="2026-11-02T06:00:09+00:00"),
        row(asset="photo_content"),
    ]
    words = [line.split() for line in render_history(rows, "table").splitlines() if line]
    assert [line[4] if line[3] == "run" else line[0] for line in words] == [
        "run-2",
        "photo_metadata",
        "run-1",
        "photo_content",
        "cat_dog_scores",
    ]


def test_lines_fit_the_terminal() -> None:
    text = render_history([row(partition="x" * 300)], "table", width=80)
    assert max(len(line) for line in text.splitlines()) == 80


def test_an_empty_history_says_what_to_do() -> None:
    assert "photo-popularity run" in render_history([], "table")
    assert render_history([], "json") == ""


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InputError, match="table, json"):
        render_history([], "csv")


def test_runtimes_become_a_picture(environment: Environment, tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "runtimes.png"
    picture_of_runtimes(environment, path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width > 600


def test_there_is_no_picture_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing has run yet"):
        picture_of_runtimes(small_site.an_environment(tmp_path), tmp_path / "x.png")
