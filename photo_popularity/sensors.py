"""Sensors: a source is compared with the catalog, and one run takes exactly what is out of date.

A sensor lists, takes the difference, and requests one run. A listing that fails skips the tick with its reason. What failed
is requested again after a pause that doubles (`attempts.py`), and does not keep other work waiting.
"""

# no postponed annotations here: Dagster compares the annotation of `context` itself
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

import dagster as dg

from photo_popularity.attempts import Attempts
from photo_popularity.detection import Changes, detect_database, detect_files
from photo_popularity.domain.errors import InputError
from photo_popularity.jobs import LOG_FILES_JOB, NIGHTLY_JOB, PHOTO_DATABASE_JOB, PHOTO_FILES_JOB
from photo_popularity.planning import (
    NIGHTLY_ASSETS,
    Batch,
    assets_of,
    last_complete_day,
    next_batch,
    range_tags,
    yesterday,
)
from resources.installation import Installation
from resources.io_managers import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from resources.notification import Notifier
from resources.pipeline import Snapshot
from resources.sources import SourceUnavailable

SECONDS_BETWEEN_TICKS = 60
QUIET_SECONDS = 30.0
IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
    dg.DagsterRunStatus.SUSPENDED,
]
# a run whose process was killed stays "started" for ever
LOST_AFTER = timedelta(hours=12)


@dataclass(frozen=True)
class Watched:
    """What a sensor looks at: how it finds changes, and the steps and the job that make up for them."""

    job_name: str
    steps: tuple[str, ...]
    detect: Callable[[dg.DagsterInstance], Changes]
    night: Callable[[], date] = yesterday


def build_sensors(installation: Installation, notifier: Notifier) -> list[dg.SensorDefinition]:
    """All sensors; they are stopped until somebody starts them in the UI."""

    def detect(source: str) -> Callable[[dg.DagsterInstance], Changes]:
        return lambda instance: detect_files(installation, source, instance, quiet_seconds=QUIET_SECONDS)

    photo_files = Watched(PHOTO_FILES_JOB, ("photo_content", "cat_dog_scores"), detect("photo_files"))
    log_files = Watched(LOG_FILES_JOB, ("log_signals",), detect("log_files"))
    database = Watched(PHOTO_DATABASE_JOB, ("photo_metadata",), partial(detect_database, installation))
    days = Watched(
        NIGHTLY_JOB,
        ("behavior_signals", "photo_features", "training_examples", *NIGHTLY_ASSETS),
        lambda _: Changes(),
        night=lambda: last_complete_day(installation),
    )
    return [
        _sensor(
            "photo_files_sensor", "Photo files that came, changed or disappeared.", installation, photo_files
        ),
        _sensor(
            "log_files_sensor",
            "Log files that came, changed or disappeared, once they are quiet.",
            installation,
            log_files,
        ),
        _sensor(
            "photo_database_sensor",
            "Upload days whose photos changed in the database.",
            installation,
            database,
        ),
        _sensor(
            "changed_days_sensor",
            "Days, and the last night, that were made from inputs that have changed since.",
            installation,
            days,
        ),
        _failure_sensor(notifier),
    ]


def _sensor(name: str, description: str, installation: Installation, watched: Watched) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        job_name=watched.job_name,
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if is_in_flight(context.instance, installation, watched):
            return dg.SensorResult(
                skip_reason=f"a run of {watched.job_name} is in flight; what has changed waits for its end"
            )
        attempts, now = Attempts.from_cursor(context.cursor), time.time()
        try:
            changes = watched.detect(context.instance)
            batch, waiting = _next_allowed(installation, watched, attempts, now)
        except (InputError, SourceUnavailable) as error:
            return dg.SensorResult(skip_reason=str(error))
        for warning in changes.warnings:
            context.log.warning(warning)
        if batch is None:
            waits = (
                f"{waiting} pieces of work were requested before and have not succeeded; they wait a while"
            )
            return dg.SensorResult(skip_reason=waits if waiting else "nothing is out of date")
        # no run key: whether the same work may run once more is for the attempts to say
        request = dg.RunRequest(
            job_name=watched.job_name,
            tags=range_tags(batch, context.instance),
            asset_selection=[dg.AssetKey(asset) for asset in assets_of(installation, batch)],
        )
        started = attempts.with_start(work_of(installation, batch), now)
        return dg.SensorResult(run_requests=[request], cursor=started.to_cursor())

    return sensor


def is_in_flight(instance: dg.DagsterInstance, installation: Installation, watched: Watched) -> bool:
    """Whether a run of the sensor's job, or one that somebody launched for the same assets, has not ended yet."""
    since = datetime.now(UTC) - LOST_AFTER
    steps = [step for step in installation.pipeline.steps if step.name in watched.steps]
    assets = {dg.AssetKey(asset) for step in steps for asset in step.makes}
    runs = instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT, updated_after=since))
    # a run without a selection makes all that its job holds, as the scheduled night does
    made_by_day = [step for step in installation.pipeline.steps if step.partitions == "days"]
    whole = {NIGHTLY_JOB: {dg.AssetKey(asset) for step in made_by_day for asset in step.makes}}
    return any(
        run.job_name == watched.job_name or assets & (run.asset_selection or whole.get(run.job_name, set()))
        for run in runs
    )


def _next_allowed(
    installation: Installation, watched: Watched, attempts: Attempts, now: float
) -> tuple[Batch | None, int]:
    """The first batch that need not wait, None without one; and how many have to."""
    passed: set[tuple[str, str]] = set()
    waiting = 0
    night = watched.night()
    while batch := next_batch(installation, night, steps=watched.steps, done=passed):
        if attempts.may_start(work_of(installation, batch), now):
            return batch, waiting
        waiting += 1
        passed.update((step, partition) for step in batch.steps for partition in batch.partitions)
    return None, waiting


def work_of(installation: Installation, batch: Batch) -> str:
    """Digest of what a batch would make from which inputs, and of what it would replace.

    Content that returns to an earlier state replaces something else than at first, and so is other work.
    """
    snapshot = Snapshot(installation.catalog)
    steps = [step for step in installation.pipeline.steps if step.name in batch.steps]
    fingerprints = {step.name: step.fingerprint(installation.environment) for step in steps}
    pieces = [
        (
            step.name,
            partition,
            fingerprints[step.name],
            sorted(snapshot.input_digests(step, partition).items()),
            [
                output.content_version
                for asset in step.makes
                if (output := snapshot.outputs(asset).get(partition))
            ],
        )
        for step in steps
        for partition in batch.partitions
    ]
    return hashlib.sha256(repr(pieces).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _failure_sensor(notifier: Notifier) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="failed_runs_sensor", description="Runs that failed: told to the webhook, if one is set."
    )
    def failed_runs_sensor(context: dg.RunFailureSensorContext) -> None:
        run, event = context.dagster_run, context.failure_event
        steps = [e.step_key for e in context.get_step_failure_events() if e.step_key]
        first, last = run.tags.get(RANGE_START_TAG, ""), run.tags.get(RANGE_END_TAG, "")
        notifier.notify(
            {
                "text": f"{run.job_name} failed in {', '.join(steps) or 'its start'}: {event.message}",
                "run_id": run.run_id,
                "job": run.job_name,
                "partition": run.tags.get(PARTITION_TAG, f"{first} to {last}" if first else ""),
            }
        )

    return failed_runs_sensor
