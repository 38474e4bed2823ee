"""What a step has made, by partition: for each the rows or the model, and the version of its content.

Nothing is stored here; see `table_storage.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import pandas as pd
import pyarrow as pa

from partitions.files import file_of
from photo_popularity.domain import tables
from photo_popularity.domain.schemas import SCHEMAS, TableSchema
from resources.previews import ROWS_SHOWN

LONGEST_NAME_BYTES = 200
Row = Mapping[str, Any]


@dataclass(frozen=True)
class ModelFile:
    """A fitted model as bytes, and its card: what it was trained on, how, and what it reached."""

    data: bytes
    version: str
    card: Mapping[str, Any]


Made: TypeAlias = pd.DataFrame | pa.Table | Row | Sequence[Row] | ModelFile


@dataclass(frozen=True)
class Result:
    """What a step has made of one asset: rows or a model, and what the page of the run shows beside it.

    `detail` are facts of the one file that was worked on, which the catalog keeps too.
    """

    made: Made
    metadata: Mapping[str, Any] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)


class Stored(NamedTuple):
    """Where a part lies below the root, and how many bytes it has there."""

    path: str
    bytes: int


@dataclass(frozen=True)
class Part:
    """One partition's output: a table with so many rows, or a model, which counts as one. `index` and `detail` as in `Output`.

    `of_the_name` tells that the content depends on the name of the file, and not on its bytes alone. Once it is `stored`
    it has the first rows of its table alone.
    """

    version: str
    made: pa.Table | ModelFile
    rows: int
    index: tuple[str, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)
    of_the_name: bool = True
    stored: Stored | None = None

    def first_rows(self) -> pa.Table | ModelFile:
        """The rows that a page shows, without holding on to the others; a model as a whole."""
        if isinstance(self.made, ModelFile) or self.rows <= ROWS_SHOWN:
            return self.made
        return self.made.take(pa.array(range(ROWS_SHOWN)))


def parts_of(asset: str, made: Made, partitions: Sequence[str]) -> dict[str, Part]:
    """What was made for several days, by day; a day without rows has an empty part.

    Raises ValueError for rows of a day that is not among `partitions`, and for a table of another shape.
    """
    if isinstance(made, ModelFile):
        if len(partitions) != 1:
            raise ValueError(f"{asset}: a model is made for one partition, not {len(partitions)}")
        return {partitions[0]: Part(made.version.rsplit("-", 1)[-1], made, rows=1)}
    if not isinstance(made, pd.DataFrame):
        raise ValueError(f"{asset}: a step that works on days returns a frame, not {type(made).__name__}")
    groups = by_partition(asset, made, partitions)
    unknown = set(groups) - set(partitions)
    if unknown:
        raise ValueError(f"{asset}: rows of partitions that were not asked for: {sorted(unknown)[:5]}")
    schema = SCHEMAS[asset]
    return {
        key: table_part(asset, tables.to_table(groups.get(key, made.iloc[:0]), schema, name=f"{asset} {key}"))
        for key in partitions
    }


def file_part(asset: str, file: str, result: Result, *, of_the_name: bool) -> Part:
    """What was made of one file: its rows, to which the file's name is added here."""
    schema, made, name = SCHEMAS[asset], result.made, f"{asset} {file}"
    if isinstance(made, ModelFile):
        raise ValueError(f"{name}: of a file rows are made, not a model")
    if isinstance(made, pd.DataFrame):
        table = tables.to_table(made.assign(**{schema.partition_column: file_of(file)}), schema, name=name)
    elif isinstance(made, pa.Table):
        names = pa.repeat(pa.scalar(file_of(file)), len(made))
        table = tables.to_table(made.append_column(schema.partition_column, names), schema, name=name)
    else:
        rows = [made] if isinstance(made, Mapping) else made
        named = [{**row, schema.partition_column: file_of(file)} for row in rows]
        table = tables.rows_to_table(named, schema, name=name)
    return table_part(asset, table, detail=result.detail, of_the_name=of_the_name)


def table_part(
    asset: str, table: pa.Table, *, detail: Mapping[str, Any] | None = None, of_the_name: bool = True
) -> Part:
    """A table as a part; its version tells of the rows alone, not of the day or file that they belong to."""
    schema = SCHEMAS[asset]
    version = tables.content_version(table.drop_columns([schema.partition_column]))
    index = (
        tuple(sorted(map(str, table[schema.index_column].unique().to_pylist())))
        if schema.index_column
        else ()
    )
    return Part(version, table, len(table), index, detail or {}, of_the_name)


def renamed(asset: str, table: pa.Table, file: str) -> pa.Table:
    """The rows of a file as those of another file with the same content."""
    schema = SCHEMAS[asset]
    place = table.schema.get_field_index(schema.partition_column)
    names = pa.array([file_of(file)] * len(table), table.schema.field(place).type)
    return table.set_column(place, table.schema.field(place), names)


def by_partition(asset: str, frame: pd.DataFrame, partitions: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The frame's rows by partition; rows of other partitions under what stands in their column."""
    if asset not in SCHEMAS:
        return {}
    schema = SCHEMAS[asset]
    if schema.partition_column not in frame:
        raise ValueError(
            f"{asset}: column {schema.partition_column!r} is missing, which says the partition of a row"
        )
    keys = frame[schema.partition_column]
    if schema.columns[schema.partition_column].type == pa.date32():
        days = frame.groupby(
            keys.astype("datetime64[us]").dt.normalize().to_numpy(), sort=False, dropna=False
        )
        return {_name_of_day(day): rows for day, rows in days}
    key_of_file = {file_of(key): key for key in partitions}
    keys = keys.map(lambda file: key_of_file.get(file, file))
    return {str(key): rows for key, rows in frame.groupby(keys.to_numpy(), sort=False, dropna=False)}


def _name_of_day(day: Any) -> str:
    return "nan" if pd.isna(day) else f"{day:%Y-%m-%d}"


def rows_of_files(schema: TableSchema, table: pa.Table, files: Sequence[str]) -> dict[str, pa.Table]:
    """Of a table with the rows of several files, those of each of these."""
    places: dict[str, list[int]] = {file_of(file): [] for file in files}
    for place, name in enumerate(table[schema.partition_column].to_pylist()):
        if name in places:
            places[name].append(place)
    return {file: table.take(pa.array(places[file_of(file)], pa.int64())) for file in files}


def files_of_model(model: ModelFile) -> tuple[bytes, bytes]:
    """A model as its file, and its card as the JSON file beside it."""
    card = json.dumps({**model.card, "model_version": model.version}, indent=2, sort_keys=True).encode()
    return model.data, card


def folder_of(asset: str, key: str) -> str:
    """The folder of a partition's files: its key, with names cut that a file system would refuse."""
    return "/".join([asset, *(_storable(name) for name in key.split("/"))])


def _storable(name: str) -> str:
    data = name.encode()
    if len(data) <= LONGEST_NAME_BYTES:
        return name
    # percent signs make a key longer than the file's own name, which may already be as long as a name can be
    return data[:100].decode("utf-8", "ignore") + "~" + hashlib.sha256(data).hexdigest()[:16]
