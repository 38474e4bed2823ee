"""Opening relational databases by URL, to write or strictly to read: SQLite and PostgreSQL.

What stands in them is not known here.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

CONNECT_TIMEOUT_SECONDS = 10
BUSY_TIMEOUT_SECONDS = 60
WRITE_AHEAD_LOG = b"\x02\x02"


def database_url(text: str) -> sa.URL:
    """The parsed URL, with the driver that is installed: plain `postgresql://` would look for psycopg 3."""
    url = sa.make_url(text)
    return url.set(drivername="postgresql+psycopg2") if url.drivername == "postgresql" else url


def sqlite_url(file: Path) -> str:
    """The URL of a SQLite file, whatever characters its path has."""
    return sa.URL.create("sqlite", database=str(file)).render_as_string(hide_password=False)


def sqlite_file(url: sa.URL) -> Path | None:
    """The file of a SQLite database; None for a database server."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def told(url: sa.URL) -> str:
    """The URL as a person may read it: no password, wherever it stood."""
    file = sqlite_file(url)
    return f"sqlite:///{file}" if file else url.set(query={}).render_as_string(hide_password=True)


def open_to_read(url: sa.URL) -> sa.Engine:
    """An engine through which the database itself refuses to write."""
    file = sqlite_file(url)
    if file is None:
        return sa.create_engine(
            url,
            connect_args=_server_arguments(url),
            execution_options={"postgresql_readonly": True},
            pool_pre_ping=True,
        )
    # no pool: each connection looks anew whether the database is being written
    return sa.create_engine(url, creator=lambda: _connect_to_read(file), poolclass=sa.pool.NullPool)


def open_to_write(url: sa.URL) -> sa.Engine:
    """An engine for a database of our own; the folder of a SQLite file is made."""
    file = sqlite_file(url)
    if file is None:
        return sa.create_engine(url, connect_args=_server_arguments(url), pool_pre_ping=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    sa.event.listen(engine, "connect", _use_write_ahead_log)
    return engine


def _server_arguments(url: sa.URL) -> dict[str, Any]:
    return {"connect_timeout": CONNECT_TIMEOUT_SECONDS} if url.get_backend_name() == "postgresql" else {}


def _connect_to_read(file: Path) -> sqlite3.Connection:
    uri = f"file:{quote(str(file.absolute()))}?mode=ro"
    if _cannot_be_locked(file):
        uri += "&immutable=1"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_SECONDS)
    # one title that is no UTF-8 must not hide all other rows
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return connection


def _cannot_be_locked(file: Path) -> bool:
    """Whether SQLite would have to make files beside it that it may not: a database at rest in a read-only folder.

    In write-ahead mode even a reader needs them. Nobody writes while there is no log, so none are needed.
    """
    if os.access(file.parent, os.W_OK, effective_ids=True) or file.with_name(file.name + "-wal").exists():
        return False
    with file.open("rb") as stream:
        return stream.read(20)[18:20] == WRITE_AHEAD_LOG


def _use_write_ahead_log(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
