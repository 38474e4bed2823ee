"""Our event log on PostgreSQL leans on Dagster's private parts: what it must keep doing, side by side with the stock class."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from resources.event_log import EVENTS_AT_ONCE
from resources.postgres_event_log import PooledPostgresEventLogStorage
from tests.services.postgres import PostgresServer, running_server, server_binaries
from tests.upstream.test_event_log import events, open_instance, photo, what_a_range_leaves

pytestmark = pytest.mark.postgres


def settings(url: str, module: str, name: str) -> str:
    """What `dagster.yaml` says for three storages on one database."""
    where = {"postgres_url": url}
    storage: dict[str, Any] = {
        f"{kind}_storage": {
            "module": f"dagster_postgres.{kind}_storage",
            "class": f"Postgres{kind.title()}Storage",
            "config": where,
        }
        for kind in ("run", "schedule")
    }
    storage["event_log_storage"] = {"module": module, "class": name, "config": where}
    return json.dumps(storage)


def ours(url: str) -> str:
    return settings(url, "resources.postgres_event_log", "PooledPostgresEventLogStorage")


def stock(url: str) -> str:
    return settings(url, "dagster_postgres.event_log", "PostgresEventLogStorage")


@pytest.mark.parametrize("together", ["1", "3", "500"])
def test_events_written_together_leave_what_events_one_by_one_do(
    tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, together: str
) -> None:
    urls = [postgres_server.new_database() for _ in range(2)]
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    one_by_one = what_a_range_leaves(tmp_path / "stock", stock(urls[0]))
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", together)
    assert what_a_range_leaves(tmp_path / "ours", ours(urls[1])) == one_by_one
    of_each = [asset_rows(url) for url in urls]
    assert of_each[0] == of_each[1] != []
    for url in urls:
        postgres_server.drop(url)


def test_planned_events_of_many_assets_are_each_remembered_with_their_asset(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    keys = dg.StaticPartitionsDefinition(["a", "b", "c"])
    single = dg.BackfillPolicy.single_run()

    @dg.asset(partitions_def=keys, backfill_policy=single)
    def first() -> None:
        pass

    @dg.asset(partitions_def=keys, backfill_policy=single, deps=[first])
    def second() -> None:
        raise RuntimeError("planned, and not made")

    with open_instance(tmp_path / "home", ours(postgres_url)) as instance:
        ranged = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
        job = dg.Definitions([first, second]).resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance, tags=ranged, raise_on_error=False)
        assert Counter(events(instance, result.run_id))["DagsterEventType.ASSET_MATERIALIZATION_PLANNED"] == 6
        assert isinstance(instance.event_log_storage, PooledPostgresEventLogStorage)
        for asset in ("first", "second"):
            [record] = instance.get_asset_records([dg.AssetKey(asset)])
            assert record.asset_entry.last_run_id == result.run_id


def test_events_go_together_unless_the_environment_says_otherwise(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "0")
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    with open_instance(tmp_path / "home", ours(postgres_url)) as instance:
        assert instance._get_event_batch_size() == EVENTS_AT_ONCE


def test_a_server_that_was_restarted_takes_the_next_event(tmp_path: Path) -> None:
    binaries = server_binaries()
    if binaries is None:
        pytest.skip("this machine has no PostgreSQL server (Debian: apt-get install postgresql)")
    with (
        running_server(binaries, {}) as server,
        open_instance(tmp_path / "home", ours(server.new_database())) as instance,
    ):
        assert dg.materialize([photo], instance=instance).success
        server.stop(signal.SIGINT)
        server.start()
        assert dg.materialize([photo], instance=instance).success


def asset_rows(url: str) -> list[Any]:
    """What is remembered of each asset, but ids of runs and times."""
    engine = sa.create_engine(url)
    query = "SELECT asset_key, last_materialization IS NULL, last_run_id IS NULL, tags FROM asset_keys"
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(sa.text(query))]
    engine.dispose()
    return found
