"""Launching runs on a code server of the same machine, and knowing of each whether its process still lives.

Dagster's own launcher cannot say so. The code server says so of the runs that it has started, but not after its own death,
nor once it could not reach the database at the moment when one of them ended.
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG

from resources.catalog import KILLED

# how a code server starts the process of a run
STARTED_AS = "multiprocessing.spawn"


class LocalRunLauncher(DefaultRunLauncher):
    """Dagster's launcher, for a daemon and a code server that see each other's processes."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """With it, run monitoring ends a run as failed whose process is gone."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process lives, as far as it has told which it is."""
        process = self._process_of(run)
        if process is None or _is_of_a_run(process):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"process {process}: {KILLED}")

    def _process_of(self, run: dg.DagsterRun) -> int | None:
        if GRPC_INFO_TAG not in run.tags:
            # somebody's own process, on whatever machine
            return None
        for entry in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            told = entry.dagster_event.engine_event_data.metadata if entry.dagster_event else {}
            if "pid" in told:
                return int(str(told["pid"].value))
        return None


def _is_of_a_run(process: int) -> bool:
    try:
        # that of a process that has ended and is not yet waited for is empty
        return STARTED_AS in Path(f"/proc/{process}/cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
