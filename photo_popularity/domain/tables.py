"""Frames to Parquet and back, and the content version of a table. No storage here, only bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photo_popularity.domain.content import ContentHash
from photo_popularity.domain.schemas import TableSchema

SMALL_BYTES = 1 << 17


def to_table(frame: pd.DataFrame | pa.Table, schema: TableSchema, *, name: str) -> pa.Table:
    """The frame cast to its schema and sorted by its key.

    Raises ValueError that names the table and column when a column is missing, unknown, null or of another type.
    """
    columns = frame.column_names if isinstance(frame, pa.Table) else frame.columns
    return _table({column: frame[column] for column in columns}, schema, name=name)


def rows_to_table(rows: Sequence[Mapping[str, object]], schema: TableSchema, *, name: str) -> pa.Table:
    """The same for rows as mappings; a column that one of them lacks counts as missing."""
    columns: set[str] = set().union(*rows) if rows else set(schema.columns)
    lacking = sorted(column for column in columns if any(column not in row for row in rows))
    if lacking:
        raise ValueError(f"{name}: columns missing in some rows: {lacking}")
    return _table({column: [row[column] for row in rows] for column in columns}, schema, name=name)


def _table(values: Mapping[str, Any], schema: TableSchema, *, name: str) -> pa.Table:
    expected, present = set(schema.columns), set(values)
    if expected != present:
        missing, unknown = sorted(expected - present), sorted(present - expected)
        raise ValueError(f"{name}: columns missing: {missing}, unknown: {unknown}")
    arrays = []
    for column, field in zip(schema.columns, schema.arrow, strict=True):
        try:
            array = _array(values[column], field.type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{name}.{column}: does not fit {field.type}: {error}") from error
        if not field.nullable and array.null_count:
            raise ValueError(f"{name}.{column}: {array.null_count} rows are null in a column that may not be")
        arrays.append(array)
    table = pa.Table.from_arrays(arrays, schema=schema.arrow)
    # nearly all come in their order, and a look costs a small part of a sort
    return (
        table
        if _is_sorted(table, schema.key)
        else table.sort_by([(column, "ascending") for column in schema.key])
    )


def _is_sorted(table: pa.Table, key: Sequence[str]) -> bool:
    """Whether the rows stand in the order of their key, nulls last."""
    tied = np.ones(max(len(table) - 1, 0), dtype=bool)
    for column in key:
        values = table.column(column).combine_chunks()
        one, next_one = values[:-1], values[1:]
        is_null, next_is_null = _flags(one.is_null()), _flags(next_one.is_null())
        rises = _flags(pc.fill_null(pc.less(one, next_one), False)) | (~is_null & next_is_null)
        same = _flags(pc.fill_null(pc.equal(one, next_one), False)) | (is_null & next_is_null)
        if (tied & ~rises & ~same).any():
            return False
        tied &= same
    return True


def _flags(values: pa.BooleanArray) -> np.ndarray:
    flags: np.ndarray = values.to_numpy(zero_copy_only=False)
    return flags


def _array(values: Any, data_type: pa.DataType) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        # `pa.array` would take every value through Python
        values = values.combine_chunks()
        return values if values.type == data_type else values.cast(data_type)
    array = pa.array(values, type=data_type, from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A frame as domain functions expect it: dates as midnight timestamps in microseconds, lists as Arrow has them."""
    frame: pd.DataFrame = table.to_pandas(
        date_as_object=False,
        # an array for each list would take longer than all that is done with them
        types_mapper=lambda kind: pd.ArrowDtype(kind) if pa.types.is_list(kind) else None,
    )
    for field in table.schema:
        if pa.types.is_date(field.type):
            frame[field.name] = frame[field.name].astype("datetime64[us]")
    return frame


def one_frame(
    schema: TableSchema, parts: Sequence[pa.Table], columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """All columns or some of the parts' rows in one frame; of no parts, a frame without rows."""
    wanted = list(schema.columns if columns is None else columns)
    return to_frame(pa.concat_tables([schema.arrow.empty_table().select(wanted), *parts]))


def encode(table: pa.Table) -> bytes:
    """The table as a Parquet file."""
    is_small = table.nbytes < SMALL_BYTES
    sink = io.BytesIO()
    # Dictionaries cost more time than they save bytes beside zstd. Lists are of hashes, which nothing makes smaller. Of a
    # small table zstd saves little, and takes longer than all the rest, also to read.
    compression = {path: "none" if is_list else "zstd" for path, is_list in _leaves(table.schema)}
    pq.write_table(
        table,
        sink,
        compression="snappy" if is_small else compression,
        use_dictionary=False,
        write_statistics=not is_small,
    )
    return sink.getvalue()


def _leaves(schema: pa.Schema) -> Iterator[tuple[str, bool]]:
    """The columns as Parquet names them, and which are lists."""
    for field in schema:
        is_list = pa.types.is_list(field.type)
        yield f"{field.name}.list.element" if is_list else field.name, is_list


def decode(data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in a Parquet file, or only some of its columns."""
    file = pq.ParquetFile(pa.BufferReader(data))
    # threads that wait for each other take longer for a small one
    return file.read(columns=columns, use_threads=len(data) > SMALL_BYTES)


def content_version(table: pa.Table) -> str:
    """Hash of the rows, 16 hexadecimal digits: the same rows give the same version on any machine.

    Independent of the Parquet writer, of chunking and of how nulls are stored; expects a table from `to_table`.
    """
    digest = ContentHash()
    for field in table.schema:
        digest.update(f"{field.name}:{_type_name(field.type)};".encode())
        _update(digest, table.column(field.name).combine_chunks())
    return digest.version


def _text_of(strings: pa.StringArray) -> memoryview:
    """All strings one after the other, as they lie in memory."""
    _, offsets, text = strings.buffers()
    if text is None or not len(strings):
        return memoryview(b"")
    places = np.frombuffer(offsets, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    return memoryview(text)[places[0] : places[-1]]


def _bytes_of(values: pa.Array) -> memoryview:
    """The values as they lie in memory."""
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).view(np.uint8).data


def _type_name(data_type: pa.DataType) -> str:
    # a list's item is called otherwise once it has been in a Parquet file
    return f"list<{_type_name(data_type.value_type)}>" if pa.types.is_list(data_type) else str(data_type)


def _update(digest: ContentHash, array: pa.Array | pa.ChunkedArray) -> None:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)
    digest.update(len(array).to_bytes(8, "little"))
    digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).data)
    values = array.drop_null() if array.null_count else array
    if pa.types.is_list(array.type):
        digest.update(_bytes_of(pc.list_value_length(values)))
        _update(digest, values.flatten())
    elif pa.types.is_string(array.type):
        digest.update(_bytes_of(pc.binary_length(values)))
        digest.update(_text_of(values))
    elif pa.types.is_floating(array.type):
        # adding zero turns -0.0 into 0.0: equal values must hash equally
        digest.update((values.to_numpy(zero_copy_only=False) + 0.0).view(np.uint8).data)
    else:
        as_integer = (
            values.cast(pa.int64())
            if pa.types.is_temporal(array.type) and not pa.types.is_date(array.type)
            else values
        )
        digest.update(_bytes_of(as_integer))
