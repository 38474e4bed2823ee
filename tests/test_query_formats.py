"""Answers to queries as text."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from photo_popularity.domain.errors import InputError
from photo_popularity.query_formats import render

ANSWER = pa.table(
    {
        "day": [date(2026, 11, 1), None],
        "at": [datetime(2026, 11, 1, 6, 25, tzinfo=UTC), None],
        "title": ['He said "hi",\nthen left [bold]', "漢字"],
        "views": [12, None],
        "share": [0.25, float("nan")],
    }
)


def test_json_is_one_array_with_days_in_iso_and_null_for_what_json_lacks() -> None:
    assert json.loads(render(ANSWER, "json")) == [
        {
            "day": "2026-11-01",
            "at": "2026-11-01T06:25:00+00:00",
            "title": 'He said "hi",\nthen left [bold]',
            "views": 12,
            "share": 0.25,
        },
        {"day": None, "at": None, "title": "漢字", "views": None, "share": None},
    ]


def test_json_of_no_rows_is_an_empty_array() -> None:
    assert json.loads(render(ANSWER.slice(0, 0), "json")) == []


def test_json_keeps_sums_as_numbers_and_lists_as_lists() -> None:
    visitors = pa.array([[2**63, 1]], pa.list_(pa.uint64()))
    answer = pa.table({"total": [Decimal("7")], "mean": [Decimal("1.5")], "visitors": visitors})
    assert json.loads(render(answer, "json")) == [{"total": 7, "mean": 1.5, "visitors": [2**63, 1]}]


def test_csv_has_a_header_and_survives_quotes_and_newlines() -> None:
    rows = list(csv.reader(io.StringIO(render(ANSWER, "csv"))))
    assert rows == [
        ["day", "at", "title", "views", "share"],
        ["2026-11-01", "2026-11-01T06:25:00+00:00", 'He said "hi",\nthen left [bold]', "12", "0.25"],
        ["", "", "漢字", "", ""],
    ]


def test_a_table_that_is_piped_is_neither_cut_nor_coloured() -> None:
    answer = pa.table({"title": ["x" * 500] * 300})
    lines = render(answer, "table").splitlines()
    assert lines[2:302] == ["x" * 500] * 300
    assert lines[-1] == "300 rows"


def test_numbers_stand_to_the_right_and_wide_characters_count_twice() -> None:
    answer = pa.table({"t": ["漢字", "ab"], "n": [5, 1234]})
    assert render(answer, "table").splitlines()[:4] == [
        "t         n",
        "────   ────",
        "漢字      5",
        "ab     1234",
    ]


def test_a_title_cannot_move_the_terminals_cursor() -> None:
    answer = pa.table({"title": ["one\ntwo\x1b[2Jthree\u202efour"]})
    assert render(answer, "table").splitlines()[2] == "one two [2Jthree four"


def test_in_a_terminal_long_answers_stop_and_say_so() -> None:
    lines = render(pa.table({"n": range(1000)}), "table", width=80).splitlines()
    assert lines[-1].startswith("200 of 1,000 rows; add LIMIT")


def test_rows_wider_than_the_terminal_are_written_one_value_a_line() -> None:
    answer = pa.table({f"column_{n}": ["some text"] for n in range(20)})
    lines = render(answer, "table", width=80).splitlines()
    assert lines[1] == "column_0    some text"
    assert max(map(len, lines)) <= 80


def test_one_row_is_one_row() -> None:
    assert render(pa.table({"n": [1]}), "table").splitlines()[-1] == "1 row"


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="table, csv, json"):
        render(ANSWER, "xml")
