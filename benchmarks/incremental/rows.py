"""How many rows stand in the SQLite files of an installation, and whether anybody wrote to them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from resources.databases import database_url, sqlite_file
from resources.environment import Environment

CATALOG, DAGSTER = "catalog", "dagster"
Counts = Mapping[tuple[str, str, str], int]


@dataclass
class Written:
    """The database files in which something was written, also when the number of rows stayed the same."""

    files: Sequence[str] = ()


def row_counts(environment: Environment) -> Counts:
    """The number of rows of every table, by whose it is (the catalog's or Dagster's), file and table."""
    counts: dict[tuple[str, str, str], int] = {}
    for owner, files in _databases(environment).items():
        for file in files:
            with closing(_open(file)) as connection:
                tables = [
                    name
                    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
                ]
                for table in tables:
                    [(count,)] = connection.execute(f'SELECT count(*) FROM "{table}"')
                    counts[owner, file.name, table] = count
    return counts


def rows_between(before: Counts, after: Counts, owner: str) -> int:
    """By how many rows the tables of the catalog, or those of Dagster, differ."""
    keys = {key for key in before.keys() | after.keys() if key[0] == owner}
    return sum(abs(after.get(key, 0) - before.get(key, 0)) for key in keys)


@contextmanager
def watched(environment: Environment) -> Iterator[Written]:
    """See, once this has ended, in which database files anything was written meanwhile."""
    written = Written()
    with ExitStack() as stack:
        files = [file for its in _databases(environment).values() for file in its]
        connections = {file: stack.enter_context(closing(_open(file))) for file in files}
        before = {file: _version(connection) for file, connection in connections.items()}
        yield written
        changed = [
            file.name for file, connection in connections.items() if _version(connection) != before[file]
        ]
        new = [
            file.name for its in _databases(environment).values() for file in its if file not in connections
        ]
        written.files = sorted(changed + new)


def _databases(environment: Environment) -> dict[str, list[Path]]:
    catalog = sqlite_file(database_url(environment.catalog_url))
    if catalog is None:
        raise ValueError("rows are counted in SQLite files, and this catalog is on a server")
    found = {CATALOG: [catalog], DAGSTER: sorted(environment.dagster_home.rglob("*.db"))}
    return {owner: [file for file in files if file.exists()] for owner, files in found.items()}


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True, timeout=60)


def _version(connection: sqlite3.Connection) -> int:
    """Moves whenever another connection has committed a change."""
    [(version,)] = connection.execute("PRAGMA data_version")
    return int(version)
