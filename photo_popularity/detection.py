"""What changed in the sources: the state now against the state in the catalog, for sensors and the night alike.

Level-triggered: the difference is taken anew each time, so a lost event cannot lose an update. Nothing here launches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import dagster as dg

from partitions.files import FILE_PARTITIONS, add_keys
from resources.catalog_records import Output
from resources.installation import Installation


@dataclass(frozen=True)
class Changes:
    """Partitions of one source that came, changed or disappeared, and what a person should know of the others."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    unsettled: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unchanged: int = 0

    @property
    def nothing_is_left(self) -> bool:
        """Whether the source had partitions before, and every one of them is gone or has other content."""
        return bool(self.changed or self.removed) and not self.unchanged

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def __str__(self) -> str:
        counts = {"new": self.added, "changed": self.changed, "gone": self.removed}
        return ", ".join(f"{len(keys):,} {word}" for word, keys in counts.items() if keys) or (
            "unchanged" if self.unchanged or self.touched else "nothing there"
        )


def difference(before: Mapping[str, Output], now: Mapping[str, Output]) -> Changes:
    """The pure difference of two states of a source."""
    both = before.keys() & now.keys()
    changed = {key for key in both if before[key].content_version != now[key].content_version}
    touched = {key for key in both - changed if dict(before[key].detail) != dict(now[key].detail)}
    return Changes(
        added=tuple(sorted(now.keys() - before.keys())),
        changed=tuple(sorted(changed)),
        removed=tuple(sorted(before.keys() - now.keys())),
        touched=tuple(sorted(touched)),
        unchanged=len(both - changed),
    )


def detect_files(
    installation: Installation, source: str, instance: dg.DagsterInstance, *, quiet_seconds: float = 0.0
) -> Changes:
    """Bring the catalog's state of a file source, and Dagster's partition keys, up to the files that are there.

    Outputs of files that are gone are withdrawn; files still being written are left for later.
    """
    catalog = installation.catalog
    before = catalog.current(source)
    state = installation.file_sources[source].state(before, quiet_seconds=quiet_seconds)
    unsettled = {key: before[key] for key in state.unsettled if key in before}
    found = difference(before, {**state.files, **unsettled})
    moved = (*found.added, *found.changed, *found.touched)
    if moved:
        catalog.set_current(source, {key: state.files[key] for key in moved})
    if found.removed:
        _withdraw(installation, source, found.removed)
    _align_keys(instance, source, {*state.files, *unsettled})
    _show(instance, source, found, present=len({**state.files, **unsettled}))
    unreadable = (
        f"{source}: {key} cannot be read ({why}); check its permissions"
        for key, why in state.unreadable.items()
    )
    return replace(found, unsettled=state.unsettled, warnings=tuple(sorted(unreadable)))


def _withdraw(installation: Installation, source: str, removed: tuple[str, ...]) -> None:
    # outputs first: whenever this is cut short, the next look finds the files gone again
    for step in installation.pipeline.steps:
        if step.partitions == source:
            for asset in step.makes:
                present = installation.catalog.current(asset)
                installation.catalog.withdraw(asset, [key for key in removed if key in present])
    installation.catalog.withdraw(source, removed)


def _align_keys(instance: dg.DagsterInstance, source: str, files: Iterable[str]) -> None:
    """Give Dagster a key for each file, and for nothing else."""
    wanted = sorted(files)
    for key in set(instance.get_dynamic_partitions(source)).difference(wanted):
        instance.delete_dynamic_partition(source, key)
    add_keys(instance, FILE_PARTITIONS[source], wanted)


def _show(instance: dg.DagsterInstance, source: str, found: Changes, *, present: int) -> None:
    """Tell the source's page what is there now; a look that found nothing new writes nothing."""
    if found:
        counts = {"new": len(found.added), "changed": len(found.changed), "gone": len(found.removed)}
        instance.report_runless_asset_event(
            dg.AssetObservation(source, metadata={"partitions": present, **counts})
        )


def detect_database(installation: Installation, instance: dg.DagsterInstance) -> Changes:
    """Bring the catalog's state of the photo database up to its rows, by day of upload."""
    now, unusable = installation.photo_database.state()
    found = difference(installation.catalog.current("photo_database"), now)
    moved = (*found.added, *found.changed)
    if moved:
        installation.catalog.set_current("photo_database", {day: now[day] for day in moved})
    if found.removed:
        installation.catalog.withdraw("photo_database", found.removed)
    _show(instance, "photo_database", found, present=len(now))
    return replace(found, warnings=tuple(unusable))


def withdraw_another_site(installation: Installation, detected: Mapping[str, Changes]) -> bool:
    """Withdraw every day's outputs when neither a photo file nor an upload day of before is left: another site.

    Without this, the photos of the earlier site would live on in the features of this one. Files and history stay.
    """
    if not (detected["photo_files"].nothing_is_left and detected["photo_database"].nothing_is_left):
        return False
    for step in installation.pipeline.steps:
        if step.partitions == "days":
            for asset in step.makes:
                installation.catalog.withdraw(asset, list(installation.catalog.current(asset)))
    return True
