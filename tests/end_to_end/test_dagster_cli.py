"""Dagster's own command lines on the installed project: each does what it says, in the catalog and in Dagster alike."""

from __future__ import annotations

import json
import os
import re
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

MODULE = ("-m", "photo_popularity.definitions")
# the last three days: earlier ones have too few examples for a model
DAYS = ["2026-10-22", "2026-10-23", "2026-10-24"]
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
    before = {e.id for e in site.installation.catalog.executions()}
    new: list[Execution] = []
    yield new
    new += [e for e in reversed(site.installation.catalog.executions()) if e.id not in before]


def made(executions: list[Execution]) -> set[tuple[str, str, str]]:
    """What was made, and with which result."""
    return {(e.asset, e.partition, e.status) for e in executions}


def test_the_definitions_are_valid(ran_site: DagsterSite) -> None:
    assert "Validation successful" in ran_site.succeed(
        "dagster", "definitions", "validate", "-w", "workspace.yaml"
    )


def test_dg_checks_the_definitions(ran_site: DagsterSite) -> None:
    assert "All definitions loaded successfully" in ran_site.succeed("dg", "check", "defs")


def test_dg_lists_assets_checks_jobs_schedules_and_sensors(ran_site: DagsterSite) -> None:
    printed = ran_site.run("dg", "list", "defs", "--json").stdout
    listed: dict[str, Any] = json.loads(printed)
    names = {
        kind: {item.get("asset_key") if kind == "assets" else item["name"] for item in items}
        for kind, items in listed.items()
    }
    assert NIGHT_STEPS | {"photo_content", "log_signals", "quarantined_lines"} < names["assets"]
    assert {"nightly_job", "ordered_backfill_job"} < names["jobs"]
    assert names["schedules"] == {"nightly_schedule"}
    assert "photo_files_sensor" in names["sensors"]


def test_assets_are_listed(ran_site: DagsterSite) -> None:
    listed = ran_site.run("dagster", "asset", "list", *MODULE).stdout.split()
    assert set(listed) >= NIGHT_STEPS
    assert len(listed) == 11


def test_schedules_and_sensors_are_listed(ran_site: DagsterSite) -> None:
    schedules = ran_site.succeed("dagster", "schedule", "list", "-w", "workspace.yaml")
    assert "nightly_schedule" in schedules
    assert "0 7 * * *" in schedules
    sensors = ran_site.succeed("dagster", "sensor", "list", "-w", "workspace.yaml")
    for name in "photo_files log_files photo_database changed_days failed_runs".split():
        assert f"{name}_sensor" in sensors


def test_a_day_is_materialized(ran_site: DagsterSite) -> None:
    with new_executions(ran_site) as executions:
        ran_site.succeed(
            "dagster", "asset", "materialize", *MODULE, "--select", "behavior_signals", "--partition", DAYS[0]
        )
    assert made(executions) == {("behavior_signals", DAYS[0], "succeeded")}
    assert ran_site.current("behavior_signals")[DAYS[0]].run_id == executions[0].run_id
    assert_dagster_agrees(ran_site, "behavior_signals")


def test_a_file_is_materialized(ran_site: DagsterSite) -> None:
    key = sorted(ran_site.current("photo_content"))[7]
    with new_executions(ran_site) as executions:
        ran_site.succeed(
            "dagster", "asset", "materialize", *MODULE, "--select", "photo_content", "--partition", key
        )
    assert made(executions) == {("photo_content", key, "succeeded")}
    assert ran_site.current("photo_content")[key].run_id == executions[0].run_id
    assert_dagster_agrees(ran_site, "photo_content")


def test_a_range_of_days_is_materialized_in_one_run(ran_site: DagsterSite) -> None:
    with new_executions(ran_site) as executions:
        ran_site.succeed(
            "dagster", "asset", "materialize", *MODULE, "--select", "behavior_signals,photo_features",
            "--partition-range", f"{DAYS[0]}...{DAYS[-1]}",
        )  # fmt: skip
    steps = ("behavior_signals", "photo_features")
    assert made(executions) == {(step, day, "succeeded") for step in steps for day in DAYS}
    assert len({e.run_id for e in executions}) == 1
    assert_dagster_agrees(ran_site, *steps)


@pytest.mark.parametrize("order", ["newest-first", "oldest-first"])
def test_an_ordered_backfill_keeps_its_order(ran_site: DagsterSite, tmp_path: Path, order: str) -> None:
    wanted = {"assets": ["behavior_signals"], "first_day": DAYS[0], "last_day": DAYS[-1], "order": order}
    config = tmp_path / "backfill.yaml"
    config.write_text(json.dumps({"ops": {"ordered_backfill": {"config": wanted}}}))
    with new_executions(ran_site) as executions:
        ran_site.succeed(
            "dagster", "job", "execute", *MODULE, "-j", "ordered_backfill_job", "-c", str(config)
        )
    in_order = sorted(executions, key=lambda e: e.started_at)
    assert [e.partition for e in in_order] == (DAYS if order == "oldest-first" else DAYS[::-1])
    assert len({e.run_id for e in executions}) == 3
    assert_dagster_agrees(ran_site, "behavior_signals")


@pytest.fixture(scope="module")
def daemon(ran_site: DagsterSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`dagster-daemon run`, which takes what is queued; the file with what it prints."""
    log = tmp_path_factory.mktemp("daemon") / "daemon.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("dagster-daemon"), "run", "-w", "workspace.yaml"],
            env=ran_site.variables,
            cwd=CHECKOUT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield log
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_job_backfills_make_every_asset_of_their_days(ran_site: DagsterSite, daemon: Path) -> None:
    scattered = ["--partitions", f"{DAYS[2]},{DAYS[0]}"]
    ranged = ["--from", DAYS[0], "--to", DAYS[1]]
    with new_executions(ran_site) as executions:
        backfills = [backfilled(ran_site, *scattered), backfilled(ran_site, *ranged)]
        wait_for(
            lambda: all(is_over(ran_site, backfill) for backfill in backfills),
            f"backfills, see {daemon}",
            seconds=150,
        )
    for backfill, days in zip(backfills, ([DAYS[0], DAYS[2]], DAYS[:2]), strict=True):
        its = [e for e in executions if e.launched_by == f"backfill {backfill}"]
        assert made(its) == {(step, day, "succeeded") for step in NIGHT_STEPS for day in days}
        assert len({e.run_id for e in its}) == len(days)
    assert_dagster_agrees(ran_site, *sorted(NIGHT_STEPS))


def backfilled(site: DagsterSite, *selection: str) -> str:
    """Launch a backfill of the nightly job; its id."""
    printed = site.succeed(
        "dagster", "job", "backfill", "-w", "workspace.yaml", "--job", "nightly_job", *selection, "--noprompt"
    )
    found = re.search(r"Launched backfill job `(\w+)`", printed)
    assert found, printed
    return found[1]


def is_over(site: DagsterSite, backfill: str) -> bool:
    """Whether all runs of a backfill have succeeded; one that has failed is an error."""
    with site.instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill}))
    assert all(run.status != dg.DagsterRunStatus.FAILURE for run in runs)
    return len(runs) == 2 and all(run.is_success for run in runs)


def test_nothing_was_locked(daemon: Path) -> None:
    assert "locked" not in daemon.read_text()
