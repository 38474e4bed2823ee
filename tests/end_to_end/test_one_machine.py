"""The units of `deploy/one_machine`: what they start does a whole night in `test_faults.py`, and undisturbed in the torture."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from photo_popularity.definitions import PIPELINE
from photo_popularity.jobs import PHOTO_DATABASE_JOB
from resources.environment import read_environment
from resources.io_managers import PARTITION_TAG, RANGE_START_TAG
from resources.outputs import read_outputs
from resources.run_coordinator import THE_PAGES
from tests.end_to_end.dagster_ui import ask, wait_for
from tests.services.identities import write_credentials
from tests.services.one_machine import (
    CHECKOUT,
    DEPLOYMENT,
    UNITS,
    OneMachine,
    one_machine,
    service,
    variables_of_files,
    variables_of_the_example,
)
from tests.services.postgres import PostgresServer

LAUNCH = """mutation Launch($run: ExecutionParams!) { launchRun(executionParams: $run) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
BACKFILL = """mutation Backfill($these: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $these) {
  __typename ... on PythonError { message } } }"""
CODE = {"repositoryLocationName": "photo_popularity", "repositoryName": "__repository__"}
DAYS = ["2026-10-20", "2026-10-21", "2026-10-22", "2026-10-23", "2026-10-24"]
STEP = "photo_metadata"


@pytest.mark.parametrize("unit", UNITS)
def test_units_run_the_installed_programs_as_a_user_of_their_own(unit: str) -> None:
    its = service(unit)
    assert its["User"] == "photo-popularity"
    assert its["WorkingDirectory"] == "/opt/photo-popularity"
    assert its["EnvironmentFile"] == "/etc/photo-popularity/environment"
    assert its["ExecStart"].startswith("/opt/photo-popularity/.venv/bin/")
    assert (its["NoNewPrivileges"], its["ProtectSystem"]) == ("true", "strict")
    assert Path(variables_of_the_example()["DAGSTER_HOME"]).is_absolute()


def test_as_many_runs_may_be_launched_at_once_as_may_be_at_work() -> None:
    """Launched one after the other, they begin as slowly as one process imports what they need."""
    instance = yaml.safe_load((DEPLOYMENT / "dagster.yaml").read_text())
    launches = instance["run_coordinator"]["config"]
    assert launches["dequeue_use_threads"]
    assert launches["dequeue_num_workers"] == instance["concurrency"]["runs"]["max_concurrent_runs"]


@pytest.fixture
def machine(small_site: Path, tmp_path: Path, postgres_server: PostgresServer) -> Iterator[OneMachine]:
    """The units of an environment where nothing starts by itself, and each task has credentials."""
    catalog, dagster = postgres_server.new_database(), postgres_server.new_database()
    own = {step.name: {"SECRET_OF_A_TASK": f"of {step.name}"} for step in PIPELINE.steps}
    variables = {
        **variables_of_files(tmp_path, small_site, catalog=catalog, dagster=dagster),
        "PHOTO_POPULARITY_USER": "ops",
        "PHOTO_POPULARITY_DATA_SINCE": DAYS[0],
        "PHOTO_POPULARITY_CREDENTIALS": str(write_credentials(tmp_path / "credentials", own)),
    }
    (tmp_path / "home").mkdir()
    with one_machine(tmp_path, variables) as machine:
        yield machine
    for url in (catalog, dagster):
        postgres_server.drop(url)


def launch_from_the_pages(machine: OneMachine, day: str, **headers: str) -> None:
    """Launch the job for a day as the launchpad does; whoever the run's tags say has launched it."""
    tags = {PARTITION_TAG: day, "photo_popularity/launched_by": "somebody else"}
    run = {
        "selector": {**CODE, "pipelineName": PHOTO_DATABASE_JOB},
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    answer = ask(machine.address, LAUNCH, headers=headers, run=run)
    assert answer["launchRun"]["__typename"] == "LaunchRunSuccess", answer


def backfill_from_the_pages(machine: OneMachine, *days: str) -> None:
    """Launch the job for some days as its page does."""
    partitions = {"repositorySelector": CODE, "partitionSetName": f"{PHOTO_DATABASE_JOB}_partition_set"}
    these = {"selector": partitions, "partitionNames": days}
    answer = ask(machine.address, BACKFILL, these=these)
    assert answer["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess", answer


def dagster(machine: OneMachine, *words: str, user: str) -> None:
    """A command of Dagster, as somebody enters it on this machine."""
    workspace = ("--workspace", str(machine.folder / "workspace.yaml"), "--job", PHOTO_DATABASE_JOB)
    variables = os.environ | machine.variables | {"PHOTO_POPULARITY_USER": user}
    done = subprocess.run(
        [Path(sys.executable).with_name("dagster"), "job", *words, *workspace],
        env=variables,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.end_to_end
@pytest.mark.postgres
def test_whoever_launches_a_run_is_on_record_and_its_steps_work_as_their_tasks(
    machine: OneMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch_from_the_pages(machine, DAYS[0], **{"X-Forwarded-User": "ann@example.com"})
    launch_from_the_pages(machine, DAYS[1])
    dagster(machine, "launch", "--tags", json.dumps({PARTITION_TAG: DAYS[2]}), user="ben")
    dagster(machine, "backfill", "--partitions", DAYS[3], "--noprompt", user="ben")
    backfill_from_the_pages(machine, DAYS[4])
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", machine.variables["DAGSTER_POSTGRES_URL"])
    with dg.DagsterInstance.from_config(machine.variables["DAGSTER_HOME"]) as instance:

        def all_have_ended() -> bool:
            runs = instance.get_runs()
            return len(runs) == len(DAYS) and all(run.is_finished for run in runs)

        wait_for(all_have_ended, "the end of the runs", seconds=180)
        for run in instance.get_runs():
            said = [entry.message for entry in instance.all_logs(run.run_id)]
            assert run.status == dg.DagsterRunStatus.SUCCESS, said
            assert f"Starting a process for {STEP} with the credentials of {STEP}." in said
            day = run.tags.get(PARTITION_TAG) or run.tags[RANGE_START_TAG]
            assert run.tags["photo_popularity/launched_by"] == launched_by(machine)[day]
    *known, bens, the_pages = (launched_by(machine)[day] for day in DAYS)
    assert known == ["ann@example.com", THE_PAGES, "ben"]
    assert re.fullmatch(r"ben, backfill \w+", bens)
    assert re.fullmatch(r"backfill \w+", the_pages)


def launched_by(machine: OneMachine) -> dict[str, str]:
    """Who had each day made, as the catalog has it."""
    catalog = read_outputs(read_environment(machine.variables)).catalog
    return {one.partition: one.launched_by for one in catalog.executions() if one.asset == STEP}
