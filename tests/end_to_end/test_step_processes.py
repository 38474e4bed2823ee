"""Steps as processes with the credentials of their own task: whoever launches, and whatever ends them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from photo_popularity.definitions import PIPELINE
from resources.identity import secret_of
from tests.end_to_end.dagster_site import CHECKOUT, DagsterSite, assert_dagster_agrees
from tests.services.identities import write_credentials

pytestmark = pytest.mark.end_to_end

MODULE = ("-m", "photo_popularity.definitions")
DAYS = ["2026-10-21", "2026-10-22"]
SECONDS = 120


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """Something of its own for each task."""
    own = {step.name: {"SECRET_OF_A_TASK": f"of {step.name}"} for step in PIPELINE.steps}
    return write_credentials(tmp_path / "credentials", own)


def start(site: DagsterSite, credentials: Path, *arguments: str) -> subprocess.Popen[str]:
    """A command of Dagster where tasks have credentials; the launcher has a secret that is nobody else's business."""
    variables = site.variables | {
        "PHOTO_POPULARITY_CREDENTIALS": str(credentials),
        "SECRET_OF_A_TASK": "of the launcher",
    }
    return subprocess.Popen(
        [Path(sys.executable).with_name("dagster"), *arguments],
        env=variables,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def newest_runs(site: DagsterSite, count: int) -> list[dg.DagsterRun]:
    with site.instance() as instance:
        return list(instance.get_runs(limit=count))


def events(site: DagsterSite, run: dg.DagsterRun) -> str:
    """What the run's history says."""
    with site.instance() as instance:
        entries = instance.all_logs(run.run_id)
    errors = (getattr(e.dagster_event.event_specific_data, "error", None) for e in entries if e.dagster_event)
    return "\n".join([*(e.message for e in entries), *(error.to_string() for error in errors if error)])


def test_an_ordered_backfill_does_each_step_with_the_credentials_of_its_task(
    ran_site: DagsterSite, credentials: Path, tmp_path: Path
) -> None:
    """It launches runs itself, and their steps are no more its own than those of any other run."""
    wanted = {"assets": ["behavior_signals"], "first_day": DAYS[0], "last_day": DAYS[1]}
    config = tmp_path / "backfill.yaml"
    config.write_text(json.dumps({"ops": {"ordered_backfill": {"config": wanted}}}))
    arguments = ("job", "execute", *MODULE, "-j", "ordered_backfill_job", "-c", str(config))
    with start(ran_site, credentials, *arguments) as backfill:
        told, _ = backfill.communicate(timeout=SECONDS)
    assert backfill.returncode == 0, told
    launched = newest_runs(ran_site, 2)
    assert [run.tags["dagster/partition"] for run in launched] == DAYS
    for run in launched:
        assert run.status == dg.DagsterRunStatus.SUCCESS
        said = events(ran_site, run)
        assert "Starting a process for behavior_signals with the credentials of behavior_signals." in said
        # a check works as the task that makes what it checks
        check = "behavior_signals_visitors_within_views"
        assert f"Starting a process for {check} with the credentials of behavior_signals." in said
    assert_dagster_agrees(ran_site, "behavior_signals")


def test_a_task_without_credentials_does_not_work_with_anybody_elses(
    ran_site: DagsterSite, credentials: Path
) -> None:
    # as Kubernetes shows a secret that is not there
    (credentials / secret_of("behavior_signals") / "SECRET_OF_A_TASK").unlink()
    arguments = ("asset", "materialize", *MODULE, "--select", "behavior_signals", "--partition", DAYS[0])
    before = ran_site.current("behavior_signals")[DAYS[0]]
    with start(ran_site, credentials, *arguments) as launched:
        told, _ = launched.communicate(timeout=SECONDS)
    assert launched.returncode != 0, told
    [run] = newest_runs(ran_site, 1)
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert "the task behavior_signals has no credentials here; give it a file for each variable" in events(
        ran_site, run
    )
    assert ran_site.current("behavior_signals")[DAYS[0]] == before


def descendants(process: int) -> set[int]:
    """The processes that it has started, and those that these have."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found, last = {process}, set[int]()
    while found != last:
        last = set(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {process}


def steps_at_work(process: int) -> set[int]:
    """The process that steps are forked from, and the steps."""
    at_work = set()
    for child in descendants(process):
        try:
            if "forkserver" in Path(f"/proc/{child}/cmdline").read_text():
                at_work.add(child)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return at_work


def environment_of(process: int) -> bytes:
    """What a process was started with."""
    try:
        return Path(f"/proc/{process}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the processes in /proc")
def test_the_processes_of_steps_end_with_their_run_however_that_ends(
    ran_site: DagsterSite, credentials: Path
) -> None:
    arguments = ("asset", "materialize", *MODULE, "--select", "photo_features", "--partition", DAYS[0])
    with start(ran_site, credentials, *arguments) as launched:
        deadline = time.monotonic() + SECONDS
        while len(steps_at_work(launched.pid)) < 2:
            assert launched.poll() is None, launched.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        started = descendants(launched.pid)
        # what of a launcher's own variables any process of its user could look up
        assert not [child for child in started if b"of the launcher" in environment_of(child)]
        # held, or it might come to its end by itself
        for step in steps_at_work(launched.pid):
            if descendants(step) == set():
                os.kill(step, signal.SIGSTOP)
        os.kill(launched.pid, signal.SIGKILL)
        launched.communicate()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{child}").exists() for child in started):
        assert time.monotonic() < deadline, [Path(f"/proc/{child}/cmdline").read_text() for child in started]
        time.sleep(0.1)
