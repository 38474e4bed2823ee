"""Backfills in an order: strictly one day after the other, from the command line's function and as a job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from photo_popularity.backfill import (
    BACKFILL_ID_TAG,
    BACKFILL_JOB,
    OrderedBackfill,
    ordered_days,
    run_backfill,
)
from photo_popularity.domain.behavior import merge_signals
from photo_popularity.domain.errors import InputError
from photo_popularity.jobs import NIGHTLY_JOB
from resources.dagster_home import INSTANCE_CONFIG
from resources.io_managers import PARTITION_TAG
from resources.run_coordinator import LAUNCHED_BY_TAG
from tests.night_fixtures import Place

ROOT = Path(__file__).resolve().parents[1]
DAYS = ["2026-10-10", "2026-10-11", "2026-10-12"]


def backfill(place: Place, **changed: object) -> list[str]:
    wanted = {
        "assets": ["behavior_signals", "photo_features"],
        "first_day": DAYS[0],
        "last_day": DAYS[-1],
        **changed,
    }
    return run_backfill(
        place.definitions.resolve_job_def(NIGHTLY_JOB),
        place.instance,
        OrderedBackfill(**wanted),  # type: ignore[arg-type]
        launched_by="ann",
        backfill_id="b1",
    )


def runs_in_order_of_start(instance: dg.DagsterInstance) -> list[tuple[str, float, float]]:
    records = instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: DAYS}))
    found = [(r.dagster_run.tags[PARTITION_TAG], r.start_time or 0.0, r.end_time or 0.0) for r in records]
    return sorted(found, key=lambda run: run[1])


def assert_one_after_the_other(runs: list[tuple[str, float, float]]) -> None:
    for (_, _, end), (_, start, _) in pairwise(runs):
        assert start >= end


@pytest.mark.parametrize(("order", "expected"), [("oldest-first", DAYS), ("newest-first", DAYS[::-1])])
def test_the_days_run_in_the_order_asked_for_one_at_a_time(
    place: Place, order: str, expected: list[str]
) -> None:
    assert backfill(place, order=order) == []
    runs = runs_in_order_of_start(place.instance)
    assert [day for day, _, _ in runs] == expected
    assert_one_after_the_other(runs)
    [run, *_] = place.instance.get_runs()
    assert (run.tags[BACKFILL_ID_TAG], run.tags[LAUNCHED_BY_TAG]) == ("b1", "ann")


def test_a_day_that_fails_is_told_and_the_others_go_on(place: Place) -> None:
    place.detect()
    place.reject("log_signals", "access.log-20261011")
    told: list[tuple[str, bool]] = []
    failed = run_backfill(
        place.definitions.resolve_job_def(NIGHTLY_JOB),
        place.instance,
        OrderedBackfill(
            assets=["behavior_signals"], first_day=DAYS[0], last_day="2026-10-13", order="oldest-first"
        ),
        launched_by="ann",
        backfill_id="b1",
        tell=lambda day, succeeded: told.append((day, succeeded)),
    )
    assert failed == ["2026-10-11", "2026-10-12"]
    assert told == [("2026-10-10", True), ("2026-10-11", False), ("2026-10-12", False), ("2026-10-13", True)]


def test_an_interruption_ends_the_backfill_and_not_only_the_day(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assets import behavior_signals

    merged: list[object] = []

    def merge_once(signals: pd.DataFrame, days: Sequence[pd.Timestamp]) -> pd.DataFrame:
        merged.append(days)
        if len(merged) == 2:
            signal.raise_signal(signal.SIGINT)
        return merge_signals(signals, days)

    monkeypatch.setattr(behavior_signals, "merge_signals", merge_once)
    with pytest.raises(KeyboardInterrupt):
        backfill(place, order="oldest-first")
    executions = place.installation.catalog.executions()[:3]
    assert [(e.asset, e.partition, e.status, e.error) for e in executions] == [
        ("behavior_signals", DAYS[1], "failed", "interrupted"),
        ("photo_features", DAYS[0], "succeeded", None),
        ("behavior_signals", DAYS[0], "succeeded", None),
    ]
    assert [day for day, _, _ in runs_in_order_of_start(place.instance)] == DAYS[:2]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"assets": ["behavior"]}, "no day asset is named behavior; known are behavior_signals, "),
        ({"assets": ["photo_content"]}, "no day asset is named photo_content"),
        ({"assets": []}, "no asset is named"),
        ({"order": "random"}, "order 'random' is not known; use newest-first or oldest-first"),
        ({"first_day": "yesterday"}, "not two days; write them as YYYY-MM-DD"),
        ({"first_day": "2026-10-13"}, "2026-10-13 is after 2026-10-12"),
        (
            {"first_day": "2026-09-29"},
            "2 days from 2026-09-29 to 2026-09-30 have no partition; there are partitions from 2026-10-01",
        ),
        ({"last_day": "2999-01-01"}, "have no partition"),
    ],
)
def test_what_does_not_exist_is_an_error_before_anything_runs(
    place: Place, wrong: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        backfill(place, **wrong)
    assert place.instance.get_runs_count() == 0


def test_the_days_of_a_range_include_both_ends() -> None:
    assert ordered_days("2026-02-28", "2026-03-01", "oldest-first") == ["2026-02-28", "2026-03-01"]
    assert ordered_days("2026-02-28", "2026-03-01", "newest-first") == ["2026-03-01", "2026-02-28"]


def variables(place: Place, dagster_home: Path) -> dict[str, str]:
    """The environment in which Dagster's own commands find this site."""
    settings = place.environment.settings
    names = ("photos", "logs", "database", "classifier", "first_day")
    ours = {f"PHOTO_POPULARITY_{name.upper()}": str(getattr(settings, name)) for name in names}
    return {
        **os.environ,
        **ours,
        "PHOTO_POPULARITY_HOME": str(place.environment.home),
        "DAGSTER_HOME": str(dagster_home),
    }


def dagster(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("dagster")
    return subprocess.run(
        [program, *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def dagster_home(tmp_path: Path) -> Path:
    home = tmp_path / "dagster-home"
    home.mkdir()
    (home / "dagster.yaml").write_bytes(INSTANCE_CONFIG.read_bytes())
    return home


@pytest.mark.end_to_end
@pytest.mark.parametrize(("order", "expected"), [("oldest-first", DAYS), ("newest-first", DAYS[::-1])])
def test_the_job_keeps_the_order_when_dagster_launches_it(
    place: Place,
    dagster_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: str,
    expected: list[str],
) -> None:
    config = {"assets": ["behavior_signals"], "first_day": DAYS[0], "last_day": DAYS[-1], "order": order}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"ops": {"ordered_backfill": {"config": config}}}))
    environment = variables(place, dagster_home)
    done = dagster(
        ["job", "execute", "-m", "photo_popularity.definitions", "-j", BACKFILL_JOB, "-c", str(file)],
        environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        runs = runs_in_order_of_start(instance)
        assert [day for day, _, _ in runs] == expected
        assert_one_after_the_other(runs)


@pytest.mark.end_to_end
def test_the_job_with_a_wrong_asset_fails_with_the_sentence(
    place: Place, dagster_home: Path, tmp_path: Path
) -> None:
    config = {"assets": ["nothing"], "first_day": DAYS[0], "last_day": DAYS[-1]}
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"ops": {"ordered_backfill": {"config": config}}}))
    command = ["job", "execute", "-m", "photo_popularity.definitions", "-j", BACKFILL_JOB, "-c", str(file)]
    done = dagster(command, variables(place, dagster_home))
    assert done.returncode != 0
    assert "no day asset is named nothing" in done.stdout + done.stderr
