"""The sample site's database: owners and photos as the site itself keeps them, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from photo_popularity.sample_site.population import Owner, Photo

SCHEMA = """
CREATE TABLE users(owner_id text primary key, joined_at text not null);
CREATE TABLE photos(photo_id text primary key, owner_id text not null references users(owner_id), title text,
  album text, file_name text not null, width integer, height integer, uploaded_at text not null,
  updated_at text not null, deleted_at text);
"""


@dataclass(frozen=True)
class PhotoRow:
    """A photo with the size its owner uploaded it in."""

    photo: Photo
    width: int
    height: int


def write_database(path: Path, owners: Iterable[Owner], rows: Iterable[PhotoRow]) -> None:
    """Write a new database; the same rows give the same bytes with the same release of SQLite."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        connection.executemany(
            "INSERT INTO users VALUES (?, ?)", [(owner.owner_id, _text(owner.joined_at)) for owner in owners]
        )
        connection.executemany(
            "INSERT INTO photos VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [_values(row) for row in rows]
        )


def _values(row: PhotoRow) -> tuple[str | int | None, ...]:
    photo = row.photo
    times = (
        _text(photo.uploaded_at),
        _text(photo.updated_at),
        _text(photo.deleted_at) if photo.deleted_at else None,
    )
    return (
        photo.photo_id,
        photo.owner.owner_id,
        photo.title,
        photo.album,
        photo.file_name,
        row.width,
        row.height,
        *times,
    )


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
