"""`python -m benchmarks.logs.redelivery LOGS`: one of many log files is delivered anew, with more lines, then with the same.

Everything is made from a copy of the folder first. Then it tells what the change takes: the look that finds it, the plan, the
run that makes the file's partial and the run that makes its days, and of each run what the catalog has as its work.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.logs.asset_run import STEPS, environment_of, plan_of, run_batch
from photo_popularity.definitions import PIPELINE, build_defs
from photo_popularity.detection import detect_files
from resources.dagster_home import make_folder, open_instance
from resources.installation import Installation, install

LINES_AGAIN = 100
AN_HOUR = 3_600


@dataclass(frozen=True)
class Site:
    """A folder of logs and what is made of it."""

    installation: Installation
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    def night(self) -> dict[str, float]:
        """Look, and make what is out of date; the seconds of each part, none for a step with nothing to do."""
        started = time.perf_counter()
        detect_files(self.installation, "log_files", self.instance)
        seconds = {"look": time.perf_counter() - started}
        for step in STEPS:
            started = time.perf_counter()
            batch = plan_of(step, self.installation)
            seconds[f"plan of {step}"] = time.perf_counter() - started
            if batch is None:
                continue
            started = time.perf_counter()
            run_id = run_batch(batch, self.installation, self.definitions, self.instance)
            seconds[f"run of {step}"] = time.perf_counter() - started
            made = self.installation.catalog.executions(run_id=run_id)
            seconds[step] = sum(its.seconds or 0 for its in made)
        return seconds


def deliver_again(logs: Path, home: Path) -> dict[str, dict[str, float]]:
    """The seconds of making everything, of one file with more lines, and of the same file with another time."""
    folder = home / "logs"
    shutil.copytree(logs, folder)
    environment = environment_of(home / "home", folder)
    make_folder(environment.home)
    with open_instance(environment) as instance:
        installation = install(environment, PIPELINE)
        site = Site(installation, build_defs(environment, installation=installation), instance)
        found = {"everything": site.night()}
        # Python would look for garbage among all that this process has made; the next night's has not made it
        gc.freeze()
        files = sorted(folder.iterdir())
        file = files[len(files) // 3]
        lines = file.read_bytes().splitlines(keepends=True)
        _write(file, b"".join(lines + lines[:LINES_AGAIN]), hours_ago=2)
        found["more lines"] = site.night()
        _write(file, file.read_bytes(), hours_ago=1)
        found["the same bytes"] = site.night()
    return found


def _write(file: Path, data: bytes, *, hours_ago: int) -> None:
    """What was touched just now would be left alone for a while."""
    file.write_bytes(data)
    moment = time.time() - hours_ago * AN_HOUR
    os.utime(file, (moment, moment))


def main() -> None:
    """Measure on the folder that is named, and print the seconds as JSON."""
    with tempfile.TemporaryDirectory() as home, redirect_stderr(StringIO()):
        found = deliver_again(Path(sys.argv[1]), Path(home))
    shown: dict[str, Any] = {
        what: {name: round(value, 3) for name, value in its.items()} for what, its in found.items()
    }
    print(json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
