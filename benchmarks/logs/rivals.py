"""The commands that are measured: ours, the Unix pipeline, DuckDB, Polars, and what the machine can do at all.

The pipeline (`pipeline.sh` with `signals.awk` and `totals.awk`) is what an expert arrives at. Tried on 1 GB with two
cores of an AMD EPYC, CPU seconds with wall in brackets:

- mawk splits lines at quotes, cheap patterns for the usual line, events sorted a process, then merged: 7.8 (4.5), kept.
- The same with one process a file: 8.3 (4.7), for each tells all the robots again.
- The same with `grep -aE` before mawk, which drops half of the lines: 9.4 (5.5); writing to the pipe costs more than it saves.
- The same with one `sort --parallel=2` of all events at the end: 7.8 (4.7), as good.
- Robots' views in mawk's arrays instead of as events: 0.4 more.
- Everything in mawk's arrays, visitors too: 19 (10.2); its hash chains are long when tables are large.

Reading alone takes mawk 0.2, with the splitting 0.7. No row differs from the readable reference, hard lines included.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from benchmarks.logs.measure import Job

OURS, PIPELINE, GZIP = "this project", "mawk and sort", "gzip -dc"
ASSET_STEPS = ("look", "log_signals", "behavior_signals")
TINY = "20 lines"
PLAIN, GZ, SMALL, LARGE = "plain", "gz", "small", "large"
ENGINE_ROUNDS, TINY_LINES = 2, 20
_HERE = Path(__file__).parent


def jobs_for(
    megabytes: int, sets: dict[str, list[Path]], tiny: Path, scratch: Path, *, assets: bool = False
) -> list[Job]:
    """All commands for one size. Ours and its rivals on the same data stand side by side: they are pairs."""
    size = sum(path.stat().st_size for path in sets[PLAIN])
    label = {name: f"{megabytes:,} MB {name}, {len(files):,} files" for name, files in sets.items()}
    jobs = [start_of_ours(tiny)]
    for name in (PLAIN, GZ, SMALL):
        jobs.append(ours(sets[name], label[name], size))
        jobs.append(pipeline(sets[name], label[name], size, scratch))
        if name == GZ:
            jobs.append(_gzip(sets[name], label[name], size))
        if name == PLAIN and assets:
            jobs += asset_runs(sets[name], label[name], size, scratch)
    for engine in ("duckdb", "polars"):
        jobs.append(_engine(engine, sets[PLAIN], label[PLAIN], size))
    for program in (["cat"], ["wc", "-l"], ["sha256sum"]):
        jobs.append(Job(" ".join(program), label[PLAIN], [*program, *map(str, sets[PLAIN])], size))
    return jobs


def ours(files: Sequence[Path], data: str, size: int) -> Job:
    """The project's own command."""
    program = str(Path(sys.executable).with_name("photo-popularity"))
    return Job(
        OURS,
        data,
        [program, "scan-logs", *map(str, files)],
        size,
        is_table=True,
        problem=_ours_missing(program),
    )


def asset_runs(files: Sequence[Path], data: str, size: int, scratch: Path) -> list[Job]:
    """The steps of the assets, on the start of each file and on all of it: the former is what they take to start."""
    starts = scratch / "starts"
    starts.mkdir(exist_ok=True)
    for file in files:
        (starts / file.name).write_bytes(first_lines(file))
    found = []
    for place, what, bytes_ in ((starts, TINY, 1), (files[0].parent, data, size)):
        for step in ASSET_STEPS:
            home = scratch / f"home-{place.name}"
            program = [sys.executable, "-m", "benchmarks.logs.asset_run", step, str(home), str(place)]
            found.append(Job(asset_run(step), what, program, bytes_, tells_seconds=True))
    return found


def asset_run(step: str) -> str:
    """What a step of the assets is called in the tables."""
    return f"asset run: {step}"


def first_lines(log: Path) -> bytes:
    """The first lines of a log: to scan them costs the start of the program alone."""
    with log.open("rb") as lines:
        return b"".join(islice(lines, TINY_LINES))


def start_of_ours(tiny: Path) -> Job:
    """The same on a few lines, which costs the start alone."""
    return replace(ours([tiny], TINY, tiny.stat().st_size), is_table=False)


def pipeline(files: Sequence[Path], data: str, size: int, scratch: Path) -> Job:
    """The tuned pipeline; the robots' pattern is put into its folder once, as one would keep it in a file."""
    robots = scratch / "robots"
    if not robots.exists():
        # in another process, for the patterns take memory
        code = "from benchmarks.logs.robot_patterns import awk_pattern; print(awk_pattern())"
        robots.write_bytes(
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
        )
    cores = len(os.sched_getaffinity(0))
    each = -(-len(files) // cores)
    script = ["sh", str(_HERE / "pipeline.sh"), str(scratch), str(cores), str(each)]
    missing = "" if shutil.which("mawk") else "mawk is not on PATH"
    return Job(PIPELINE, data, [*script, *map(str, files)], size, is_table=True, problem=missing)


def _gzip(files: Sequence[Path], data: str, size: int) -> Job:
    cores = len(os.sched_getaffinity(0))
    script = 'printf "%s\\0" "$@" | xargs -0 -P"$0" -n1 gzip -dc > /dev/null'
    return Job(GZIP, data, ["sh", "-c", script, str(cores), *map(str, files)], size)


def _engine(name: str, files: Sequence[Path], data: str, size: int) -> Job:
    command = [sys.executable, "-m", f"benchmarks.logs.with_{name}", *map(str, files)]
    missing = "" if importlib.util.find_spec(name) else "not installed"
    return Job(name, data, command, size, is_table=True, problem=missing, most_rounds=ENGINE_ROUNDS)


def _ours_missing(program: str) -> str:
    try:
        asked = subprocess.run([program, "scan-logs", "--help"], capture_output=True, check=False)
    except FileNotFoundError:
        return "photo-popularity is not installed"
    return "scan-logs is not there" if asked.returncode else ""
