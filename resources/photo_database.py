"""The photo site's database, read only: its photos by UTC day of upload."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property

import pandas as pd
import sqlalchemy as sa

from partitions.days import days_between
from photo_popularity.domain import photo_metadata, tables
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.schemas import PHOTO_METADATA
from resources.catalog_records import Output
from resources.databases import database_url, open_to_read, sqlite_file, told
from resources.errors import SourceUnavailable

PHOTO_COLUMNS = (
    "photo_id", "owner_id", "title", "album", "file_name", "width", "height", "uploaded_at", "updated_at", "deleted_at",
)  # fmt: skip
TIME_COLUMNS = ("uploaded_at", "updated_at", "deleted_at")
WRITE_URL = "write it as sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
# what SQLite says of a file that is no database of photos, and will say again
OTHER_SHAPE = (
    "no such table",
    "no such column",
    "file is not a database",
    "database disk image is malformed",
)


class PhotoDatabase:
    """Tables `photos` and `users` behind a SQLAlchemy URL; SQLite and PostgreSQL are tested.

    Times may be text or timestamps; those without a zone are UTC.
    """

    def __init__(self, url: str) -> None:
        self._text = url
        self.versions_read: dict[str, str | None] = {}

    @cached_property
    def _url(self) -> sa.URL:
        if not self._text:
            raise InputError(
                "no photo database is set; give --database URL (or --site), or set PHOTO_POPULARITY_DATABASE"
            )
        try:
            return database_url(self._text)
        except (sa.exc.ArgumentError, ValueError):
            # without the cause: it quotes the piece that it stumbled over, and that may be the password
            raise InputError(
                f"--database is no database URL; {WRITE_URL}, a / or @ in the password as %2F or %40"
            ) from None

    @cached_property
    def _engine(self) -> sa.Engine:
        file = sqlite_file(self._url)
        if file is not None and not file.is_file():
            raise InputError(f"{file}: no such database file; correct --database")
        try:
            return open_to_read(self._url)
        except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise InputError(
                f"{told(self._url)}: no driver for such a database ({error}); {WRITE_URL} (PostgreSQL needs the extra "
                "'postgres')"
            ) from error

    def read(self, first_day: date, last_day: date) -> photo_metadata.PhotoRows:
        """The photos uploaded from `first_day` to `last_day` (UTC, both included), with the rows that are unusable.

        Raises InputError for a database of another shape and SourceUnavailable for one that cannot be reached.
        """
        # text times may carry a zone, so there is a margin; the exact cut is made on parsed times. A photo_id that
        # stands there twice is judged by all of its rows, as `state` does.
        rows = self._fetch(
            "where (p.uploaded_at >= :low and p.uploaded_at < :high) or p.photo_id in "
            "(select photo_id from photos group by photo_id having count(*) > 1)",
            {"low": str(first_day - timedelta(days=2)), "high": str(last_day + timedelta(days=3))},
        )
        found = photo_metadata.from_rows(rows)
        day = found.frame["day"]
        inside = found.frame[(day >= pd.Timestamp(first_day)) & (day <= pd.Timestamp(last_day))]
        self.versions_read.update(dict.fromkeys(days_between(first_day, last_day)))
        self.versions_read.update(_versions(inside))
        return photo_metadata.PhotoRows(inside.reset_index(drop=True), found.unusable)

    def state(self) -> tuple[dict[str, Output], list[str]]:
        """Each upload day as it is now, with the version of its rows, and a sentence for every unusable row."""
        found = photo_metadata.from_rows(self._fetch("", {}))
        counts = found.frame.groupby("day").size()
        versions = _versions(found.frame)
        days = {
            key: Output(version, rows=int(counts[pd.Timestamp(key)])) for key, version in versions.items()
        }
        return days, found.unusable

    def _fetch(self, where: str, parameters: dict[str, str]) -> pd.DataFrame:
        postgresql = self._engine.dialect.name == "postgresql"
        # as text, because the driver fails at times that Python cannot hold, such as the year 20000
        times = {name: f"cast(p.{name} as text)" if postgresql else f"p.{name}" for name in TIME_COLUMNS}
        joined = "cast(u.joined_at as text)" if postgresql else "u.joined_at"
        columns = ", ".join(f"{times.get(name, 'p.' + name)} as {name}" for name in PHOTO_COLUMNS)
        query = sa.text(
            f"select {columns}, {joined} as owner_joined_at "
            f"from photos p left join users u on u.owner_id = p.owner_id {where}"
        )
        try:
            with self._engine.connect() as connection:
                if postgresql:
                    connection.execute(sa.text("set local datestyle to iso"))
                    connection.execute(sa.text("set local timezone to 'UTC'"))
                rows = connection.execute(query, parameters).fetchall()
        except sa.exc.DBAPIError as error:
            raise self._explained(error) from error
        return pd.DataFrame(rows, columns=[*PHOTO_COLUMNS, "owner_joined_at"], dtype=object)

    def _explained(self, error: sa.exc.DBAPIError) -> Exception:
        cause = (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]
        if isinstance(error, sa.exc.ProgrammingError) or cause.startswith(OTHER_SHAPE):
            return InputError(
                f"{told(self._url)}: not the database of a photo site ({cause}); it needs tables "
                f"photos({', '.join(PHOTO_COLUMNS)}) and users(owner_id, joined_at)"
            )
        return SourceUnavailable(
            f"{told(self._url)}: cannot be read now ({cause}); check that the server runs and lets this user in"
        )


def _versions(frame: pd.DataFrame) -> dict[str, str]:
    return {
        str(day)[:10]: tables.content_version(tables.to_table(rows, PHOTO_METADATA, name="photo_database"))
        for day, rows in frame.groupby("day")
    }
