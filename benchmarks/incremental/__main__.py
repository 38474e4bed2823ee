"""`python -m benchmarks.incremental`: measure, and print the tables."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.incremental.others import Compared, compare_dvc, compare_make, find_dvc, start_of_this
from benchmarks.incremental.pipeline import FILES_IN_A_RUN, Bench, Measured, Preparation
from benchmarks.incremental.tables import (
    HUGE,
    LARGE,
    MIDDLE,
    SMALL,
    comparison_table,
    cost_table,
    preparation_table,
    slope_table,
    target_table,
)

WIDTH = 170
ROUNDS, SECONDS_FOR_ROUNDS = 5, 60.0


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What is to be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.incremental", description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[SMALL, MIDDLE], metavar="N")
    parser.add_argument("--large", action="store_true", help="100,000 and 1,000,000 files too")
    parser.add_argument("--changed", type=int, nargs="+", default=[0, 10, 1_000], metavar="K")
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"rounds of which the median is taken; no further one is begun after {SECONDS_FOR_ROUNDS:g} seconds",
    )
    parser.add_argument(
        "--first-run-files",
        type=int,
        default=FILES_IN_A_RUN,
        metavar="N",
        help="how many files go through the real job at first; the others are filled in without Dagster",
    )
    parser.add_argument(
        "--partition", choices=["file", "folder"], default="", help="a folder from 1,000,000 files on"
    )
    parser.add_argument(
        "--others-up-to", type=int, default=MIDDLE, metavar="N", help="Make and DVC up to so many files"
    )
    parser.add_argument(
        "--with-dvc", action="store_true", help="install DVC for the benchmark alone, if it is missing"
    )
    parser.add_argument("--folder", type=Path, help="where to work, a temporary folder unless given")
    return parser.parse_args(arguments)


def measure(
    folder: Path,
    files: int,
    *,
    changed: Sequence[int],
    rounds: int,
    first_run_files: int,
    grain: str = "",
    tell: Callable[[str], object] = str,
) -> tuple[Preparation, list[Measured]]:
    """The costs with N files, for each k that is no more than N; `tell` is told of each as it is known."""
    measured = []
    with Bench.of(folder, files, grain=grain, first_run_files=first_run_files) as bench:
        tell(str(bench.preparation))
        for k in changed:
            if k <= files:
                measured.append(bench.measure(k, rounds=rounds, seconds=SECONDS_FOR_ROUNDS))
                tell(str(measured[-1]))
    return bench.preparation, measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code is 1 when an execution count was wrong."""
    asked = options(arguments)
    warnings.filterwarnings("ignore", message=".*is currently in (beta|preview)")
    console, progress = Console(width=WIDTH, highlight=False), Console(file=sys.__stderr__, highlight=False)
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    console.print(
        f"{cores} cores may be used; load average {load:.1f} at the start; two cores are what the targets are for"
    )
    preparations, found = list[Preparation](), dict[tuple[int, int], Measured]()
    others = list[Compared]()
    dvc = find_dvc(install=asked.with_dvc)
    for files in sorted({*asked.files, *([LARGE, HUGE] if asked.large else [])}):
        with tempfile.TemporaryDirectory(dir=asked.folder, ignore_cleanup_errors=True) as folder:
            progress.print(f"{files:,} files …")
            preparation, its = measure(
                Path(folder, "ours"),
                files,
                changed=asked.changed,
                rounds=asked.rounds,
                first_run_files=asked.first_run_files,
                grain=asked.partition,
                tell=progress.print,
            )
            preparations.append(preparation)
            found |= {(files, one.changed): one for one in its}
            if files <= asked.others_up_to:
                progress.print(f"{files:,} files with Make and DVC …")
                others.append(compare_make(Path(folder, "make"), files))
                others.append(compare_dvc(Path(folder, "dvc"), files, dvc))
    for table in (
        preparation_table(preparations),
        cost_table(found),
        slope_table(found),
        target_table(found),
    ):
        console.print(table)
    if others:
        console.print(comparison_table(found, others, start_seconds=start_of_this()))
    console.print(f"load average {os.getloadavg()[0]:.1f} at the end")
    return 0 if all(one.as_expected for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
