"""Many runs of a single partition each, queued before the daemon of `deploy/one_machine` begins: how they get through its limits."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa
import yaml

from photo_popularity.jobs import NIGHTLY_JOB
from tests.services.one_machine import DEPLOYMENT, one_machine, variables_of_files
from tests.services.postgres import PostgresServer

BACKFILL_TAG, ASSET = "dagster/backfill", "photo_metadata"
LAUNCH = """mutation Launch($runs: [ExecutionParams!]!) { launchMultipleRuns(executionParamsList: $runs) {
  ... on LaunchMultipleRunsResult { launchMultipleRunsResult { __typename
    ... on LaunchRunSuccess { run { runId } } } } } }"""
SECONDS_TO_LAUNCH = 300
TIMES = """SELECT run_id, min(timestamp) FILTER (WHERE dagster_event_type = 'PIPELINE_STARTING'),
  max(timestamp) FILTER (WHERE dagster_event_type IN ('PIPELINE_SUCCESS', 'PIPELINE_FAILURE', 'PIPELINE_CANCELED'))
  FROM event_logs GROUP BY run_id"""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Limits:
    """What `dagster.yaml` allows at once: runs in all, and runs of backfills."""

    runs: int
    of_backfills: int


@dataclass(frozen=True)
class Queued:
    """What became of the runs."""

    runs: int
    limits: Limits
    seconds_to_queue: float
    ended: Mapping[str, int]
    intervals: Sequence[Interval]
    of_backfills: Sequence[Interval]

    @property
    def seconds(self) -> float:
        """From the first launch to the last end."""
        return max(end for _, end in self.intervals) - min(start for start, _ in self.intervals)

    @property
    def seconds_of_a_run(self) -> float:
        """From its launch to its end; the median."""
        return median(end - start for start, end in self.intervals)

    @property
    def busy_share(self) -> float:
        """How much of the places' time a run was in them."""
        return sum(end - start for start, end in self.intervals) / (self.limits.runs * self.seconds)

    @property
    def as_expected(self) -> bool:
        """Whether all were made, within the limits."""
        return (
            self.ended == {"SUCCESS": self.runs}
            and most_at_once(self.intervals) <= self.limits.runs
            and most_at_once(self.of_backfills) <= self.limits.of_backfills
        )


def most_at_once(intervals: Iterable[Interval]) -> int:
    """How many of the intervals have an instant in common, at most; one that ends as another begins does not meet it.

    >>> most_at_once([(0, 2), (1, 3), (2, 4)])
    2
    """
    steps = sorted(step for start, end in intervals for step in ((start, 1), (end, -1)))
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def limits_of_the_deployment() -> Limits:
    """What the file says that the services copy."""
    its = yaml.safe_load((DEPLOYMENT / "dagster.yaml").read_text())["concurrency"]["runs"]
    [of_backfills] = [
        limit["limit"] for limit in its["tag_concurrency_limits"] if limit["key"] == BACKFILL_TAG
    ]
    return Limits(its["max_concurrent_runs"], of_backfills)


def measure_queue(
    folder: Path, site: Path, postgres: PostgresServer, *, runs: int, last: date, seconds: float
) -> Queued:
    """Queue runs of so many days, every second one as of a backfill, and wait so long for their end."""
    first = last - timedelta(days=runs - 1)
    catalog, dagster = postgres.new_database(), postgres.new_database()
    variables = {
        **variables_of_files(folder, site, catalog=catalog, dagster=dagster),
        "PHOTO_POPULARITY_DATA_SINCE": first.isoformat(),
    }
    days = [first + timedelta(days=place) for place in range(runs)]
    (folder / "home").mkdir(parents=True)
    engine = sa.create_engine(dagster)
    try:
        with one_machine(folder, variables, ["code", "webserver"]) as machine:
            began = time.monotonic()
            of_backfills = launch(machine.address, days)
            seconds_to_queue = time.monotonic() - began
            machine.start("daemon")
            deadline = time.monotonic() + seconds
            while not _all_ended(engine) and time.monotonic() < deadline:
                time.sleep(1)
            # before those that are still at work are ended with the servers
            with engine.connect() as connection:
                ended = {
                    str(status): int(count)
                    for status, count in connection.execute(
                        sa.text("SELECT status, count(*) FROM runs GROUP BY status")
                    )
                }
                times = {
                    run: (start.timestamp(), end.timestamp())
                    for run, start, end in connection.execute(sa.text(TIMES))
                    if start and end
                }
    finally:
        engine.dispose()
        for url in (catalog, dagster):
            postgres.drop(url)
    return Queued(
        runs,
        limits_of_the_deployment(),
        seconds_to_queue,
        ended,
        list(times.values()),
        [times[run] for run in of_backfills if run in times],
    )


def launch(address: str, days: Sequence[date]) -> set[str]:
    """Launch a run for each day as the pages do, and give the ids of those that count as a backfill's."""
    asked = [_parameters(day, of_backfill=place % 2 == 1) for place, day in enumerate(days)]
    body = json.dumps({"query": LAUNCH, "variables": {"runs": asked}}).encode()
    request = urllib.request.Request(
        f"{address}/graphql", data=body, headers={"content-type": "application/json"}
    )
    with closing(urllib.request.urlopen(request, timeout=SECONDS_TO_LAUNCH)) as response:
        answer = json.load(response)
    launched = answer.get("data", {}).get("launchMultipleRuns", {}).get("launchMultipleRunsResult", [])
    if len(launched) != len(days) or any("run" not in one for one in launched):
        raise RuntimeError(f"Dagster did not launch all of the {len(days)} runs: {json.dumps(answer)[:2000]}")
    return {one["run"]["runId"] for one in launched[1::2]}


def _parameters(day: date, *, of_backfill: bool) -> dict[str, Any]:
    tags = {"dagster/partition": day.isoformat(), **({BACKFILL_TAG: "benchmark"} if of_backfill else {})}
    return {
        "selector": {
            "repositoryLocationName": "photo_popularity",
            "repositoryName": "__repository__",
            "pipelineName": NIGHTLY_JOB,
            "assetSelection": [{"path": [ASSET]}],
        },
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }


def _all_ended(engine: sa.Engine) -> bool:
    query = "SELECT count(*) FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"
    with engine.connect() as connection:
        return not connection.scalar(sa.text(query))
