"""Frames to files and back, and the version of a table's content."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photo_popularity.domain.schemas import TIMESTAMP, Column, TableSchema
from photo_popularity.domain.tables import content_version, decode, encode, to_frame, to_table

SCHEMA = TableSchema(
    {
        "day": Column(pa.date32(), "a day"),
        "key": Column(pa.string(), "a key"),
        "note": Column(pa.string(), "a text", required=False),
        "share": Column(pa.float64(), "a number", required=False),
        "count": Column(pa.int32(), "a count", required=False),
        "at": Column(TIMESTAMP, "a moment", required=False),
        "good": Column(pa.bool_(), "a flag", required=False),
        "visitors": Column(pa.list_(pa.uint64()), "hashes"),
    },
    key=("day", "key"),
    partition_column="day",
)

row = st.fixed_dictionaries(
    {
        "day": st.dates().map(str),
        "key": st.text(st.characters(blacklist_categories=["Cs"]), max_size=5),
        "note": st.none() | st.text(st.characters(blacklist_categories=["Cs"]), max_size=5),
        "share": st.none() | st.floats(allow_nan=False),
        "count": st.none() | st.integers(0, 2**31 - 1),
        "at": st.none() | st.integers(0, 2**48),
        "good": st.none() | st.booleans(),
        "visitors": st.lists(st.integers(0, 2**64 - 1), max_size=3),
    }
)
rows = st.lists(row, max_size=6, unique_by=lambda r: (r["day"], r["key"]))


def a_table(given_rows: list[dict[str, Any]]) -> pa.Table:
    arrays = [
        pa.array([r[c] for r in given_rows], pa.string() if c == "day" else f.type)
        for c, f in SCHEMA.columns.items()
    ]
    arrays[0] = arrays[0].cast(pa.date32())
    table = pa.Table.from_arrays(arrays, schema=SCHEMA.arrow)
    return table.sort_by([(column, "ascending") for column in SCHEMA.key])


def a_frame(**columns: Any) -> pd.DataFrame:
    given_columns = {
        "day": pd.to_datetime(["2026-10-02", "2026-10-01"]),
        "key": ["b", "a"],
        "note": [None, "x"],
        "share": [0.5, np.nan],
        "count": [1, 2],
        "at": pd.to_datetime(["2026-10-01T12:00Z", "NaT"]),
        "good": [True, None],
        "visitors": [np.array([2**64 - 1], dtype=np.uint64), np.array([], dtype=np.uint64)],
    }
    return pd.DataFrame({**given_columns, **columns})


def test_a_frame_comes_back_sorted_by_its_key_with_its_types() -> None:
    back = to_frame(decode(encode(to_table(a_frame(), SCHEMA, name="t"))))
    assert back["key"].tolist() == ["a", "b"]
    assert {name: str(kind) for name, kind in back.dtypes.items()} == {
        "day": "datetime64[us]",
        "key": "str",
        "note": "str",
        "share": "float64",
        "count": "int32",
        "at": "datetime64[us, UTC]",
        "good": "object",
        "visitors": "list<element: uint64>[pyarrow]",
    }
    assert list(back["visitors"][1]) == [2**64 - 1]
    assert content_version(to_table(back, SCHEMA, name="t")) == content_version(
        to_table(a_frame(), SCHEMA, name="t")
    )


@given(rows, st.randoms())
def test_the_version_depends_on_the_rows_and_not_on_their_order_chunks_or_file(
    given_rows: list[dict[str, Any]], random: Any
) -> None:
    table = a_table(given_rows)
    shuffled = list(given_rows)
    random.shuffle(shuffled)
    chunked = pa.concat_tables([table.slice(start, 1) for start in range(len(table))] or [table])
    version = content_version(table)
    assert content_version(a_table(shuffled)) == version
    assert content_version(chunked) == version
    assert content_version(pa.concat_tables([table, table]).slice(len(table))) == version
    assert content_version(decode(encode(table))) == version


keyed = st.tuples(
    st.none() | st.integers(0, 2),
    st.none() | st.sampled_from(["", "a", "ab", "b"]),
    st.none() | st.booleans(),
)


@given(st.lists(keyed, max_size=5), st.integers(0, 2))
def test_rows_are_in_the_order_of_their_key_with_nulls_last_whatever_order_they_come_in(
    keys: list[tuple[int | None, str | None, bool | None]], cut: int
) -> None:
    columns = {"number": pa.int64(), "text": pa.string(), "flag": pa.bool_()}
    schema = TableSchema(
        {name: Column(kind, "", required=False) for name, kind in columns.items()},
        key=("number", "text", "flag"),
        partition_column="text",
    )
    table = pa.Table.from_pylist(
        [dict(zip(columns, key, strict=True)) for key in keys], schema=schema.arrow
    ).slice(cut)
    expected = table.sort_by([(name, "ascending") for name in columns])
    assert to_table(table, schema, name="t").to_pylist() == expected.to_pylist()
    assert to_table(expected, schema, name="t").to_pylist() == expected.to_pylist()


@given(st.integers(0, 5_000))
def test_a_table_of_any_size_comes_back_as_it_was_or_only_some_of_its_columns(size: int) -> None:
    table = pa.table({"n": range(size), "text": [f"row {n}" for n in range(size)]})
    assert decode(encode(table)) == table
    assert decode(encode(table), ["text"]) == table.select(["text"])


@given(rows, rows)
def test_other_rows_have_another_version(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    a, b = a_table(one), a_table(other)
    equal = a.to_pylist() == b.to_pylist()
    assert (content_version(a) == content_version(b)) == equal


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("note", ["a", "bc"], ["ab", "c"]),  # the same letters, cut elsewhere
        ("note", [None, "x"], ["", "x"]),
        ("note", [None, "x"], ["x", None]),
        ("share", [None, 1.0], [0.0, 1.0]),
        ("visitors", [[1, 2], []], [[1], [2]]),
        ("visitors", [[], []], [[0], []]),
        ("good", [False, None], [None, False]),
    ],
)
def test_near_misses_have_another_version(column: str, one: list[Any], other: list[Any]) -> None:
    versions = {
        content_version(to_table(a_frame(**{column: given_}), SCHEMA, name="t")) for given_ in (one, other)
    }
    assert len(versions) == 2


def test_equal_numbers_are_equal_however_they_are_stored() -> None:
    odd_nan = struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000123))[0]
    plain = pa.table({"x": pa.array([0.0, None, None], pa.float64())})
    odd = pa.table({"x": pa.array([-0.0, np.nan, odd_nan], pa.float64(), from_pandas=False)})
    assert content_version(plain) == content_version(odd)


def test_nulls_are_equal_whatever_lies_below_them() -> None:
    below = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(struct.pack("<qq", 7, 99))]
    )
    assert content_version(pa.table({"x": below})) == content_version(
        pa.table({"x": pa.array([7, None], pa.int64())})
    )


def test_the_version_of_a_table_never_moves_between_releases() -> None:
    """Or all that follows from an output would be made anew."""
    assert content_version(to_table(a_frame(), SCHEMA, name="t")) == "3bb4e8e35deaac0c"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (a_frame().drop(columns="note"), r"t: columns missing: \['note'\], unknown: \[\]"),
        (a_frame(more=1), r"t: columns missing: \[\], unknown: \['more'\]"),
        (a_frame(key=["a", None]), r"t\.key: 1 rows are null in a column that may not be"),
        (a_frame(count=[1.5, 2.0]), r"t\.count: does not fit int32"),
        (a_frame(count=[2**40, 1]), r"t\.count: does not fit int32"),
        (a_frame(share=["a", "b"]), r"t\.share: does not fit double"),
        (a_frame(note=pd.Series(["\udcff", "x"], dtype=object)), r"t\.note: does not fit string"),
        (a_frame(visitors=[[-1], []]), r"t\.visitors: does not fit list"),
        (a_frame(visitors=[[2**70], []]), r"t\.visitors: does not fit list"),
    ],
)
def test_a_frame_of_another_shape_is_refused_with_table_and_column(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_table(frame, SCHEMA, name="t")
