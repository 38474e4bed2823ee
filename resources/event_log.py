"""Dagster's event log on SQLite, written at the speed of SQLite.

The stock class makes a new engine, and so compiles every statement again, for each event: a run over a thousand files
spends its time there. This one keeps an engine a file, and writes events that come together in two transactions. It leans on Dagster's private parts, which tests/upstream watches;
`dagster.yaml` without `event_log_storage` falls back to the stock class, with the same files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dagster import (
    AssetCheckResult,
    AssetKey,
    AssetMaterialization,
    AssetRecordsFilter,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    EventLogEntry,
    EventLogRecord,
    StepExecutionContext,
    StringSource,
)
from dagster._config.config_schema import UserConfigSchema
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.events import DagsterEventBatchMetadata, generate_event_batch_id
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    DynamicPartitionsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData, serialize_value

from resources.garbage import no_search_for_garbage

BUSY_TIMEOUT_SECONDS = 60
OPEN_FILES = 8
EVENTS_AT_ONCE = 500
PARTITIONS_PER_QUERY = 1_000
BATCHED = {
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    DagsterEventType.ASSET_OBSERVATION,
}


class PooledSqliteEventLogStorage(SqliteEventLogStorage):
    """The stock storage with one engine a database file, in write-ahead mode without a disk flush a statement."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[tuple[int, str], sa.Engine] = {}
        self._present: set[str] = set()
        self._keys: dict[str, tuple[object, Sequence[str]]] = {}
        # Dagster's switch: events that it or a step writes together reach `store_event_batch`
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENTS_AT_ONCE))
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """`home`: Dagster's home folder; the files lie where the stock class has them below it."""
        return {"home": StringSource}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledSqliteEventLogStorage:
        """The storage that `dagster.yaml` describes."""
        return cls(str(Path(config_value["home"]) / "history" / "runs"), inst_data)

    def _engine(self, shard: str) -> sa.Engine:
        key = (os.getpid(), shard)
        if key not in self._engines:
            if len(self._engines) >= OPEN_FILES:
                self._engines.pop(next(iter(self._engines))).dispose()
            engine = sa.create_engine(
                self.conn_string_for_shard(shard),
                poolclass=sa.pool.QueuePool,
                connect_args={"timeout": BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
            )
            sa.event.listen(engine, "connect", _flush_at_checkpoints)
            self._engines[key] = engine
        return self._engines[key]

    @contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Write events of one run: those of assets together, others one by one."""
        of_assets = [event for event in events if event.dagster_event_type in BATCHED]
        if of_assets:
            rows = [self._event_to_row(event) for event in of_assets]
            insert = SqlEventLogStorageTable.insert()
            with self.run_connection(of_assets[0].run_id) as connection:
                connection.execute(insert, rows)
            with self.index_transaction() as connection:
                returning = insert.returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
                ids = list(connection.scalars(returning, rows))
                self._store_asset_event_tags(connection, of_assets, ids)
                last = {
                    str(e.get_dagster_event().asset_key): (e, i) for e, i in zip(of_assets, ids, strict=True)
                }
                for event, event_id in last.values():
                    self._store_asset_event(connection, event, event_id)
        for event in events:
            if event.dagster_event_type not in BATCHED:
                self.store_event(event)

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        """Without the list of all partitions in each partition's row: for 10,000 files that is a gigabyte."""
        planned = event.get_dagster_event().asset_check_planned_data
        subset = planned.partitions_subset
        if subset is None:
            super()._store_asset_check_evaluation_planned(event, event_id)
            return
        told = event.get_dagster_event()._replace(
            event_specific_data=type(planned)(asset_key=planned.asset_key, check_name=planned.check_name)
        )
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": serialize_value(event._replace(dagster_event=told)),
            "evaluation_event_timestamp": self._event_insert_timestamp(event),  # type: ignore[no-untyped-call]
            "evaluation_event_storage_id": event_id,
        }
        rows = [{**row, "partition": partition} for partition in subset.get_partition_keys()]
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.insert(), rows)

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """The keys in the order in which they were added; a run asks for them eight times, and there may be 100,000."""
        self._check_partitions_table()
        with self.index_connection() as connection, no_search_for_garbage():
            # moves with each commit that this very connection has not made itself
            version = connection.exec_driver_sql("PRAGMA data_version").scalar()
            state = (connection.connection.dbapi_connection, version)
            known_state, keys = self._keys.get(partitions_def_name, (None, ()))
            if state != known_state:
                table = DynamicPartitionsTable
                # the plus keeps SQLite from its index, by which it would have to sort: the table is in this order
                named = sa.literal_column("+partitions_def_name") == partitions_def_name
                query = sa.select(table.c.partition).where(named).order_by(table.c.id)
                keys = connection.scalars(query).all()
                self._keys[partitions_def_name] = (state, keys)
            return list(keys)

    def add_dynamic_partitions(self, partitions_def_name: str, partition_keys: Sequence[str]) -> None:
        """Add the keys, but those that are there already."""
        super().add_dynamic_partitions(partitions_def_name, partition_keys)
        self._keys.pop(partitions_def_name, None)

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete the key."""
        super().delete_dynamic_partition(partitions_def_name, partition_key)
        self._keys.pop(partitions_def_name, None)

    def has_table(self, table_name: str) -> bool:
        """Whether the table exists; asked for with each event, and no table ever goes away."""
        return self._once(
            f"table {table_name}", lambda: super(PooledSqliteEventLogStorage, self).has_table(table_name)
        )

    def has_secondary_index(self, name: str) -> bool:
        """Whether that migration of the data is complete."""
        return self._once(
            f"index {name}", lambda: super(PooledSqliteEventLogStorage, self).has_secondary_index(name)
        )

    def _has_asset_key_index_cols_on_connection(self, conn: sa.Connection) -> bool:
        stock = super()._has_asset_key_index_cols_on_connection
        return self._once("asset key columns", lambda: stock(conn))

    def _once(self, what: str, ask: Callable[[], bool]) -> bool:
        if what not in self._present and ask():
            self._present.add(what)
        return what in self._present

    def wipe(self) -> None:
        """Delete all events, and let go of the files that are gone."""
        self._close()
        self._present.clear()
        super().wipe()

    def dispose(self) -> None:
        """Close the database files."""
        self._close()
        super().dispose()

    def _close(self) -> None:
        for engine in self._engines.values():
            engine.dispose()
        self._engines.clear()
        self._keys.clear()


def _flush_at_checkpoints(connection: Any, _: object) -> None:
    # what may be lost when the machine loses power is the tail of Dagster's log; the catalog flushes each commit
    connection.execute("PRAGMA synchronous=NORMAL")


def log_together(context: StepExecutionContext, events: Sequence[AssetMaterialization]) -> None:
    """Log events of a step, as `log_event` does one: they are written together where the storage can."""
    batch = generate_event_batch_id()  # type: ignore[no-untyped-call]
    for place, event in enumerate(events, start=1):
        is_end = place == len(events)
        DagsterEvent.asset_materialization(context, event, DagsterEventBatchMetadata(batch, is_end))


class ResultOfAllPartitions(AssetCheckResult):
    """The result of a check that was launched without a partition, as "Execute all" on a page does.

    For a partitioned asset the stock class asks such a run for its partition, and fails.
    """

    def _get_unpartitioned_target_materialization_data(
        self, step_context: object, asset_key: AssetKey
    ) -> None:
        """It has looked at many materializations, so it names none."""


def checked_materializations(
    instance: DagsterInstance, asset: str, partitions: Sequence[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """The last materialization of each partition, as the evaluation of a check names what it has looked at.

    An evaluation that names none counts as one of nothing: the page shows its partition as not checked.
    """
    return {
        partition: AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
        for partition, record in last_materializations(instance, asset, partitions).items()
    }


def last_materializations(
    instance: DagsterInstance, asset: str, partitions: Sequence[str]
) -> dict[str, EventLogRecord]:
    """The last materialization of each partition; those that Dagster knows nothing of are left out."""
    found: dict[str, EventLogRecord] = {}
    for start in range(0, len(partitions), PARTITIONS_PER_QUERY):
        missing = list(partitions[start : start + PARTITIONS_PER_QUERY])
        while missing:
            wanted = AssetRecordsFilter(asset_key=AssetKey(asset), asset_partitions=missing)
            # a range writes two events a partition; newest first, so those of one may hide the rest
            records = instance.fetch_materializations(wanted, limit=2 * len(missing)).records
            for record in records:
                found.setdefault(str(record.partition_key), record)
            missing = [partition for partition in missing if partition not in found] if records else []
    return found
