"""Sensors: a source is compared with the catalog, and one run takes exactly what is out of date.

A sensor lists, takes the difference, and requests. A listing that fails skips the tick with its reason. What failed is
requested again after a pause that doubles, so that neither a lost run nor a broken input can stop or flood the night.
"""

# no postponed annotations here: Dagster compares the annotation of `context` itself
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date

import dagster as dg

from photo_popularity.detection import Changes, detect_database, detect_files
from photo_popularity.domain.errors import InputError
from photo_popularity.jobs import (
    LOG_FILES_JOB,
    NIGHTLY_JOB,
    PHOTO_DATABASE_JOB,
    PHOTO_FILES_JOB,
)
from photo_popularity.planning import Batch, assets_of, last_complete_day, next_batch, range_tags, yesterday
from resources.installation import Installation
from resources.notification import Notifier
from resources.sources import SourceUnavailable

SECONDS_BETWEEN_TICKS = 60
QUIET_SECONDS = 30.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0
IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True)
class Attempts:
    """The sensor's cursor: which work was requested last, how often, and from when on it may be requested again."""

    work: str = ""
    count: int = 0
    not_before: float = 0.0

    def next(self, work: str, now: float) -> "Attempts | None":
        """The attempts after requesting `work` now; None while the same work is to wait."""
        if work != self.work:
            return Attempts(work, 1, now + FIRST_PAUSE_SECONDS)
        if now < self.not_before:
            return None
        pause = min(FIRST_PAUSE_SECONDS * 2**self.count, LONGEST_PAUSE_SECONDS)
        return Attempts(work, self.count + 1, now + pause)

    @classmethod
    def from_cursor(cls, cursor: str | None) -> "Attempts":
        """The attempts that a sensor's cursor holds."""
        return cls(**json.loads(cursor)) if cursor else cls()


def build_sensors(installation: Installation, notifier: Notifier) -> list[dg.SensorDefinition]:
    """All sensors; they are stopped until somebody starts them in the UI."""
    days = ("behavior_signals", "photo_features", "training_examples")
    return [
        _sensor(
            installation,
            name="photo_files_sensor",
            job_name=PHOTO_FILES_JOB,
            steps=("photo_content", "cat_dog_scores"),
            detect=lambda instance: detect_files(installation, "photo_files", instance, quiet_seconds=QUIET_SECONDS),
            description="Photo files that came, changed or disappeared.",
        ),
        _sensor(
            installation,
            name="log_files_sensor",
            job_name=LOG_FILES_JOB,
            steps=("log_signals",),
            detect=lambda instance: detect_files(installation, "log_files", instance, quiet_seconds=QUIET_SECONDS),
            description="Log files that came, changed or disappeared, once they are quiet.",
        ),
        _sensor(
            installation,
            name="photo_database_sensor",
            job_name=PHOTO_DATABASE_JOB,
            steps=("photo_metadata",),
            detect=lambda _: detect_database(installation),
            description="Upload days whose photos changed in the database.",
        ),
        _sensor(
            installation,
            name="changed_days_sensor",
            job_name=NIGHTLY_JOB,
            steps=days,
            detect=lambda _: Changes(),
            night=lambda: last_complete_day(installation),
            description="Days whose behaviour, features or examples were made from inputs that have changed since.",
        ),
        _failure_sensor(notifier),
    ]


def _sensor(
    installation: Installation,
    *,
    name: str,
    job_name: str,
    steps: tuple[str, ...],
    detect: Callable[[dg.DagsterInstance], Changes],
    description: str,
    night: Callable[[], date] = yesterday,
) -> dg.SensorDefinition:
    @dg.sensor(
        name=name, job_name=job_name, minimum_interval_seconds=SECONDS_BETWEEN_TICKS, description=description
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if context.instance.get_runs_count(dg.RunsFilter(job_name=job_name, statuses=IN_FLIGHT)):
            return dg.SensorResult(skip_reason=f"a run of {job_name} is in flight; what has changed waits for its end")
        try:
            changes = detect(context.instance)
            batch = next_batch(installation, night(), steps=steps)
        except (InputError, SourceUnavailable) as error:
            return dg.SensorResult(skip_reason=str(error))
        for warning in changes.warnings:
            context.log.warning(warning)
        if batch is None:
            return dg.SensorResult(skip_reason="nothing is out of date")
        attempts = Attempts.from_cursor(context.cursor).next(work_of(installation, batch), time.time())
        if attempts is None:
            return dg.SensorResult(skip_reason="the same work was requested before and has not succeeded; it waits")
        request = dg.RunRequest(
            run_key=f"{attempts.work}-{attempts.count}",
            job_name=job_name,
            tags=range_tags(batch, context.instance),
            asset_selection=[dg.AssetKey(asset) for asset in assets_of(installation, batch)],
        )
        return dg.SensorResult(run_requests=[request], cursor=json.dumps(asdict(attempts)))

    return sensor


def work_of(installation: Installation, batch: Batch) -> str:
    """Digest of a batch and of what it would replace: content that returns to an earlier state is new work."""
    replaced = [
        (asset, partition, output.run_id, output.content_version)
        for asset in assets_of(installation, batch)
        for partition, output in sorted(installation.catalog.current(asset).items())
        if partition in set(batch.partitions)
    ]
    seen = [
        (source, partition, output.content_version)
        for source in ("photo_files", "log_files", "photo_database")
        for partition, output in sorted(installation.catalog.current(source).items())
        if partition in set(batch.partitions)
    ]
    return hashlib.sha256(repr((batch, replaced, seen)).encode()).hexdigest()[:16]


def _failure_sensor(notifier: Notifier) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="failed_runs_sensor", description="Runs that failed: told to the webhook, if one is set."
    )
    def failed_runs_sensor(context: dg.RunFailureSensorContext) -> None:
        run, event = context.dagster_run, context.failure_event
        steps = [e.step_key for e in context.get_step_failure_events() if e.step_key]
        notifier.notify(
            {
                "text": f"{run.job_name} failed in {', '.join(steps) or 'its start'}: {event.message}",
                "run_id": run.run_id,
                "job": run.job_name,
                "partition": run.tags.get("dagster/partition", ""),
            }
        )

    return failed_runs_sensor
