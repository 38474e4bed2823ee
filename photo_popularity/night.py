"""The night: bring the sources up to date, then run whatever is out of date, until nothing is.

The same jobs and storage as the UI and the sensors use, launched one after the other in this process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial

import dagster as dg

from photo_popularity.definitions import PIPELINE, build_defs
from photo_popularity.detection import Changes, detect_database, detect_files, withdraw_another_site
from photo_popularity.domain.errors import InputError
from photo_popularity.healing import heal, wait_until_alone
from photo_popularity.jobs import job_of, run_here
from photo_popularity.planning import (
    Batch,
    assets_of,
    first_known_day,
    last_complete_day,
    next_batch,
    range_tags,
    yesterday,
)
from resources.environment import Environment
from resources.errors import SourceUnavailable
from resources.installation import Installation, install
from resources.run_coordinator import LAUNCHED_BY_TAG


class Observer:
    """Hears how the night goes; this one keeps silent."""

    def detected(self, source: str, changes: Changes) -> None:
        """A source was compared with the catalog."""

    def told(self, sentence: str) -> None:
        """Something that a person should know."""

    def started(self, batch: Batch) -> None:
        """A run starts."""

    def finished(self, batch: Batch, run_id: str, *, succeeded: bool) -> None:
        """A run has ended."""


@dataclass
class Night:
    """What a night did: its day, its runs, the failures that are left, and the (step, partition) pairs tried."""

    environment: Environment
    day: date | None = None
    run_ids: list[str] = field(default_factory=list)
    failed_runs: list[str] = field(default_factory=list)
    tried: set[tuple[str, str]] = field(default_factory=set, repr=False)
    detected: dict[str, Changes] = field(default_factory=dict)
    warned: dict[tuple[str, str], str] = field(default_factory=dict)
    """What the checks that only warn have found: by asset and check, in a sentence."""


def run_night(
    environment: Environment,
    instance: dg.DagsterInstance,
    *,
    until: date | None = None,
    observer: Observer | None = None,
    build: Callable[[Environment, Installation], dg.Definitions] | None = None,
    run_config: dg.RunConfig | None = None,
) -> Night:
    """Run the pipeline up to the night `until`, by default the last day that the logs cover.

    Unless a setting fixes it, the first partition day is taken from the data. Raises InputError when a source cannot be used.
    """
    observer = observer or Observer()
    build = build or (lambda environment, installation: build_defs(environment, installation=installation))
    if until is not None and until > yesterday():
        raise InputError(
            f"the night of {until} is not over yet (UTC); the last one that is, is {yesterday()}"
        )
    installation = install(environment, PIPELINE)
    heal(installation, instance)
    night = Night(environment)
    unusable = _detect(night, installation, instance, observer)
    launch = partial(_launch, instance=instance, run_config=run_config)
    _settle(
        night,
        installation,
        partial(launch, build(environment, installation)),
        instance=instance,
        steps=tuple(step.name for step in PIPELINE.steps if step.files),
        observer=observer,
    )
    if unusable:
        raise unusable[0]
    night.day = until or last_complete_day(installation)
    if night.day < first_known_day(installation):
        raise InputError(
            f"nothing is known up to {night.day}: the first upload or log line is of {first_known_day(installation)}; "
            "give a later --until"
        )
    if not environment.settings.first_day:
        first = first_known_day(installation).isoformat()
        environment = replace(environment, settings=replace(environment.settings, data_since=first))
        installation = install(environment, PIPELINE)
    night.environment = environment
    _settle(
        night,
        installation,
        partial(launch, build(environment, installation)),
        instance=instance,
        steps=None,
        observer=observer,
    )
    return night


def _detect(
    night: Night, installation: Installation, instance: dg.DagsterInstance, observer: Observer
) -> list[Exception]:
    """Compare every source with the catalog; one that cannot be used does not keep the others from being read."""
    unusable: list[Exception] = []
    detections: dict[str, Callable[[], Changes]] = {
        **{name: partial(detect_files, installation, name, instance) for name in installation.file_sources},
        "photo_database": partial(detect_database, installation, instance),
    }
    for source, detect in detections.items():
        try:
            night.detected[source] = detect()
        except (InputError, SourceUnavailable) as error:
            unusable.append(error)
        else:
            observer.detected(source, night.detected[source])
    if not unusable and withdraw_another_site(installation, night.detected):
        observer.told(
            "nothing of the site before is left: this is another one, and the results of the earlier one are withdrawn"
        )
    return unusable


def _settle(
    night: Night,
    installation: Installation,
    launch: Callable[[Installation, Batch], dg.ExecuteInProcessResult],
    *,
    instance: dg.DagsterInstance,
    steps: tuple[str, ...] | None,
    observer: Observer,
) -> None:
    """Run batch after batch until nothing is out of date; a step that failed on a partition is not tried again."""
    while batch := next_batch(installation, night.day or date.max, steps=steps, done=night.tried):
        if wait_until_alone(installation, instance, batch.kind, tell=observer.told):
            continue
        observer.started(batch)
        result = launch(installation, batch)
        night.tried.update((step, partition) for step in batch.steps for partition in batch.partitions)
        night.run_ids.append(result.run_id)
        if not result.success:
            night.failed_runs.append(result.run_id)
        # a range has one evaluation for each day, and in the end one for all of them
        night.warned |= {
            (e.asset_key.to_user_string(), e.check_name): e.description or ""
            for e in result.get_asset_check_evaluations()
            if not e.passed and e.severity == dg.AssetCheckSeverity.WARN
        }
        observer.finished(batch, result.run_id, succeeded=result.success)


def _launch(
    definitions: dg.Definitions,
    installation: Installation,
    batch: Batch,
    *,
    instance: dg.DagsterInstance,
    run_config: dg.RunConfig | None,
) -> dg.ExecuteInProcessResult:
    return run_here(
        definitions.resolve_job_def(job_of(installation.pipeline, batch.kind)),
        instance,
        assets=assets_of(installation, batch),
        tags={**range_tags(installation, batch, instance), LAUNCHED_BY_TAG: installation.environment.user},
        run_config=run_config,
        show_life=installation.storage.show_life,
    )
