"""Which partitions of an input one partition of an asset reads: the one source for loading, planning and lineage.

Dagster drops custom partition mappings from the daemon's and the UI's view, so each read gives the closest mapping that
Dagster knows; what is loaded, and what makes a partition out of date, follows `select` and `digests`. Questions are asked
for many partitions at once: what takes a step through all outputs is done once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

import dagster as dg

from partitions.files import key_of


class Indexed(Protocol):
    """An output: the version of its content, and the days or files inside it."""

    @property
    def content_version(self) -> str: ...

    @property
    def index(self) -> tuple[str, ...]: ...


Outputs = Callable[[str], Mapping[str, Indexed]]
"""Gives the current outputs of an asset, by partition."""


class Read(Protocol):
    """A rule that picks partitions of one input."""

    def select(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, list[str]]:
        """For each of the reader's partitions, those of `asset` that it is made from, in order."""
        ...

    def union(self, asset: str, partitions: Collection[str], outputs: Outputs) -> set[str]:
        """The partitions of `asset` that any of the reader's partitions is made from."""
        ...

    def digests(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, str]:
        """For each of the reader's partitions, one digest of the versions that it is made from."""
        ...

    def mapping(self) -> dg.PartitionMapping:
        """The closest partition mapping that Dagster knows."""
        ...


class _EachByItself:
    """What follows from `select` for a read whose partitions have little in common."""

    def select(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, list[str]]:
        raise NotImplementedError

    def union(self, asset: str, partitions: Collection[str], outputs: Outputs) -> set[str]:
        return {key for keys in self.select(asset, partitions, outputs).values() for key in keys}

    def digests(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, str]:
        present = outputs(asset)
        return {
            partition: digest({key: present[key].content_version for key in keys})
            for partition, keys in self.select(asset, partitions, outputs).items()
        }


@dataclass(frozen=True)
class SameKey(_EachByItself):
    """The partition with the same key: a file's file, a day's day. Its digest is its version, whatever its key."""

    def select(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, list[str]]:
        present = outputs(asset)
        return {key: [key] if key in present else [] for key in partitions}

    def digests(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, str]:
        present = outputs(asset)
        return {key: found.content_version if (found := present.get(key)) else "" for key in partitions}

    def mapping(self) -> dg.PartitionMapping:
        return dg.IdentityPartitionMapping()


@dataclass(frozen=True)
class Days(_EachByItself):
    """The days from `first` to `last`, counted from the reader's day: `Days(-6, 0)` is a week up to it."""

    first: int
    last: int = 0

    def select(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, list[str]]:
        present = outputs(asset)
        return {p: [day for day in self._window(p) if day in present] for p in partitions}

    def _window(self, partition: str) -> Iterator[str]:
        day = date.fromisoformat(partition)
        return (str(day + timedelta(days=offset)) for offset in range(self.first, self.last + 1))

    def mapping(self) -> dg.PartitionMapping:
        return dg.TimeWindowPartitionMapping(
            start_offset=self.first, end_offset=self.last, allow_nonexistent_upstream_partitions=True
        )


@dataclass(frozen=True)
class FilesWithDay(_EachByItself):
    """The files whose output holds rows of the reader's day."""

    def select(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {partition: [] for partition in partitions}
        for key, output in outputs(asset).items():
            for day in output.index:
                if day in found:
                    found[day].append(key)
        return {partition: sorted(keys) for partition, keys in found.items()}

    def mapping(self) -> dg.PartitionMapping:
        # the days inside a file are known only once it was read: no edge that Dagster could follow
        return dg.SpecificPartitionsPartitionMapping([])


@dataclass(frozen=True)
class EveryFile(_EachByItself):
    """Every file that there is, whatever the reader's day: one more file makes each day out of date."""

    def select(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, list[str]]:
        return dict.fromkeys(partitions, sorted(outputs(asset)))

    def union(self, asset: str, partitions: Collection[str], outputs: Outputs) -> set[str]:
        return set(outputs(asset)) if partitions else set()

    def digests(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, str]:
        every = digest({key: output.content_version for key, output in outputs(asset).items()})
        return dict.fromkeys(partitions, every)

    def mapping(self) -> dg.PartitionMapping:
        return dg.SpecificPartitionsPartitionMapping([])


class _EverythingUntil:
    """A read that grows with the reader's day: what belongs to a day comes on top of all days before it."""

    def by_day(self, asset: str, outputs: Outputs) -> Iterable[tuple[str, list[str]]]:
        """The days in order, each with what it adds."""
        raise NotImplementedError

    def select(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, list[str]]:
        days = list(self.by_day(asset, outputs))
        return {p: sorted({key for day, keys in days if day <= p for key in keys}) for p in partitions}

    def union(self, asset: str, partitions: Collection[str], outputs: Outputs) -> set[str]:
        last = max(partitions, default="")
        return {key for day, keys in self.by_day(asset, outputs) if day <= last for key in keys}

    def digests(self, asset: str, partitions: Collection[str], outputs: Outputs) -> Mapping[str, str]:
        present, running = outputs(asset), _Digest()
        days = iter(self.by_day(asset, outputs))
        ahead = next(days, None)
        found = {}
        for partition in sorted(partitions):
            while ahead is not None and ahead[0] <= partition:
                running.add({key: present[key].content_version for key in ahead[1]})
                ahead = next(days, None)
            found[partition] = running.value
        return found


@dataclass(frozen=True)
class UntilDay(_EverythingUntil):
    """Every day up to the reader's own."""

    def by_day(self, asset: str, outputs: Outputs) -> Iterable[tuple[str, list[str]]]:
        return ((day, [day]) for day in sorted(outputs(asset)))

    def mapping(self) -> dg.PartitionMapping:
        return dg.AllPartitionMapping()


@dataclass(frozen=True)
class FilesListedUntilDay(_EverythingUntil):
    """The files that the days of `listing` up to the reader's own have in their index."""

    listing: str

    def by_day(self, asset: str, outputs: Outputs) -> Iterable[tuple[str, list[str]]]:
        present, listed = outputs(asset), set[str]()
        for day, output in sorted(outputs(self.listing).items()):
            # the first day counts for a file that stands on two
            new = {key for file in output.index if (key := key_of(file)) in present} - listed
            listed |= new
            yield day, sorted(new)

    def mapping(self) -> dg.PartitionMapping:
        return dg.SpecificPartitionsPartitionMapping([])


class _Digest:
    """One digest of (partition, version) pairs that come in a fixed order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, versions: Mapping[str, str]) -> None:
        lines = "".join(f"{partition}\0{version}\n" for partition, version in sorted(versions.items()))
        self._hash.update(lines.encode("utf-8", "surrogateescape"))

    @property
    def value(self) -> str:
        return self._hash.hexdigest()[:16]


def digest(versions: Mapping[str, str]) -> str:
    """One digest of many (partition, version) pairs, whatever their order."""
    whole = _Digest()
    whole.add(versions)
    return whole.value
