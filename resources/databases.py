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
# After so long without a word, a side asks whether the other is there, and gives it up when it has not answered a few times: a
# client would wait for two hours for the answer of a server that is lost, and a server keep the locks of a lost node as long
SILENT_SECONDS, SECONDS_TO_ANSWER, TIMES_ASKED = 30, 10, 3
POSTGRES_ARGUMENTS = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "keepalives_idle": SILENT_SECONDS,
    "keepalives_interval": SECONDS_TO_ANSWER,
    "keepalives_count": TIMES_ASKED,
}
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
        return _on_server(url, execution_options={"postgresql_readonly": True})
    # no pool: each connection looks anew whether the database is being written
    return sa.create_engine(url, creator=lambda: _connect_to_read(file), poolclass=sa.pool.NullPool)


def open_to_write(url: sa.URL) -> sa.Engine:
    """An engine for a database of our own; the folder of a SQLite file is made."""
    file = sqlite_file(url)
    if file is None:
        engine = _on_server(url)
        if url.get_backend_name() == "postgresql":
            sa.event.listen(engine, "connect", _have_the_server_ask)
        return engine
    file.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS})
    sa.event.listen(engine, "connect", _use_write_ahead_log)
    return engine


def _on_server(url: sa.URL, **options: Any) -> sa.Engine:
    arguments = POSTGRES_ARGUMENTS if url.get_backend_name() == "postgresql" else {}
    return sa.create_engine(url, connect_args=arguments, pool_pre_ping=True, **options)


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


def _have_the_server_ask(connection: Any, _: object) -> None:
    # said to servers of our own alone, whose locks we take: what speaks like PostgreSQL need not know it
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('tcp_keepalives_idle', %s, false), set_config('tcp_keepalives_interval', %s, false), "
            "set_config('tcp_keepalives_count', %s, false)",
            [str(number) for number in (SILENT_SECONDS, SECONDS_TO_ANSWER, TIMES_ASKED)],
        )


def _use_write_ahead_log(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
