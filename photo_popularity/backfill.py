"""Backfills in an order: day after day, newest or oldest first, each day a run of its own that is over before the next.

Dagster's own asset backfills always ascend, and a queue orders only what already waits in it; so here one run launches
the others, one at a time. Each of these is an ordinary run, with its own log and history.
"""

# no postponed annotations here: Dagster reads the class behind `config` from the annotation itself
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from typing import Protocol

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from pydantic import Field

from partitions.days import days_between
from photo_popularity.domain.errors import InputError
from photo_popularity.jobs import BACKFILL_TAG, NIGHTLY_JOB, run_by_executor, run_here
from resources.io_managers import PARTITION_TAG
from resources.run_coordinator import LAUNCHED_BY_TAG, launched_by

NEWEST_FIRST, OLDEST_FIRST = "newest-first", "oldest-first"
BACKFILL_JOB = "ordered_backfill_job"
BACKFILL_ID_TAG = "photo_popularity/backfill_id"


class Ended(Protocol):
    """A run that has ended."""

    @property
    def success(self) -> bool:
        """Whether it has made everything."""
        ...


Run = Callable[..., Ended]
"""Runs the `assets`, with these `tags`."""


class OrderedBackfill(dg.Config):
    """Which day assets to make again, for which days, and in which order."""

    assets: list[str] = Field(description="The day assets to make again, for example behavior_signals.")
    first_day: str = Field(description="First day, YYYY-MM-DD.")
    last_day: str = Field(description="Last day, YYYY-MM-DD, included.")
    order: str = Field(default=NEWEST_FIRST, description=f"{NEWEST_FIRST} or {OLDEST_FIRST}.")


def ordered_days(first_day: str, last_day: str, order: str) -> list[str]:
    """The day keys in the order in which a backfill takes them; InputError for a bad day, range or order."""
    try:
        first, last = date.fromisoformat(first_day), date.fromisoformat(last_day)
    except ValueError as error:
        raise InputError(f"{first_day!r} to {last_day!r}: not two days; write them as YYYY-MM-DD") from error
    if order not in (NEWEST_FIRST, OLDEST_FIRST):
        raise InputError(f"order {order!r} is not known; use {NEWEST_FIRST} or {OLDEST_FIRST}")
    if first > last:
        raise InputError(f"{first_day} is after {last_day}; give the earlier day first")
    keys = days_between(first, last)
    return keys[::-1] if order == NEWEST_FIRST else keys


def run_backfill(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    backfill: OrderedBackfill,
    *,
    launched_by: str,
    backfill_id: str,
    run: Run | None = None,
    tell: Callable[[str, bool], None] = lambda day, succeeded: None,
) -> list[str]:
    """Make the days one after the other, going on after a failure; returns the days that failed.

    `tell` hears of each day as it ends, and whether it succeeded. InputError, before anything runs, for assets, days or
    an order that do not exist.
    """
    _check_assets(job, backfill.assets)
    days = ordered_days(backfill.first_day, backfill.last_day, backfill.order)
    _check_days(job, days)
    run = run or partial(run_here, job, instance)
    failed = []
    for day in days:
        tags = {PARTITION_TAG: day, BACKFILL_ID_TAG: backfill_id, LAUNCHED_BY_TAG: launched_by}
        result = run(assets=backfill.assets, tags=tags)
        tell(day, result.success)
        if not result.success:
            failed.append(day)
    return failed


def _check_assets(job: dg.JobDefinition, assets: Sequence[str]) -> None:
    known = sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
    unknown = sorted(set(assets) - set(known))
    if unknown or not assets:
        what = f"no day asset is named {', '.join(unknown)}" if unknown else "no asset is named"
        raise InputError(f"{what}; known are {', '.join(known)}")


def _check_days(job: dg.JobDefinition, days: Sequence[str]) -> None:
    partitions = job.partitions_def
    known = partitions.get_partition_keys() if partitions else []
    outside = sorted(set(days) - set(known))
    if outside:
        span = f"from {known[0]} to {known[-1]}" if known else "none yet"
        raise InputError(
            f"{len(outside)} days from {outside[0]} to {outside[-1]} have no partition; there are partitions {span}"
        )


@dg.op(
    name="ordered_backfill",
    description="Launches one run a day for the chosen assets and waits for each: newest or oldest day first.",
)
def ordered_backfill(context: dg.OpExecutionContext, config: OrderedBackfill) -> None:
    """Run the backfill that the launchpad or the CLI describes; fails in the end when a day has failed."""
    user = launched_by(context.run.tags) or f"backfill {context.run_id}"
    job = context.repository_def.get_job(NIGHTLY_JOB)
    try:
        failed = run_backfill(
            job,
            context.instance,
            config,
            launched_by=user,
            backfill_id=context.run_id,
            run=_by_its_executor(job, context),
        )
    except InputError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error
    if failed:
        raise dg.Failure(
            description=f"{len(failed)} days failed: {', '.join(failed)}; their runs say why",
            allow_retries=False,
        )


def _by_its_executor(job: dg.JobDefinition, context: dg.OpExecutionContext) -> Run | None:
    """What runs the job's steps where their tasks have credentials of their own; None where all work in this process."""
    own = context.get_step_execution_context().job
    if job.executor_def is dg.in_process_executor or not isinstance(own, ReconstructableJob):
        return None
    return partial(run_by_executor, own.repository.get_reconstructable_job(job.name), context.instance)


@dg.job(
    name=BACKFILL_JOB,
    description="Make days again in an order: choose assets, first_day, last_day and newest-first or oldest-first.",
    tags={BACKFILL_TAG: "ordered"},
    executor_def=dg.in_process_executor,
)
def ordered_backfill_job() -> None:
    """One op that launches the days' runs in order."""
    ordered_backfill()
