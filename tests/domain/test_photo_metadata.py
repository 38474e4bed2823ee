"""Rows of a photo database, as databases give them: typed, cut into UTC days, and the unusable ones told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import permutations
from typing import Any

import pandas as pd
import pytest

from photo_popularity.domain.photo_metadata import from_rows
from photo_popularity.domain.schemas import PHOTO_METADATA
from photo_popularity.domain.tables import content_version, to_table

GOOD = {
    "photo_id": "p1",
    "owner_id": "o1",
    "title": "T",
    "album": None,
    "file_name": "a.jpg",
    "width": 640,
    "height": 480,
    "uploaded_at": "2026-10-01 12:00:00",
    "updated_at": None,
    "deleted_at": None,
    "owner_joined_at": None,
}


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([{**GOOD, **row} for row in rows], columns=list(GOOD), dtype=object)


@pytest.mark.parametrize(
    ("uploaded_at", "moment"),
    [
        ("2026-10-01 12:00:00", "2026-10-01T12:00:00Z"),  # without a zone it is UTC
        ("2026-10-01T12:00:00.123456Z", "2026-10-01T12:00:00.123456Z"),
        ("2026-10-01T00:30:00+02:00", "2026-09-30T22:30:00Z"),
        ("2026-10-01 00:30:00-0530", "2026-10-01T06:00:00Z"),
        ("2026-10-01 00:30:00+02", "2026-09-30T22:30:00Z"),  # as PostgreSQL writes it
        ("2026-10-01", "2026-10-01T00:00:00Z"),
        (datetime(2026, 10, 1, 12), "2026-10-01T12:00:00Z"),
        (datetime(2026, 10, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))), "2026-09-30T22:30:00Z"),
    ],
)
def test_a_time_is_taken_with_its_zone_and_its_day_is_utc(uploaded_at: object, moment: str) -> None:
    frame = from_rows(table({"uploaded_at": uploaded_at})).frame
    assert frame["uploaded_at"][0] == pd.Timestamp(moment)
    assert frame["day"][0] == pd.Timestamp(moment[:10])


@pytest.mark.parametrize(
    "uploaded_at",
    [
        None,
        "",
        "yesterday",
        "01/10/2026",
        "2026-13-01",
        "infinity",
        1790000000,
        "1791011200",
        "20261001",
        3.5,
        "20000-01-01",
    ],
)
def test_what_is_no_time_is_told_and_not_guessed(uploaded_at: object) -> None:
    found = from_rows(table({"uploaded_at": uploaded_at}, {"photo_id": "p2"}))
    assert found.frame["photo_id"].tolist() == ["p2"]
    assert found.unusable == ["photos row 'p1': uploaded_at is no time; correct the row in the database"]


@pytest.mark.parametrize("column", ["photo_id", "owner_id", "file_name"])
def test_a_row_without_what_is_needed_is_told(column: str) -> None:
    found = from_rows(table({column: None}, {"photo_id": "p2"}))
    assert found.frame["photo_id"].tolist() == ["p2"]
    [sentence] = found.unusable
    assert f"{column.removesuffix('_name')} is null" in sentence


def test_one_photo_twice_gives_the_same_rows_in_whatever_order_they_come() -> None:
    given: list[dict[str, Any]] = [
        {"uploaded_at": "2026-10-02", "file_name": "late.jpg"},
        {"uploaded_at": "2026-10-01", "file_name": "early.jpg"},
        {"uploaded_at": None, "file_name": "unusable.jpg"},
        {"photo_id": "p2"},
    ]
    found = [from_rows(table(*rows)) for rows in permutations(given)]
    assert {tuple(one.frame["file"]) for one in found} == {("early.jpg", "a.jpg")}
    assert {len(one.unusable) for one in found} == {2}
    assert len({content_version(to_table(one.frame, PHOTO_METADATA, name="t")) for one in found}) == 1


@pytest.mark.parametrize(
    ("width", "taken"),
    [
        (640, 640),
        (Decimal(640), 640),
        ("640", 640),
        (0, None),
        (-5, None),
        (2**40, None),
        (10**30, None),
        ("wide", None),
    ],
)
def test_a_size_that_no_picture_has_is_null(width: object, taken: int | None) -> None:
    value = from_rows(table({"width": width})).frame["width"][0]
    assert (None if pd.isna(value) else value) == taken


def test_numbers_as_names_become_text_and_titles_stay_as_typed() -> None:
    frame = from_rows(table({"photo_id": 42, "owner_id": 7, "title": 'A "b",\nc'})).frame
    assert frame[["photo_id", "owner_id", "title"]].iloc[0].tolist() == ["42", "7", 'A "b",\nc']


def test_a_table_without_rows_is_a_frame_without_rows() -> None:
    found = from_rows(table())
    assert (len(found.frame), found.unusable) == (0, [])
    assert len(to_table(found.frame, PHOTO_METADATA, name="t")) == 0


def test_the_frame_fits_its_schema() -> None:
    frame = from_rows(table({"deleted_at": datetime(2026, 10, 2, tzinfo=UTC)})).frame
    assert len(to_table(frame, PHOTO_METADATA, name="t")) == 1


@pytest.mark.parametrize("uploaded_at", ["1970-01-01 00:00:00", "1989-12-31 23:59:59", "0200-01-01"])
def test_a_clock_that_was_never_set_is_told_and_makes_no_day(uploaded_at: str) -> None:
    found = from_rows(table({"uploaded_at": uploaded_at}, {"photo_id": "p2", "uploaded_at": "1990-01-01"}))
    assert list(found.frame["photo_id"]) == ["p2"]
    assert len(found.unusable) == 1
    assert "'p1': uploaded_at is" in found.unusable[0]
