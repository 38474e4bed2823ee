"""What the page of an asset shows of each partition: its version, figures and a preview."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import dagster as dg
import pyarrow as pa

from partitions.reads import digest
from photo_popularity.domain import tables
from resources.catalog_records import QUARANTINED, Output
from resources.event_log import last_materializations
from resources.output_parts import ModelFile
from resources.pipeline import Declaration
from resources.previews import ROWS_SHOWN, preview

DATA_VERSION_TAG = "dagster/data_version"
EXAMPLES_SHOWN = 10
NOTHING_LEFT = "its input is gone or quarantined"
Metadata = Mapping[str, dg.MetadataValue]


@dataclass(frozen=True)
class Shown:
    """What the page of an asset shows of one partition."""

    content_version: str
    metadata: Metadata

    def event(self, asset: str, partition: str, more: Metadata | None = None) -> dg.AssetMaterialization:
        """The event that tells Dagster of it."""
        return dg.AssetMaterialization(
            asset,
            partition=partition,
            metadata={**self.metadata, **(more or {})},
            tags={DATA_VERSION_TAG: self.content_version},
        )


def page_of(
    output: Output,
    url: Callable[[Output], str],
    *,
    made: pa.Table | ModelFile | None = None,
    more: Metadata | None = None,
) -> Shown:
    """One output with its figures; with `made`, what was just made, also with its first rows or its card."""
    if output.quarantined:
        return Shown(output.content_version, {QUARANTINED: dg.MetadataValue.text(output.quarantined)})
    shown: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(output.rows),
        "bytes": dg.MetadataValue.int(output.bytes),
        "content_version": dg.MetadataValue.text(output.content_version),
        "path": dg.MetadataValue.path(url(output)),
        **{name: _value(value) for name, value in output.detail.items()},
    }
    if isinstance(made, ModelFile):
        shown["card"] = dg.MetadataValue.json(dict(made.card))
    elif made is not None:
        shown["preview"] = dg.MetadataValue.md(preview(tables.to_frame(made.slice(0, ROWS_SHOWN))))
    return Shown(output.content_version, {**shown, **(more or {})})


@dataclass
class Several:
    """Several files as one partition of Dagster: the version of each, and their figures together."""

    versions: dict[str, str] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)
    rows: int = 0
    bytes: int = 0

    def add(self, file: str, output: Output) -> None:
        """One more file."""
        self.versions[file] = output.content_version
        self.rows += output.rows
        self.bytes += output.bytes
        if reason := output.quarantined:
            self.quarantined[file] = reason

    def page(self, new: Sequence[Shown] = ()) -> Shown:
        """Its version, which changes whenever that of a file does, and its figures; `new` are the files just made."""
        if not self.versions:
            return withdrawn(NOTHING_LEFT)
        figures = {
            "files": len(self.versions),
            "files_made": len(new),
            QUARANTINED: len(self.quarantined),
            "dagster/row_count": self.rows,
            "bytes": self.bytes,
        }
        metadata: dict[str, dg.MetadataValue] = {name: dg.MetadataValue.int(n) for name, n in figures.items()}
        if self.quarantined:
            examples = islice(sorted(self.quarantined.items()), EXAMPLES_SHOWN)
            metadata["reasons"] = dg.MetadataValue.json(dict(examples))
        if shown := next((its.metadata["preview"] for its in new if "preview" in its.metadata), None):
            metadata["preview"] = shown
        return Shown(digest(self.versions), metadata)


def withdrawn(reason: str) -> Shown:
    """A partition of which nothing is left, and why."""
    return Shown("withdrawn", {"withdrawn": dg.MetadataValue.text(reason)})


def together(
    step: Declaration, outputs: Iterable[tuple[str, Output]], keys: Iterable[str]
) -> dict[str, Several]:
    """The outputs inside each of these partitions of Dagster."""
    inside = {key: Several() for key in sorted(keys)}
    for partition, output in outputs:
        if (several := inside.get(step.grain(partition))) is not None:
            several.add(partition, output)
    return inside


def last_told(instance: dg.DagsterInstance, asset: str, partitions: Sequence[str]) -> dict[str, Shown]:
    """What Dagster was last told of these partitions of the asset; those that it knows nothing of are left out."""
    found: dict[str, Shown] = {}
    for partition, record in last_materializations(instance, asset, partitions).items():
        told = record.asset_materialization
        if told is not None:
            found[partition] = Shown((told.tags or {}).get(DATA_VERSION_TAG, ""), dict(told.metadata))
    return found


def _value(value: object) -> dg.MetadataValue:
    if isinstance(value, list | dict):
        return dg.MetadataValue.json(value)
    if isinstance(value, int):
        return dg.MetadataValue.int(value)
    return dg.MetadataValue.float(value) if isinstance(value, float) else dg.MetadataValue.text(str(value))
