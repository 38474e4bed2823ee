"""Dagster's event log on PostgreSQL, written over a connection that stays open.

The stock class connects several times for each event, and what a run plans it writes one by one: over a thousand partitions
that takes minutes. This one leans on Dagster's private parts, which tests/upstream watches; the tables are the stock class's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from dagster import DagsterEventType, EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.auth import PgTokenProvider
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config

from resources.event_log import EVENTS_AT_ONCE


class PooledPostgresEventLogStorage(PostgresEventLogStorage):
    """The stock storage with a connection a process, and planned materializations written together."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,  # noqa: FBT001, FBT002 -- the stock class's
        inst_data: ConfigurableClassData | None = None,
        token_provider: PgTokenProvider | None = None,
    ) -> None:
        # Dagster's switch: events that it or a step writes together reach `store_event_batch`
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(EVENTS_AT_ONCE))
        super().__init__(postgres_url, should_autocreate_tables, inst_data, token_provider)
        # a server that was restarted is noticed before a statement is lost; threads never wait for one another
        self._engine = create_pg_engine(
            postgres_url,
            token_provider,
            isolation_level="AUTOCOMMIT",
            pool_size=1,
            max_overflow=-1,
            pool_pre_ping=True,
        )

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledPostgresEventLogStorage:
        """The storage that `dagster.yaml` describes, in the stock class's words."""
        creates = config_value.get("should_autocreate_tables", True)
        tokens = get_token_provider_from_config(config_value)
        return cls(pg_url_from_config(config_value), creates, inst_data, tokens)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Write events of one run; those that the stock class knows how to write together it writes."""
        kinds = {event.dagster_event_type for event in events}
        if kinds != {DagsterEventType.ASSET_MATERIALIZATION_PLANNED}:
            super().store_event_batch(events)
            return
        insert = self.prepare_insert_event_batch(events).returning(SqlEventLogStorageTable.c.id)
        with self._connect() as connection:
            ids = list(connection.scalars(insert))
        # a job's assets are planned in one batch: the stock class remembers the last event alone
        last = {str(e.get_dagster_event().asset_key): (e, i) for e, i in zip(events, ids, strict=True)}
        with self.index_transaction() as connection:
            self._store_asset_event_tags(connection, events, ids)
            for event, event_id in last.values():
                self._store_asset_event(connection, event, event_id)

    def dispose(self) -> None:
        """Close the connections."""
        # first the thread that looks for events of watched runs
        super().dispose()
        self._engine.dispose()
