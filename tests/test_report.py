"""What a person reads when a night has ended."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from photo_popularity.definitions import PIPELINE
from photo_popularity.detection import Changes
from photo_popularity.night import Night
from photo_popularity.report import print_report
from photo_popularity.report_results import verdict
from resources.catalog_records import Output
from resources.installation import Installation
from resources.pipeline import Pipeline
from tests import small_site

DAY = "2026-11-02"
WIN = {
    (segment, predictor): (0.9, 0.2) if predictor == "model" else (0.4, 0.8)
    for segment in ("known", "new")
    for predictor in ("model", "last_7_days_views", "owner_mean", "age_mean")
}
DETECTED = {
    "photo_files": Changes(added=("a.jpg", "b.jpg")),
    "log_files": Changes(),
    "photo_database": Changes(),
}


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    """A night of two photos, with one more that is no image and one whose file is missing."""
    site = small_site.an_installation(small_site.an_environment(tmp_path))
    photos = [
        small_site.photo("a", DAY, title="Cat [red]on\na mat", owner_id="ann"),
        small_site.photo("b", DAY),
        small_site.photo("lost", DAY),
    ]
    small_site.commit(site, "photo_metadata", pd.concat(photos), partitions=[DAY])
    small_site.commit(site, "cat_dog_scores", small_site.score("a", 0.98), partitions=["a.jpg"])
    problem = {
        "file": "stray.jpg",
        "photo_id": "stray",
        "content_version": "v",
        "bytes": 3,
        "problem": "no image",
    }
    content = small_site.a_frame("photo_content", [problem])
    small_site.commit(site, "photo_content", content, partitions=["stray.jpg"])
    line = {"file": "x.log", "line_number": 7, "reason": "not a log line", "line": "?", "lines": 1}
    small_site.commit(
        site, "quarantined_lines", small_site.a_frame("quarantined_lines", [line]), partitions=["x.log"]
    )
    signals = small_site.a_frame("log_signals", [])
    counts = {"x.log": {"lines": 100, "good_lines": 99, "quarantined_lines": 1}}
    small_site.commit(site, "log_signals", signals, partitions=["x.log"], details=counts)
    files = ("a.jpg", "b.jpg", "stray.jpg")
    site.catalog.set_current("photo_files", {name: Output(content_version="v") for name in files})
    small_site.commit(
        site, "model_evaluation", small_site.evaluation(DAY, WIN, promoted=True), partitions=[DAY]
    )
    small_site.commit(
        site, "popularity_predictions", small_site.predictions(DAY, a=12.5, b=80.0), partitions=[DAY]
    )
    return site


def report(
    site: Installation,
    *,
    run_ids: list[str],
    failed: list[str] | None = None,
    warned: dict[tuple[str, str], str] | None = None,
    width: int = 100,
) -> str:
    target = io.StringIO()
    night = Night(site.environment, date.fromisoformat(DAY), run_ids, failed or [], warned=warned or {})
    print_report(Console(file=target, width=width), site, night, DETECTED, 12.3)
    return target.getvalue()


def line_of(text: str, start: str) -> list[str]:
    return next(line for line in text.splitlines() if line.strip().startswith(start)).split()


def test_it_tells_what_was_made_of_each_asset(site: Installation) -> None:
    text = report(site, run_ids=["run-1"])
    assert "Night of Monday, 2 November 2026" in text
    assert "7 partitions materialized in 1 run, 12.3 s in all." in text
    assert line_of(text, "photo_metadata")[1:4] == ["1", "1", "3"]
    assert "Up to date already: behavior_signals, popularity_model." in text


def test_a_night_without_work_says_that_nothing_was_recomputed(site: Installation) -> None:
    text = report(site, run_ids=[])
    assert "Nothing was out of date, so nothing was recomputed." in text
    assert "made now" not in text
    again = report(site, run_ids=["a run that found everything made"])
    assert "All had been made from the same before, so nothing was recomputed." in again


def test_it_tells_what_became_of_lines_and_files(site: Installation) -> None:
    text = report(site, run_ids=["run-1"])
    assert line_of(text, "photo files")[2:] == ["3", "photo", "files", "2", "new"]
    assert "100 log lines: 99 counted, 1 quarantined.\n  1 line: not a log line" in text
    assert "1 photo file could not be read:\n  stray.jpg: no image" in text
    assert "1 file in the folder that no photo in the database names:\n  stray.jpg" in text
    assert "1 photo in the database whose file is not there:\n  lost.jpg" in text


def test_of_many_examples_five_are_shown(site: Installation) -> None:
    names = [f"more{n}.jpg" for n in range(7)]
    site.catalog.set_current("photo_files", {name: Output(content_version="v") for name in names})
    text = report(site, run_ids=["run-1"])
    assert "8 files in the folder that no photo in the database names:" in text
    assert "  more4.jpg\n  and 3 more files\n" in text


def test_a_failure_names_its_cause_and_log(site: Installation) -> None:
    small_site.fail(
        site, "behavior_signals", "the disk is full", partitions=["2026-11-01", DAY], run_id="run-2"
    )
    text = report(site, run_ids=["run-1", "run-2"], failed=["run-2", "run-3"])
    assert "behavior_signals (2 partitions, 2026-11-01 … 2026-11-02): the disk is full" in text
    assert f"log: {site.environment.run_logs / 'run-2.log'}" in text
    assert f"run run-3 failed; its log: {site.environment.run_logs / 'run-3'}.log" in text


def test_a_quarantined_file_is_told_with_its_reason(site: Installation) -> None:
    site.catalog.set_current(
        "photo_content",
        {"bad.jpg": Output("q", detail={"quarantined": "ZeroDivisionError: division by zero"})},
    )
    text = report(site, run_ids=["run-1"], width=200)
    assert (
        "1 file quarantined, and the rest is built without it:\n  photo_content bad.jpg: ZeroDivisionError"
        in text
    )


def test_what_a_check_has_refused_is_told_with_what_waits_for_it(site: Installation) -> None:
    refused = {"x.log": site.catalog.current("log_signals")["x.log"]}
    site.catalog.reject("log_signals", refused, "the check every_line_is_accounted_for (1 files lost lines)")
    text = report(replace(site, pipeline=PIPELINE), run_ids=["run-1"], failed=["run-1"], width=200)
    assert (
        "log_signals (x.log): refused by the check every_line_is_accounted_for (1 files lost lines)" in text
    )
    held_up = "behavior_signals, training_examples, popularity_model"
    assert f"Not looked at, for what they read has failed: {held_up}." in text.replace("photo_features, ", "")
    assert "Up to date already" not in text


def test_what_other_code_has_made_and_was_left_so_is_told(site: Installation) -> None:
    assert "other code" not in report(site, run_ids=["run-1"])
    newer = Pipeline(
        tuple(
            replace(step, code_version="2") if step.name in ("photo_metadata", "model_evaluation") else step
            for step in site.pipeline.steps
        )
    )
    text = report(replace(site, pipeline=newer), run_ids=["run-1"])
    assert "photo_metadata: 1 of 1 were made by other code or parameters than now" in text
    # the nights before keep the models that they had
    assert "model_evaluation: 1" not in text


def test_a_check_that_warns_is_told(site: Installation) -> None:
    found = {("photo_metadata", "uploads_are_recent"): "no photo was uploaded from 1 to 3 (1)"}
    text = report(site, run_ids=["run-1"], warned=found, width=200)
    assert "Checks that did not pass\nphoto_metadata, uploads_are_recent: no photo was uploaded" in text
    assert "did not pass" not in report(site, run_ids=["run-1"])


def test_the_photos_expected_to_be_viewed_most_come_first(site: Installation) -> None:
    text = report(site, run_ids=["run-1"])
    assert line_of(text, "1   b") == ["1", "b", "A", "title", "owner", "unscored", "0.5", "80.0"]
    assert line_of(text, "2   a") == [
        "2",
        "a",
        "Cat",
        "[red]on",
        "a",
        "mat",
        "ann",
        "cat",
        "98%",
        "0.5",
        "12.5",
    ]


def test_a_night_without_predictions_still_has_its_report(tmp_path: Path) -> None:
    text = report(small_site.an_installation(small_site.an_environment(tmp_path)), run_ids=[])
    assert f"No evaluation for {DAY}" in text
    assert f"No predictions for {DAY}" in text


def test_it_tells_where_things_lie_without_a_password(tmp_path: Path) -> None:
    site = small_site.an_installation(small_site.an_environment(tmp_path))
    text = report(site, run_ids=[])
    assert site.environment.storage_root in text
    assert str(site.environment.run_logs) in text
    assert "make dev" in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_its_tables_fit_the_width(site: Installation, width: int) -> None:
    text = report(site, run_ids=["run-1"], width=width)
    tables = [line for line in text.splitlines() if "   " in line.strip() and "/" not in line]
    assert max(len(line) for line in tables) <= width
    assert "\x1b" not in text


def scores(changed: dict[tuple[str, str], tuple[float, float]], *, promoted: bool) -> list[str]:
    frame = small_site.evaluation(DAY, {**WIN, **changed}, promoted=promoted)
    rows: list[dict[str, Any]] = [
        dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)
    ]
    return list(verdict({(row["segment"], row["predictor"]): row for row in rows}))


def test_a_clear_lead_is_called_one() -> None:
    assert scores({}, promoted=True)[:2] == [
        "Known photos, ranking: clearly better than every baseline.",
        "Known photos, error: clearly better than every baseline.",
    ]


def test_a_lead_within_chance_is_not_called_a_win() -> None:
    lines = scores({("new", "model"): (0.42, 0.2)}, promoted=False)
    assert lines[2] == "New photos, ranking: better, but within chance, than every baseline."


def test_what_is_promoted_is_called_clearly_better_though_intervals_overlap() -> None:
    """The promotion compares both on the same resampled photos."""
    lines = scores({("new", "model"): (0.42, 0.2)}, promoted=True)
    assert lines[2] == "New photos, ranking: clearly better than every baseline."


def test_a_lost_comparison_names_the_baseline() -> None:
    lines = scores({("new", "age_mean"): (0.95, 0.1)}, promoted=False)
    assert lines[2] == (
        "New photos, ranking: clearly better than views of the last 7 days, mean of the owner's photos; "
        "not better than mean of photos that old."
    )
    assert lines[3].endswith("not better than mean of photos that old.")


def test_the_verdict_is_that_of_the_evaluation() -> None:
    assert scores({}, promoted=True)[-1].startswith("Promoted:")
    assert scores({}, promoted=False)[-1].startswith("Not promoted:")
