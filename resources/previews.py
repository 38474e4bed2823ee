"""The first rows of a table as people see them on an asset's page."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan

import pandas as pd

LONGEST_TEXT = 40
# Dagster's page shows longer Markdown only after a click
LONGEST_SHOWN_AT_ONCE = 999
WIDEST_TABLE = 8
ROWS_SHOWN = 5


def preview(frame: pd.DataFrame, *, rows: int = ROWS_SHOWN) -> str:
    """The first rows as a Markdown table, as many as the page shows at once, long texts cut.

    A wide table is turned over: each of its columns becomes a line.
    """
    cells = {name: [_short(value) for value in frame[name].head(rows)] for name in frame.columns}
    counts = range(min(rows, len(frame)), 0, -1)
    texts = (_markdown(cells, count) for count in counts)
    return next(
        (text for text in texts if len(text) <= LONGEST_SHOWN_AT_ONCE),
        _markdown(cells, min(counts, default=0)),
    )


def _markdown(cells: Mapping[str, list[str]], count: int) -> str:
    if len(cells) <= WIDEST_TABLE:
        header = list(cells)
        lines = [[column[row] for column in cells.values()] for row in range(count)]
    else:
        header = ["column", *(f"row {number + 1}" for number in range(count))]
        lines = [[name, *column[:count]] for name, column in cells.items()]
    return "\n".join(_line(values) for values in (header, ["-"] * len(header), *lines))


def _line(values: list[str]) -> str:
    return f"|{'|'.join(values)}|"


def _short(value: object) -> str:
    if value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and isnan(value)):
        return ""
    if isinstance(value, pd.Timestamp) and value.tz is None and value == value.normalize():
        value = value.date()
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    return text.replace("\n", " ").replace("|", "\\|")
