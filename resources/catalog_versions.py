"""The versions of the catalog's tables: which of them a catalog has, and how it comes by those that it lacks.

Expand and contract. Most versions only add: whoever opens an older catalog adds what it lacks, and releases that know
nothing of it go on working. A breaking version takes away what older releases use, and comes by `photo-popularity
upgrade` alone. So a version that adds makes tables, indexes, and columns that may be null; what its release reads of a
row that another has written is null there. It never leans on a breaking one, which may come later or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from photo_popularity.domain.errors import InputError
from resources.catalog_records import Tables
from resources.errors import SourceUnavailable

# any number that nobody else locks
CHANGING_LOCK = 7_406_858_017
NOT_PERMITTED = "42501"
"""What PostgreSQL calls the refusal of somebody who lacks the right."""


def _nothing(connection: sa.Connection, schema: str | None) -> None:
    pass


@dataclass(frozen=True)
class Version:
    """One version: the release that brings it, and the change that makes it of the one before, in one transaction."""

    number: int
    release: str
    what: str
    change: Callable[[sa.Connection, str | None], None] = _nothing
    breaking: bool = False

    def __str__(self) -> str:
        return f"version {self.number}, of release {self.release}: {self.what}"


Versions = tuple[Version, ...]
FIRST = Version(1, "0.1.0", "the catalog of the first release")
FIRST_TABLES = {"current_outputs", "memo", "executions", "untold"}
VERSIONS: Versions = (FIRST,)
"""All that this release knows, by number. A change of `catalog_records.tables` is a further one at the end."""


@dataclass(frozen=True)
class CatalogVersions:
    """The versions of one catalog; `place` is what a person calls it."""

    tables: Tables
    place: str
    known: Versions = VERSIONS

    @property
    def _schema(self) -> str | None:
        return self.tables.metadata.schema

    def there(self, connection: sa.Connection) -> frozenset[int]:
        """The numbers of the versions that the catalog has; InputError when one of them is too new for this release.

        A catalog of before versions were recorded has the first, one that is not made yet has none.
        """
        table = self.tables.versions
        if not sa.inspect(connection).has_table(table.name, schema=self._schema):
            return frozenset()
        rows = connection.execute(sa.select(table).order_by(table.c.number)).all()
        known = {one.number for one in self.known}
        for row in reversed(rows):
            if row.breaking and row.number not in known:
                # a hundredth of a second that nobody else need wait for
                from importlib.metadata import version

                raise InputError(
                    f"the catalog {self.place} has version {row.number} ({row.what}), and release "
                    f"{version('photo-popularity')} knows versions up to {max(known)}; install release {row.release} or "
                    "a newer one, or restore the catalog as it was before that upgrade"
                )
        return frozenset(row.number for row in rows)

    def lacking(self, connection: sa.Connection, table: sa.Table) -> frozenset[str]:
        """The columns of the table that the catalog lacks, as it is of an older release."""
        if all(one.breaking or one is FIRST for one in self.lacked(connection)):
            return frozenset()
        # without the schema of the code, which would ask for columns by name
        present = connection.execute(
            sa.select(sa.text("*")).select_from(sa.table(table.name, schema=self._schema)).limit(0)
        )
        return frozenset(table.c.keys()) - frozenset(present.keys())

    def lacked(self, connection: sa.Connection) -> list[Version]:
        """The versions that the catalog lacks of those that are known."""
        there = self.there(connection)
        return [one for one in self.known if one.number not in there]

    @contextmanager
    def connect(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        """A connection; SourceUnavailable when there can be none now."""
        try:
            connection = engine.connect()
        except sa.exc.OperationalError as error:
            reason = " ".join(str(error.orig).split())
            raise SourceUnavailable(
                f"the catalog {self.place} cannot be reached ({reason}); look whether it is there and lets this user in"
            ) from error
        with connection:
            yield connection

    def expand(self, engine: sa.Engine) -> None:
        """Make the catalog unless it is there, and all versions in it that only add."""
        with self.connect(engine) as connection:
            if all(one.breaking for one in self.lacked(connection)):
                return
        try:
            while self._next(engine, breaking=False):
                pass
        except sa.exc.ProgrammingError as error:
            if getattr(error.orig, "pgcode", None) != NOT_PERMITTED:
                raise
            raise InputError(
                f"the catalog {self.place} is older than this release, and this user may not change its tables "
                f"({str(error.orig).splitlines()[0]}); run photo-popularity upgrade once as the user who owns them"
            ) from error

    def contract(self, engine: sa.Engine) -> Iterator[Version]:
        """Make the breaking versions too, each as it is asked for."""
        while (made := self._next(engine, breaking=True)) is not None:
            yield made

    def _next(self, engine: sa.Engine, *, breaking: bool) -> Version | None:
        """Make the next version that the catalog lacks; None when there is none left, maybe since another made it."""
        with _alone(engine) as connection:
            if not self.there(connection):
                self._found(connection)
                return FIRST
            found = next((one for one in self.lacked(connection) if one.breaking == breaking), None)
            if found is not None:
                found.change(connection, self._schema)
                self._record(connection, found)
            return found

    def _found(self, connection: sa.Connection) -> None:
        """Make the tables of a new catalog; in one of before there were versions, only where they are recorded."""
        inspector = sa.inspect(connection)
        if self._schema and not inspector.has_schema(self._schema):
            connection.execute(sa.schema.CreateSchema(self._schema))
        is_new = not set(inspector.get_table_names(schema=self._schema)) >= FIRST_TABLES
        for table in self.tables.metadata.sorted_tables if is_new else [self.tables.versions]:
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))
        for one in self.known if is_new else [FIRST]:
            self._record(connection, one)

    def _record(self, connection: sa.Connection, made: Version) -> None:
        row = {"number": made.number, "breaking": made.breaking, "release": made.release, "what": made.what}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        connection.execute(sa.insert(self.tables.versions).values(**row, made_at=now))


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction during which no other process changes the tables: who comes second waits."""
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CHANGING_LOCK)))
        else:
            # by itself, Python's SQLite begins none before a change of tables
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
