"""What a killed process leaves behind, put right at the next look: its run is ended, and Dagster is told what it made.

The catalog is the truth and needs no healing: a commit is whole or has not happened, and what is out of date is made by
whoever comes next. Only what mirrors it can lag behind.
"""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from resources.catalog import KILLED
from resources.catalog_records import Untold
from resources.installation import Installation
from resources.pages import page_of, page_of_several, together
from resources.table_storage import life_of

IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
    dg.DagsterRunStatus.SUSPENDED,
]
# no process has anything to do with these yet
QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
TOLD_AT_ONCE = 500


def runs_in_flight(installation: Installation, instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that have not ended; those whose process was killed are ended here."""
    alive, locks = [], installation.catalog.locks
    # a run that was killed before its first step leaves no other sign than its silence
    since = datetime.now(UTC) - locks.silence
    for record in instance.get_run_records(dg.RunsFilter(statuses=IN_FLIGHT)):
        run, life = record.dagster_run, life_of(record.dagster_run.run_id)
        if locks.was_left_behind(life):
            instance.report_run_failed(run, f"{KILLED}; what it had not made is made by the next run")
            if (release := locks.try_take(life)) is not None:
                release()
        elif run.status in QUEUED or record.update_timestamp > since or locks.is_held(life):
            alive.append(run)
    return alive


def heal(installation: Installation, instance: dg.DagsterInstance) -> int:
    """Put right what killed processes have left behind; returns how many partitions Dagster was told of.

    A look that finds nothing writes nothing. Of very many only a part is told at once, the rest at the next look.
    """
    catalog = installation.catalog
    alive = {run.run_id for run in runs_in_flight(installation, instance)}
    for run_id in catalog.unfinished_runs():
        if run_id not in alive:
            catalog.end_killed(run_id)
    untold = [one for one in catalog.untold() if one.run_id not in alive]
    by_step: dict[str, list[Untold]] = {}
    for one in untold:
        if one.asset in installation.pipeline.by_asset:
            by_step.setdefault(one.asset, []).append(one)
    told = 0
    for asset, its in by_step.items():
        told += _tell(installation, instance, asset, its[: TOLD_AT_ONCE - told])
    return told


def _tell(installation: Installation, instance: dg.DagsterInstance, asset: str, untold: list[Untold]) -> int:
    step = installation.pipeline.by_asset[asset]
    inside = together(
        step, installation.catalog.current(asset), {step.grain(one.partition) for one in untold}
    )
    for key, outputs in inside.items():
        alone = outputs.get(key)
        shown = page_of(alone, installation.storage.outputs.url) if alone else page_of_several(outputs, [])
        if outputs:
            instance.report_runless_asset_event(shown.event(asset, key))
    installation.catalog.told_of(asset, [one.partition for one in untold])
    return len(inside)
