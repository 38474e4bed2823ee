"""What was measured, as tables, each with its ratios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from rich import box
from rich.table import Table

from benchmarks.deployment.events import Written
from benchmarks.deployment.nights import Nights
from benchmarks.deployment.queued_runs import Queued, most_at_once

LEFT = {"where", "events", "storage", "how", "content versions", "ended", "of"}


def night_table(nights: Sequence[Nights], milliseconds: Mapping[str, float]) -> Table:
    """A row for each place, beside the embedded night, which is the first."""
    embedded = nights[0]
    asked = ", ".join(f"{kind} {its:.1f} ms" for kind, its in milliseconds.items())
    table = _table(
        "The same night, each round from nothing; medians, processes and their start included. S3 is moto's server, a slow "
        f"stand-in in one Python process (an object of 1 kB: {asked})",
        *"where|events|rounds|s|over embedded|content versions".split("|"),
    )
    for its in nights:
        same = "as embedded" if its.made == embedded.made else "NOT as embedded"
        table.add_row(
            its.place,
            its.events,
            str(len(its.seconds)),
            f"{median(its.seconds):.1f}",
            f"{its.over(embedded):.2f}",
            f"{len(its.made)} {'' if its is embedded else same}".strip(),
        )
    return table


def event_table(written: Sequence[Sequence[Written]]) -> Table:
    """A row for each way, by its rounds; the ratio is to the stock class on the same storage."""
    table = _table(
        f"Materializations that a step logs at its end, one run over {written[0][0].events:,} partitions; medians. The run "
        "plans as many more, and Dagster tells of each itself",
        *"storage|how|rounds|events a second|over stock|run s|stock over it".split("|"),
    )
    stock = {its[0].way.storage: its for its in reversed(written)}
    for its in written:
        base = stock[its[0].way.storage]
        pairs = list(zip(its, base, strict=True))
        table.add_row(
            its[0].way.storage,
            its[0].way.how,
            str(len(its)),
            f"{median(one.per_second for one in its):,.0f}",
            f"{median(one.per_second / other.per_second for one, other in pairs):.1f}",
            f"{median(one.run_seconds for one in its):.2f}",
            f"{median(other.run_seconds / one.run_seconds for one, other in pairs):.1f}",
        )
    return table


def queue_figures(queued: Queued) -> Table:
    """One row: what all of the runs took."""
    table = _table(
        f"{queued.runs} runs of a single partition of photo_metadata, all in the queue before the daemon begins; from the first "
        "launch to the last end. A run takes the start of its process, too",
        *"ended|s to queue them|s|runs a minute|s a run, median|places taken".split("|"),
    )
    table.add_row(
        ", ".join(f"{count} {status}" for status, count in sorted(queued.ended.items())),
        f"{queued.seconds_to_queue:.1f}",
        f"{queued.seconds:.0f}",
        f"{60 * len(queued.intervals) / queued.seconds:.1f}",
        f"{queued.seconds_of_a_run:.1f}",
        f"{100 * queued.busy_share:.0f} %",
    )
    return table


def queue_table(queued: Queued) -> Table:
    """One row a limit: how many of its runs have begun and ended, and how many were at work at once."""
    table = _table("Runs at work at once", *"of|runs|most at once|limit|".split("|"))
    for name, its, limit in (
        ("all", queued.intervals, queued.limits.runs),
        ("dagster/backfill", queued.of_backfills, queued.limits.of_backfills),
    ):
        most = most_at_once(its)
        table.add_row(name, str(len(its)), str(most), str(limit), "pass" if most <= limit else "FAIL")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="left" if column in LEFT else "right")
    return table
