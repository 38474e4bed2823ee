"""`python -m benchmarks.logs.asset_run FOLDER`: the logs of a folder through the assets, Dagster included, in a new home.

The look that finds the files, the run of `log_signals` and the run of `behavior_signals`, each as it is at night. Prints
the seconds of each; the process as a whole is what is compared with the bare scan.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from datetime import date
from io import StringIO
from pathlib import Path

from photo_popularity.definitions import PIPELINE, build_defs
from photo_popularity.detection import detect_files
from photo_popularity.jobs import job_of, run_here
from photo_popularity.planning import assets_of, last_complete_day, next_batch, range_tags, yesterday
from resources.dagster_home import make_folder, open_instance
from resources.environment import Environment
from resources.installation import Installation, install
from resources.io_managers import LAUNCHED_BY_TAG
from resources.settings import Settings

# each with the last day that is up to be made: files have none
STEPS: dict[str, Callable[[Installation], date]] = {
    "log_signals": lambda installation: yesterday(),
    "behavior_signals": last_complete_day,
}


def run_assets(logs: Path, home: Path) -> dict[str, float]:
    """The seconds of the look and of each step's run; raises RuntimeError when a run fails."""
    environment = Environment("local", "benchmark", home, Settings(logs=str(logs), data_since="2026-08-01"))
    make_folder(home)
    with open_instance(environment) as instance:
        installation = install(environment, PIPELINE)
        definitions = build_defs(environment, installation=installation)
        clock = _Clock()
        detect_files(installation, "log_files", instance)
        seconds = {"look": clock.lap()}
        for step, last_day in STEPS.items():
            batch = next_batch(installation, last_day(installation), steps=(step,), done=set())
            if batch is None:
                raise RuntimeError(f"nothing of {step} is out of date")
            result = run_here(
                definitions.resolve_job_def(job_of(installation.pipeline, batch.kind)),
                instance,
                assets=assets_of(installation, batch),
                tags={**range_tags(installation, batch, instance), LAUNCHED_BY_TAG: "benchmark"},
            )
            if not result.success:
                raise RuntimeError(f"the run of {step} failed")
            seconds[step] = clock.lap()
    return seconds


class _Clock:
    """Says how long ago it was last asked."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        now = time.perf_counter()
        lap, self._last = now - self._last, now
        return round(lap, 3)


def main() -> None:
    """Run the assets on the folder that is named, and print the seconds as JSON."""
    # where the home is, is nobody's business once it is gone; the run's log lines neither
    with tempfile.TemporaryDirectory() as home, redirect_stderr(StringIO()):
        seconds = run_assets(Path(sys.argv[1]), Path(home))
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
