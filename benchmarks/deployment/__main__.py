"""`python -m benchmarks.deployment`: start the servers, measure, and print the tables."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from benchmarks.deployment.events import Written, ways, write
from benchmarks.deployment.nights import Servers, measure_nights, milliseconds_of_requests
from benchmarks.deployment.queued_runs import measure_queue
from benchmarks.deployment.tables import event_table, night_table, queue_figures, queue_table
from photo_popularity.sample_site.generate import generate_site
from tests.end_to_end.site_scale import SMALL_SCALE
from tests.services.postgres import PostgresServer, running_server, server_binaries
from tests.services.s3 import running_s3

WIDTH = 150
ROUNDS, EVENTS, RUNS, SECONDS_FOR_THE_QUEUE = 2, 100, 100, 300.0
# unlike the tests' server it flushes each commit to the disk, as one that is used does
SERVER = {"max_connections": "200"}
NIGHTS, WRITES, QUEUE = "night", "events", "queue"
NO_POSTGRES = (
    "this machine has no PostgreSQL server (Debian: apt-get install postgresql); nothing is measured"
)


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What is to be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deployment", description=__doc__)
    parser.add_argument("--only", choices=[NIGHTS, WRITES, QUEUE], nargs="+", default=[NIGHTS, WRITES, QUEUE])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of which the median is taken")
    parser.add_argument("--days", type=int, default=SMALL_SCALE.days, help="the night needs 24")
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N", help="partitions of the run")
    parser.add_argument("--runs", type=int, default=RUNS, metavar="N", help="runs in the queue")
    parser.add_argument(
        "--seconds-for-queue",
        type=float,
        default=SECONDS_FOR_THE_QUEUE,
        help="the daemon is ended after so long, also when runs are left",
    )
    parser.add_argument("--folder", type=Path, help="where to work, a temporary folder unless given")
    return parser.parse_args(arguments)


def measure_events(
    folder: Path, postgres: PostgresServer, *, events: int, rounds: int, tell: Callable[[str], object] = str
) -> list[list[Written]]:
    """The rounds of each way of writing events, all ways in turn."""
    found = [list[Written]() for _ in ways()]
    for turn in range(rounds):
        for place, its in enumerate(found):
            database = postgres.new_database()
            its.append(write(ways()[place], database, folder / f"{turn}-{place}", events))
            postgres.drop(database)
            tell(f"{its[-1].way.storage} {its[-1].way.how}: {its[-1].per_second:,.0f} events a second")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code is 1 when a night made something else, or the queue did not keep its limits."""
    asked = options(arguments)
    warnings.filterwarnings("ignore", message=".*is currently in (beta|preview)")
    console, progress = Console(width=WIDTH, highlight=False), Console(file=sys.__stderr__, highlight=False)
    binaries = server_binaries()
    if binaries is None:
        console.print(NO_POSTGRES)
        return 0
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    console.print(f"{cores} cores may be used, by the servers too; load average {load:.1f} at the start")
    wrong = False
    with (
        tempfile.TemporaryDirectory(dir=asked.folder, ignore_cleanup_errors=True) as temporary,
        running_server(binaries, SERVER) as postgres,
    ):
        folder, scale = Path(temporary), replace(SMALL_SCALE, days=asked.days)
        site = generate_site(folder / "site", scale=scale).folder
        if NIGHTS in asked.only:
            with running_s3(folder / "s3.log") as s3:
                servers = Servers(postgres, s3)
                nights = measure_nights(folder, site, servers, rounds=asked.rounds, tell=progress.print)
                console.print(night_table(nights, milliseconds_of_requests(s3)))
            wrong |= any(its.made != nights[0].made for its in nights)
        if WRITES in asked.only:
            written = measure_events(
                folder / "events", postgres, events=asked.events, rounds=asked.rounds, tell=progress.print
            )
            console.print(event_table(written))
        if QUEUE in asked.only:
            progress.print(f"{asked.runs} runs in the queue …")
            queued = measure_queue(
                folder / "queue",
                site,
                postgres,
                runs=asked.runs,
                last=scale.first_day + timedelta(days=scale.days - 1),
                seconds=asked.seconds_for_queue,
            )
            console.print(queue_figures(queued))
            console.print(queue_table(queued))
            wrong |= not queued.as_expected
    console.print(f"load average {os.getloadavg()[0]:.1f} at the end")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
