"""The catalog: which version each (asset, partition) has now, what it was made from, and every execution.

It is the truth that Dagster's events mirror, and the record for post-mortem when Dagster's database is lost. Sources
(files, database days) stand in it like outputs, under their asset's name, with the version last seen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from resources.catalog_records import (
    NOTHING,
    OUTPUT_COLUMNS,
    QUARANTINED,
    REJECTED,
    Execution,
    Expected,
    Finished,
    Output,
    Remembered,
    Untold,
    execution_of,
    execution_values,
    output_of,
    output_values,
    tables,
)
from resources.catalog_versions import VERSIONS, CatalogVersions, Version, Versions
from resources.databases import database_url, open_to_read, open_to_write, sqlite_file, told
from resources.garbage import no_search_for_garbage
from resources.json_object import JsonObject
from resources.locks import FileLocks, Locks, ServerLocks

Row = TypeVar("Row")
ROWS_PER_STATEMENT = 500
ROWS_AT_ONCE = 10_000
# SQLite joins 64, and one of them is the source
TABLES_IN_A_JOIN = 60
KILLED = "its process ended without a word"


class PublishedOutputs:
    """The current outputs in another environment's catalog: only ever read, and none while it does not exist.

    It may be of an older release, or of a newer one that has broken nothing.
    """

    def __init__(self, url: str, *, schema: str | None = None, versions: Versions = VERSIONS) -> None:
        self._url, self._schema, self._tables = database_url(url), schema, tables(schema)
        self._versions = CatalogVersions(self._tables, _place(self._url, schema), versions)

    @cached_property
    def _engine(self) -> sa.Engine:
        return open_to_read(self._url)

    def current(self, asset: str) -> dict[str, Output]:
        """The current output of each partition of the asset."""
        table = self._tables.current
        if not self._has(table):
            return {}
        with self._engine.connect() as connection:
            lacking = self._versions.lacking(connection, table)
            query = _outputs_of(table, asset, table.c.partition, lacking=lacking).where(~table.c.withdrawn)
            with no_search_for_garbage():
                return {partition: output_of(values) for partition, *values in connection.execute(query)}

    def made_before(self, asset: str, wanted: Collection[str]) -> dict[str, Remembered]:
        """See `Catalog.made_before`."""
        memo = self._tables.memo
        if not self._has(memo):
            return {}
        with self._engine.connect() as connection:
            lacking = self._versions.lacking(connection, memo)
            return _remembered(connection, memo, asset, wanted, lacking=lacking)

    def _has(self, table: sa.Table) -> bool:
        file = sqlite_file(self._url)
        if file is not None and not file.exists():
            return False
        return sa.inspect(self._engine).has_table(table.name, schema=self._schema)


class Catalog:
    """The catalog of one environment, on SQLite or PostgreSQL; its tables are made, or expanded, on first use.

    Outputs that this environment has not made itself are those of `published` (production's, for a staging one).
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str | None = None,
        published: PublishedOutputs | None = None,
        versions: Versions = VERSIONS,
    ) -> None:
        self._url, self._schema, self._published = database_url(url), schema, published
        self._tables = tables(schema)
        self._versions = CatalogVersions(self._tables, _place(self._url, schema), versions)
        self._current, self._executions = self._tables.current, self._tables.executions
        self._memo, self._untold = self._tables.memo, self._tables.untold

    @cached_property
    def _engine(self) -> sa.Engine:
        engine = open_to_write(self._url)
        self._versions.expand(engine)
        return engine

    @property
    def place(self) -> str:
        """Where the catalog is, as a person may read it."""
        return self._versions.place

    def lacked(self) -> list[Version]:
        """The versions that it lacks of those that this release knows, without making any; all while it is not there."""
        file = sqlite_file(self._url)
        if file is not None and not file.exists():
            return list(self._versions.known)
        engine = open_to_read(self._url)
        try:
            with self._versions.connect(engine) as connection:
                return self._versions.lacked(connection)
        finally:
            engine.dispose()

    def contract(self) -> Iterator[Version]:
        """Make what only `photo-popularity upgrade` makes, one version after the other: older releases fail from then on."""
        return self._versions.contract(self._engine)

    def current(self, asset: str, within: Collection[str] | None = None) -> dict[str, Output]:
        """The current output of each partition of the asset, or of those `within`."""
        if within is not None:
            return self._current_within(asset, within)
        outputs = self._published.current(asset) if self._published else {}
        with self._engine.connect() as connection:
            table = self._current
            query = _outputs_of(table, asset, table.c.partition, table.c.withdrawn)
            with no_search_for_garbage():
                for partition, withdrawn, *values in connection.execute(query).fetchall():
                    if withdrawn:
                        outputs.pop(partition, None)
                    else:
                        outputs[partition] = output_of(values)
        return outputs

    def each(self, asset: str) -> Iterator[tuple[str, Output]]:
        """Each partition of the asset with its current output, for who needs not all of them at once."""
        if self._published:
            yield from self.current(asset).items()
            return
        table = self._current
        query = _outputs_of(table, asset, table.c.partition).where(~table.c.withdrawn)
        with self._engine.connect() as connection:
            for partition, *values in connection.execute(
                query, execution_options={"yield_per": ROWS_AT_ONCE}
            ):
                yield partition, output_of(values)

    def _current_within(self, asset: str, within: Collection[str]) -> dict[str, Output]:
        if self._published:
            every = self.current(asset)
            return {partition: every[partition] for partition in within if partition in every}
        table, found = self._current, dict[str, Output]()
        with self._engine.connect() as connection:
            for some in _chunks(sorted(within)):
                query = _outputs_of(table, asset, table.c.partition).where(
                    table.c.partition.in_(some), ~table.c.withdrawn
                )
                found |= {partition: output_of(values) for partition, *values in connection.execute(query)}
        return found

    def partitions(self, asset: str) -> list[str]:
        """The partitions that have a current output."""
        if self._published:
            return sorted(self.current(asset))
        table = self._current
        query = sa.select(table.c.partition).where(table.c.asset == asset, ~table.c.withdrawn)
        with self._engine.connect() as connection:
            return list(connection.scalars(query.order_by(table.c.partition)).all())

    def details(self, asset: str) -> dict[str, str]:
        """The detail of each partition's current output, as JSON with its keys in order."""
        if self._published:
            return {p: JsonObject.of(output.detail).text for p, output in self.current(asset).items()}
        table = self._current
        query = sa.select(table.c.partition, table.c.detail).where(table.c.asset == asset, ~table.c.withdrawn)
        with self._engine.connect() as connection, no_search_for_garbage():
            return dict(connection.execute(query).fetchall())

    def may_be_out_of_date(self, source: str, expected: Sequence[Expected]) -> set[str] | None:
        """The partitions of the source of which some output may be out of date: all that are, and few others.

        None where one question to one database cannot tell, as in an environment that builds on another's outputs.
        """
        names = sorted({name for one in expected for name in (one.asset, *one.inputs)} - {source})
        if self._published or len(names) > TABLES_IN_A_JOIN:
            return None
        there = self._current.alias("there")
        current: dict[str, sa.FromClause] = {source: there}
        joined: sa.FromClause = there
        for name in names:
            table = current[name] = self._current.alias(f"asset_{len(current)}")
            same = (table.c.asset == name) & (table.c.partition == there.c.partition) & ~table.c.withdrawn
            joined = joined.outerjoin(table, same)
        as_made = sa.and_(*(_as_made(current, one) for one in expected))
        query = (
            sa.select(there.c.partition)
            .select_from(joined)
            .where(there.c.asset == source, ~there.c.withdrawn, ~sa.func.coalesce(as_made, sa.false()))
        )
        with self._engine.connect() as connection:
            return set(connection.scalars(query).all())

    def made_by_others(self, asset: str, fingerprint: str) -> tuple[int, int]:
        """How many of the asset's outputs another code or other parameters have made, and how many there are."""
        if self._published:
            outputs = self.current(asset).values()
            return sum(output.fingerprint != fingerprint for output in outputs), len(outputs)
        table = self._current
        others = sa.func.count().filter(table.c.fingerprint != fingerprint)
        query = sa.select(others, sa.func.count()).where(table.c.asset == asset, ~table.c.withdrawn)
        with self._engine.connect() as connection:
            found = connection.execute(query).one()
        return int(found[0]), int(found[1])

    @cached_property
    def locks(self) -> Locks:
        """The locks of this environment."""
        file = sqlite_file(self._url)
        if file is not None:
            return FileLocks(file.with_name(f"{file.stem}.locks"))
        return ServerLocks(lambda: self._engine, scope=self._schema or "")

    def set_current(self, asset: str, outputs: Mapping[str, Output]) -> None:
        """Make these the current outputs of their partitions."""
        with self._engine.begin() as connection:
            self._upsert(connection, asset, outputs, withdrawn=False)

    def look_again(self, source: str, partitions: Collection[str]) -> None:
        """Have these files hashed at the next look, also where their size and time are as they were."""
        table = self._current
        with self._engine.begin() as connection:
            for some in _chunks(sorted(partitions)):
                its = (table.c.asset == source) & table.c.partition.in_(some)
                # no more than this, as a step may not write anything else of a source
                connection.execute(sa.update(table).where(its).values(detail=NOTHING.text))

    def restore(self, outputs: Mapping[str, Mapping[str, Output]], run_id: str) -> None:
        """Make outputs that were made before, by asset and partition, current again for a run: all or none."""
        with self._engine.begin() as connection:
            for asset, its in outputs.items():
                self._upsert(connection, asset, its, withdrawn=False)
            self._note_untold(connection, outputs, run_id)

    def reject(self, asset: str, checked: Mapping[str, Output], why: str) -> None:
        """Mark outputs that a check has refused: nothing is to be built on them until they are made again.

        An output that has become current since it was checked is left alone.
        """
        table = self._current
        with self._engine.begin() as connection:
            for partition, output in checked.items():
                refused = output._replace(detail={**output.detail, REJECTED: why})
                inherited = (
                    self._published
                    and not connection.execute(
                        sa.select(table.c.run_id).where(
                            table.c.asset == asset, table.c.partition == partition
                        )
                    ).first()
                )
                if inherited:
                    self._upsert(connection, asset, {partition: refused}, withdrawn=False)
                    continue
                connection.execute(
                    sa.update(table)
                    .where(table.c.asset == asset, table.c.partition == partition)
                    .where(table.c.content_version == output.content_version, table.c.run_id == output.run_id)
                    .values(detail=output_values(refused)["detail"])
                )
            memo = self._memo
            for some in _chunks(sorted({output.content_version for output in checked.values()})):
                connection.execute(
                    sa.delete(memo).where(memo.c.asset == asset, memo.c.content_version.in_(some))
                )

    def made_before(self, asset: str, wanted: Collection[str]) -> dict[str, Remembered]:
        """What was made from the same before, here or in production: by `made_from`, those of `wanted` that are known."""
        found = self._published.made_before(asset, wanted) if self._published else {}
        with self._engine.connect() as connection:
            return found | _remembered(connection, self._memo, asset, wanted)

    def untold(self) -> list[Untold]:
        """The outputs that Dagster has not been told of since they became current."""
        with self._engine.connect() as connection:
            return [Untold(*row) for row in connection.execute(sa.select(self._untold))]

    def note_untold(self, asset: str, partitions: Iterable[str], run_id: str = "") -> None:
        """Put on record that Dagster is yet to be told of these outputs."""
        with self._engine.begin() as connection:
            self._note_untold(connection, {asset: list(partitions)}, run_id)

    def told(self, asset: str, run_id: str) -> None:
        """Put on record that Dagster was told of all that the run has made of the asset."""
        table = self._untold
        with self._engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.run_id == run_id, table.c.asset == asset))

    def told_of(self, outputs: Sequence[Untold]) -> None:
        """Put on record that Dagster was told of these outputs, as far as no other run has made them since."""
        table = self._untold
        by_run: dict[tuple[str, str], list[str]] = {}
        for one in outputs:
            by_run.setdefault((one.asset, one.run_id), []).append(one.partition)
        with self._engine.begin() as connection:
            for (asset, run_id), partitions in by_run.items():
                for some in _chunks(partitions):
                    its = table.c.partition.in_(some) & (table.c.run_id == run_id)
                    connection.execute(sa.delete(table).where(table.c.asset == asset, its))

    def without_source(self, asset: str, source: str) -> list[str]:
        """The partitions of the asset whose counterpart in the source is gone."""
        if self._published:
            return sorted(self.current(asset).keys() - self.current(source).keys())
        made, there = self._current.alias("made"), self._current.alias("there")
        its = (there.c.asset == source) & (there.c.partition == made.c.partition) & ~there.c.withdrawn
        query = sa.select(made.c.partition).where(
            made.c.asset == asset, ~made.c.withdrawn, ~sa.exists(sa.select(1).where(its))
        )
        with self._engine.connect() as connection:
            return sorted(connection.scalars(query))

    def unfinished_runs(self) -> list[str]:
        """The runs that have begun executions and not ended them."""
        table = self._executions
        with self._engine.connect() as connection:
            return sorted(
                connection.scalars(sa.select(table.c.run_id).where(table.c.status == "started").distinct())
            )

    def end_killed(self, run_id: str) -> None:
        """Put on record that what the run had begun and not ended never will."""
        table = self._executions
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(table)
                .where(table.c.status == "started", table.c.run_id == run_id)
                .values(status="failed", error=KILLED)
            )

    def withdraw(self, asset: str, partitions: Iterable[str], *, untold: Iterable[str] = ()) -> None:
        """Remove the partitions from the current state; their executions stay in the history.

        Of those that are `untold` Dagster has a page which is yet to say so.
        """
        gone = {partition: Output(content_version="") for partition in partitions}
        with self._engine.begin() as connection:
            self._upsert(connection, asset, gone, withdrawn=True)
            self._note_untold(connection, {asset: list(untold)}, "")

    def begin(self, executions: Sequence[Execution]) -> None:
        """Record that these executions have started, before any of their work is done.

        Earlier ones of the same partitions that never ended were killed, and are put on record as that.
        """
        partitions: dict[str, list[str]] = {}
        for execution in executions:
            partitions.setdefault(execution.asset, []).append(execution.partition)
        table = self._executions
        with self._engine.begin() as connection:
            for asset, keys in partitions.items():
                for some in _chunks(keys):
                    connection.execute(
                        sa.update(table)
                        .where(table.c.asset == asset, table.c.status == "started")
                        .where(table.c.partition.in_(some))
                        .values(status="failed", error=KILLED)
                    )
            for chunk in _chunks([execution_values(e) for e in executions]):
                connection.execute(sa.insert(self._executions), chunk)

    def commit(self, finished: Mapping[str, Mapping[str, Finished]]) -> None:
        """Make the outputs, by asset and partition, current and their executions succeeded or quarantined: all or none."""
        with self._engine.begin() as connection:
            for asset, its in finished.items():
                outputs = {partition: one.output for partition, one in its.items()}
                self._upsert(connection, asset, outputs, withdrawn=False)
                self._remember(connection, asset, its)
                ended = [_ended(one.execution, one.output) for one in its.values()]
                self._update_executions(connection, ended)
                for run_id in {one.execution.run_id for one in its.values()}:
                    self._note_untold(connection, {asset: its}, run_id)

    def fail(self, executions: Sequence[Execution], error: str) -> None:
        """Record that these executions failed, and why; one that has ended already stays as it is."""
        failed = [
            replace(e, status="failed", error=error, seconds=_seconds_since(e.started_at)) for e in executions
        ]
        with self._engine.begin() as connection:
            self._update_executions(connection, failed, only_started=True)

    def executions(
        self, *, assets: Sequence[str] = (), run_id: str = "", limit: int | None = None
    ) -> list[Execution]:
        """Executions, newest first."""
        query = sa.select(self._executions).order_by(
            self._executions.c.started_at.desc(), self._executions.c.asset, self._executions.c.partition
        )
        if assets:
            query = query.where(self._executions.c.asset.in_(assets))
        if run_id:
            query = query.where(self._executions.c.run_id == run_id)
        if limit is not None:
            query = query.limit(limit)
        with self._engine.connect() as connection:
            return [execution_of(row) for row in connection.execute(query)]

    def _update_executions(
        self, connection: sa.Connection, executions: Sequence[Execution], *, only_started: bool = False
    ) -> None:
        values = [{f"new_{key}": value for key, value in execution_values(e).items()} for e in executions]
        if values:
            columns = [c.name for c in self._executions.columns if c.name != "id"]
            statement = (
                sa.update(self._executions)
                .where(self._executions.c.id == sa.bindparam("new_id"))
                .values({name: sa.bindparam(f"new_{name}") for name in columns})
            )
            if only_started:
                statement = statement.where(self._executions.c.status == "started")
            connection.execute(statement, values)

    def _upsert(
        self, connection: sa.Connection, asset: str, outputs: Mapping[str, Output], *, withdrawn: bool
    ) -> None:
        # in one order, or two writers lock each other out
        rows = [
            {"asset": asset, "partition": partition, "withdrawn": withdrawn, **output_values(output)}
            for partition, output in sorted(outputs.items())
        ]
        _write(connection, self._current, rows)

    def _note_untold(
        self, connection: sa.Connection, outputs: Mapping[str, Iterable[str]], run_id: str
    ) -> None:
        rows = [
            {"asset": asset, "partition": partition, "run_id": run_id}
            for asset, partitions in outputs.items()
            for partition in sorted(partitions)
        ]
        _write(connection, self._untold, rows)

    def _remember(self, connection: sa.Connection, asset: str, finished: Mapping[str, Finished]) -> None:
        rows = {
            one.made_from: {
                "asset": asset,
                "made_from": one.made_from,
                "partition": partition,
                **output_values(one.output),
            }
            for partition, one in finished.items()
        }
        _write(connection, self._memo, [row for _, row in sorted(rows.items())])


def _place(url: sa.URL, schema: str | None) -> str:
    return f"{told(url)}, schema {schema}" if schema else told(url)


def _remembered(
    connection: sa.Connection,
    memo: sa.Table,
    asset: str,
    wanted: Collection[str],
    *,
    lacking: Collection[str] = (),
) -> dict[str, Remembered]:
    found: dict[str, Remembered] = {}
    for chunk in _chunks(sorted(wanted)):
        query = _outputs_of(memo, asset, memo.c.made_from, memo.c.partition, lacking=lacking).where(
            memo.c.made_from.in_(chunk)
        )
        for origin, partition, *values in connection.execute(query):
            found[origin] = Remembered(partition, output_of(values))
    return found


def _outputs_of(
    table: sa.Table, asset: str, *columns: sa.ColumnElement[Any], lacking: Collection[str] = ()
) -> sa.Select[Any]:
    """These columns of an asset's rows, and then those of its outputs; null for what the table is `lacking`."""
    its = (sa.null() if name in lacking else table.c[name] for name in OUTPUT_COLUMNS)
    return sa.select(*columns, *its).where(table.c.asset == asset)


def _as_made(current: Mapping[str, sa.FromClause], expected: Expected) -> sa.ColumnElement[bool]:
    """Whether the output has the fingerprint and inputs that it would be made with now, and no check has refused it."""
    made = current[expected.asset]
    inputs: sa.ColumnElement[str] = sa.literal("{")
    for place, name in enumerate(expected.inputs):
        version = sa.func.coalesce(current[name].c.content_version, "")
        inputs = (
            inputs + sa.literal(f'{", " if place else ""}{json.dumps(name)}: "') + version + sa.literal('"')
        )
    return (
        (made.c.fingerprint == expected.fingerprint)
        & (made.c.inputs == inputs + sa.literal("}"))
        & ~made.c.detail.contains(json.dumps(REJECTED), autoescape=True)
    )


def _ended(execution: Execution, output: Output) -> Execution:
    seconds = execution.seconds
    return replace(
        execution,
        status=QUARANTINED if output.quarantined else "succeeded",
        error=output.quarantined or None,
        seconds=_seconds_since(execution.started_at) if seconds is None else seconds,
        rows=output.rows,
        bytes=output.bytes,
        content_version=output.content_version,
        inputs=output.inputs,
    )


def _write(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows, or update those that have the same key."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    updated = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    for chunk in _chunks(rows):
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=updated), chunk)


def _chunks(rows: list[Row]) -> Iterable[list[Row]]:
    return (rows[start : start + ROWS_PER_STATEMENT] for start in range(0, len(rows), ROWS_PER_STATEMENT))


def _seconds_since(moment: datetime) -> float:
    return round((datetime.now(UTC) - moment).total_seconds(), 3)
