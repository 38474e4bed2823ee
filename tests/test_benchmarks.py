"""The benchmark runs, executes what it says, and an idle tick writes nothing; how long it takes is not for a test."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.table import Table

from benchmarks.deployment.__main__ import main as main_of_deployment
from benchmarks.deployment.nights import EMBEDDED, ON_POSTGRES, STOCK, Nights
from benchmarks.deployment.queued_runs import Limits, Queued, most_at_once
from benchmarks.deployment.tables import night_table, queue_table
from benchmarks.incremental.__main__ import main, measure
from benchmarks.incremental.others import NO_DVC, Compared, compare_dvc, compare_make
from benchmarks.incremental.pipeline import Measured, Round
from benchmarks.incremental.tables import FEW, LARGE, MIDDLE, SMALL, cost_table, target_table
from benchmarks.logs.__main__ import main as main_of_logs
from benchmarks.logs.asset_run import do_step, environment_of
from benchmarks.logs.generate import write_plain
from benchmarks.logs.hard_lines import HARD_CLASSES
from benchmarks.logs.redelivery import deliver_again
from benchmarks.logs.rivals import ASSET_STEPS
from photo_popularity.definitions import PIPELINE
from photo_popularity.domain.behavior_rules import BehaviorRules
from photo_popularity.scan_logs import scan_files
from resources.installation import install

FILES, CHANGED = 30, 3


@pytest.mark.parametrize(
    ("first_run_files", "grain", "filled"), [(FILES, "file", 0), (10, "file", 20), (10, "folder", 20)]
)
def test_the_changed_files_alone_are_executed_and_an_idle_tick_writes_nothing(
    tmp_path: Path, first_run_files: int, grain: str, filled: int
) -> None:
    preparation, [idle, edited] = measure(
        tmp_path, FILES, changed=(0, CHANGED), rounds=2, first_run_files=first_run_files, grain=grain
    )
    assert (preparation.materialized, preparation.filled) == (first_run_files, filled)
    assert idle.rounds[0].runs == 0
    assert idle.written_when_idle == []
    assert {one.tick_catalog_rows + one.tick_dagster_rows for one in idle.rounds} == {0}
    assert edited.as_expected
    assert [one.executions[0] for one in edited.rounds] == [CHANGED, CHANGED]
    assert all(one.executions[1] <= CHANGED for one in edited.rounds)
    assert all(one.run_catalog_rows > 0 and one.run_dagster_rows > 0 for one in edited.rounds)


def test_the_command_prints_every_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = os.environ.get("DAGSTER_HOME")
    asked = ["--files", "12", "--changed", "0", "2", "--rounds", "1", "--folder", str(tmp_path)]
    assert main([*asked, "--others-up-to", "0"]) == 0
    printed = capsys.readouterr().out
    for told in ("First runs", "The tick that sees the change", "Targets", "not measured"):
        assert told in printed
    assert list(tmp_path.iterdir()) == []
    assert os.environ.get("DAGSTER_HOME") == home


def test_make_works_on_the_changed_files_alone(tmp_path: Path) -> None:
    assert compare_make(tmp_path, FILES).processed == (10, 10)


def test_a_tool_that_is_missing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare_dvc(tmp_path, FILES, None) == Compared("DVC", FILES, problem=NO_DVC)
    monkeypatch.setenv("PATH", "")
    assert "not on PATH" in compare_make(tmp_path, FILES).problem


def test_targets_are_told_with_their_verdict() -> None:
    def measured(files: int, changed: int, seconds: float, rows: int = 0) -> Measured:
        one = Round(seconds, run_seconds=seconds, tick_catalog_rows=rows)
        return Measured(files, changed, [one])

    found = {
        (SMALL, FEW): measured(SMALL, FEW, 0.1),
        (MIDDLE, 0): measured(MIDDLE, 0, 0.2, rows=1),
        (LARGE, FEW): measured(LARGE, FEW, 2.5),
    }
    told = {row[0]: row[2:] for row in rows_of(target_table(found))}
    assert told["idle tick, 10k files"] == ("0.20 s", "pass")
    assert told["idle tick, 10k files: rows added or database files written"] == ("1.00", "FAIL")
    assert told["tick, 10 changed of 100k"] == ("2.50 s", "FAIL")
    assert told["runs per changed file, 10 changed, 100k over 1k"] == ("25.00 x", "FAIL")
    assert told["tick, 10 changed of 1M"] == ("not measured", "")


def test_executions_that_are_not_as_expected_are_told() -> None:
    wrong = Measured(30, 3, [Round(0.1, run_seconds=0.1, runs=1, executions=(4, 1), expected=(3, 1))])
    [row] = rows_of(cost_table({(30, 3): wrong}))
    assert "4 + 1, NOT (3, 1)" in row


def test_logs_are_counted_alike_however_they_are_cut_and_packed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code says so; a rival that is missing is told and stops nothing."""
    assert main_of_logs(["--megabytes", "1", "--rounds", "1", "--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for told in ("mawk and sort", "gzip -dc", "duckdb", "polars", "wc -l", "Targets", "not measured"):
        assert told in printed


def test_the_assets_are_measured_on_the_logs_they_are_given(tmp_path: Path) -> None:
    logs = write_plain(tmp_path / "logs", megabytes=1, seed=3)
    for step in ASSET_STEPS:
        do_step(step, tmp_path / "home", tmp_path / "logs")
    catalog = install(environment_of(tmp_path / "home", tmp_path / "logs"), PIPELINE).catalog
    assert catalog.current("log_signals").keys() == {log.name for log in logs}
    assert catalog.current("behavior_signals")
    with pytest.raises(RuntimeError, match="nothing of log_signals is out of date"):
        do_step("log_signals", tmp_path / "home", tmp_path / "logs")


def test_a_log_that_is_delivered_again_is_the_only_one_made_again(tmp_path: Path) -> None:
    write_plain(tmp_path / "logs", megabytes=1, seed=3)
    found = deliver_again(tmp_path / "logs", tmp_path / "site")
    assert {"log_signals", "behavior_signals"} <= found["everything"].keys()
    assert {"log_signals", "behavior_signals"} <= found["more lines"].keys()
    assert found["the same bytes"].keys() & {"log_signals", "behavior_signals"} == set()


def test_the_same_seed_makes_the_same_logs_with_hard_lines_of_every_kind(tmp_path: Path) -> None:
    made = {
        name: write_plain(tmp_path / name, megabytes=10, seed=seed)
        for name, seed in (("one", 7), ("again", 7), ("other", 8))
    }
    one, again, other = ([file.read_bytes() for file in files] for files in made.values())
    assert one == again != other
    scanned = scan_files([str(file) for file in made["one"]], rules=BehaviorRules(), quarantine=None)
    lines, good = (sum(getattr(file, name) for file in scanned.files) for name in ("lines", "good"))
    assert 0.99 < good / lines < 1
    assert len(scanned.reasons) == 3
    assert len(HARD_CLASSES) == 16


@pytest.mark.postgres
def test_each_way_of_writing_events_writes_them_all(
    postgres_server: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--only", "events", "--days", "1", "--rounds", "1", "--events", "4", "--folder", str(tmp_path)]
    assert main_of_deployment(asked) == 0
    printed = capsys.readouterr().out
    for told in ("stock", "resources/event_log.py", "resources/postgres_event_log.py"):
        assert told in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgres
@pytest.mark.end_to_end
def test_runs_in_a_queue_all_end_within_the_limits(
    postgres_server: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code says so."""
    asked = ["--only", "queue", "--days", "1", "--runs", "3", "--folder", str(tmp_path)]
    assert main_of_deployment(asked) == 0
    printed = capsys.readouterr().out
    for told in ("3 SUCCESS", "dagster/backfill", "pass"):
        assert told in printed


def test_a_night_that_makes_something_else_is_told() -> None:
    made = {("photo_metadata", "2026-10-01"): "a"}
    embedded = Nights(EMBEDDED, seconds=[10, 20, 40], made=made)
    same = Nights(ON_POSTGRES, STOCK, [20, 30, 60], made)
    other = Nights(ON_POSTGRES, STOCK, [20, 30, 60], {("photo_metadata", "2026-10-01"): "b"})
    told = [row[2:] for row in rows_of(night_table([embedded, same, other], {"GET": 2.0}))]
    assert told == [
        ("3", "20.0", "1.00", "1"),
        ("3", "30.0", "1.50", "1 as embedded"),
        ("3", "30.0", "1.50", "1 NOT as embedded"),
    ]


def test_a_limit_that_was_not_kept_is_told() -> None:
    overlapping = [(0.0, 2.0), (1.0, 3.0), (2.0, 4.0)]
    assert [most_at_once(its) for its in ([], [(0.0, 1.0)], overlapping)] == [0, 1, 2]
    kept = Queued(3, Limits(2, 1), 1.0, {"SUCCESS": 3}, overlapping, overlapping[:1])
    assert kept.as_expected
    for wrong in (
        replace(kept, limits=Limits(1, 1)),
        replace(kept, of_backfills=overlapping),
        replace(kept, ended={"SUCCESS": 2, "FAILURE": 1}),
    ):
        assert not wrong.as_expected
    assert [row[-1] for row in rows_of(queue_table(replace(kept, limits=Limits(1, 1))))] == ["FAIL", "pass"]


def rows_of(table: Table) -> list[tuple[str, ...]]:
    """The cells of a table's rows, as text."""
    cells = [[str(cell).strip() for cell in column.cells] for column in table.columns]
    return list(zip(*cells, strict=True))
