"""What was measured, as tables: every command beside ours, and the targets with their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from rich import box
from rich.table import Table

from benchmarks.logs.measure import Measured, Sample, ratio
from benchmarks.logs.rivals import GZ, GZIP, LARGE, OURS, PIPELINE, PLAIN, SMALL, TINY, asset_run

GIGABYTE = 1_000
Ratio = Callable[["Results"], float | None]


@dataclass(frozen=True)
class Results:
    """Everything measured on the sets of one size."""

    megabytes: int
    measured: Sequence[Measured]

    def of(self, what: str, data: str) -> Measured | None:
        """The runs of a command on a kind of data; None when there are none."""
        label = data if data == TINY else f"{self.megabytes:,} MB {data},"
        for its in self.measured:
            if its.job.what == what and its.job.data.startswith(label) and its.samples:
                return its
        return None

    def against(
        self, rival: str, data: str, of: Callable[[Sample], float], *, without_start: bool = False
    ) -> float | None:
        """Ours over the rival's on the same data; our start can be taken off."""
        mine, its, tiny = self.of(OURS, data), self.of(rival, data), self.of(OURS, TINY)
        if mine is None or its is None or (without_start and tiny is None):
            return None
        start = _median(tiny, of) if without_start and tiny else 0.0
        return ratio(mine, its, of, less=start)


@dataclass(frozen=True)
class Target:
    """A promise about one size, and how to take it from the results; `strictly` means less than the limit."""

    what: str
    limit: float
    unit: str
    megabytes: int
    measured: Ratio
    strictly: bool = False


def cpu(sample: Sample) -> float:
    """CPU seconds of a run."""
    return sample.cpu


def wall(sample: Sample) -> float:
    """Seconds of a run."""
    return sample.wall


def targets(large_megabytes: int) -> tuple[Target, ...]:
    """All that is promised."""
    found = []
    for name, of in (("CPU", cpu), ("wall", wall)):
        found += [
            _target(f"{name} over the pipeline's, 1 GB", 1 / 4, PIPELINE, PLAIN, of),
            _target(
                f"{name} over the pipeline's, 1 GB, without our start",
                1 / 8,
                PIPELINE,
                PLAIN,
                of,
                start=False,
            ),
            _target(
                f"{name} over gzip -dc alone, 1 GB of .gz, without our start", 1, GZIP, GZ, of, start=False
            ),
        ]
    return (
        *found,
        Target("CPU, 10,000 files over ten of the same bytes", 3, "x", GIGABYTE, _small_files),
        Target(
            "wall, the run of log_signals without its start over the bare scan, 1 GB",
            1.3,
            "x",
            GIGABYTE,
            _asset_run,
        ),
        Target("peak memory of one file of 4 GB", 300, "MB", large_megabytes, _peak, strictly=True),
    )


def _target(
    what: str, limit: float, rival: str, data: str, of: Callable[[Sample], float], *, start: bool = True
) -> Target:
    def measured(results: Results) -> float | None:
        return results.against(rival, data, of, without_start=not start)

    return Target(what, limit, "x", GIGABYTE, measured, strictly=rival == GZIP)


def _small_files(results: Results) -> float | None:
    small, ten = results.of(OURS, SMALL), results.of(OURS, PLAIN)
    return ratio(small, ten, cpu) if small and ten else None


def _asset_run(results: Results) -> float | None:
    step = asset_run("log_signals")
    run, start, scan = results.of(step, PLAIN), results.of(step, TINY), results.of(OURS, PLAIN)
    if not (run and start and scan):
        return None
    # what the process takes to import Dagster varies by more than the run itself
    return median(
        (mine.told - start.told) / bare.wall for mine, bare in zip(run.samples, scan.samples, strict=False)
    )


def _peak(results: Results) -> float | None:
    its = results.of(OURS, LARGE)
    return its.peak_megabytes if its else None


def _median(its: Measured, of: Callable[[Sample], float]) -> float:
    return its.cpu if of is cpu else its.wall


def cost_table(results: Results) -> Table:
    """A row for each command. Ratios are ours over its, so that less than 1 is good for us."""
    table = _table(
        f"{results.megabytes:,} MB; medians. Ours over its: the median of the pairs' ratios. Peak: the largest process. (): the run itself",
        *"what|data|rounds|CPU s|wall s|MB/s per core|peak MB|CPU, ours over its|wall, ours over its".split(
            "|"
        ),
        "rows that differ",
    )
    for its in results.measured:
        if not its.samples:
            table.add_row(its.job.what, its.job.data, "", "", "", "", "", "", "", its.problem)
            continue
        mine = next((one for one in results.measured if _is_ours_for(one, its)), None)
        rows = "" if its.differing is None or its.job.data == TINY else f"{its.differing:,}"
        table.add_row(
            its.job.what,
            its.job.data,
            str(len(its.samples)),
            f"{its.cpu:.2f}",
            f"{its.wall:.2f} ({its.told:.2f})" if its.told else f"{its.wall:.2f}",
            f"{its.job.bytes / 1e6 / its.cpu:,.0f}" if its.cpu and its.job.data != TINY else "",
            f"{its.peak_megabytes:,.0f}",
            *(_shown(ratio(mine, its, of) if mine else None) for of in (cpu, wall)),
            its.problem or rows,
        )
    return table


def _is_ours_for(one: Measured, its: Measured) -> bool:
    return one.job.what == OURS and one.job.data == its.job.data and one is not its and its.job.data != TINY


def target_table(found: Sequence[Results], large_megabytes: int) -> Table:
    """The targets beside what was measured."""
    table = _table("Targets, on two cores", "what", "at most", "measured", "")
    for target in targets(large_megabytes):
        results = next((one for one in found if one.megabytes == target.megabytes), None)
        measured = target.measured(results) if results else None
        limit = f"{'< ' if target.strictly else ''}{target.limit:g} {target.unit}"
        if measured is None:
            table.add_row(target.what, limit, "not measured", "")
            continue
        kept = measured < target.limit if target.strictly else measured <= target.limit
        table.add_row(target.what, limit, f"{measured:.3f} {target.unit}", "PASS" if kept else "FAIL")
    return table


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(
            column, justify="left" if column in {"what", "data", "rows that differ"} else "right"
        )
    return table
