"""What changed in the sources: the state now against the state in the catalog, for sensors and the night alike.

Level-triggered: the difference is taken anew each time, so a lost event cannot lose an update. Nothing here launches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace

import dagster as dg

from partitions.placing import align_keys
from photo_popularity.domain.errors import InputError
from resources.catalog_records import Output
from resources.installation import Installation
from resources.pages import last_told


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
    suspects: frozenset[str] | None = field(default=None, compare=False)
    """All partitions of which something may be out of date, and few others; None where they were not told apart."""

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
    added: list[str] = []
    changed: list[str] = []
    touched: list[str] = []
    for key, output in now.items():
        known = before.get(key)
        if known is None:
            added.append(key)
        elif known.content_version != output.content_version:
            changed.append(key)
        elif known.detail != output.detail:
            touched.append(key)
    return Changes(
        added=tuple(sorted(added)),
        changed=tuple(sorted(changed)),
        removed=tuple(sorted(before.keys() - now.keys())),
        touched=tuple(sorted(touched)),
        unchanged=len(now) - len(added) - len(changed),
    )


def detect_files(
    installation: Installation, source: str, instance: dg.DagsterInstance, *, quiet_seconds: float = 0.0
) -> Changes:
    """Bring the catalog's state of a file source, and Dagster's partition keys, up to the files that are there.

    Outputs of files that are gone are withdrawn; files still being written are left for later.
    """
    catalog = installation.catalog
    # beside the listing: with a million files each takes seconds
    with ThreadPoolExecutor(max_workers=1) as beside:
        asked = beside.submit(_asked_of_the_catalog, installation, source)
        before = catalog.details(source)
        state = installation.file_sources[source].state(before, quiet_seconds=quiet_seconds)
        suspects, without_file = asked.result()
    known = catalog.current(source, state.moved) if state.moved else {}
    found = difference(known, state.moved)
    moved = {key: state.moved[key] for key in (*found.added, *found.changed, *found.touched)}
    found = replace(
        found,
        removed=tuple(sorted(before.keys() - state.files)),
        unchanged=len(state.files) - len(found.added) - len(found.changed),
        suspects=None if suspects is None else frozenset(suspects | moved.keys()),
    )
    if moved:
        catalog.set_current(source, moved)
    if found.removed:
        catalog.withdraw(source, found.removed)
    _withdraw_what_has_no_file(installation, source, found.removed, without_file, state.files)
    grain = installation.pipeline.file_sets[source].grain
    keys, there = {grain(file) for file in state.files}, instance.get_dynamic_partitions(source)
    if new := keys.difference(there):
        # noted before the keys are there: a process that is killed in between would leave them without a page
        _tell_of_new_keys(installation, instance, source, new)
        there = instance.get_dynamic_partitions(source)
    align_keys(instance, source, keys, present=there)
    _show(instance, source, found, present=len(state.files))
    unreadable = (
        f"{source}: {key} cannot be read ({why}); check its permissions"
        for key, why in state.unreadable.items()
    )
    return replace(found, unsettled=state.unsettled, warnings=tuple(sorted(unreadable)))


def _asked_of_the_catalog(
    installation: Installation, source: str
) -> tuple[set[str] | None, dict[str, list[str]]]:
    """By the state of the last look: the files of which something may be out of date, and outputs without a file."""
    catalog, steps = installation.catalog, installation.pipeline.of_files(source)
    suspects = None
    if all(step.is_by_file for step in steps):
        # what stands in the way of making anything, such as a model that is not there, is for the planner to say
        with suppress(InputError):
            expected = [one for step in steps for one in step.expected(installation.environment)]
            suspects = catalog.may_be_out_of_date(source, expected)
    return suspects, {a: catalog.without_source(a, source) for step in steps for a in step.makes}


def _withdraw_what_has_no_file(
    installation: Installation,
    source: str,
    removed: Sequence[str],
    without_file: Mapping[str, list[str]],
    present: Set[str],
) -> None:
    """Withdraw the outputs of files that are gone, also of one that went while a run was at work on it."""
    catalog, files = installation.catalog, installation.pipeline.file_sets[source]
    for asset, orphans in without_file.items():
        gone = set(orphans) - present
        if removed:
            gone.update(catalog.current(asset, removed))
        if gone:
            # where the key stays, as a folder's does, its page is to say what is left
            catalog.withdraw(asset, gone, untold=[file for file in gone if files.grain(file) != file])


def _tell_of_new_keys(
    installation: Installation, instance: dg.DagsterInstance, source: str, new: Set[str]
) -> None:
    """What belongs to a key that is new to Dagster may have been made long ago, or its page be of long ago."""
    grain, catalog = installation.pipeline.file_sets[source].grain, installation.catalog
    files = [file for file in catalog.partitions(source) if grain(file) in new]
    for step in installation.pipeline.of_files(source):
        for asset in step.makes:
            made = catalog.current(asset, files)
            known = last_told(instance, asset, sorted(new))
            catalog.note_untold(asset, [file for file in files if file in made or grain(file) in known])


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
