"""Launching runs on a code server of the same machine, and knowing of each whether its process still lives.

Dagster's own launcher cannot say so. The code server says so of the runs that it has started, but not after its own death,
nor once it could not reach the database at the moment when one of them ended.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG

from resources.catalog import KILLED

# on runs without a launcher: the process that works on them
PROCESS_TAG = "photo_popularity/process"
# how a code server starts the process of a run
STARTED_AS = "multiprocessing.spawn"
CODE_SERVER = "code-server"


def this_process() -> str:
    """This process as no other is called, on any machine."""
    return f"{socket.gethostname()} {os.getpid()} {_beginning(os.getpid())}"


class LocalRunLauncher(DefaultRunLauncher):
    """Dagster's launcher, for a daemon and a code server that see each other's processes."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """With it, run monitoring ends a run as failed whose process is gone."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process lives, as far as it has told which it is, and is one of this machine."""
        if PROCESS_TAG in run.tags:
            host, process, beginning = run.tags[PROCESS_TAG].split(" ")
            lives = host != socket.gethostname() or _beginning(int(process)) == beginning
        else:
            process = self._process_of(run)
            lives = not process or STARTED_AS in _command(int(process)) or not _sees_code_servers()
        if lives:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"process {process}: {KILLED}")

    def _process_of(self, run: dg.DagsterRun) -> str:
        if GRPC_INFO_TAG not in run.tags:
            # somebody's own process, on whatever machine
            return ""
        for entry in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            told = entry.dagster_event.engine_event_data.metadata if entry.dagster_event else {}
            if "pid" in told:
                return str(told["pid"].value)
        return ""


def _sees_code_servers() -> bool:
    """Whether the processes of code servers are among those that this one can see: those of another container are not."""
    processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return any(CODE_SERVER in _command(process).split("\0") for process in processes)


def _command(process: int) -> str:
    """How the process was started; nothing of one that has ended, also when it is not yet waited for."""
    return _told(process, "cmdline")


def _beginning(process: int) -> str:
    """When the process was started, by a clock that never jumps; nothing of one that has ended."""
    # the name before it may hold blanks and brackets
    told = _told(process, "stat").rpartition(")")[2].split()
    return "" if not told or told[0] == "Z" else told[19]


def _told(process: int, what: str) -> str:
    try:
        return Path(f"/proc/{process}/{what}").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
