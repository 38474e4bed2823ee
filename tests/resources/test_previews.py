"""Tables as people see them on an asset's page."""

from __future__ import annotations

import pandas as pd

from resources.previews import preview


def test_the_first_rows_are_a_markdown_table_that_no_text_breaks() -> None:
    frame = pd.DataFrame({"title": ["a | b\nc", "x" * 60, "third"], "views": [1.23456789, 2.0, 3.0]})
    assert preview(frame, rows=2).splitlines() == [
        "|title|views|",
        "|-|-|",
        "|a \\| b c|1.235|",
        f"|{'x' * 39}…|2|",
    ]


def test_a_table_without_rows_shows_its_columns() -> None:
    assert preview(pd.DataFrame({"a": []})) == "|a|\n|-|"


def test_a_day_is_shown_without_its_midnight_and_what_is_missing_as_nothing() -> None:
    frame = pd.DataFrame({"day": pd.Series([pd.Timestamp("2026-10-01"), pd.NaT]), "views": [None, 2.0]})
    assert preview(frame).splitlines()[2:] == ["|2026-10-01||", "||2|"]


def test_a_wide_table_is_turned_over_and_shows_as_many_rows_as_the_page_opens_at_once() -> None:
    frame = pd.DataFrame({f"a_rather_long_name_{number}": range(100_000, 100_010) for number in range(20)})
    lines = preview(frame).splitlines()
    assert lines[0] == "|column|row 1|row 2|row 3|"
    assert lines[2] == "|a_rather_long_name_0|100000|100001|100002|"
    assert len(lines) == 22
    assert len("\n".join(lines)) < 1000
