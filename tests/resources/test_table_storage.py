"""Committing and loading what steps make: what is current, from which inputs, and what a crash leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from partitions.reads import Days, SameKey
from photo_popularity.domain.errors import InputError
from resources.catalog import Catalog
from resources.catalog_records import Output
from resources.environment import Environment
from resources.output_parts import ModelFile, Result
from resources.outputs import read_outputs
from resources.pipeline import Declaration, Pipeline, Snapshot
from resources.steps import Step
from resources.table_storage import TableStorage

BEHAVIOR = Declaration("behavior_signals", ("behavior_signals",), "days", {"log_files": SameKey()})
MODEL = Declaration("popularity_model", ("popularity_model",), "days", {"behavior_signals": Days(-1, 0)})
CONTENT = Declaration("cat_dog_scores", ("cat_dog_scores",), "photo_files", {"photo_files": SameKey()})
PIPELINE = Pipeline((BEHAVIOR, MODEL, CONTENT))


class ASource:
    """A source that remembers what was read of it."""

    def __init__(self) -> None:
        self.versions_read: dict[str, str | None] = {}


def a_storage(home: Path, name: str = "local", *, source: ASource | None = None) -> TableStorage:
    environment = Environment(name, "ann", home)
    source = source or ASource()
    sources = {"log_files": source, "photo_files": source}
    return TableStorage(
        read_outputs(environment), environment=environment, pipeline=PIPELINE, sources=sources
    )


def rows(*given: tuple[str, str, int]) -> pd.DataFrame:
    frame = pd.DataFrame(given, columns=["day", "photo_id", "views"])
    frame["day"] = pd.to_datetime(frame["day"]).astype("datetime64[us]")
    others = ["unique_visitors", "likes", "downloads", "bytes", "external_referrals", "robot_views"]
    return frame.assign(**dict.fromkeys(others, 0))


def a_step(storage: TableStorage, name: str, *partitions: str, run_id: str = "run-1") -> Step:
    return storage.step(run_id, name, partitions=partitions, launched_by="ann")


def commit(
    storage: TableStorage, name: str, made: Any, *partitions: str, run_id: str = "run-1"
) -> dict[str, Output]:
    step = a_step(storage, name, *partitions, run_id=run_id)
    outputs = storage.commit({name: Result(made)}, step)[name]
    storage.forget(step)
    return outputs


def loaded(storage: TableStorage, asset: str) -> pd.DataFrame:
    table = storage.read_table(asset, storage.catalog.current(asset))
    assert isinstance(table, pd.DataFrame)
    return table


def test_a_frame_is_split_by_day_and_a_day_without_rows_exists(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    frame = rows(("2026-10-02", "p1", 5), ("2026-10-01", "p2", 3), ("2026-10-01", "p1", 4))
    outputs = commit(storage, "behavior_signals", frame, "2026-10-01", "2026-10-02", "2026-10-03")
    assert {key: output.rows for key, output in outputs.items()} == {
        "2026-10-01": 2,
        "2026-10-02": 1,
        "2026-10-03": 0,
    }
    assert storage.catalog.current("behavior_signals") == outputs
    version = outputs["2026-10-03"].content_version
    assert outputs["2026-10-03"].path == f"behavior_signals/2026-10-03/{version}.parquet"
    back = loaded(storage, "behavior_signals")
    assert back[["photo_id", "views"]].values.tolist() == [["p1", 4], ["p2", 3], ["p1", 5]]
    assert str(back["day"].dtype) == "datetime64[us]"


def test_the_same_rows_in_another_order_and_range_have_the_same_version(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    frame = rows(("2026-10-01", "p1", 4), ("2026-10-01", "p2", 3), ("2026-10-02", "p1", 5))
    together = commit(storage, "behavior_signals", frame, "2026-10-01", "2026-10-02")
    alone = commit(storage, "behavior_signals", frame.iloc[[1, 0]], "2026-10-01", run_id="run-2")
    assert alone["2026-10-01"].content_version == together["2026-10-01"].content_version
    changed = commit(storage, "behavior_signals", frame.iloc[:1], "2026-10-01", run_id="run-3")
    assert changed["2026-10-01"].content_version != together["2026-10-01"].content_version


def test_rows_of_a_day_that_was_not_asked_for_are_refused(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    frame = rows(("2026-10-01", "p1", 4), ("2026-10-02", "p1", 5))
    with pytest.raises(
        ValueError, match=r"behavior_signals: rows of partitions that were not asked for: \['2026-10-02'\]"
    ):
        commit(storage, "behavior_signals", frame, "2026-10-01")
    assert storage.catalog.current("behavior_signals") == {}


@pytest.mark.parametrize("column", ["day", "views"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    frame = rows(("2026-10-01", "p1", 4)).drop(columns=column)
    with pytest.raises(ValueError, match=f"behavior_signals.*missing.*{column}|{column}.*missing"):
        commit(a_storage(tmp_path), "behavior_signals", frame, "2026-10-01")


@pytest.mark.parametrize(
    "key", ["cat%2C sleeping.jpg", "100%25.jpg", "%FF.jpg", "2026/" + "a%2C" * 63 + ".jpg"]
)
def test_files_of_any_name_are_committed_and_loaded(tmp_path: Path, key: str) -> None:
    from partitions.files import file_of

    storage = a_storage(tmp_path)
    frame = pd.DataFrame({"file": [file_of(key)], "photo_id": ["p1"], "p_cat": [1.0], "p_dog": [0.0]})
    outputs = commit(
        storage, "cat_dog_scores", frame.assign(p_neither=0.0, model_version="1"), key, "other.jpg"
    )
    assert {name: output.rows for name, output in outputs.items()} == {key: 1, "other.jpg": 0}
    assert loaded(storage, "cat_dog_scores")["file"].tolist() == [file_of(key)]


def test_a_model_and_its_card_are_stored_side_by_side(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    model = ModelFile(b"model", "2026-10-01-abc", {"seed": 0})
    [output] = commit(storage, "popularity_model", model, "2026-10-01").values()
    assert output.path == "popularity_model/2026-10-01/abc.skops"
    models = storage.read_table("popularity_model", {"2026-10-01": output})
    assert models == {
        "2026-10-01": ModelFile(b"model", "2026-10-01-abc", {"seed": 0, "model_version": "2026-10-01-abc"})
    }
    with pytest.raises(ValueError, match="a model is made for one partition, not 2"):
        commit(storage, "popularity_model", model, "2026-10-01", "2026-10-02", run_id="run-2")


def test_the_inputs_recorded_are_those_that_the_planner_computes(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    days = ["2026-10-01", "2026-10-02", "2026-10-03"]
    storage.catalog.set_current("log_files", {day: Output(f"v{day}") for day in days})
    commit(storage, "behavior_signals", rows(("2026-10-01", "p1", 4)), *days)
    commit(storage, "popularity_model", ModelFile(b"m", "1", {}), "2026-10-02")
    for declaration in (BEHAVIOR, MODEL):
        snapshot, current = Snapshot(storage.catalog), storage.catalog.current(declaration.name)
        assert {key: output.inputs for key, output in current.items()} == {
            key: snapshot.input_digests(declaration, key) for key in current
        }
        assert PIPELINE.out_of_date(declaration, sorted(current), snapshot, storage.environment) == []


def test_a_source_is_recorded_in_the_version_that_was_read(tmp_path: Path) -> None:
    """A file may change between the listing and the read: the next listing must then find the output out of date."""
    source = ASource()
    storage, day = a_storage(tmp_path, source=source), "2026-10-01"
    storage.catalog.set_current("log_files", {day: Output("listed")})
    step = a_step(storage, "behavior_signals", day)
    source.versions_read[day] = "read"
    storage.commit({"behavior_signals": Result(rows())}, step)

    def stale() -> list[str]:
        return PIPELINE.out_of_date(BEHAVIOR, [day], Snapshot(storage.catalog), storage.environment)

    assert stale() == [day]
    storage.catalog.set_current("log_files", {day: Output("read")})
    assert stale() == []


def test_a_file_that_a_step_need_not_read_is_recorded_as_listed(tmp_path: Path) -> None:
    source = ASource()
    storage, day = a_storage(tmp_path, source=source), "2026-10-01"
    storage.catalog.set_current("log_files", {day: Output("listed")})
    source.versions_read[day] = "read by an earlier step"
    commit(storage, "behavior_signals", rows(), day)
    assert PIPELINE.out_of_date(BEHAVIOR, [day], Snapshot(storage.catalog), storage.environment) == []


def test_a_step_records_what_it_has_loaded_although_the_input_moves_meanwhile(tmp_path: Path) -> None:
    storage, day = a_storage(tmp_path), "2026-10-01"
    commit(storage, "behavior_signals", rows((day, "p1", 1)), day)
    step = a_step(storage, "popularity_model", day, run_id="run-2")
    assert len(storage.load("behavior_signals", step)) == 1
    commit(storage, "behavior_signals", rows((day, "p1", 2)), day, run_id="run-3")
    storage.commit({"popularity_model": Result(ModelFile(b"m", "1", {}))}, step)
    assert PIPELINE.out_of_date(MODEL, [day], Snapshot(storage.catalog), storage.environment) == [day]


def test_a_failure_is_recorded_for_what_was_not_committed(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    step = a_step(storage, "behavior_signals", "2026-10-01", "2026-10-02")
    storage.begin(step)
    assert [e.status for e in storage.catalog.executions()] == ["started", "started"]
    storage.fail(step, "the reason")
    told = [(e.partition, e.status, e.error, e.launched_by) for e in storage.catalog.executions()]
    assert told == [(day, "failed", "the reason", "ann") for day in ("2026-10-01", "2026-10-02")]


class CatalogThatDies(Catalog):
    """A catalog whose process is killed before it commits."""

    def commit(self, finished: Any) -> None:
        raise KeyboardInterrupt


def test_a_crash_between_file_and_catalog_leaves_the_old_version_and_is_healed(tmp_path: Path) -> None:
    storage, day = a_storage(tmp_path), "2026-10-01"
    [old] = commit(storage, "behavior_signals", rows((day, "p1", 1)), day).values()
    dying = a_storage(tmp_path)
    dying.catalog = CatalogThatDies(storage.environment.catalog_url)
    with pytest.raises(KeyboardInterrupt):
        commit(dying, "behavior_signals", rows((day, "p1", 2)), day, run_id="run-2")
    assert storage.catalog.current("behavior_signals") == {day: old}
    assert loaded(storage, "behavior_signals")["views"].tolist() == [1]
    commit(storage, "behavior_signals", rows((day, "p1", 2)), day, run_id="run-3")
    assert loaded(storage, "behavior_signals")["views"].tolist() == [2]


def test_a_lost_or_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    storage, day = a_storage(tmp_path), "2026-10-01"
    [output] = commit(storage, "behavior_signals", rows((day, "p1", 1)), day).values()
    file = Path(storage.outputs.url(output))
    file.write_bytes(b"PAR1")
    with pytest.raises(
        InputError, match=rf"{file} is damaged .*materialize behavior_signals for {day} again"
    ):
        loaded(storage, "behavior_signals")
    file.unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"the catalog names {file}, which is not there; materialize"
    ):
        loaded(storage, "behavior_signals")
    commit(storage, "behavior_signals", rows((day, "p1", 1)), day, run_id="run-2")
    assert len(loaded(storage, "behavior_signals")) == 1


def test_a_file_of_another_release_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    storage, day = a_storage(tmp_path), "2026-10-01"
    [output] = commit(storage, "behavior_signals", rows((day, "p1", 1)), day).values()
    rows((day, "p1", 1)).drop(columns="likes").to_parquet(storage.outputs.url(output))
    with pytest.raises(InputError, match="has columns of another release; materialize behavior_signals"):
        loaded(storage, "behavior_signals")


def test_staging_reads_what_production_made_and_writes_only_its_own(tmp_path: Path) -> None:
    production, day = a_storage(tmp_path, "production"), "2026-10-01"
    commit(production, "behavior_signals", rows((day, "p1", 1)), day, "2026-10-02")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    staging = a_storage(tmp_path, "staging")
    assert loaded(staging, "behavior_signals")["views"].tolist() == [1]
    commit(staging, "behavior_signals", rows((day, "p1", 7)), day)
    assert loaded(staging, "behavior_signals")["views"].tolist() == [7]
    assert loaded(production, "behavior_signals")["views"].tolist() == [1]
    assert {path: path.read_bytes() for path in before if path.suffix == ".parquet"} == {
        path: data for path, data in before.items() if path.suffix == ".parquet"
    }
    made = {path.relative_to(tmp_path).parts[1] for path in tmp_path.rglob("*.parquet") if path not in before}
    assert made == {"staging-ann"}


def test_floats_that_are_no_number_and_both_zeros_are_one_version(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"file": ["a"], "photo_id": ["a"], "p_cat": [0.0], "p_dog": [1.0], "p_neither": [0.0]}
    )
    frame = frame.assign(model_version="1")
    storage = a_storage(tmp_path)
    [one] = commit(storage, "cat_dog_scores", frame, "a").values()
    [other] = commit(
        storage, "cat_dog_scores", frame.assign(p_cat=np.float64(-0.0)), "a", run_id="run-2"
    ).values()
    assert one.content_version == other.content_version
