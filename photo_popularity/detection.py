"""What changed in the sources: the state now against the state in the catalog, for sensors and the night alike.

Level-triggered: the difference is taken anew each time, so a lost event cannot lose an update. Nothing here launches.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

import dagster as dg

from partitions.placing import align_keys
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
    present: Mapping[str, Output] = field(default_factory=dict, repr=False, compare=False)
    """What of the source the catalog has now."""

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
    changed = {
        key
        for key in both
        if before[key] is not now[key] and before[key].content_version != now[key].content_version
    }
    touched = {
        key for key in both - changed if before[key] is not now[key] and before[key].detail != now[key].detail
    }
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
    present = {**state.files, **unsettled}
    found = difference(before, present)
    moved = (*found.added, *found.changed, *found.touched)
    if moved:
        catalog.set_current(source, {key: state.files[key] for key in moved})
    if found.removed:
        catalog.withdraw(source, found.removed)
    _withdraw_what_has_no_file(installation, source)
    grain = installation.pipeline.file_sets[source].grain
    new = align_keys(instance, source, {grain(file) for file in present})
    _tell_of_new_keys(installation, source, set(new))
    _show(instance, source, found, present=len(present))
    unreadable = (
        f"{source}: {key} cannot be read ({why}); check its permissions"
        for key, why in state.unreadable.items()
    )
    return replace(found, unsettled=state.unsettled, warnings=tuple(sorted(unreadable)), present=present)


def _withdraw_what_has_no_file(installation: Installation, source: str) -> None:
    """Withdraw the outputs of files that are gone, also of one that went while a run was at work on it."""
    catalog, files = installation.catalog, installation.pipeline.file_sets[source]
    for step in installation.pipeline.of_files(source):
        for asset in step.makes:
            gone = catalog.without_source(asset, source)
            if gone:
                catalog.withdraw(asset, gone)
                # where the key stays, as a folder's does, its page is to say what is left
                catalog.note_untold(asset, [file for file in gone if files.grain(file) != file])


def _tell_of_new_keys(installation: Installation, source: str, new: Set[str]) -> None:
    """Dagster knows nothing of a key that is new to it, though what belongs to it may have been made long ago."""
    if new:
        grain = installation.pipeline.file_sets[source].grain
        for step in installation.pipeline.of_files(source):
            for asset in step.makes:
                made = [file for file in installation.catalog.current(asset) if grain(file) in new]
                installation.catalog.note_untold(asset, made)


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
    for step in installation.pipeline.of_days:
        for asset in step.makes:
            installation.catalog.withdraw(asset, list(installation.catalog.current(asset)))
    return True
