"""`python -m benchmarks.logs`: make the logs, measure, and print the tables; start it on the cores to be measured."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.logs.measure import measure
from benchmarks.logs.rivals import (
    GZ,
    LARGE,
    OURS,
    PLAIN,
    SMALL,
    first_lines,
    jobs_for,
    ours,
    start_of_ours,
)
from benchmarks.logs.sets import LARGE_MEGABYTES, SEED, set_folder
from benchmarks.logs.tables import Results, cost_table, target_table

WIDTH = 180
ROUNDS, LARGE_ROUNDS = 5, 2


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What is to be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logs", description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1_000], metavar="N")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of which the median is taken")
    parser.add_argument("--large", action="store_true", help="one file of 4 GB too")
    parser.add_argument("--assets", action="store_true", help="the runs of the assets too, Dagster included")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed makes other logs")
    parser.add_argument(
        "--folder",
        type=Path,
        help="where the logs are made, and kept for the next time; a temporary folder unless given",
    )
    return parser.parse_args(arguments)


def measure_size(
    folder: Path, megabytes: int, *, asked: argparse.Namespace, tell: Callable[[str], object] = str
) -> Results:
    """All commands on the sets of one size."""
    sets = _made(folder, megabytes, asked.seed, PLAIN, SMALL, GZ)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tiny = _tiny_file(Path(scratch), sets[PLAIN][0])
        jobs = jobs_for(megabytes, sets, tiny, Path(scratch), assets=asked.assets)
        # or the first command to read a file would wait for the disk
        subprocess.run(
            ["cat", *map(str, sets[PLAIN] + sets[GZ] + sets[SMALL])], stdout=subprocess.DEVNULL, check=True
        )
        return Results(megabytes, measure(jobs, Path(scratch), rounds=asked.rounds, tell=tell))


def measure_large(folder: Path, *, seed: int, tell: Callable[[str], object] = str) -> Results:
    """Our command on one file of 4 GB."""
    files = _made(folder, LARGE_MEGABYTES, seed, LARGE)[LARGE]
    label, size = f"{LARGE_MEGABYTES:,} MB {LARGE}, one file", sum(path.stat().st_size for path in files)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tiny = _tiny_file(Path(scratch), files[0])
        jobs = [start_of_ours(tiny), ours(files, label, size)]
        return Results(LARGE_MEGABYTES, measure(jobs, Path(scratch), rounds=LARGE_ROUNDS, tell=tell))


def _made(folder: Path, megabytes: int, seed: int, *kinds: str) -> dict[str, list[Path]]:
    """The files of these sets, made by another process: what measures has to stay small."""
    places = {kind: set_folder(folder, kind, megabytes, seed) for kind in kinds}
    if not all(place.exists() for place in places.values()):
        sizes = ["--large"] if LARGE in kinds else ["--megabytes", str(megabytes)]
        program = [
            sys.executable,
            "-m",
            "benchmarks.logs.generate",
            "--seed",
            str(seed),
            "--folder",
            str(folder),
        ]
        subprocess.run([*program, *sizes], check=True)
    return {kind: sorted(place.iterdir()) for kind, place in places.items()}


def _tiny_file(folder: Path, log: Path) -> Path:
    tiny = folder / "tiny.log"
    tiny.write_bytes(first_lines(log))
    return tiny


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code is 1 when our table depends on how the same bytes are cut or packed."""
    asked = options(arguments)
    console, progress = Console(width=WIDTH, highlight=False), Console(file=sys.__stderr__, highlight=False)
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    console.print(
        f"{cores} cores may be used; load average {load:.1f} at the start; the targets are for two cores"
    )
    found = []
    if asked.folder:
        asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
        folder = asked.folder or Path(temporary)
        for megabytes in asked.megabytes:
            progress.print(f"{megabytes:,} MB …")
            found.append(measure_size(folder, megabytes, asked=asked, tell=progress.print))
            console.print(cost_table(found[-1]))
        if asked.large:
            found.append(measure_large(folder, seed=asked.seed, tell=progress.print))
            console.print(cost_table(found[-1]))
    console.print(target_table(found, LARGE_MEGABYTES))
    console.print(f"load average {os.getloadavg()[0]:.1f} at the end")
    return int(any(its.job.what == OURS and its.differing for results in found for its in results.measured))


if __name__ == "__main__":
    sys.exit(main())
