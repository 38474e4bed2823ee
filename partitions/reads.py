"""Which partitions of an input one partition of an asset reads: the one source for loading, planning and lineage.

Dagster drops custom partition mappings from the daemon's and the UI's view, so each read gives the closest mapping that
Dagster knows; what is loaded, and what makes a partition out of date, follows `select`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

import dagster as dg

from partitions.files import key_of


class Indexed(Protocol):
    """An output whose catalog row lists the days or files inside it."""

    @property
    def index(self) -> tuple[str, ...]: ...


Outputs = Callable[[str], Mapping[str, Indexed]]
"""Gives the current outputs of an asset, by partition."""


class Read(Protocol):
    """A rule that picks partitions of one input."""

    def select(self, asset: str, partition: str, outputs: Outputs) -> list[str]:
        """The partitions of `asset` that `partition` of the reader is made from, in order."""
        ...

    def mapping(self) -> dg.PartitionMapping:
        """The closest partition mapping that Dagster knows."""
        ...


@dataclass(frozen=True)
class SameKey:
    """The partition with the same key: a file's file, a day's day."""

    def select(self, asset: str, partition: str, outputs: Outputs) -> list[str]:
        return [partition] if partition in outputs(asset) else []

    def mapping(self) -> dg.PartitionMapping:
        return dg.IdentityPartitionMapping()


@dataclass(frozen=True)
class Days:
    """The days from `first` to `last`, counted from the reader's day: `Days(-6, 0)` is a week up to it."""

    first: int
    last: int = 0

    def select(self, asset: str, partition: str, outputs: Outputs) -> list[str]:
        day = date.fromisoformat(partition)
        window = (str(day + timedelta(days=offset)) for offset in range(self.first, self.last + 1))
        return [key for key in window if key in outputs(asset)]

    def mapping(self) -> dg.PartitionMapping:
        return dg.TimeWindowPartitionMapping(
            start_offset=self.first, end_offset=self.last, allow_nonexistent_upstream_partitions=True
        )


@dataclass(frozen=True)
class UntilDay:
    """Every day up to the reader's own."""

    def select(self, asset: str, partition: str, outputs: Outputs) -> list[str]:
        return sorted(key for key in outputs(asset) if key <= partition)

    def mapping(self) -> dg.PartitionMapping:
        return dg.AllPartitionMapping()


@dataclass(frozen=True)
class FilesWithDay:
    """The files whose output holds rows of the reader's day."""

    def select(self, asset: str, partition: str, outputs: Outputs) -> list[str]:
        return sorted(key for key, output in outputs(asset).items() if partition in output.index)

    def mapping(self) -> dg.PartitionMapping:
        # the days inside a file are known only once it was read: no edge that Dagster could follow
        return dg.SpecificPartitionsPartitionMapping([])


@dataclass(frozen=True)
class FilesListedUntilDay:
    """The files that the days of `listing` up to the reader's own have in their index."""

    listing: str

    def select(self, asset: str, partition: str, outputs: Outputs) -> list[str]:
        present = outputs(asset)
        listed = {
            key_of(file)
            for day, output in outputs(self.listing).items()
            if day <= partition
            for file in output.index
        }
        return sorted(listed & present.keys())

    def mapping(self) -> dg.PartitionMapping:
        return dg.SpecificPartitionsPartitionMapping([])
