"""Rows of a photo database as a typed table: days, times, and the rows that cannot be used, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

TIME_COLUMNS = ("uploaded_at", "updated_at", "deleted_at", "owner_joined_at")
TEXT_COLUMNS = ("photo_id", "owner_id", "title", "album", "file")
REQUIRED_COLUMNS = ("photo_id", "owner_id", "file")
LARGEST_INT32 = 2**31 - 1


@dataclass(frozen=True)
class PhotoRows:
    """`frame` has the columns of `photo_metadata`; `unusable` a sentence for each row that is not in it."""

    frame: pd.DataFrame
    unusable: list[str]


def from_rows(rows: pd.DataFrame) -> PhotoRows:
    """The photo rows of the database (text or timestamps, as they come) with the UTC day of upload.

    A row without photo_id, owner_id, file_name or a readable uploaded_at is left out and told in `unusable`; so is
    the second row of one photo_id.
    """
    frame = rows.rename(columns={"file_name": "file"})
    for column in TIME_COLUMNS:
        frame[column] = _utc(frame[column])
    for column in TEXT_COLUMNS:
        frame[column] = frame[column].map(lambda value: None if value is None else str(value)).astype("str")
    for column in ("width", "height"):
        numbers = pd.to_numeric(frame[column], errors="coerce")
        frame[column] = numbers.where(numbers.between(1, LARGEST_INT32)).round().astype("Int32")
    reasons = pd.Series("", index=frame.index)
    for column in REQUIRED_COLUMNS:
        reasons = reasons.where(frame[column].notna(), f"{column} is null")
    reasons = reasons.where(frame["uploaded_at"].notna(), "uploaded_at is no time")
    reasons = reasons.where((reasons != "") | ~frame.duplicated("photo_id"), "photo_id stands there twice")
    frame["day"] = frame["uploaded_at"].dt.tz_localize(None).dt.normalize()
    unusable = [
        f"photos row {photo_id!r}: {reason}; correct the row in the database"
        for photo_id, reason in zip(frame["photo_id"], reasons, strict=True)
        if reason
    ]
    good = frame[reasons == ""].sort_values(["day", "photo_id"], ignore_index=True)
    return PhotoRows(good, unusable)


def _utc(values: pd.Series) -> pd.Series:
    parsed = pd.to_datetime(values.astype("str"), utc=True, errors="coerce", format="ISO8601")
    return parsed.astype("datetime64[us, UTC]")
