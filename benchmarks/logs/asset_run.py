"""`python -m benchmarks.logs.asset_run STEP HOME LOGS`: one step of the assets on a folder of logs, Dagster included.

First `look`, in a new home, which finds the files; then the runs of `log_signals` and `behavior_signals`, each in a process
of its own as after `dagster asset materialize`. The process as a whole is what is compared with the bare scan.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import date
from io import StringIO
from pathlib import Path

import dagster as dg

from photo_popularity.definitions import PIPELINE, build_defs
from photo_popularity.detection import detect_files
from photo_popularity.jobs import job_of, run_here
from photo_popularity.planning import (
    Batch,
    assets_of,
    last_complete_day,
    next_batch,
    range_tags,
    yesterday,
)
from resources.dagster_home import make_folder, open_instance
from resources.environment import Environment
from resources.installation import Installation, install
from resources.run_coordinator import LAUNCHED_BY_TAG
from resources.settings import Settings

LOOK = "look"

# each with the last day that is up to be made: files have none
STEPS: dict[str, Callable[[Installation], date]] = {
    "log_signals": lambda installation: yesterday(),
    "behavior_signals": last_complete_day,
}


def environment_of(home: Path, logs: Path) -> Environment:
    """A new installation whose site has these logs and nothing else."""
    return Environment("local", "benchmark", home, Settings(logs=str(logs), data_since="2026-08-01"))


def do_step(step: str, home: Path, logs: Path) -> float:
    """The seconds of the look, or of one step's run; raises RuntimeError when the run fails or has nothing to do."""
    if step == LOOK:
        shutil.rmtree(home, ignore_errors=True)
    environment = environment_of(home, logs)
    make_folder(home)
    with open_instance(environment) as instance:
        installation = install(environment, PIPELINE)
        definitions = build_defs(environment, installation=installation)
        started = time.perf_counter()
        if step == LOOK:
            detect_files(installation, "log_files", instance)
            return time.perf_counter() - started
        batch = plan_of(step, installation)
        if batch is None:
            raise RuntimeError(f"nothing of {step} is out of date")
        run_batch(batch, installation, definitions, instance)
        return time.perf_counter() - started


def plan_of(step: str, installation: Installation) -> Batch | None:
    """What is out of date of a step."""
    return next_batch(installation, STEPS[step](installation), steps=(step,), done=set())


def run_batch(
    batch: Batch, installation: Installation, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> str:
    """Run it, and give the run's id; raises RuntimeError when it fails."""
    result = run_here(
        definitions.resolve_job_def(job_of(installation.pipeline, batch.kind)),
        instance,
        assets=assets_of(installation, batch),
        tags={**range_tags(installation, batch, instance), LAUNCHED_BY_TAG: "benchmark"},
    )
    if not result.success:
        raise RuntimeError(f"run {result.run_id} failed")
    return result.run_id


def main() -> None:
    """Do what is asked for, and print its seconds: beside those of the process, which has to import Dagster first."""
    step, home, logs = sys.argv[1:]
    # the run's log lines are nobody's business
    with redirect_stderr(StringIO()):
        seconds = do_step(step, Path(home), Path(logs))
    print(f"{seconds:.3f}")


if __name__ == "__main__":
    main()
