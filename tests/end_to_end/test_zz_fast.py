"""Dagster's own command lines on the installed project: each does what it says, in the catalog and in Dagster alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.catalog_records import Execution
from tests.end_to_end.dagster_site import CHECKOUT, DagsterSite, assert_dagster_agrees
from tests.end_to_end.dagster_ui import wait_for

pytestmark = pytest.mark.end_to_end

DAYS = ["2026-10-20", "2026-10-21", "2026-10-22"]
NIGHT_STEPS = {
    "photo_metadata",
    "behavior_signals",
    "photo_features",
    "training_examples",
    "popularity_model",
    "model_evaluation",
    "popularity_predictions",
}


@contextmanager
def new_executions(site: DagsterSite) -> Iterator[list[Execution]]:
    """Filled on leaving with the executions that were not there on entering, oldest first."""
    before, new = {e.id for e in site.installation.catalog.executions()}, []
    yield new
    new += [e for e in reversed(site.installation.catalog.executions()) if e.id not in before]


def made(executions: list[Execution]) -> set[tuple[str, str, str]]:
    """What was made, and with which result."""
    return {(e.asset, e.partition, e.status) for e in executions}


def test_the_definitions_are_valid(ran_site_fast: DagsterSite) -> None:
    assert "Validation successful" in ran_site_fast.succeed("dagster", "definitions", "validate", "-w", "workspace.yaml")


def test_dg_checks_the_definitions(ran_site_fast: DagsterSite) -> None:
    assert "All definitions loaded successfully" in ran_site_fast.succeed("dg", "check", "defs")


def test_dg_lists_assets_checks_jobs_schedules_and_sensors(ran_site_fast: DagsterSite) -> None:
    printed = ran_site_fast.run("dg", "list", "defs", "--json").stdout
    listed: dict[str, Any] = json.loads(printed)
    names = {kind: {item.get("key") or item.get("name") for item in items} for kind, items in listed.items()}
    assert NIGHT_STEPS | {"photo_content", "log_signals", "quarantined_lines"} < names["assets"]
    assert {"nightly_job", "ordered_backfill_job"} < names["jobs"]
    assert names["schedules"] == {"nightly_schedule"}
    assert "photo_files_sensor" in names["sensors"]


def test_assets_are_listed(ran_site_fast: DagsterSite) -> None:
    listed = ran_site_fast.run("dagster", "asset", "list").stdout.split()
    assert set(listed) >= NIGHT_STEPS
    assert len(listed) == 11


def test_schedules_and_sensors_are_listed(ran_site_fast: DagsterSite) -> None:
    schedules = ran_site_fast.succeed("dagster", "schedule", "list", "-w", "workspace.yaml")
    assert "nightly_schedule" in schedules
    assert "0 7 * * *" in schedules
    sensors = ran_site_fast.succeed("dagster", "sensor", "list", "-w", "workspace.yaml")
    for name in "photo_files log_files photo_database changed_days failed_runs".split():
        assert f"{name}_sensor" in sensors


def test_a_day_is_materialized(ran_site_fast: DagsterSite) -> None:
    with new_executions(ran_site_fast) as executions:
        ran_site_fast.succeed("dagster", "asset", "materialize", "--select", "behavior_signals", "--partition", DAYS[0])
    assert made(executions) == {("behavior_signals", DAYS[0], "succeeded")}
    assert ran_site_fast.current("behavior_signals")[DAYS[0]].run_id == executions[0].run_id
    assert_dagster_agrees(ran_site_fast, "behavior_signals")


def test_a_file_is_materialized(ran_site_fast: DagsterSite) -> None:
    key = sorted(ran_site_fast.current("photo_content"))[7]
    with new_executions(ran_site_fast) as executions:
        ran_site_fast.succeed("dagster", "asset", "materialize", "--select", "photo_content", "--partition", key)
    assert made(executions) == {("photo_content", key, "succeeded")}
    assert ran_site_fast.current("photo_content")[key].run_id == executions[0].run_id
    assert_dagster_agrees(ran_site_fast, "photo_content")


def test_a_range_of_days_is_materialized_in_one_run(ran_site_fast: DagsterSite) -> None:
    with new_executions(ran_site_fast) as executions:
        ran_site_fast.succeed(
            "dagster", "asset", "materialize", "--select", "behavior_signals,photo_features",
            "--partition-range", f"{DAYS[0]}...{DAYS[-1]}",
        )  # fmt: skip
    steps = ("behavior_signals", "photo_features")
    assert made(executions) == {(step, day, "succeeded") for step in steps for day in DAYS}
    assert len({e.run_id for e in executions}) == 1
    assert_dagster_agrees(ran_site_fast, *steps)


@pytest.mark.parametrize("order", ["newest-first", "oldest-first"])
def test_an_ordered_backfill_keeps_its_order(ran_site_fast: DagsterSite, tmp_path: Path, order: str) -> None:
    wanted = {"assets": ["behavior_signals"], "first_day": DAYS[0], "last_day": DAYS[-1], "order": order}
    config = tmp_path / "backfill.yaml"
    config.write_text(json.dumps({"ops": {"ordered_backfill": {"config": wanted}}}))
    with new_executions(ran_site_fast) as executions:
        ran_site_fast.succeed("dagster", "job", "execute", "-j", "ordered_backfill_job", "-c", str(config))
    in_order = sorted(executions, key=lambda e: e.started_at)
    assert [e.partition for e in in_order] == (DAYS if order == "oldest-first" else DAYS[::-1])
    assert len({e.run_id for e in executions}) == 3
    assert_dagster_agrees(ran_site_fast, "behavior_signals")


@pytest.fixture(scope="module")
def daemon(ran_site_fast: DagsterSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`dagster-daemon run`, which takes what is queued; the file with what it prints."""
    log = tmp_path_factory.mktemp("daemon") / "daemon.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dagster-daemon"), "run", "-w", "workspace.yaml"],
            env=ran_site_fast.variables,
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield log
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    ("selection", "days"),
    [(["--partitions", f"{DAYS[2]},{DAYS[0]}"], [DAYS[2], DAYS[0]]), (["--from", DAYS[0], "--to", DAYS[1]], DAYS[:2])],
)
def test_a_job_backfill_runs_every_asset_of_its_days(
    ran_site_fast: DagsterSite, daemon: Path, selection: list[str], days: list[str]
) -> None:
    def over() -> bool:
        with ran_site_fast.instance() as instance:
            return all(b.status.value == "COMPLETED_SUCCESS" for b in instance.get_backfills())

    with new_executions(ran_site_fast) as executions:
        printed = ran_site_fast.succeed(
            "dagster", "job", "backfill", "-w", "workspace.yaml", "--job", "nightly_job", *selection, "--noprompt"
        )
        assert "Launched backfill job" in printed
        wait_for(over, f"the backfill, see {daemon}", seconds=150)
    assert made(executions) == {(step, day, "succeeded") for step in NIGHT_STEPS for day in days}
    with ran_site_fast.instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(run_ids=list({e.run_id for e in executions})))
    assert sorted(run.tags["dagster/partition"] for run in runs) == sorted(days)
    assert {e.launched_by.split()[0] for e in executions} == {"backfill"}
    assert_dagster_agrees(ran_site_fast, *sorted(NIGHT_STEPS))


def test_nothing_was_locked(daemon: Path) -> None:
    assert "locked" not in daemon.read_text()
