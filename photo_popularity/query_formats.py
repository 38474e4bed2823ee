"""Answers to queries as text: a table for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args

import pyarrow as pa

from photo_popularity.domain.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

Format = Literal["table", "csv", "json"]
FORMATS: tuple[str, ...] = get_args(Format)
ROWS_IN_A_TERMINAL = 200
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def render(answer: pa.Table, form: str, *, width: int | None = None) -> str:
    """The answer as text without a newline at its end.

    `json` is one array with an object a row, days and moments in ISO 8601, numbers that JSON lacks as null; `csv` has
    a header, nulls are empty. `table` is as wide as its values; given the `width` of a terminal it fits that, with
    long values cut, and stops after 200 rows, which it says.
    """
    columns = [[_plain(value) for value in column.to_pylist()] for column in answer.columns]
    if form == "json":
        rows = [json.dumps(dict(zip(answer.column_names, row, strict=True)), ensure_ascii=False) for row in zip(*columns, strict=True)]
        return "[" + ",\n ".join(rows) + "]"
    if form == "csv":
        return _as_csv(answer.column_names, columns)
    if form == "table":
        return _as_table(answer, columns, width)
    raise InputError(f"{form!r} is no format; use one of {', '.join(FORMATS)}")


def _plain(value: Any) -> Any:
    """The value in JSON's own types."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value if isinstance(value, str | int | None) else str(value)


def _as_csv(names: Sequence[str], columns: list[list[Any]]) -> str:
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(names)
    for row in zip(*columns, strict=True):
        writer.writerow([value if isinstance(value, str) else _shown(value, null="") for value in row])
    return target.getvalue().removesuffix("\n")


def _shown(value: Any, *, null: str) -> str:
    if value is None:
        return null
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _as_table(answer: pa.Table, columns: list[list[Any]], width: int | None) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = answer.num_rows if width is None else min(answer.num_rows, ROWS_IN_A_TERMINAL)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for field in answer.schema:
        numeric = pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_decimal(field.type)
        table.add_column(Text(field.name), justify="right" if numeric else "left", no_wrap=True, overflow="ellipsis")
    for row in zip(*(column[:rows] for column in columns), strict=True):
        table.add_row(*(Text(_for_people(value)) for value in row))
    target = io.StringIO()
    Console(file=target, width=width or _natural_width(table), color_system=None).print(table)
    lines = [line.rstrip() for line in target.getvalue().splitlines()]
    return "\n".join([*lines, "", _counted(rows, answer.num_rows)])


def _natural_width(table: Table) -> int:
    from rich.console import Console
    from rich.measure import Measurement

    wide = Console(file=io.StringIO(), width=1_000_000)
    return max(Measurement.get(wide, wide.options, table).maximum, 1)


def _for_people(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.1f}"
    # a title may hold a newline, or bytes that would move a terminal's cursor
    return _CONTROL_CHARACTERS.sub("␤", _shown(value, null="NULL"))


def _counted(shown: int, total: int) -> str:
    if shown < total:
        return f"{shown:,} of {total:,} rows; add LIMIT or WHERE, or take --format csv for all"
    return f"{total:,} row{'' if total == 1 else 's'}"
