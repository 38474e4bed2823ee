"""The photo site's database, read only: its photos by UTC day of upload."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from photo_popularity.domain import photo_metadata, tables
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.schemas import PHOTO_METADATA
from resources.catalog_records import Output
from resources.sources import SourceUnavailable

PHOTO_COLUMNS = (
    "photo_id", "owner_id", "title", "album", "file_name", "width", "height", "uploaded_at", "updated_at", "deleted_at",
)  # fmt: skip
CONNECT_TIMEOUT_SECONDS = 10


class PhotoDatabase:
    """Tables `photos` and `users` behind a SQLAlchemy URL; SQLite and PostgreSQL are tested.

    Times may be text or timestamps; those without a zone are UTC.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.versions_read: dict[str, str] = {}

    @cached_property
    def _engine(self) -> sa.Engine:
        if not self._url:
            raise InputError("no photo database is set; give --database URL (or --site), or set PHOTO_POPULARITY_DATABASE")
        try:
            url = sa.make_url(self._url)
            if url.get_backend_name() == "sqlite":
                if not Path(url.database or "").is_file():
                    raise InputError(f"{url.database}: no such database file; correct --database")
                return sa.create_engine(f"sqlite:///file:{url.database}?mode=ro&uri=true")
            if url.drivername == "postgresql":
                url = url.set(drivername="postgresql+psycopg2")
            timeout = {"connect_timeout": CONNECT_TIMEOUT_SECONDS} if url.get_backend_name() == "postgresql" else {}
            return sa.create_engine(url, connect_args=timeout, execution_options={"postgresql_readonly": True})
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
            raise InputError(
                f"--database is no usable database URL ({error}); write it as sqlite:///FILE or postgresql://HOST/NAME "
                "(PostgreSQL needs the extra 'postgres')"
            ) from error

    def read(self, first_day: date, last_day: date) -> photo_metadata.PhotoRows:
        """The photos uploaded from `first_day` to `last_day` (UTC, both included), with the rows that are unusable.

        Raises InputError for a database of another shape and SourceUnavailable for one that cannot be reached.
        """
        # half a day of margin: text times may carry a zone, and the exact cut is made on parsed times
        low, high = first_day - timedelta(days=1), last_day + timedelta(days=2)
        rows = self._fetch("where p.uploaded_at >= :low and p.uploaded_at < :high", {"low": low, "high": high})
        found = photo_metadata.from_rows(rows)
        day = found.frame["day"]
        inside = found.frame[(day >= pd.Timestamp(first_day)) & (day <= pd.Timestamp(last_day))]
        for key, version in _versions(inside).items():
            self.versions_read[key] = version
        return photo_metadata.PhotoRows(inside.reset_index(drop=True), found.unusable)

    def state(self) -> tuple[dict[str, Output], list[str]]:
        """Each upload day as it is now, with the version of its rows, and a sentence for every unusable row."""
        found = photo_metadata.from_rows(self._fetch("", {}))
        counts = found.frame.groupby("day").size()
        versions = _versions(found.frame)
        days = {key: Output(version, rows=int(counts[pd.Timestamp(key)])) for key, version in versions.items()}
        return days, found.unusable

    def _fetch(self, where: str, parameters: dict[str, date]) -> pd.DataFrame:
        columns = ", ".join(f"p.{name}" for name in PHOTO_COLUMNS)
        query = sa.text(
            f"select {columns}, u.joined_at as owner_joined_at "
            f"from photos p left join users u on u.owner_id = p.owner_id {where}"
        )
        bound: dict[str, object] = dict(parameters)
        if self._engine.dialect.name == "sqlite":
            bound = {name: value.isoformat() for name, value in parameters.items()}
        try:
            with self._engine.connect() as connection:
                result = connection.execute(query, bound)
                return pd.DataFrame(result.fetchall(), columns=[*PHOTO_COLUMNS, "owner_joined_at"], dtype=object)
        except (sa.exc.OperationalError, sa.exc.ProgrammingError, sa.exc.DatabaseError) as error:
            raise self._explained(error) from error

    def _explained(self, error: sa.exc.DBAPIError) -> Exception:
        url, cause = self._engine.url.render_as_string(hide_password=True), str(error.orig).strip().splitlines()[0]
        of_another_shape = ("no such table", "no such column", "file is not a database", "database disk image is malformed")
        if isinstance(error, sa.exc.ProgrammingError) or cause.startswith(of_another_shape):
            return InputError(
                f"{url}: not the database of a photo site ({cause}); it needs tables photos({', '.join(PHOTO_COLUMNS)}) "
                "and users(owner_id, joined_at)"
            )
        return SourceUnavailable(f"{url}: cannot be read now ({cause}); check that the server runs and lets this user in")


def _versions(frame: pd.DataFrame) -> dict[str, str]:
    return {
        f"{day:%Y-%m-%d}": tables.content_version(tables.to_table(rows, PHOTO_METADATA, name="photo_database"))
        for day, rows in frame.groupby("day")
    }

