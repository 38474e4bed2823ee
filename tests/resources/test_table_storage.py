"""Committing and loading what steps make: what is current, from which inputs, and what a crash leaves behind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from partitions.file_sets import PHOTO_FILES, Grain, buckets, by_file, by_folder
from partitions.files import file_of
from partitions.reads import Days, SameKey
from photo_popularity.domain.errors import InputError
from resources.catalog import Catalog
from resources.catalog_records import Output
from resources.environment import Environment
from resources.errors import SourceUnavailable
from resources.output_parts import ModelFile, Result, Row, by_partition, file_part, parts_of
from resources.outputs import read_outputs
from resources.pipeline import Declaration, Pipeline, Snapshot
from resources.settings import Settings
from resources.steps import Step
from resources.table_storage import TableStorage, life_of, lock_of

BEHAVIOR = Declaration("behavior_signals", ("behavior_signals",), {"log_files": SameKey()})
MODEL = Declaration("popularity_model", ("popularity_model",), {"behavior_signals": Days(-1, 0)})
SCORES = Declaration("cat_dog_scores", ("cat_dog_scores",), {"photo_files": SameKey()}, files=PHOTO_FILES)
PIPELINE = Pipeline((BEHAVIOR, MODEL, SCORES))


class ASource:
    """A source that remembers what was read of it."""

    def __init__(self) -> None:
        self.versions_read: dict[str, str | None] = {}


def a_storage(
    home: Path, name: str = "local", *, source: ASource | None = None, grain: Grain = by_file
) -> TableStorage:
    environment = Environment(name, "ann", home)
    source = source or ASource()
    sources = {"log_files": source, "photo_files": source}
    scores = replace(SCORES, files=replace(PHOTO_FILES, grain=grain))
    pipeline = Pipeline((BEHAVIOR, MODEL, scores))
    return TableStorage(
        read_outputs(environment), environment=environment, pipeline=pipeline, sources=sources
    )


def end_holders(url: str) -> None:
    """End the connections that hold locks of the server, as its restart does."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'")
        )
    engine.dispose()


def rows(*given: tuple[str, str, int]) -> pd.DataFrame:
    frame = pd.DataFrame(given, columns=["day", "photo_id", "views"])
    frame["day"] = pd.to_datetime(frame["day"]).astype("datetime64[us]")
    others = ["unique_visitors", "likes", "downloads", "bytes", "external_referrals", "robot_views"]
    return frame.assign(**dict.fromkeys(others, 0))


def a_step(storage: TableStorage, name: str, *keys: str, run_id: str = "run-1") -> Step:
    return storage.step(run_id, name, keys=keys, launched_by="ann")


def commit_step(storage: TableStorage, made: Any, step: Step, *days: str) -> dict[str, Output]:
    name = step.declaration.name
    storage.begin(step, days)
    seconds = dict.fromkeys(days, 0.5)
    return storage.commit({name: parts_of(name, made, days)}, step, seconds=seconds)[name]


def commit(
    storage: TableStorage, name: str, made: Any, *days: str, run_id: str = "run-1"
) -> dict[str, Output]:
    step = a_step(storage, name, *days, run_id=run_id)
    try:
        return commit_step(storage, made, step, *days)
    finally:
        storage.forget(step)


def a_score(p_cat: float = 0.25) -> dict[str, Any]:
    """A row of cat_dog_scores as a step's function returns it, without the file's name."""
    return {"p_cat": p_cat, "p_dog": 1 - p_cat, "p_neither": 0.0, "model_version": "1"}


def put(storage: TableStorage, **versions: str) -> None:
    """Make these the files that the folder of photos holds, with versions of their bytes."""
    files = {key.replace("__", "/") + ".jpg": Output(version) for key, version in versions.items()}
    gone = storage.catalog.current("photo_files").keys() - files.keys()
    storage.catalog.withdraw("photo_files", gone)
    storage.catalog.set_current("photo_files", files)


@contextmanager
def scoring(storage: TableStorage, *keys: str, run_id: str) -> Iterator[Step]:
    """A step of a run that makes what is out of date."""
    step = storage.step(run_id, "cat_dog_scores", keys=keys, launched_by="ann", only_out_of_date=True)
    try:
        yield step
    finally:
        storage.forget(step)


def commit_files(
    storage: TableStorage,
    step: Step,
    made: Mapping[str, Row | Sequence[Row]],
    *,
    of_the_name: Collection[str] = (),
) -> dict[str, Output]:
    """Commit what was made of each of these files; of some it asked for their name."""
    storage.begin(step, list(made))
    parts = {
        key: file_part("cat_dog_scores", key, Result(its), of_the_name=key in of_the_name)
        for key, its in made.items()
    }
    seconds = dict.fromkeys(made, 0.5)
    return storage.commit({"cat_dog_scores": parts}, step, seconds=seconds)["cat_dog_scores"]


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
    storage = a_storage(tmp_path)
    with scoring(storage, key, "other.jpg", run_id="run-1") as step:
        outputs = commit_files(storage, step, {key: a_score(), "other.jpg": []})
    assert {name: output.rows for name, output in outputs.items()} == {key: 1, "other.jpg": 0}
    assert loaded(storage, "cat_dog_scores")["file"].tolist() == [file_of(key)]


def test_a_model_and_its_card_are_stored_side_by_side(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    model = ModelFile(b"model", "2026-10-01-abc", {"seed": 0})
    [output] = commit(storage, "popularity_model", model, "2026-10-01").values()
    assert output.path == "popularity_model/2026-10-01/abc.skops"
    models = storage.read_models({"2026-10-01": output})
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
            key: dict(inputs) for key, inputs in snapshot.inputs(declaration, current.keys()).items()
        }
        assert PIPELINE.out_of_date(declaration, sorted(current), snapshot, storage.environment) == []


def test_a_source_is_recorded_in_the_version_that_was_read(tmp_path: Path) -> None:
    """A file may change between the listing and the read: the next listing must then find the output out of date."""
    source = ASource()
    storage, day = a_storage(tmp_path, source=source), "2026-10-01"
    storage.catalog.set_current("log_files", {day: Output("listed")})
    step = a_step(storage, "behavior_signals", day)
    source.versions_read[day] = "read"
    commit_step(storage, rows(), step, day)

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
    commit_step(storage, ModelFile(b"m", "1", {}), step, day)
    assert PIPELINE.out_of_date(MODEL, [day], Snapshot(storage.catalog), storage.environment) == [day]


def test_a_failure_is_recorded_for_what_was_not_committed(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    step = a_step(storage, "behavior_signals", "2026-10-01", "2026-10-02")
    storage.begin(step, step.partitions)
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


@pytest.fixture
def storages(tmp_path: Path, postgres_url: str) -> tuple[TableStorage, TableStorage]:
    """Two processes' storages of one environment whose catalog is on a server."""
    environment = Environment("local", "ann", tmp_path, Settings(catalog=postgres_url))
    sources = {"log_files": ASource(), "photo_files": ASource()}
    mine, theirs = (
        TableStorage(read_outputs(environment), environment=environment, pipeline=PIPELINE, sources=sources)
        for _ in range(2)
    )
    return mine, theirs


@pytest.mark.postgres
def test_a_step_whose_lock_was_lost_takes_it_again_before_it_commits(
    storages: tuple[TableStorage, TableStorage], postgres_url: str
) -> None:
    mine, theirs = storages
    step = a_step(mine, "behavior_signals", "2026-10-01")
    end_holders(postgres_url)
    assert not theirs.catalog.locks.is_held(lock_of("behavior_signals"))
    commit_step(mine, rows(("2026-10-01", "1", 5)), step, "2026-10-01")
    assert theirs.catalog.locks.is_held(lock_of("behavior_signals"))
    assert theirs.catalog.locks.is_held(life_of("run-1"))
    mine.forget(step)
    assert not theirs.catalog.locks.is_held(lock_of("behavior_signals"))


@pytest.mark.postgres
def test_a_run_lives_as_long_as_one_of_the_processes_that_do_its_steps(
    storages: tuple[TableStorage, TableStorage],
) -> None:
    mine, theirs = storages
    mine.show_life("run-1")
    theirs.show_life("run-1")
    mine.show_life("run-2")
    assert mine.catalog.locks.is_held(life_of("run-1"))
    theirs.show_life("run-2")
    assert not mine.catalog.locks.is_held(life_of("run-1"))


@pytest.mark.postgres
def test_a_step_whose_lock_another_run_has_by_now_commits_nothing_and_may_be_tried_again(
    storages: tuple[TableStorage, TableStorage], postgres_url: str
) -> None:
    mine, theirs = storages
    step = a_step(mine, "behavior_signals", "2026-10-01")
    end_holders(postgres_url)
    other = a_step(theirs, "behavior_signals", "2026-10-01", run_id="run-2")
    with pytest.raises(SourceUnavailable, match="another run has begun"):
        commit_step(mine, rows(("2026-10-01", "1", 5)), step, "2026-10-01")
    assert mine.catalog.current("behavior_signals") == {}
    mine.forget(step)
    assert mine.catalog.locks.is_held(lock_of("behavior_signals"))
    made = commit_step(theirs, rows(("2026-10-01", "1", 5)), other, "2026-10-01")
    theirs.forget(other)
    again = mine.step(
        "run-1", "behavior_signals", keys=["2026-10-01"], launched_by="ann", only_out_of_date=True
    )
    assert again.kept == {"2026-10-01": [made["2026-10-01"]]}


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
    storage, made = a_storage(tmp_path), list[Output]()
    for number, zero in enumerate((0.0, np.float64(-0.0))):
        with scoring(storage, "a.jpg", run_id=f"run-{number}") as step:
            made += commit_files(storage, step, {"a.jpg": a_score(zero)}).values()
    assert made[0].content_version == made[1].content_version


def test_the_version_tells_of_the_rows_and_not_of_the_day_or_file_that_they_belong_to(
    tmp_path: Path,
) -> None:
    """Or a file under another name would put out of date whatever is made of its rows."""
    storage, days = a_storage(tmp_path), ("2026-10-01", "2026-10-02", "2026-10-03")
    made = commit(storage, "behavior_signals", rows((days[0], "p1", 1), (days[1], "p1", 1)), *days)
    assert made[days[0]].content_version == made[days[1]].content_version != made[days[2]].content_version
    with scoring(storage, "a.jpg", "b.jpg", "c.jpg", run_id="run-1") as step:
        files = {"a.jpg": a_score(), "b.jpg": a_score(), "c.jpg": a_score(0.5)}
        versions = [output.content_version for output in commit_files(storage, step, files).values()]
    assert versions[0] == versions[1] != versions[2]


def test_a_file_under_another_name_has_the_rows_that_were_made_of_it_before(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    put(storage, old__cat="bytes")
    with scoring(storage, "old/cat.jpg", run_id="run-1") as step:
        [before] = commit_files(storage, step, {"old/cat.jpg": a_score()}).values()
    put(storage, new__tom="bytes")
    storage.catalog.withdraw("cat_dog_scores", ["old/cat.jpg"])
    with scoring(storage, "new/tom.jpg", run_id="run-2") as step:
        assert step.partitions == []
        assert step.kept.keys() == {"new/tom.jpg"}
    [(key, after)] = storage.catalog.current("cat_dog_scores").items()
    assert (key, after.content_version, after.inputs) == (
        "new/tom.jpg",
        before.content_version,
        {"photo_files": "bytes"},
    )
    version = after.content_version
    assert after.path == f"cat_dog_scores/new/tom.jpg/{version}.parquet"
    assert loaded(storage, "cat_dog_scores").to_dict("records") == [{"file": "new/tom.jpg", **a_score()}]
    assert after.bytes == Path(storage.outputs.url(after)).stat().st_size
    # the file that was stored under the old name is left as it is
    assert Path(storage.outputs.url(before)).is_file()
    assert [(e.partition, e.run_id) for e in storage.catalog.executions()] == [("old/cat.jpg", "run-1")]
    assert PIPELINE.out_of_date(SCORES, [key], Snapshot(storage.catalog), storage.environment) == []


def test_a_name_that_is_no_plain_text_is_the_one_in_the_rows_after_a_rename(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    storage.catalog.set_current("photo_files", {"a.jpg": Output("bytes"), "b%2C %FF.jpg": Output("bytes")})
    with scoring(storage, "a.jpg", run_id="run-1") as step:
        commit_files(storage, step, {"a.jpg": a_score()})
    with scoring(storage, "b%2C %FF.jpg", run_id="run-2") as step:
        assert step.partitions == []
    found = storage.catalog.current("cat_dog_scores")
    table = storage.read_table("cat_dog_scores", {"b%2C %FF.jpg": found["b%2C %FF.jpg"]})
    assert isinstance(table, pd.DataFrame)
    assert table["file"].tolist() == [file_of("b%2C %FF.jpg")]


def test_a_file_without_rows_has_none_under_another_name_either(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    put(storage, a="bytes", b="bytes")
    with scoring(storage, "a.jpg", run_id="run-1") as step:
        commit_files(storage, step, {"a.jpg": []})
    with scoring(storage, "b.jpg", run_id="run-2") as step:
        assert step.partitions == []
    assert {key: o.rows for key, o in storage.catalog.current("cat_dog_scores").items()} == {
        "a.jpg": 0,
        "b.jpg": 0,
    }
    assert loaded(storage, "cat_dog_scores").empty


def test_files_with_the_same_bytes_are_made_once_in_one_run(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    put(storage, a="one", b="other", c="one", d="one")
    with scoring(storage, "a.jpg", "b.jpg", "c.jpg", "d.jpg", run_id="run-1") as step:
        assert (step.partitions, step.twins) == (["a.jpg", "b.jpg"], ["c.jpg", "d.jpg"])
        commit_files(storage, step, {"a.jpg": a_score(), "b.jpg": a_score(0.5)})
        assert storage.reuse(step, step.twins) == []
    back = loaded(storage, "cat_dog_scores").set_index("file")["p_cat"].to_dict()
    assert back == {"a.jpg": 0.25, "b.jpg": 0.5, "c.jpg": 0.25, "d.jpg": 0.25}
    assert sorted(e.partition for e in storage.catalog.executions()) == ["a.jpg", "b.jpg"]


def test_what_asked_for_the_name_is_made_again_under_another_name_and_not_under_the_same(
    tmp_path: Path,
) -> None:
    storage = a_storage(tmp_path)
    put(storage, a="one", twin="one")
    with scoring(storage, "a.jpg", "twin.jpg", run_id="run-1") as step:
        assert step.twins == ["twin.jpg"]
        commit_files(storage, step, {"a.jpg": a_score()}, of_the_name={"a.jpg"})
        assert storage.reuse(step, step.twins) == ["twin.jpg"]
    put(storage, a="other", b="one")
    with scoring(storage, "a.jpg", "b.jpg", run_id="run-2") as step:
        assert step.partitions == ["a.jpg", "b.jpg"]
        commit_files(storage, step, {"a.jpg": a_score(0.5)}, of_the_name={"a.jpg"})
    put(storage, a="one")
    with scoring(storage, "a.jpg", run_id="run-3") as step:
        assert step.partitions == []
    output = storage.catalog.current("cat_dog_scores")["a.jpg"]
    table = storage.read_table("cat_dog_scores", {"a.jpg": output})
    assert isinstance(table, pd.DataFrame)
    assert table["p_cat"].tolist() == [0.25]


def test_what_was_made_under_another_name_is_made_again_once_its_stored_file_is_gone(tmp_path: Path) -> None:
    storage = a_storage(tmp_path)
    put(storage, a="bytes", b="bytes")
    with scoring(storage, "a.jpg", run_id="run-1") as step:
        [output] = commit_files(storage, step, {"a.jpg": a_score()}).values()
    Path(storage.outputs.url(output)).unlink()
    with scoring(storage, "b.jpg", run_id="run-2") as step:
        assert step.partitions == ["b.jpg"]


def test_staging_reuses_what_production_made_under_another_name_and_stores_it_as_its_own(
    tmp_path: Path,
) -> None:
    production = a_storage(tmp_path, "production")
    put(production, a="bytes")
    with scoring(production, "a.jpg", run_id="run-1") as step:
        commit_files(production, step, {"a.jpg": a_score()})
    staging = a_storage(tmp_path, "staging")
    put(staging, a="bytes", b="bytes")
    with scoring(staging, "a.jpg", "b.jpg", run_id="run-2") as step:
        assert step.partitions == []
    environments = {key: o.environment for key, o in staging.catalog.current("cat_dog_scores").items()}
    assert environments == {"a.jpg": "production", "b.jpg": "staging-ann"}
    assert loaded(staging, "cat_dog_scores")["file"].tolist() == ["a.jpg", "b.jpg"]
    assert production.catalog.current("cat_dog_scores").keys() == {"a.jpg"}


def p_cats(storage: TableStorage, *files: str) -> dict[str, float]:
    """The current score of each of these files, or of all, read together."""
    current = storage.catalog.current("cat_dog_scores")
    table = storage.read_table("cat_dog_scores", {key: current[key] for key in files or current})
    assert isinstance(table, pd.DataFrame)
    return {str(file): float(p) for file, p in zip(table["file"], table["p_cat"], strict=True)}


@pytest.fixture
def folders(tmp_path: Path) -> TableStorage:
    """A storage whose photos are in partitions by folder, with two folders scored: f/a, f/b, f/c and g/d."""
    storage = a_storage(tmp_path, grain=by_folder)
    put(storage, f__a="a1", f__b="b1", f__c="c1", g__d="d1")
    with scoring(storage, "f", "g", run_id="run-1") as step:
        assert step.partitions == ["f/a.jpg", "f/b.jpg", "f/c.jpg", "g/d.jpg"]
        scores = {
            "f/a.jpg": [a_score(0.1)],
            "f/b.jpg": [a_score(0.2)],
            "f/c.jpg": [],
            "g/d.jpg": [a_score(0.4)],
        }
        commit_files(storage, step, scores)
    return storage


def test_files_of_one_folder_share_a_stored_file_and_each_is_read_back_alone(folders: TableStorage) -> None:
    current = folders.catalog.current("cat_dog_scores")
    stored = {output.path for output in current.values()}
    assert len(stored) == 2
    assert {path.rpartition("/")[0] for path in stored} == {"cat_dog_scores/f", "cat_dog_scores/g"}
    assert {key: output.rows for key, output in current.items()} == {
        "f/a.jpg": 1,
        "f/b.jpg": 1,
        "f/c.jpg": 0,
        "g/d.jpg": 1,
    }
    whole = {"f/a.jpg": 0.1, "f/b.jpg": 0.2, "g/d.jpg": 0.4}
    assert p_cats(folders) == whole
    assert p_cats(folders, "f/b.jpg", "g/d.jpg") == {key: whole[key] for key in ("f/b.jpg", "g/d.jpg")}
    for key in current:
        assert p_cats(folders, key) == {name: p for name, p in whole.items() if name == key}


def test_columns_of_files_that_share_a_stored_file_are_read_apart(folders: TableStorage) -> None:
    current = folders.catalog.current("cat_dog_scores")
    table = folders.read_table("cat_dog_scores", current, ["p_cat"])
    assert table.columns.tolist() == ["p_cat"]
    assert sorted(table["p_cat"]) == [0.1, 0.2, 0.4]
    read = folders.read_tables("cat_dog_scores", current, ["p_cat"])
    assert {key: rows["p_cat"].to_pylist() for key, rows in read.items()} == {
        "f/a.jpg": [0.1],
        "f/b.jpg": [0.2],
        "f/c.jpg": [],
        "g/d.jpg": [0.4],
    }


def test_the_sizes_of_files_that_share_a_stored_file_add_up_to_it(folders: TableStorage) -> None:
    sizes: dict[str, list[int]] = {}
    for output in folders.catalog.current("cat_dog_scores").values():
        sizes.setdefault(folders.outputs.url(output), []).append(output.bytes)
    assert sorted(map(len, sizes.values())) == [1, 3]
    for url, shares in sizes.items():
        assert sum(shares) == Path(url).stat().st_size
        assert max(shares) - min(shares) <= 1


def test_making_one_file_of_a_folder_again_leaves_the_rows_of_the_others_as_they_are(
    folders: TableStorage,
) -> None:
    before = folders.catalog.current("cat_dog_scores")
    put(folders, f__a="a2", f__b="b1", f__c="c1", g__d="d1")
    with scoring(folders, "f", "g", run_id="run-2") as step:
        assert step.partitions == ["f/a.jpg"]
        commit_files(folders, step, {"f/a.jpg": a_score(0.9)})
    after = folders.catalog.current("cat_dog_scores")
    assert {key for key in after if after[key] != before[key]} == {"f/a.jpg"}
    assert after["f/a.jpg"].path != before["f/a.jpg"].path
    assert p_cats(folders) == {"f/a.jpg": 0.9, "f/b.jpg": 0.2, "g/d.jpg": 0.4}
    assert p_cats(folders, "f/a.jpg") == {"f/a.jpg": 0.9}
    assert p_cats(folders, "f/b.jpg", "f/c.jpg") == {"f/b.jpg": 0.2}


def test_a_file_that_goes_back_to_earlier_bytes_has_its_rows_in_the_shared_file_again(
    folders: TableStorage,
) -> None:
    before = folders.catalog.current("cat_dog_scores")
    put(folders, f__a="a2", f__b="b1", f__c="c1", g__d="d1")
    with scoring(folders, "f", run_id="run-2") as step:
        commit_files(folders, step, {"f/a.jpg": a_score(0.9)})
    put(folders, f__a="a1", f__b="b1", f__c="c1", g__d="d1")
    with scoring(folders, "f", run_id="run-3") as step:
        assert step.partitions == []
    assert folders.catalog.current("cat_dog_scores") == before
    assert p_cats(folders)["f/a.jpg"] == 0.1


def test_a_file_moved_to_another_folder_takes_its_rows_along_and_no_others(folders: TableStorage) -> None:
    put(folders, g__moved="a1", f__b="b1", f__c="c1", g__d="d1")
    folders.catalog.withdraw("cat_dog_scores", ["f/a.jpg"])
    with scoring(folders, "f", "g", run_id="run-2") as step:
        assert step.partitions == []
    assert p_cats(folders) == {"g/moved.jpg": 0.1, "f/b.jpg": 0.2, "g/d.jpg": 0.4}
    moved = folders.catalog.current("cat_dog_scores")["g/moved.jpg"]
    assert moved.path.startswith("cat_dog_scores/g/")
    assert moved.rows == 1


def test_files_renamed_into_each_others_names_have_each_others_rows(folders: TableStorage) -> None:
    put(folders, f__a="b1", f__b="a1", f__c="c1", g__d="d1")
    with scoring(folders, "f", "g", run_id="run-2") as step:
        assert step.partitions == []
    assert p_cats(folders) == {"f/a.jpg": 0.2, "f/b.jpg": 0.1, "g/d.jpg": 0.4}
    assert p_cats(folders, "f/a.jpg") == {"f/a.jpg": 0.2}


@pytest.mark.parametrize("grain", [by_file, by_folder, buckets(1), buckets(5)])
def test_another_grain_makes_nothing_out_of_date_and_reads_what_there_is(
    folders: TableStorage, tmp_path: Path, grain: Grain
) -> None:
    other = a_storage(tmp_path, grain=grain)
    keys = sorted({grain(file) for file in other.catalog.current("photo_files")})
    executions, before = folders.catalog.executions(), folders.catalog.current("cat_dog_scores")
    with scoring(other, *keys, run_id="run-2") as step:
        assert step.partitions == []
    assert folders.catalog.current("cat_dog_scores") == before
    assert p_cats(other) == {"f/a.jpg": 0.1, "f/b.jpg": 0.2, "g/d.jpg": 0.4}
    put(other, f__a="a1", f__b="b2", f__c="c1", g__d="d1")
    with scoring(other, *keys, run_id="run-3") as step:
        assert step.partitions == ["f/b.jpg"]
        commit_files(other, step, {"f/b.jpg": a_score(0.7)})
    assert p_cats(other) == {"f/a.jpg": 0.1, "f/b.jpg": 0.7, "g/d.jpg": 0.4}
    assert len(other.catalog.executions()) == len(executions) + 1


def test_rows_with_a_time_belong_to_their_day() -> None:
    times = ["2026-09-01T00:00", "2026-09-01T13:00", "2026-09-02T01:00", "2026-09-01T00:00"]
    frame = pd.DataFrame({"day": pd.to_datetime(times), "views": range(4)})
    parts = by_partition("behavior_signals", frame, ["2026-09-01", "2026-09-02"])
    assert {day: list(rows["views"]) for day, rows in parts.items()} == {
        "2026-09-01": [0, 1, 3],
        "2026-09-02": [2],
    }
