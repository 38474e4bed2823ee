"""Dagster's run monitoring ends a run whose launcher says that its process is gone, and its own launcher never says so."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import dagster as dg
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from resources.run_launcher import PROCESS_TAG, this_process


def test_dagsters_own_launcher_knows_nothing_of_a_runs_process() -> None:
    assert not DefaultRunLauncher().supports_check_run_worker_health


def test_a_run_whose_process_is_gone_ends_as_failed_and_the_others_go_on(tmp_path: Path) -> None:
    configured = {
        "run_launcher": {"module": "resources.run_launcher", "class": "LocalRunLauncher"},
        "run_monitoring": {"enabled": True},
    }
    host, process, beginning = this_process().split(" ")
    with dg.instance_for_test(configured, temp_dir=str(tmp_path)) as instance:
        here, gone = (
            create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: told})
            for told in (this_process(), f"{host} {process} {int(beginning) - 1}")
        )
        with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
            list(execute_run_monitoring_iteration(workspace, logging.getLogger("test")))
        runs = {run.run_id: run.status for run in instance.get_runs()}
        assert runs == {
            here.run_id: dg.DagsterRunStatus.STARTED,
            gone.run_id: dg.DagsterRunStatus.FAILURE,
        }
        [failure] = instance.all_logs(gone.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        assert f"process {os.getpid()}: its process ended without a word" in failure.message
