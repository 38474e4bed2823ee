"""Answers to queries as text: a table for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal, get_args

import pyarrow as pa
from rich.cells import cell_len

from photo_popularity.domain.errors import InputError
from photo_popularity.text import counted, in_one_line, shortened

Format = Literal["table", "csv", "json"]
FORMATS: tuple[str, ...] = get_args(Format)
ROWS_IN_A_TERMINAL, CHARACTERS_IN_A_TERMINAL = 200, 60
GAP = "   "


def render(answer: pa.Table, form: str, *, width: int | None = None) -> str:
    """The answer as text without a newline at its end.

    `json` is one array with an object a row, days and moments in ISO 8601, numbers that JSON lacks as null; `csv` has
    a header, nulls are empty. `table` is as wide and as long as its values are; given the `width` of a terminal, long
    values are cut, rows that are wider are written one value a line, and it stops after 200 rows, which it says.
    """
    columns = [[_plain(value) for value in column.to_pylist()] for column in answer.columns]
    if form == "json":
        rows = [
            json.dumps(dict(zip(answer.column_names, row, strict=True)), ensure_ascii=False)
            for row in zip(*columns, strict=True)
        ]
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
    rows = answer.num_rows if width is None else min(answer.num_rows, ROWS_IN_A_TERMINAL)
    texts = [[_for_people(value) for value in column[:rows]] for column in columns]
    if width is not None:
        texts = [[shortened(text, CHARACTERS_IN_A_TERMINAL) for text in column] for column in texts]
    names = [in_one_line(name) for name in answer.column_names]
    widths = [
        max(cell_len(text) for text in [name, *column]) for name, column in zip(names, texts, strict=True)
    ]
    if width is not None and sum(widths) + len(GAP) * (len(widths) - 1) > width:
        lines = _records(names, texts, width)
    else:
        lines = _grid(answer.schema, names, texts, widths)
    return "\n".join([*lines, "", _counted(rows, answer.num_rows)])


def _grid(schema: pa.Schema, names: list[str], texts: list[list[str]], widths: list[int]) -> list[str]:
    numeric = [
        pa.types.is_integer(f.type) or pa.types.is_floating(f.type) or pa.types.is_decimal(f.type)
        for f in schema
    ]

    def line(cells: Sequence[str]) -> str:
        padded = []
        for cell, size, right in zip(cells, widths, numeric, strict=True):
            space = " " * (size - cell_len(cell))
            padded.append(space + cell if right else cell + space)
        return GAP.join(padded).rstrip()

    return [
        line(names),
        GAP.join("─" * size for size in widths),
        *(line(row) for row in zip(*texts, strict=True)),
    ]


def _records(names: list[str], texts: list[list[str]], width: int) -> list[str]:
    """One line a value: for rows that are wider than the terminal."""
    longest = max(cell_len(name) for name in names)
    lines = []
    for number, row in enumerate(zip(*texts, strict=True), start=1):
        lines.append(f"── row {number} ".ljust(min(width, longest + CHARACTERS_IN_A_TERMINAL), "─"))
        lines += [f"{name.ljust(longest)}{GAP}{text}" for name, text in zip(names, row, strict=True)]
    return lines


def _for_people(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < 1e6 else f"{value:.1f}"
    return in_one_line(_shown(value, null="NULL"))


def _counted(shown: int, total: int) -> str:
    if shown < total:
        return f"{shown:,} of {total:,} rows; add LIMIT or WHERE, or take --format csv for all"
    return counted(total, "row")
