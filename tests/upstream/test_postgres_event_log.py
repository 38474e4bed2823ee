"""Our event log on PostgreSQL leans on Dagster's private parts: what it must keep doing, side by side with the stock class."""

# no postponed annotations here: Dagster compares the annotation of `context` itself
import json
import signal
from collections import Counter
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from queue import Queue
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml
from dagster_postgres import PostgresRunStorage, PostgresScheduleStorage

from resources.event_log import EVENTS_AT_ONCE
from resources.postgres_event_log import PooledPostgresEventLogStorage
from tests.services.one_machine import DEPLOYMENT
from tests.services.postgres import PostgresServer, running_server, server_binaries
from tests.upstream.test_event_log import events, open_instance, photo, what_a_range_leaves

pytestmark = pytest.mark.postgres

PROCESSES = 5
# a watcher looks for news after pauses of up to 16 s
SECONDS_TO_TELL = 60


def ours(url: str) -> str:
    """The storages of `deploy/one_machine`, on this database."""
    deployed = yaml.safe_load((DEPLOYMENT / "dagster.yaml").read_text())
    storages = {key: its for key, its in deployed.items() if key.endswith("storage")}
    return json.dumps({key: {**its, "config": {"postgres_url": url}} for key, its in storages.items()})


def stock(url: str) -> str:
    return json.dumps({"storage": {"postgres": {"postgres_url": url}}})


def test_the_deployments_settings_give_our_class_beside_dagsters_own(
    tmp_path: Path, postgres_url: str
) -> None:
    with open_instance(tmp_path / "home", ours(postgres_url)) as instance:
        assert type(instance.event_log_storage) is PooledPostgresEventLogStorage
        assert type(instance.run_storage) is PostgresRunStorage
        assert type(instance.schedule_storage) is PostgresScheduleStorage


def test_processes_that_open_an_empty_database_at_once_all_find_its_tables(postgres_url: str) -> None:
    """Webserver, daemon and code server of a first start do."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    barrier = context.Barrier(PROCESSES)
    processes = [context.Process(target=look, args=(postgres_url, barrier)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    storage = PooledPostgresEventLogStorage(postgres_url)
    made, newest = storage.alembic_version()
    assert made == newest
    storage.dispose()


def look(url: str, barrier: Barrier) -> None:
    barrier.wait()
    storage = PooledPostgresEventLogStorage(url)
    assert storage.get_dynamic_partitions("photo_files") == []
    storage.dispose()


@pytest.mark.parametrize("together", ["0", "500"])
def test_whoever_watches_a_run_is_told_each_event_while_it_runs(
    tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch, together: str
) -> None:
    """A run's page does: it fills by itself."""
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", together)
    told: Queue[str] = Queue()

    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition(["a", "b"]),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def watched(context: dg.AssetExecutionContext) -> None:
        context.instance.watch_event_logs(
            context.run.run_id, None, lambda entry, _: told.put(str(entry.dagster_event_type))
        )
        assert told.get(timeout=SECONDS_TO_TELL)

    with open_instance(tmp_path / "home", ours(postgres_url)) as instance:
        ranged = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "b"}
        job = dg.Definitions([watched]).resolve_implicit_global_asset_job_def()
        run_id = job.execute_in_process(instance=instance, tags=ranged).run_id
        expected = events(instance, run_id)
        # the first was taken while the step was at work
        found = [told.get(timeout=SECONDS_TO_TELL) for _ in expected[1:]]
        assert Counter(found) == Counter(expected[1:])


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
