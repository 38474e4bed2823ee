"""Running commands in turn, and what each cost: CPU of the whole tree of processes, wall time, peak memory.

Rounds are interleaved: each runs every command once, in the same order, so that what disturbs the machine disturbs all.
The peak is that of the largest single process of a tree, and at least that of the process that measures (some 30 MB):
Linux lets a process start with the peak of its parent. So whoever measures must not load much itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Job:
    """A command to measure: who runs it, on which data of how many bytes when unpacked.

    With `is_table` it prints the table that is compared, with `tells_seconds` a number; with `problem` it cannot be run. No more than `most_rounds`
    are measured of what takes long.
    """

    what: str
    data: str
    command: Sequence[str]
    bytes: int
    is_table: bool = False
    tells_seconds: bool = False
    problem: str = ""
    most_rounds: int = sys.maxsize


@dataclass(frozen=True)
class Sample:
    """One run; `told` are the seconds that the command itself prints, if it does."""

    cpu: float
    wall: float
    peak_bytes: int
    told: float = 0.0


@dataclass
class Measured:
    """All runs of one job, and how its table compares to ours; `problem` says why there is none."""

    job: Job
    samples: list[Sample] = field(default_factory=list)
    differing: int | None = None
    problem: str = ""

    @property
    def cpu(self) -> float:
        """CPU seconds, user and system, of the whole tree: the median of the runs."""
        return median(sample.cpu for sample in self.samples)

    @property
    def wall(self) -> float:
        """Seconds from start to end: the median of the runs."""
        return median(sample.wall for sample in self.samples)

    @property
    def told(self) -> float:
        """Seconds that the command printed: the median of the runs."""
        return median(sample.told for sample in self.samples)

    @property
    def peak_megabytes(self) -> float:
        """The most that a single process of any run took."""
        return max(sample.peak_bytes for sample in self.samples) / 1e6


def measure(
    jobs: Sequence[Job], folder: Path, *, rounds: int, tell: Callable[[str], object] = str
) -> list[Measured]:
    """Every job, round by round; then the tables are compared to the first one."""
    found = [Measured(job, problem=job.problem) for job in jobs]
    for number in range(rounds):
        for place, its in enumerate(found):
            if its.problem or number >= its.job.most_rounds:
                continue
            tell(f"round {number + 1} of {rounds}: {its.job.what}, {its.job.data}")
            sample, its.problem = run(its.job.command, output=folder / f"{place}.csv")
            if not its.problem:
                told = float((folder / f"{place}.csv").read_text()) if its.job.tells_seconds else 0.0
                its.samples.append(replace(sample, told=told))
    tables = [place for place, its in enumerate(found) if its.job.is_table and its.samples]
    for place in tables:
        found[place].differing = _differing(folder / f"{tables[0]}.csv", folder / f"{place}.csv")
    return found


def run(command: Sequence[str], *, output: Path) -> tuple[Sample, str]:
    """Run one command with its output in a file; returns what it cost, and why it failed if it did."""
    errors = output.with_suffix(".err")
    with output.open("wb") as out, errors.open("wb") as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
    # or Popen would wait for a process that is gone
    process.returncode = os.waitstatus_to_exitcode(status)
    sample = Sample(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1_024)
    if process.returncode == 0:
        return sample, ""
    last = errors.read_text(errors="replace").strip().splitlines()[-1:] or [""]
    return sample, f"aborted with {process.returncode}: {last[0][:100]}"


def _differing(ours: Path, other: Path) -> int:
    command = [sys.executable, "-m", "benchmarks.logs.rows", str(ours), str(other)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def ratio(
    ours: Measured, other: Measured, of: Callable[[Sample], float], *, less: float = 0.0
) -> float | None:
    """Ours over the other's: the median of the ratios of pairs, run one after the other. `less` is taken off ours."""
    pairs = list(zip(ours.samples, other.samples, strict=False))
    return median((of(mine) - less) / of(its) for mine, its in pairs) if pairs else None
