"""Our event log leans on Dagster's private parts: what it must keep doing, side by side with the stock class."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from resources.event_log import OPEN_FILES, PooledSqliteEventLogStorage

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
