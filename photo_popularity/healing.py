"""What a killed process leaves behind, put right at the next look: its run is ended, and Dagster is told what it made.

The catalog is the truth and needs no healing: a commit is whole or has not happened, and what is out of date is made by
whoever comes next. Only what mirrors it can lag behind.
"""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from photo_popularity.jobs import BACKFILL_TAG
from resources.catalog import KILLED
from resources.catalog_records import Untold
from resources.installation import Installation
from resources.pages import Shown, page_of, page_of_several, together
from resources.table_storage import life_of, lock_of

IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
    dg.DagsterRunStatus.SUSPENDED,
]
TOLD_AT_ONCE = 500


def runs_in_flight(installation: Installation, instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that have not ended; those whose process was killed are ended here."""
    alive, locks = [], installation.catalog.locks
    # a run that was killed before its first step leaves no other sign than its silence
    since = datetime.now(UTC) - locks.silence
    for record in instance.get_run_records(dg.RunsFilter(statuses=IN_FLIGHT)):
        run, life = record.dagster_run, life_of(record.dagster_run.run_id)
        left_behind = locks.was_left_behind(life)
        silent = run.status != dg.DagsterRunStatus.QUEUED and record.update_timestamp <= since
        # the run of an ordered backfill works on no step: the runs that it launches do
        is_lost = silent and not locks.is_held(life) and BACKFILL_TAG not in run.tags
        if not (left_behind or is_lost):
            alive.append(run)
            continue
        # its last event may have come since the runs were listed
        now = instance.get_run_by_id(run.run_id)
        if now is not None and not now.is_finished:
            instance.report_run_failed(now, f"{KILLED}; what it had not made is made by the next run")
        if left_behind and (release := locks.try_take(life)) is not None:
            release()
    return alive


def heal(installation: Installation, instance: dg.DagsterInstance) -> int:
    """Put right what killed processes have left behind; returns how many partitions Dagster was told of.

    A look that finds nothing writes nothing. Of very many only a part is told at once, the rest at the next look.
    """
    catalog = installation.catalog
    # read before the runs are: one that starts in between is no dead one
    unfinished, untold = catalog.unfinished_runs(), catalog.untold()
    alive = {run.run_id for run in runs_in_flight(installation, instance)}
    for run_id in unfinished:
        if run_id not in alive:
            catalog.end_killed(run_id)
    by_asset: dict[str, list[Untold]] = {}
    for one in untold:
        if one.run_id not in alive and one.asset in installation.pipeline.by_asset:
            by_asset.setdefault(one.asset, []).append(one)
    told = 0
    for asset, its in by_asset.items():
        step = installation.pipeline.by_asset[asset]
        # while a run is at work on the step, it tells more than is known here
        release = catalog.locks.try_take(lock_of(step.name)) if told < TOLD_AT_ONCE else None
        if release is not None:
            try:
                told += _tell(installation, instance, asset, its[: TOLD_AT_ONCE - told])
            finally:
                release()
    return told


def _tell(installation: Installation, instance: dg.DagsterInstance, asset: str, untold: list[Untold]) -> int:
    step = installation.pipeline.by_asset[asset]
    inside = together(
        step, installation.catalog.current(asset), {step.grain(one.partition) for one in untold}
    )
    for key, outputs in inside.items():
        alone = outputs.get(key)
        shown = page_of(alone, installation.storage.outputs.url) if alone else page_of_several(outputs, [])
        if not outputs:
            shown = Shown(
                "withdrawn", {"withdrawn": dg.MetadataValue.text("an input is quarantined or gone")}
            )
        instance.report_runless_asset_event(shown.event(asset, key))
    installation.catalog.told_of(untold)
    return len(inside)
