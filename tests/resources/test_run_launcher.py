"""A run whose process is gone is known from one that is at work, whoever has killed it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test

from photo_popularity.jobs import run_here
from resources.run_launcher import PROCESS_TAG, LocalRunLauncher, this_process

BY_A_CODE_SERVER = {GRPC_INFO_TAG: '{"host": "127.0.0.1", "port": 4266}'}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    configured = {"run_launcher": {"module": "resources.run_launcher", "class": "LocalRunLauncher"}}
    with dg.instance_for_test(configured, temp_dir=str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def worker() -> Iterator[SpawnProcess]:
    """A process as the code server starts it for a run."""
    process = get_context("spawn").Process(target=time.sleep, args=(600,))
    process.start()
    yield process
    process.kill()
    process.join()


@pytest.fixture(autouse=True)
def code_server() -> Iterator[None]:
    """A process that looks like a code server's."""
    words = [sys.executable, "-c", "import time; time.sleep(600)", "code-server"]
    with subprocess.Popen(words) as process:
        yield
        process.kill()


def a_run(
    instance: dg.DagsterInstance, process: int | None, tags: Mapping[str, str] = BY_A_CODE_SERVER
) -> dg.DagsterRun:
    run: dg.DagsterRun = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=dict(tags))
    instance.report_engine_event("the code server was asked", run)
    if process is not None:
        instance.report_engine_event("Started process", run, EngineEventData.in_process(process))
    return run


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[WorkerStatus, str | None]:
    launcher = instance.run_launcher
    assert isinstance(launcher, LocalRunLauncher)
    assert launcher.supports_check_run_worker_health
    status, why, *_ = launcher.check_run_worker_health(run)
    return status, why


def test_a_run_lives_as_long_as_its_process(instance: dg.DagsterInstance, worker: SpawnProcess) -> None:
    assert worker.pid is not None
    run = a_run(instance, worker.pid)
    assert health(instance, run) == (WorkerStatus.RUNNING, None)
    worker.kill()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    # dead, and its parent has not asked how it ended
    assert Path(f"/proc/{worker.pid}").exists()
    gone = (WorkerStatus.FAILED, f"process {worker.pid}: its process ended without a word")
    assert health(instance, run) == gone
    worker.join()
    assert not Path(f"/proc/{worker.pid}").exists()
    assert health(instance, run) == gone


def test_another_process_that_has_the_number_by_now_is_not_the_run(instance: dg.DagsterInstance) -> None:
    assert health(instance, a_run(instance, os.getppid()))[0] == WorkerStatus.FAILED


def test_who_sees_no_code_server_among_the_processes_does_not_judge_its_runs(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container of its own, where the number means another process or none."""
    monkeypatch.setattr("resources.run_launcher.CODE_SERVER", "a word that no process was started with")
    assert health(instance, a_run(instance, os.getppid())) == (WorkerStatus.RUNNING, None)


def test_of_a_run_that_has_told_of_no_process_nothing_is_said(instance: dg.DagsterInstance) -> None:
    assert health(instance, a_run(instance, None)) == (WorkerStatus.RUNNING, None)


def test_of_a_run_that_no_launcher_has_started_nothing_is_said(instance: dg.DagsterInstance) -> None:
    """It may be on another machine, where the number means another process."""
    assert health(instance, a_run(instance, os.getppid(), {})) == (WorkerStatus.RUNNING, None)


def test_a_run_that_was_not_launched_lives_as_long_as_the_process_that_works_on_it(
    instance: dg.DagsterInstance,
) -> None:
    host, process, beginning = this_process().split(" ")
    for told, status in (
        (f"{host} {process} {beginning}", WorkerStatus.RUNNING),
        # the number is another's by now
        (f"{host} {process} {int(beginning) - 1}", WorkerStatus.FAILED),
        (f"elsewhere {process} {int(beginning) - 1}", WorkerStatus.RUNNING),
    ):
        assert health(instance, a_run(instance, None, {PROCESS_TAG: told}))[0] == status


def test_a_run_in_a_process_of_its_own_tells_which_that_is(instance: dg.DagsterInstance) -> None:
    @dg.asset
    def nothing() -> None:
        """An asset."""

    job = dg.Definitions(assets=[nothing]).resolve_implicit_global_asset_job_def()
    ran = run_here(job, instance, assets=["nothing"], tags={})
    [run] = instance.get_runs(dg.RunsFilter(run_ids=[ran.run_id]))
    assert run.tags[PROCESS_TAG] == this_process()
