"""Rows of a photo database as a typed table: days, times, and the rows that cannot be used, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

TIME_COLUMNS = ("uploaded_at", "updated_at", "deleted_at", "owner_joined_at")
TEXT_COLUMNS = ("photo_id", "owner_id", "title", "album", "file")
REQUIRED_COLUMNS = ("photo_id", "owner_id", "file")
# no photo site is older: a clock that was never set, or a default
EARLIEST_UPLOAD = pd.Timestamp("1990-01-01", tz="UTC")
LARGEST_INT32 = 2**31 - 1
# a bare number may be seconds, milliseconds or 20261001: nobody can tell
_TIME = r"\d{4}-\d\d-\d\d(?:[T ].*)?"


@dataclass(frozen=True)
class PhotoRows:
    """`frame` has the columns of `photo_metadata`; `unusable` a sentence for each row that is not in it."""

    frame: pd.DataFrame
    unusable: list[str]


def from_rows(rows: pd.DataFrame) -> PhotoRows:
    """The photo rows of the database (text or timestamps, as they come) with the UTC day of upload.

    A row without photo_id, owner_id, file_name or a readable uploaded_at is left out and told in `unusable`. Of several
    rows with one photo_id the earliest upload stays, whatever order they come in.
    """
    frame = rows.rename(columns={"file_name": "file"})
    for column in TIME_COLUMNS:
        frame[column] = _utc(frame[column])
    for column in TEXT_COLUMNS:
        frame[column] = frame[column].map(lambda value: None if value is None else str(value)).astype("str")
    for column in ("width", "height"):
        numbers = pd.to_numeric(frame[column], errors="coerce").astype("float64")
        frame[column] = numbers.where(numbers.between(1, LARGEST_INT32)).round().astype("Int32")
    frame = frame.sort_values(["uploaded_at", *frame.columns.drop("uploaded_at")], ignore_index=True)
    reasons = pd.Series("", index=frame.index, dtype="str")
    for column in REQUIRED_COLUMNS:
        reasons = reasons.where(frame[column].notna(), f"{column} is null")
    reasons = reasons.where(frame["uploaded_at"].notna(), "uploaded_at is no time")
    too_early = frame["uploaded_at"] < EARLIEST_UPLOAD
    reasons = reasons.where(~too_early, f"uploaded_at is before {EARLIEST_UPLOAD:%Y}")
    is_second = frame[reasons == ""].duplicated("photo_id").reindex(frame.index, fill_value=False)
    reasons = reasons.where(~is_second, "photo_id stands there twice")
    frame["day"] = frame["uploaded_at"].dt.tz_localize(None).dt.normalize()
    unusable = [
        f"photos row {_named(photo_id)}: {reason}; correct the row in the database"
        for photo_id, reason in zip(frame["photo_id"], reasons, strict=True)
        if reason
    ]
    good = frame[reasons == ""].sort_values(["day", "photo_id"], ignore_index=True)
    return PhotoRows(good, unusable)


def _utc(values: pd.Series) -> pd.Series:
    texts = values.map(lambda value: str(value) if isinstance(value, date | str) else None).astype("str")
    texts = texts.where(texts.str.fullmatch(_TIME))
    parsed = pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")
    return parsed.astype("datetime64[us, UTC]")


def _named(photo_id: object) -> str:
    return repr(photo_id) if isinstance(photo_id, str) else "without photo_id"
