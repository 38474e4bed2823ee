"""What a step has made, split into its partitions: for each the files to store and the version of their content.

Nothing is stored here; see `table_storage.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa

from partitions.files import file_of
from photo_popularity.domain import tables
from photo_popularity.domain.schemas import SCHEMAS

LONGEST_NAME_BYTES = 200


@dataclass(frozen=True)
class ModelFile:
    """A fitted model as bytes, and its card: what it was trained on, how, and what it reached."""

    data: bytes
    version: str
    card: Mapping[str, Any]


Made = pd.DataFrame | ModelFile


@dataclass(frozen=True)
class Result:
    """What a step has made of one asset: the table or model, and what its page shows beside it.

    `details` are facts of one partition that the catalog keeps too, by partition key.
    """

    made: Made
    metadata: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One partition's output: its files by name, the main one first. `index` as in `Output`."""

    files: Mapping[str, bytes]
    version: str
    rows: int
    index: tuple[str, ...] = ()


def parts_of(asset: str, made: Made, partitions: Sequence[str]) -> dict[str, Part]:
    """What was made, by partition; a partition without rows has an empty part.

    Raises ValueError for rows of a partition that is not among `partitions`, and for a table of another shape.
    """
    if isinstance(made, ModelFile):
        if len(partitions) != 1:
            raise ValueError(f"{asset}: a model is made for one partition, not {len(partitions)}")
        return {partitions[0]: _model_part(made)}
    groups = by_partition(asset, made, partitions)
    unknown = set(groups) - set(partitions)
    if unknown:
        raise ValueError(f"{asset}: rows of partitions that were not asked for: {sorted(unknown)[:5]}")
    return {
        partition: _table_part(asset, partition, groups.get(partition, made.iloc[:0]))
        for partition in partitions
    }


def by_partition(asset: str, frame: pd.DataFrame, partitions: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The frame's rows by partition key; rows of other partitions under what stands in their column."""
    if asset not in SCHEMAS:
        return {}
    schema = SCHEMAS[asset]
    if schema.partition_column not in frame:
        raise ValueError(
            f"{asset}: column {schema.partition_column!r} is missing, which says the partition of a row"
        )
    keys = frame[schema.partition_column]
    if schema.columns[schema.partition_column].type == pa.date32():
        keys = keys.astype("datetime64[us]").dt.strftime("%Y-%m-%d")
    else:
        key_of_file = {file_of(key): key for key in partitions}
        keys = keys.map(lambda file: key_of_file.get(file, file))
    return {str(key): rows for key, rows in frame.groupby(keys.to_numpy(), sort=False, dropna=False)}


def folder_of(asset: str, partition: str) -> str:
    """The folder of a partition's files: its key, with names cut that a file system would refuse."""
    return "/".join([asset, *(_storable(name) for name in partition.split("/"))])


def _table_part(asset: str, partition: str, rows: pd.DataFrame) -> Part:
    schema = SCHEMAS[asset]
    table = tables.to_table(rows, schema, name=f"{asset} {partition}")
    version = tables.content_version(table)
    index = (
        tuple(sorted({str(v) for v in table[schema.index_column].to_pylist()})) if schema.index_column else ()
    )
    return Part({f"{version}.parquet": tables.encode(table)}, version, len(table), index)


def _model_part(model: ModelFile) -> Part:
    version = model.version.rsplit("-", 1)[-1]
    card = json.dumps({**model.card, "model_version": model.version}, indent=2, sort_keys=True).encode()
    return Part({f"{version}.skops": model.data, f"{version}.json": card}, version, 1)


def _storable(name: str) -> str:
    data = name.encode()
    if len(data) <= LONGEST_NAME_BYTES:
        return name
    # percent signs make a key longer than the file's own name, which may already be as long as a name can be
    return data[:100].decode("utf-8", "ignore") + "~" + hashlib.sha256(data).hexdigest()[:16]
