"""Our event log leans on Dagster's private parts: what it must keep doing, side by side with the stock class."""

# no postponed annotations here: Dagster compares the annotation of `context` itself
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from resources.event_log import OPEN_FILES, PooledSqliteEventLogStorage, log_together

POOLED = """
event_log_storage:
  module: resources.event_log
  class: PooledSqliteEventLogStorage
  config:
    home:
      env: DAGSTER_HOME
"""


@dg.asset
def photo() -> int:
    return 1


@dg.asset
def score(photo: int) -> int:
    return photo + 1


def open_instance(home: Path, config: str) -> dg.DagsterInstance:
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(config)
    return dg.DagsterInstance.from_config(str(home))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return tmp_path / "dagster"


def events(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [
        str(record.event_log_entry.dagster_event_type)
        for record in instance.get_records_for_run(run_id).records
    ]


def test_dagster_yaml_gives_our_class_and_a_run_passes(home: Path) -> None:
    with open_instance(home, POOLED) as instance:
        assert isinstance(instance.event_log_storage, PooledSqliteEventLogStorage)
        result = dg.materialize([photo, score], instance=instance)
        assert result.success
        assert "DagsterEventType.ASSET_MATERIALIZATION" in events(instance, result.run_id)
        assert instance.get_latest_materialization_event(score.key) is not None


@pytest.mark.parametrize(
    ("written", "read"), [(POOLED, ""), ("", POOLED)], ids=["stock reads ours", "ours reads stock"]
)
def test_both_classes_read_and_go_on_with_the_same_files(home: Path, written: str, read: str) -> None:
    with open_instance(home, written) as instance:
        run_id = dg.materialize([photo, score], instance=instance).run_id
        told = events(instance, run_id)
    assert len(told) > 10
    with open_instance(home, read) as instance:
        assert isinstance(
            instance.event_log_storage, PooledSqliteEventLogStorage if read else SqliteEventLogStorage
        )
        assert events(instance, run_id) == told
        assert dg.materialize([photo, score], instance=instance).success
        assert len(instance.fetch_materializations(score.key, limit=9).records) == 2


WRITER = """
import dagster as dg, sys
@dg.asset(key=sys.argv[1])
def one():
    for number in range(30):
        yield dg.AssetMaterialization(f"{sys.argv[1]}_{number}")
    yield dg.Output(1)
with dg.DagsterInstance.get() as instance:
    assert dg.materialize([one], instance=instance).success
"""


def test_processes_that_write_at_once_lose_no_event(home: Path) -> None:
    with open_instance(home, POOLED) as instance:
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, name],
                env={**os.environ, "PYTHONPATH": "."},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            for name in ("a", "b", "c")
        ]
        errors = [writer.communicate(timeout=120)[1].decode()[-2000:] for writer in writers]
        assert [writer.returncode for writer in writers] == [0, 0, 0], errors
        keys = {key.to_user_string() for key in instance.get_asset_keys()}
        assert keys == {name for one in "abc" for name in (one, *(f"{one}_{number}" for number in range(30)))}


def test_keys_are_those_of_now_whoever_has_changed_them(home: Path) -> None:
    """Risk: they are read once and remembered, and the row of a deleted key is given to the next one."""
    with open_instance(home, POOLED) as instance, open_instance(home, "") as stock:

        def keys() -> list[str]:
            found = list(instance.get_dynamic_partitions("files"))
            assert found == list(instance.get_dynamic_partitions("files"))
            assert found == list(stock.get_dynamic_partitions("files"))
            return found

        assert keys() == []
        instance.add_dynamic_partitions("files", ["b", "a"])
        instance.add_dynamic_partitions("other files", ["z"])
        assert keys() == ["b", "a"]
        stock.add_dynamic_partitions("files", ["c"])
        assert keys() == ["b", "a", "c"]
        for of_one in (stock, instance):
            of_one.delete_dynamic_partition("files", "c")
            of_one.add_dynamic_partitions("files", ["d"])
            assert keys() == ["b", "a", "d"]
            of_one.delete_dynamic_partition("files", "d")
            of_one.add_dynamic_partitions("files", ["c"])
            assert keys() == ["b", "a", "c"]
        other = threading.Thread(target=instance.add_dynamic_partitions, args=("files", ["e"]))
        other.start()
        other.join()
        assert keys() == ["b", "a", "c", "e"]
        instance.get_dynamic_partitions("files").append("not a key")  # type: ignore[attr-defined]
        assert keys() == ["b", "a", "c", "e"]


def test_no_more_files_are_kept_open_than_allowed_and_deleted_ones_are_let_go(home: Path) -> None:
    with open_instance(home, POOLED) as instance:
        runs = [dg.materialize([photo], instance=instance).run_id for _ in range(OPEN_FILES + 3)]
        storage = instance.event_log_storage
        assert isinstance(storage, PooledSqliteEventLogStorage)
        assert len(storage._engines) <= OPEN_FILES
        assert all(events(instance, run_id) for run_id in runs)
        instance.wipe()
        assert storage._engines.keys() <= {(os.getpid(), "index")}
        assert dg.materialize([photo], instance=instance).success


FILES = dg.DynamicPartitionsDefinition(name="files")
KEYS = [f"{number}.txt" for number in range(7)]


@dg.asset(partitions_def=FILES, backfill_policy=dg.BackfillPolicy.single_run())
def size(context: dg.AssetExecutionContext) -> Iterator[dg.Output[int]]:
    yield dg.Output(1)
    told = [
        dg.AssetMaterialization("size", partition=key, tags={"dagster/data_version": f"v-{key}"})
        for key in context.partition_keys
    ]
    log_together(context.op_execution_context.get_step_execution_context(), told)


@dg.asset_check(asset="size", partitions_def=FILES)
def is_positive() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


class NotStored(dg.IOManager):
    """Keeps nothing: the events are all that matters."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        pass

    def load_input(self, context: dg.InputContext) -> object:
        raise NotImplementedError


def what_a_range_leaves(home: Path, config: str) -> dict[str, object]:
    """What Dagster knows after a run over a range of partitions."""
    with open_instance(home, config) as instance:
        instance.add_dynamic_partitions("files", KEYS)
        definitions = dg.Definitions(
            [size],
            asset_checks=[is_positive],
            resources={"io_manager": NotStored()},
            executor=dg.in_process_executor,
        )
        result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            tags={
                "dagster/asset_partition_range_start": KEYS[0],
                "dagster/asset_partition_range_end": KEYS[-1],
            },
        )
        assert result.success
        versions = {}
        for key in KEYS:
            record = instance.get_latest_data_version_record(size.key, partition_key=key)
            assert record is not None
            assert record.asset_materialization is not None
            versions[key] = (record.asset_materialization.tags or {})["dagster/data_version"]
        history = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(size.key, "is_positive"), limit=100
        )
        last = instance.get_latest_materialization_event(size.key)
        assert last is not None
        return {
            "events": Counter(events(instance, result.run_id)),
            "materialized": instance.get_materialized_partitions(size.key),
            "versions": versions,
            "checks": Counter((str(record.partition), record.status.value) for record in history),
            "last": last.asset_materialization and last.asset_materialization.partition,
        }


@pytest.mark.parametrize("together", ["1", "3", "7", "500"])
def test_events_written_together_leave_what_events_one_by_one_do(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: str
) -> None:
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "stock"))
    stock = what_a_range_leaves(tmp_path / "stock", "")
    assert stock["versions"] == {key: f"v-{key}" for key in KEYS}
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", together)
    assert what_a_range_leaves(home, POOLED) == stock
