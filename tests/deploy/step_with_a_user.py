"""Jobs of one step that works as the user of the task `log_signals`: one tells what it may do, one waits to be ended."""

import ctypes
import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from photo_popularity.executor import build_executor
from resources.environment import read_environment
from resources.identity import secret_of
from resources.pipeline import STEP_TAG
from resources.storage import FileStorage

TASK = "log_signals"
# the pattern is nothing that it finds itself
SECRET = rb"secret-of-[a-z]+"
TOLD, STARTED = "log_signals/2026-01-01/told.parquet", "log_signals/started.parquet"


def refused(call: Callable[[], object]) -> bool:
    """Whether the system says that this user may not."""
    try:
        call()
    except PermissionError:
        return True
    return False


def secrets_in_memory() -> list[str]:
    """The secrets of the test in the memory of this process, which has that of the process that it was forked from."""
    found: set[str] = set()
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, rights, *_ = line.split()
        if rights.startswith("rw"):
            first, end = (int(address, 16) for address in addresses.split("-"))
            found |= {word.decode() for word in re.findall(SECRET, ctypes.string_at(first, end - first))}
    return sorted(found)


@dg.op(out=dg.Out(dg.Nothing), tags={STEP_TAG: TASK})
def tell(context: dg.OpExecutionContext) -> None:
    """Writes a file that says who wrote it, and what else it could do."""
    context.log.info("told by the step")
    environment = read_environment()
    storage = FileStorage(environment.storage_root)
    credentials = Path(environment.settings.credentials) / secret_of(TASK)
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    told = {
        "users": os.getresuid(),
        "groups": os.getresgid(),
        "also": sorted(os.getgroups()),
        "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
        "no_new_privileges": status["NoNewPrivs"],
        "becomes_root": not refused(lambda: os.setuid(0)),
        "writes_anothers": not refused(lambda: storage.write("photo_content/x.parquet", b"rows")),
        "reads_credentials": not refused((credentials / "user").read_bytes),
        "reads_the_runs_variables": not refused(Path(f"/proc/{os.getppid()}/environ").read_bytes),
        "knows": secrets_in_memory(),
        "label": environment.label,
        "home": os.environ["HOME"],
    }
    storage.write(TOLD, json.dumps(told).encode())


@dg.op(out=dg.Out(dg.Nothing), tags={STEP_TAG: TASK})
def wait() -> None:
    """Says which process it is, and waits."""
    FileStorage(read_environment().storage_root).write(STARTED, str(os.getpid()).encode())
    time.sleep(300)


EXECUTOR = build_executor(read_environment())


@dg.job(executor_def=EXECUTOR)
def telling() -> None:
    """Tells."""
    tell()


@dg.job(executor_def=EXECUTOR)
def waiting() -> None:
    """Waits."""
    wait()


defs = dg.Definitions(jobs=[telling, waiting])
