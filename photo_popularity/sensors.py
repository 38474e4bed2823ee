"""Sensors: a source is compared with the catalog, and one run takes exactly what is out of date.

A sensor lists, takes the difference, and requests one run. A listing that fails skips the tick with its reason. What failed
is requested again after a pause that doubles (`attempts.py`), and does not keep other work waiting.
"""

# no postponed annotations here: Dagster compares the annotation of `context` itself
import hashlib
import time
from collections.abc import Callable, Collection, Set
from dataclasses import dataclass
from datetime import date
from functools import partial

import dagster as dg

from partitions.file_sets import FileSet
from photo_popularity.attempts import Attempts
from photo_popularity.detection import Changes, detect_database, detect_files
from photo_popularity.domain.errors import InputError
from photo_popularity.healing import heal, runs_in_flight
from photo_popularity.jobs import NIGHTLY_JOB, PHOTO_DATABASE_JOB, assets_by_job
from photo_popularity.planning import (
    Batch,
    assets_of,
    hold_what_is_on_its_way,
    last_complete_day,
    next_batch,
    range_tags,
    yesterday,
)
from resources.errors import SourceUnavailable
from resources.garbage import no_search_for_garbage
from resources.installation import Installation
from resources.io_managers import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from resources.notification import Notifier
from resources.pipeline import Snapshot

QUIET_SECONDS = 30.0


@dataclass(frozen=True)
class Watched:
    """What a sensor looks at: how it finds changes, and the steps and the job that make up for them."""

    job_name: str
    steps: tuple[str, ...]
    detect: Callable[[dg.DagsterInstance], Changes]
    night: Callable[[], date] = yesterday


@dataclass(frozen=True)
class Allowed:
    """The batch that a sensor may request now, or why there is none; and what it would make."""

    batch: Batch | None
    work: str = ""
    why_not: str = ""


def build_sensors(installation: Installation, notifier: Notifier) -> list[dg.SensorDefinition]:
    """All sensors; but for production's they are stopped until somebody starts them in the UI."""
    database = Watched(PHOTO_DATABASE_JOB, ("photo_metadata",), partial(detect_database, installation))
    days = Watched(
        NIGHTLY_JOB,
        tuple(step.name for step in installation.pipeline.of_days if step.name != "photo_metadata"),
        lambda instance: Changes(),
        night=lambda: last_complete_day(installation),
    )
    return [
        *(file_sensor(installation, files) for files in installation.pipeline.file_sets.values()),
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
        _failure_sensor(notifier, default_status=_status(installation)),
    ]


def file_sensor(installation: Installation, files: FileSet) -> dg.SensorDefinition:
    """The sensor of the files of a set."""
    watched = Watched(
        files.job,
        tuple(step.name for step in installation.pipeline.of_files(files.name)),
        partial(detect_files, installation, files.name, quiet_seconds=QUIET_SECONDS),
    )
    description = f"Each {files.noun} that came, changed or disappeared, once it is quiet."
    return _sensor(f"{files.name}_sensor", description, installation, watched)


def _sensor(name: str, description: str, installation: Installation, watched: Watched) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        job_name=watched.job_name,
        minimum_interval_seconds=installation.environment.settings.look_every,
        description=description,
        default_status=_status(installation),
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        at_work = assets_at_work(context.instance, installation)
        if at_work & made_by(installation, watched):
            return dg.SensorResult(
                skip_reason=f"a run of {watched.job_name} is in flight; what has changed waits for its end"
            )
        attempts, now = Attempts.from_cursor(context.cursor), time.time()
        try:
            with no_search_for_garbage():
                try:
                    changes = watched.detect(context.instance)
                finally:
                    # after the look, which may have withdrawn something; also when the source cannot be listed
                    heal(installation, context.instance)
                allowed = _next_allowed(
                    installation, watched, changes.suspects, attempts=attempts, now=now, at_work=at_work
                )
        except (InputError, SourceUnavailable) as error:
            return dg.SensorResult(skip_reason=str(error))
        for warning in changes.warnings:
            context.log.warning(warning)
        batch = allowed.batch
        if batch is None:
            return dg.SensorResult(skip_reason=allowed.why_not)
        # no run key: whether the same work may run once more is for the attempts to say
        request = dg.RunRequest(
            job_name=watched.job_name,
            tags=range_tags(installation, batch, context.instance),
            asset_selection=[dg.AssetKey(asset) for asset in assets_of(installation, batch)],
        )
        started = attempts.with_start(allowed.work, now)
        return dg.SensorResult(run_requests=[request], cursor=started.to_cursor())

    return sensor


def _status(installation: Installation) -> dg.DefaultSensorStatus:
    by_itself = installation.environment.works_by_itself
    return dg.DefaultSensorStatus.RUNNING if by_itself else dg.DefaultSensorStatus.STOPPED


def made_by(installation: Installation, watched: Watched) -> set[str]:
    """The assets that the sensor requests."""
    steps = [step for step in installation.pipeline.steps if step.name in watched.steps]
    return {asset for step in steps for asset in step.makes}


def assets_at_work(instance: dg.DagsterInstance, installation: Installation) -> set[str]:
    """The assets of all runs that have not ended yet, whoever launched them."""
    found: set[str] = set()
    # a run without a selection makes all that its job holds, as the scheduled night does
    whole = assets_by_job(installation.pipeline)
    for run in runs_in_flight(installation, instance):
        selected = [key.to_user_string() for key in run.asset_selection or ()]
        found.update(selected or whole.get(run.job_name, []))
    return found


def _next_allowed(
    installation: Installation,
    watched: Watched,
    suspects: Collection[str] | None,
    *,
    attempts: Attempts,
    now: float,
    at_work: Set[str],
) -> Allowed:
    """The first batch that need not wait; only the suspects are looked at, if they are known.

    What reads assets `at_work` that are out of date waits, or it would be made now and once more when they are done.
    """
    waiting = 0
    night = watched.night()
    snapshot = Snapshot(installation.catalog, within=suspects)
    steps = [step for step in installation.pipeline.steps if step.name in watched.steps]
    awaited = {asset for step in steps for asset in step.reads} & at_work
    passed = hold_what_is_on_its_way(installation, night, snapshot, awaited) if awaited else set()
    while batch := next_batch(installation, night, steps=watched.steps, done=passed, snapshot=snapshot):
        work = work_of(installation, batch, snapshot)
        if attempts.may_start(work, now):
            return Allowed(batch, work)
        waiting += 1
        passed.update((step, partition) for step in batch.steps for partition in batch.partitions)
    if waiting:
        why_not = f"{waiting} pieces of work were requested before and have not succeeded; they wait a while"
    elif awaited:
        why_not = f"nothing is out of date but what waits for the runs that make {', '.join(sorted(awaited))}"
    else:
        why_not = "nothing is out of date"
    return Allowed(None, why_not=why_not)


def work_of(installation: Installation, batch: Batch, snapshot: Snapshot) -> str:
    """Digest of what a batch would make from which inputs, and of what it would replace.

    Content that returns to an earlier state replaces something else than at first, and so is other work.
    """
    pieces = []
    for step in (step for step in installation.pipeline.steps if step.name in batch.steps):
        fingerprint, inputs = (
            step.fingerprint(installation.environment),
            snapshot.inputs(step, batch.partitions),
        )
        made = [snapshot.outputs(asset) for asset in step.makes]
        for partition in batch.partitions:
            replaced = [outputs[partition].content_version for outputs in made if partition in outputs]
            pieces.append((step.name, partition, fingerprint, sorted(inputs[partition].items()), replaced))
    return hashlib.sha256(repr(pieces).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _failure_sensor(notifier: Notifier, *, default_status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="failed_runs_sensor",
        description="Runs that failed: told to the webhook, if one is set.",
        default_status=default_status,
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
