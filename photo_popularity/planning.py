"""Which partitions should exist for a night, which of them are out of date, and which can be made in one run."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from partitions.days import contiguous, days_between
from partitions.placing import place_together
from partitions.reads import FilesWithDay
from photo_popularity.domain.errors import InputError
from photo_popularity.rules import LOGS_END_EARLY_BY, logs_end
from resources.installation import Installation
from resources.io_managers import (
    ONLY_OUT_OF_DATE_TAG,
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    WORK_ORDER_TAG,
    work_order,
)
from resources.pipeline import DAYS, Declaration, Snapshot

NIGHTLY_ASSETS = ("popularity_model", "model_evaluation", "popularity_predictions")


@dataclass(frozen=True)
class Batch:
    """Steps that one run makes, for contiguous days or for files of the set named by `kind`."""

    steps: tuple[str, ...]
    partitions: tuple[str, ...]
    kind: str


def yesterday() -> date:
    """The last UTC day that is over."""
    return datetime.now(UTC).date() - timedelta(days=1)


def last_complete_day(installation: Installation, *, over: date | None = None) -> date:
    """The last UTC day that the logs cover to its end, and that is over; raises InputError when there is none.

    `over` is the last day that is over, yesterday unless a test says otherwise.
    """
    end = logs_end(installation.catalog.current("log_signals"))
    if end is None:
        raise InputError(
            "the log folder holds no readable access log line of the past, so no day is complete; check --logs, or look at "
            'photo-popularity query "SELECT * FROM quarantined_lines"'
        )
    return min((end + LOGS_END_EARLY_BY).date() - timedelta(days=1), over or yesterday())


def first_known_day(installation: Installation) -> date:
    """The first day with an upload, or with log lines no more than a month before that."""
    uploads = sorted(installation.catalog.current("photo_database"))
    logged = sorted(
        {day for output in installation.catalog.current("log_signals").values() for day in output.index}
    )
    if not uploads:
        raise InputError("the photo database holds no usable photo; check --database")
    # a day whose last photo is gone has an output to be made again, empty
    made = installation.catalog.current("photo_metadata")
    earliest = str(date.fromisoformat(uploads[0]) - timedelta(days=31))
    return date.fromisoformat(min([uploads[0], *made, *[day for day in logged if day >= earliest]]))


def expected_partitions(
    installation: Installation, step: Declaration, night: date, snapshot: Snapshot
) -> list[str]:
    """The partitions of the step that should exist once the night is done."""
    if step.files is not None:
        return sorted(snapshot.outputs(step.partitions).keys() - snapshot.without_input(step).keys())
    if step.name in NIGHTLY_ASSETS:
        return [str(night)]
    first, last = str(installation.environment.settings.first_partition_day), str(night)
    logged = {day for output in snapshot.outputs("log_signals").values() for day in output.index}
    if step.name == "photo_metadata":
        logged.update(snapshot.outputs("photo_database"))
    inside = [day for day in logged if first <= day <= last]
    # without a gap: days on which nothing happened are cheap to make, and one run takes them all
    days = set(days_between(date.fromisoformat(min(inside, default=last)), night))
    # a day whose last photo or log file is gone is made once more, empty
    days.update(*(snapshot.outputs(asset) for asset in step.makes))
    return sorted(day for day in days if first <= day <= last)


def next_batch(
    installation: Installation,
    night: date,
    *,
    steps: tuple[str, ...] | None = None,
    done: Set[tuple[str, str]] = frozenset(),
    snapshot: Snapshot | None = None,
) -> Batch | None:
    """The next run: the first step that has partitions out of date, with all later ones that need the same; None at rest.

    `steps` limits the choice. Partitions in `done`, (step, partition), are not taken again, and what reads an output
    that a check has rejected waits until that is made again. A `snapshot` saves reading the catalog once more.
    """
    snapshot = snapshot or Snapshot(installation.catalog)
    chosen: list[str] = []
    kind = DAYS
    wanted: list[str] = []
    made: set[str] = set()
    unsettled: set[str] = set()  # assets that are to change, and not or not wholly in this run
    for step in installation.pipeline.steps:
        if steps is not None and step.name not in steps:
            continue
        stale = _startable(installation, step, night, snapshot, done)
        if step.files is not None and not made.intersection(step.reads):
            # what could not be made of a file keeps no other file waiting
            lacking = snapshot.lacking(step, stale)
            stale = [key for key in stale if key not in lacking]
        if stale and not chosen:
            kind, wanted = step.partitions, contiguous(stale)[0] if step.files is None else stale
        fits = step.partitions == kind and set(wanted) <= set(stale) and (kind == DAYS or wanted == stale)
        # what is made of the same files follows in the same run: it makes only what differs by then
        follows = kind != DAYS and step.partitions == kind and bool(made.intersection(step.reads))
        if ((stale and fits) or follows) and not unsettled.intersection(step.reads):
            chosen.append(step.name)
            made.update(step.makes)
            if not set(stale) <= set(wanted):
                unsettled.update(step.makes)
        elif stale or (made | unsettled).intersection(step.reads):
            unsettled.update(step.makes)
    return Batch(tuple(chosen), tuple(wanted), kind) if chosen else None


def _startable(
    installation: Installation, step: Declaration, night: date, snapshot: Snapshot, done: Set[tuple[str, str]]
) -> list[str]:
    """The partitions of the step that are out of date and need not wait; those that wait are held in the snapshot."""
    expected = expected_partitions(installation, step, night, snapshot)
    held = set(snapshot.waiting(step, expected))
    stale = installation.pipeline.out_of_date(step, expected, snapshot, installation.environment)
    snapshot.hold(step, sorted(held))
    return [key for key in stale if key not in held and (step.name, key) not in done]


def hold_what_is_on_its_way(
    installation: Installation, night: date, snapshot: Snapshot, assets: Set[str]
) -> set[tuple[str, str]]:
    """See what is to come of these assets as waiting: runs are at work on them, and what reads it waits for their end.

    Of files that is all that is out of date, which a run commits in handfuls; of days, what was never made. Returns the
    partitions, (step, partition), of which nobody knows whether they read it: of a file that was never read, the days
    in it are not known.
    """
    pipeline, unread, held = installation.pipeline, set[str](), set[tuple[str, str]]()
    for step in pipeline.steps:
        if assets & set(step.makes):
            expected = expected_partitions(installation, step, night, snapshot)
            waiting = set(snapshot.waiting(step, expected))
            waiting.update(pipeline.out_of_date(step, expected, snapshot, installation.environment))
            missing = {key for asset in step.makes for key in waiting - snapshot.outputs(asset).keys()}
            unread.update(step.makes if missing else ())
            snapshot.hold(step, sorted(waiting if step.files else missing))
        elif any(asset in unread and isinstance(read, FilesWithDay) for asset, read in step.reads.items()):
            expected = expected_partitions(installation, step, night, snapshot)
            held.update((step.name, partition) for partition in expected)
            snapshot.hold(step, expected)
    return held


def assets_of(installation: Installation, batch: Batch) -> list[str]:
    """The assets that the batch makes."""
    return [asset for step in installation.pipeline.steps if step.name in batch.steps for asset in step.makes]


def range_tags(installation: Installation, batch: Batch, instance: dg.DagsterInstance) -> dict[str, str]:
    """The tags of a run that makes the batch; file keys are placed together first.

    Keys may be moved again before the run starts, by another that wants some of them: the work order lets it notice.
    """
    tags = {ONLY_OUT_OF_DATE_TAG: "yes"}
    if batch.kind == DAYS:
        keys = batch.partitions
        first, last = keys[0], keys[-1]
    else:
        grain = installation.pipeline.file_sets[batch.kind].grain
        keys = tuple(sorted({grain(file) for file in batch.partitions}))
        first, last = place_together(instance, batch.kind, keys)
    if len(keys) == 1:
        return {PARTITION_TAG: first, **tags}
    if batch.kind != DAYS:
        tags[WORK_ORDER_TAG] = work_order(keys)
    return {RANGE_START_TAG: first, RANGE_END_TAG: last, **tags}
