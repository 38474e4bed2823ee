"""The first rows of a table as people see them on an asset's page."""

from __future__ import annotations

import pandas as pd

LONGEST_TEXT = 40
# Dagster's page shows longer Markdown only after a click
LONGEST_SHOWN_AT_ONCE = 999
WIDEST_TABLE = 8


def preview(frame: pd.DataFrame, *, rows: int = 5) -> str:
    """The first rows as a Markdown table, as many as the page shows at once, long texts cut.

    A wide table is turned over: each of its columns becomes a line.
    """
    texts = [_markdown(frame.head(count)) for count in range(rows, 0, -1)]
    return next((text for text in texts if len(text) <= LONGEST_SHOWN_AT_ONCE), texts[-1])


def _markdown(head: pd.DataFrame) -> str:
    cells = head.map(_short)
    if len(head.columns) <= WIDEST_TABLE:
        header, lines = list(head.columns), cells.to_numpy().tolist()
    else:
        header = ["column", *(f"row {number + 1}" for number in range(len(head)))]
        lines = [[name, *cells[name]] for name in head.columns]
    return "\n".join(_line(values) for values in (header, ["---"] * len(header), *lines))


def _line(values: list[str]) -> str:
    return "| " + " | ".join(values) + " |"


def _short(value: object) -> str:
    if isinstance(value, pd.Timestamp) and value.tz is None and value == value.normalize():
        value = value.date()
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
    return text.replace("\n", " ").replace("|", "\\|")
