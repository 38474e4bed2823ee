"""What was measured, as tables: costs with their ratios, the targets beside them, and the other tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from benchmarks.incremental.others import CHANGED, Compared
from benchmarks.incremental.pipeline import STEPS, Measured, Preparation

SMALL, MIDDLE, LARGE, HUGE = 1_000, 10_000, 100_000, 1_000_000
FEW, MANY_CHANGED = 10, 1_000
MEASUREMENTS = Mapping[tuple[int, int], Measured]


@dataclass(frozen=True)
class Target:
    """A promise, and how to take what it is about from the measurements; None while that was not measured."""

    what: str
    limit: float
    unit: str
    measured: Callable[[MEASUREMENTS], float | None]


def seconds_of_a_tick(files: int, changed: int) -> Callable[[MEASUREMENTS], float | None]:
    """Seconds of the tick with so many files changed."""
    return lambda found: its.tick_seconds if (its := found.get((files, changed))) else None


def seconds_of_a_run(files: int, changed: int) -> Callable[[MEASUREMENTS], float | None]:
    """Seconds of the run for so many files."""
    return lambda found: its.run_seconds if (its := found.get((files, changed))) else None


def files_written_when_idle(files: int) -> Callable[[MEASUREMENTS], float | None]:
    """Rows that idle ticks added, and database files in which they changed anything."""

    def count(found: MEASUREMENTS) -> float | None:
        idle = found.get((files, 0))
        if idle is None:
            return None
        return sum(one.tick_catalog_rows + one.tick_dagster_rows for one in idle.rounds) + len(
            idle.written_when_idle
        )

    return count


def seconds_per_further_file(found: MEASUREMENTS, files: int) -> float | None:
    """What one more changed file costs the runs: the slope from 10 to 1,000 changed ones. None when it is lost in noise."""
    few, many = found.get((files, FEW)), found.get((files, MANY_CHANGED))
    if few is None or many is None:
        return None
    slope = (many.run_seconds - few.run_seconds) / (many.changed - few.changed)
    return slope if slope > 0 else None


def ratio_of_a_run(changed: int) -> Callable[[MEASUREMENTS], float | None]:
    """The run with 100k files over the run with 1k, for as many changed ones."""

    def ratio(found: MEASUREMENTS) -> float | None:
        small, large = found.get((SMALL, changed)), found.get((LARGE, changed))
        return large.run_seconds / small.run_seconds if small and large else None

    return ratio


def ratio_of_a_further_file(found: MEASUREMENTS) -> float | None:
    """What one more changed file costs with 100k files, over the same with 1k."""
    small, large = seconds_per_further_file(found, SMALL), seconds_per_further_file(found, LARGE)
    return large / small if small and large else None


TARGETS = (
    Target("idle tick, 10k files", 0.3, "s", seconds_of_a_tick(MIDDLE, 0)),
    Target(
        "idle tick, 10k files: rows added or database files written", 0, "", files_written_when_idle(MIDDLE)
    ),
    Target("tick, 10 changed of 10k", 0.5, "s", seconds_of_a_tick(MIDDLE, FEW)),
    Target("runs, 10 changed of 10k", 2.0, "s", seconds_of_a_run(MIDDLE, FEW)),
    Target("tick, 10 changed of 100k", 2.0, "s", seconds_of_a_tick(LARGE, FEW)),
    Target("tick, 10 changed of 1M", 15.0, "s", seconds_of_a_tick(HUGE, FEW)),
    Target(
        "runs per further changed file (10 to 1,000 changed), 100k over 1k", 1.3, "x", ratio_of_a_further_file
    ),
    Target("runs per changed file, 1,000 changed, 100k over 1k", 1.3, "x", ratio_of_a_run(MANY_CHANGED)),
    Target("runs per changed file, 10 changed, 100k over 1k", 1.3, "x", ratio_of_a_run(FEW)),
)


def preparation_table(preparations: Iterable[Preparation]) -> Table:
    """How the files came to be up to date."""
    table = _table(
        "First runs: everything is new. Files beyond those that the real job made were put into catalog and storage "
        "without Dagster",
        "files N",
        "a partition",
        "made by the job",
        "seconds of its runs",
        "ms a file",
        "first look at the rest s",
        "filled without Dagster",
        "fill s",
        "peak memory MiB",
    )
    for one in preparations:
        table.add_row(
            f"{one.files:,}",
            one.partitions,
            f"{one.materialized:,}",
            " + ".join(f"{seconds:.1f}" for seconds in one.runs),
            f"{1_000 * sum(one.runs) / one.materialized:.2f}" if one.materialized else "",
            f"{one.look_seconds:.2f}",
            f"{one.filled:,}",
            f"{one.fill_seconds:.1f}",
            f"{one.peak_megabytes:,}",
        )
    return table


def cost_table(found: MEASUREMENTS) -> Table:
    """A row for each N and k, with medians, and the ratios to the smallest N."""
    table = _table(
        f"The tick that sees the change, and the runs until nothing is left; medians. Executions: {' + '.join(STEPS)}. "
        "Rows: catalog + Dagster. The ratio is of the runs",
        "files N",
        "changed k",
        "rounds",
        "tick s",
        "runs s",
        "runs",
        "executions",
        "tick rows",
        "run rows",
        "all ms per k",
        "runs ms per k",
        "ratio to smallest N",
    )
    for (files, changed), its in found.items():
        last = its.rounds[-1]
        first = found[min(of for of, k in found if k == changed), changed]
        per_file = ["", "", ""]
        if changed:
            ratio = f"{its.run_seconds / first.run_seconds:.2f}"
            per_file = [
                f"{1_000 * its.all_seconds / changed:.2f}",
                f"{1_000 * its.run_seconds / changed:.2f}",
                ratio,
            ]
        done = " + ".join(f"{count:,}" for count in last.executions)
        table.add_row(
            f"{files:,}",
            f"{changed:,}",
            str(len(its.rounds)),
            f"{its.tick_seconds:.3f}",
            f"{its.run_seconds:.3f}" if changed else "",
            str(last.runs),
            done if its.as_expected else f"{done}, NOT {last.expected}",
            f"{its.median(lambda one: one.tick_catalog_rows):,.0f} + {its.median(lambda one: one.tick_dagster_rows):,.0f}",
            f"{its.median(lambda one: one.run_catalog_rows):,.0f} + {its.median(lambda one: one.run_dagster_rows):,.0f}",
            *per_file,
        )
    return table


def slope_table(found: MEASUREMENTS) -> Table:
    """What one more changed file costs, with the ratio to the smallest N."""
    table = _table(
        "Runs per further changed file (10 to 1,000 changed)",
        "files N",
        "ms a file",
        "ratio to smallest N",
    )
    slopes = {files: seconds_per_further_file(found, files) for files, _ in found}
    first = next(iter(slopes.values()))
    for files, slope in slopes.items():
        if slope is not None:
            ratio = f"{slope / first:.2f}" if first else ""
            table.add_row(f"{files:,}", f"{1_000 * slope:.2f}", ratio)
    return table


def target_table(found: MEASUREMENTS) -> Table:
    """The targets beside what was measured."""
    table = _table("Targets, on two cores, local disk, SQLite", "what", "at most", "measured", "")
    for target in TARGETS:
        measured = target.measured(found)
        if measured is None:
            table.add_row(target.what, f"{target.limit:g} {target.unit}", "not measured", "")
        else:
            verdict = "pass" if measured <= target.limit else "FAIL"
            table.add_row(
                target.what, f"{target.limit:g} {target.unit}", f"{measured:.2f} {target.unit}", verdict
            )
    return table


def comparison_table(found: MEASUREMENTS, others: Sequence[Compared], *, start_seconds: float) -> Table:
    """The project beside the other tools, on the same edit."""
    table = _table(
        f"The same edit, {CHANGED} files changed. Ours in a process that has started: idle is a tick, changed a tick and its "
        "run; of the others each time is a whole process",
        "files N",
        "tool",
        "its start s",
        "idle s",
        "changed s",
        f"files processed ({' + '.join(STEPS)})",
    )
    for files in sorted({one.files for one in others}):
        idle, changed = found.get((files, 0)), found.get((files, CHANGED))
        ours = ["", "", "not measured"]
        if idle and changed:
            processed = " + ".join(map(str, changed.rounds[-1].executions))
            ours = [f"{idle.tick_seconds:.2f}", f"{changed.all_seconds:.2f}", processed]
        table.add_row(f"{files:,}", "this project", f"{start_seconds:.2f}", *ours)
        for one in others:
            if one.files != files:
                continue
            if one.problem:
                table.add_row("", one.tool, "", "", "", one.problem)
                continue
            table.add_row(
                "",
                one.tool,
                f"{one.start_seconds:.2f}",
                f"{one.idle_seconds:.2f}",
                f"{one.changed_seconds:.2f}",
                " + ".join(f"{count:,}" for count in one.processed),
            )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        is_text = column in {"what", "tool", "a partition"} or column.startswith("files processed")
        table.add_column(column, justify="left" if is_text else "right")
    return table
