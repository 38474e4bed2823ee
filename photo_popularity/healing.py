"""What a killed process leaves behind, put right at the next look: its run is ended, and Dagster is told what it made.

The catalog is the truth and needs no healing: a commit is whole or has not happened, and what is out of date is made by
whoever comes next. Only what mirrors it can lag behind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import islice

import dagster as dg

from photo_popularity.jobs import BACKFILL_TAG
from resources.catalog import KILLED
from resources.catalog_records import Untold
from resources.installation import Installation
from resources.pages import NOTHING_LEFT, page_of, together, withdrawn
from resources.pipeline import Snapshot
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
SECONDS_BETWEEN_LOOKS = 0.5


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
        locks.clear(life)
    return alive


def wait_until_alone(
    installation: Installation, instance: dg.DagsterInstance, kind: str, *, tell: Callable[[str], object]
) -> bool:
    """Wait until no other run is at work on the files of a set: placing keys together would move them under its hands.

    Returns whether it had to, and so whether there may be less to do by now.
    """
    assets = {dg.AssetKey(asset) for step in installation.pipeline.of_files(kind) for asset in step.makes}
    told = False
    while any(
        run.status != dg.DagsterRunStatus.QUEUED and assets & (run.asset_selection or set())
        for run in (runs_in_flight(installation, instance) if assets else ())
    ):
        if not told:
            told = True
            tell(f"another run is at work on {kind}: waiting until it has ended")
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return told


def heal(installation: Installation, instance: dg.DagsterInstance) -> int:
    """Put right what killed processes have left behind; returns how many of its partitions Dagster was told of.

    A look that finds nothing writes nothing. Of very many only a part is told at once, the rest at the next look.
    """
    catalog = installation.catalog
    _tell_of_lost_days(installation, instance)
    # read before the runs are: one that starts in between is no dead one
    unfinished, untold = catalog.unfinished_runs(), catalog.untold()
    alive = {run.run_id for run in runs_in_flight(installation, instance)}
    # a run that this instance of Dagster does not know may be one of another
    others = {*unfinished, *(one.run_id for one in untold)} - alive - {""}
    alive |= {run_id for run_id in others if catalog.locks.is_held(life_of(run_id))}
    for run_id in unfinished:
        if run_id not in alive:
            catalog.end_killed(run_id)
    by_asset: dict[str, dict[str, list[Untold]]] = {}
    for one in untold:
        step = installation.pipeline.by_asset.get(one.asset)
        if one.run_id not in alive and step is not None:
            by_asset.setdefault(one.asset, {}).setdefault(step.grain(one.partition), []).append(one)
    told = 0
    for asset, by_key in by_asset.items():
        step = installation.pipeline.by_asset[asset]
        # while a run is at work on the step, it tells more than is known here
        release = catalog.locks.try_take(lock_of(step.name)) if told < TOLD_AT_ONCE else None
        if release is not None:
            try:
                its = dict(islice(by_key.items(), TOLD_AT_ONCE - told))
                told += _tell(installation, instance, asset, its)
            finally:
                release()
    return told


def _tell_of_lost_days(installation: Installation, instance: dg.DagsterInstance) -> None:
    """Note the days of assets that Dagster knows nothing of at all: it has lost its database."""
    assets = [asset for step in installation.pipeline.of_days for asset in step.makes]
    known = instance.get_latest_materialization_events([dg.AssetKey(asset) for asset in assets])
    for asset in assets:
        if known.get(dg.AssetKey(asset)) is None and (days := installation.catalog.partitions(asset)):
            installation.catalog.note_untold(asset, days)


def _tell(
    installation: Installation, instance: dg.DagsterInstance, asset: str, untold: Mapping[str, list[Untold]]
) -> int:
    """Tell Dagster what there is now of these keys of its own, each with what is untold in it."""
    step, keys = installation.pipeline.by_asset[asset], set(untold)
    if step.files is not None:
        keys &= set(instance.get_dynamic_partitions(step.files.name))
    built_on = "" if step.is_by_file else Snapshot(installation.catalog).built_on(step)
    more = {"built_on": dg.MetadataValue.text(built_on)} if built_on else {}
    if step.shares_partitions:
        inside = together(step, installation.catalog.each(asset), keys)
        pages = {key: several.page() for key, several in inside.items()}
    else:
        outputs, url = installation.catalog.current(asset, keys), installation.storage.outputs.url
        pages = {
            key: page_of(outputs[key], url, more=more) if key in outputs else withdrawn(NOTHING_LEFT)
            for key in sorted(keys)
        }
    for key, shown in pages.items():
        instance.report_runless_asset_event(shown.event(asset, key))
    installation.catalog.told_of([one for its in untold.values() for one in its])
    return len(pages)
