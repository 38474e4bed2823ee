"""What the page of an asset shows of each partition: its version, figures and a preview."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

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


def page_of_several(outputs: Mapping[str, Output], new: Sequence[Shown]) -> Shown:
    """Several files as one partition of Dagster: its version changes whenever one of them does."""
    quarantined = {file: output.quarantined for file, output in outputs.items() if output.quarantined}
    figures = {
        "files": len(outputs),
        "files_made": len(new),
        QUARANTINED: len(quarantined),
        "dagster/row_count": sum(output.rows for output in outputs.values()),
        "bytes": sum(output.bytes for output in outputs.values()),
    }
    metadata: dict[str, dg.MetadataValue] = {name: dg.MetadataValue.int(n) for name, n in figures.items()}
    if quarantined:
        metadata["reasons"] = dg.MetadataValue.json(dict(list(quarantined.items())[:EXAMPLES_SHOWN]))
    if shown := next((its.metadata["preview"] for its in new if "preview" in its.metadata), None):
        metadata["preview"] = shown
    return Shown(digest({file: output.content_version for file, output in outputs.items()}), metadata)


def together(
    step: Declaration, outputs: Mapping[str, Output], keys: Collection[str]
) -> dict[str, dict[str, Output]]:
    """The outputs inside each of these partitions of Dagster."""
    inside: dict[str, dict[str, Output]] = {key: {} for key in sorted(keys)}
    for partition, output in outputs.items():
        if (key := step.grain(partition)) in inside:
            inside[key][partition] = output
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
