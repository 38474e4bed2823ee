"""What a killed process leaves behind is put right at the next look: nothing is made twice, and Dagster learns the rest."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Never
from unittest.mock import patch

import dagster as dg
import pytest

from assets.making import Making
from partitions.file_sets import Grain, buckets, by_file, by_folder
from partitions.placing import place_together
from partitions.reads import digest
from photo_popularity.healing import heal, runs_in_flight
from photo_popularity.jobs import run_here
from resources.catalog import KILLED
from resources.event_log import log_together
from resources.io_managers import RANGE_END_TAG, RANGE_START_TAG, TableIOManager
from resources.pages import DATA_VERSION_TAG
from resources.step_delegation import was_interrupted
from resources.table_storage import TableStorage
from tests.text_pipeline import (
    LAST_DAY,
    TextPlace,
    kept_instance,
    text_assets,
    text_tables,
    what_dagster_says,
    what_dagster_should_say,
)

FILES = 10
STEPS = ("word_counts", "long_texts")
LONG_AGO = 1_700_000_000
# a process that starts others in no time
SERVER = get_context("forkserver")
SERVER.set_forkserver_preload([__name__])


@contextmanager
def place_at(root: Path, grain: Grain = by_file) -> Iterator[TextPlace]:
    with text_tables(), kept_instance(root) as instance:
        yield TextPlace.at(root, instance, assets=text_assets(grain))


def name_of(number: int) -> str:
    return f"{number % 3}/{number:02}.txt"


def write(place: TextPlace, name: str, words: int) -> None:
    path = place.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(" ".join(["word"] * words))
    os.utime(path, (LONG_AGO, LONG_AGO + words))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[TextPlace]:
    """Ten files that nothing was made of yet."""
    with place_at(tmp_path) as place:
        for number in range(FILES):
            write(place, name_of(number), number + 1)
        yield place


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    with place_at(root) as place:
        for number in range(FILES):
            write(place, name_of(number), number + 1)
        place.settle()
    return root


@pytest.fixture
def made(made_once: Path, tmp_path: Path) -> Path:
    """The folder of ten files of which everything was made."""
    shutil.copytree(made_once, tmp_path / "made")
    return tmp_path / "made"


def events(place: TextPlace, asset: str) -> Counter[str]:
    """How many events of each partition Dagster has."""
    result = place.instance.fetch_materializations(dg.AssetKey(asset), limit=10_000)
    return Counter(str(record.partition_key) for record in result.records)


def told_version(place: TextPlace, asset: str, key: str) -> str | None:
    """The version in the last event of a partition, None without one."""
    record = place.instance.get_latest_data_version_record(dg.AssetKey(asset), partition_key=key)
    if record is None or record.asset_materialization is None:
        return None
    return (record.asset_materialization.tags or {})[DATA_VERSION_TAG]


def lacking(place: TextPlace) -> set[tuple[str, str]]:
    """What is in the catalog, and not in that version in Dagster."""
    return {
        (step, key)
        for step in STEPS
        for key, output in place.installation.catalog.current(step).items()
        if told_version(place, step, key) != output.content_version
    }


def executed(place: TextPlace) -> Counter[tuple[str, str]]:
    return Counter((e.asset, e.status) for e in place.installation.catalog.executions())


# where a run is killed


def die(*given: object, **more: object) -> Never:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def after_its_second_commit() -> None:
    commit, commits = TableIOManager.commit, list[int]()

    def commit_and_die(*given: Any, **more: Any) -> Any:
        shown = commit(*given, **more)
        commits.append(1)
        return die() if len(commits) == 2 else shown

    patch.object(TableIOManager, "commit", commit_and_die).start()


def before_it_tells_dagster() -> None:
    patch.object(TableIOManager, "pages", die).start()


def while_it_tells_dagster() -> None:
    def tell_half_and_die(context: Any, told: list[dg.AssetMaterialization]) -> None:
        log_together(context, told[: len(told) // 2])
        die()

    patch("assets.pipeline_asset.log_together", tell_half_and_die).start()


def before_it_notes_that_dagster_knows() -> None:
    patch.object(TableIOManager, "told", die).start()


def run_and_die(root: Path, at: Callable[[], None], grain: Grain) -> None:
    """What the process does that is to be killed."""
    at()
    with place_at(root, grain) as place, patch("assets.making.HANDFUL", 2):
        [request] = place.tick().run_requests or []
        place.launch(request)


def killed(root: Path, at: Callable[[], None], grain: Grain = by_file) -> None:
    """Run what is out of date in another process, which is killed at that point."""
    process = SERVER.Process(target=run_and_die, args=(root, at, grain))
    process.start()
    process.join(timeout=60)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("at", "committed"),
    [
        (after_its_second_commit, 4),
        (before_it_tells_dagster, FILES),
        (while_it_tells_dagster, FILES),
        (before_it_notes_that_dagster_knows, FILES),
    ],
)
def test_what_a_killed_run_has_committed_is_told_at_the_next_look_and_not_made_again(
    place: TextPlace, tmp_path: Path, at: Callable[[], None], committed: int
) -> None:
    killed(tmp_path, at)
    assert executed(place) == {("word_counts", "succeeded"): committed}
    before = events(place, "word_counts")
    requests = place.tick().run_requests
    assert lacking(place) == set()
    told = events(place, "word_counts") - before
    assert told == dict.fromkeys(sorted(place.installation.catalog.current("word_counts")), 1)
    [run] = place.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.FAILURE
    for request in requests or ():
        assert place.launch(request).success
    place.settle()
    assert executed(place) == {
        ("word_counts", "succeeded"): FILES,
        ("long_texts", "succeeded"): FILES,
        ("text_totals", "succeeded"): 1,
    }
    assert lacking(place) == set()


def before_it_tells_of_the_step_on_top() -> None:
    def tell_or_die(context: Any, told: list[dg.AssetMaterialization]) -> None:
        if any(event.asset_key == dg.AssetKey("long_texts") for event in told):
            die()
        log_together(context, told)

    patch("assets.pipeline_asset.log_together", tell_or_die).start()


def test_what_a_killed_run_had_kept_has_its_own_version_in_dagster_after_the_next_look(made: Path) -> None:
    with place_at(made) as place:
        for number in (0, 1, 2):
            path = place.folder / name_of(number)
            path.write_text(" ".join(["other"] * (number + 1)))
            os.utime(path, (LONG_AGO, LONG_AGO + 100))
        before = executed(place)
        # its words are as many as before, so the step on top keeps all three
        killed(made, before_it_tells_of_the_step_on_top)
        assert lacking(place) == {("long_texts", name_of(number)) for number in (0, 1, 2)}
        assert not place.tick().run_requests
        assert lacking(place) == set()
        assert executed(place) - before == {("word_counts", "succeeded"): 3}


def test_a_killed_run_ends_as_failed_with_its_reason_and_what_it_had_begun_with_it(
    place: TextPlace, tmp_path: Path
) -> None:
    killed(tmp_path, in_the_middle_of_a_handful)
    [run] = place.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.STARTED
    assert executed(place) == {("word_counts", "succeeded"): 4, ("word_counts", "started"): 2}
    place.tick()
    assert executed(place) == {("word_counts", "succeeded"): 4, ("word_counts", "failed"): 2}
    failed = [e for e in place.installation.catalog.executions() if e.status == "failed"]
    assert {e.error for e in failed} == {KILLED}
    [run] = place.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.FAILURE
    messages = [
        entry.message
        for entry in place.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    ]
    assert len(messages) == 1
    assert "its process ended without a word; what it had not made is made by the next run" in messages[0]


def ending(how: Callable[..., Never]) -> Any:
    """A patch that ends the process, or the call, once Dagster knows of a run that has not begun."""
    create = dg.DagsterInstance.create_run_for_job

    def create_and_end(*given: Any, **more: Any) -> Never:
        create(*given, **more)
        how()

    return patch.object(dg.DagsterInstance, "create_run_for_job", create_and_end)


def before_it_begins() -> None:
    ending(die).start()


def interrupt() -> Never:
    raise KeyboardInterrupt


def test_a_run_that_was_killed_before_it_began_holds_nobody_up(place: TextPlace, tmp_path: Path) -> None:
    killed(tmp_path, before_it_begins)
    [run] = place.instance.get_runs()
    assert not run.is_finished
    assert runs_in_flight(place.installation, place.instance) == []
    [run] = place.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.FAILURE


def test_a_run_that_was_interrupted_before_it_began_is_ended(place: TextPlace) -> None:
    [request] = place.tick().run_requests or []
    with ending(interrupt), pytest.raises(KeyboardInterrupt):
        place.launch(request)
    [run] = place.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.CANCELED
    assert place.launch(request).success


@contextmanager
def told_to_end_once(manager: type, method: str) -> Iterator[None]:
    """A step's process is told to end when it is there for the first time."""
    do, told = getattr(manager, method), list[int]()

    def do_or_end(*given: Any, **more: Any) -> Any:
        if not told:
            told.append(1)
            raise dg.DagsterExecutionInterruptedError
        return do(*given, **more)

    with patch.object(manager, method, do_or_end):
        yield


@pytest.mark.parametrize(("manager", "method"), [(TableStorage, "load"), (TableIOManager, "commit")])
def test_a_step_whose_own_pod_is_told_to_end_is_tried_again(
    place: TextPlace, manager: type, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its node is drained: the run goes on."""
    [request] = place.tick().run_requests or []
    with told_to_end_once(manager, method), pytest.raises(KeyboardInterrupt):
        place.launch(request)
    monkeypatch.setenv("DAGSTER_RUN_STEP_KEY", "a step")
    [request] = place.tick().run_requests or []
    with told_to_end_once(manager, method):
        result = place.launch(request)
    assert result.success
    [retry] = [event for event in result.all_events if event.is_step_up_for_retry]
    assert was_interrupted(retry)
    assert place.tick().run_requests == []


def in_the_middle_of_a_handful() -> None:
    begin, begun = TableIOManager.begin, list[int]()

    def begin_or_die(*given: Any) -> None:
        begin(*given)
        begun.append(1)
        if len(begun) == 3:
            die()

    patch.object(TableIOManager, "begin", begin_or_die).start()


@contextmanager
def nothing_written(root: Path) -> Iterator[None]:
    """Nothing is committed to any database below the folder while the block lasts, and no file comes or goes."""
    databases = [*root.rglob("*.sqlite"), *root.rglob("*.db")]
    assert {"catalog.sqlite", "index.db", "runs.db"} <= {path.name for path in databases}
    before = {path for path in root.rglob("*") if not path.name.endswith(("-wal", "-shm"))}
    with closing_all([sqlite3.connect(path) for path in databases]) as connections:
        versions = [connection.execute("PRAGMA data_version").fetchone() for connection in connections]
        yield
        assert versions == [c.execute("PRAGMA data_version").fetchone() for c in connections]
    assert {path for path in root.rglob("*") if not path.name.endswith(("-wal", "-shm"))} == before


@contextmanager
def closing_all(connections: list[sqlite3.Connection]) -> Iterator[list[sqlite3.Connection]]:
    yield connections
    for connection in connections:
        connection.close()


def test_a_look_that_finds_nothing_writes_nothing(made: Path) -> None:
    with place_at(made) as place:
        place.tick()
        with nothing_written(made):
            assert heal(place.installation, place.instance) == 0
            assert not place.tick().run_requests


def test_dagster_that_has_lost_its_database_is_told_everything_of_the_files(made: Path) -> None:
    shutil.rmtree(made / "home" / "dagster")
    with place_at(made) as place:
        before = executed(place)
        assert not place.tick().run_requests
        assert place.instance.get_dynamic_partitions("text_files") == sorted(map(name_of, range(FILES)))
        assert not place.tick().run_requests
        assert lacking(place) == set()
        assert events(place, "word_counts") == dict.fromkeys(map(name_of, range(FILES)), 1)
        assert executed(place) == before
        with nothing_written(made):
            place.tick()


def test_dagster_that_has_lost_its_database_is_told_of_the_days_too(made: Path) -> None:
    shutil.rmtree(made / "home" / "dagster")
    with place_at(made) as place:
        place.tick()
        place.tick()
        totals = place.installation.catalog.current("text_totals")[str(LAST_DAY)]
        assert told_version(place, "text_totals", str(LAST_DAY)) == totals.content_version


@pytest.mark.parametrize("coarse", [by_folder, buckets(4)], ids=["by_folder", "buckets"])
def test_another_grain_makes_nothing_and_leaves_the_right_keys_and_events(made: Path, coarse: Grain) -> None:
    names = sorted(map(name_of, range(FILES)))
    with place_at(made) as place:
        before, alone = executed(place), place.installation.catalog.current("word_counts")
    with place_at(made, coarse) as place:
        looked(place, times=2)
        assert executed(place) == before
        keys = sorted({coarse(name) for name in names})
        assert place.instance.get_dynamic_partitions("text_files") == keys
        for step in STEPS:
            current = place.installation.catalog.current(step)
            for key in keys:
                inside = {n: current[n].content_version for n in names if coarse(n) == key}
                assert told_version(place, step, key) == digest(inside)
                assert events(place, step)[key] == 1
        with nothing_written(made):
            place.tick()
    with place_at(made) as place:
        looked(place, times=2)
        assert executed(place) == before
        assert place.installation.catalog.current("word_counts") == alone
        assert place.instance.get_dynamic_partitions("text_files") == names
        assert lacking(place) == set()
        with nothing_written(made):
            place.tick()


def looked(place: TextPlace, *, times: int) -> None:
    for _ in range(times):
        assert not place.tick().run_requests


def test_after_another_grain_one_changed_file_is_made_alone_and_its_folder_told(made: Path) -> None:
    with place_at(made, by_folder) as place:
        looked(place, times=2)
        before, versions = executed(place), {key: told_version(place, "word_counts", key) for key in "012"}
        write(place, name_of(4), 50)
        place.settle()
        assert executed(place) - before == dict.fromkeys(
            [("word_counts", "succeeded"), ("long_texts", "succeeded"), ("text_totals", "succeeded")], 1
        )
        after = {key: told_version(place, "word_counts", key) for key in "012"}
        assert {key for key in "012" if after[key] != versions[key]} == {"1"}


@contextmanager
def nothing_can_be_made() -> Iterator[None]:
    """The computer has no memory left for any file."""
    with patch.object(Making, "_parts_of_file", side_effect=MemoryError("no memory")):
        yield


def run_and_fail(root: Path, grain: Grain) -> None:
    with place_at(root, grain) as place, nothing_can_be_made():
        [request] = place.tick().run_requests or []
        assert not place.launch(request).success


@pytest.mark.parametrize("grain", [by_file, by_folder], ids=["by_file", "by_folder"])
def test_what_a_failed_run_had_restored_is_told_at_the_next_look(tmp_path: Path, grain: Grain) -> None:
    with place_at(tmp_path, grain) as place:
        for number in range(3):
            write(place, name_of(number), number + 1)
        place.settle()
        write(place, name_of(0), 50)
        place.settle()
        write(place, name_of(0), 1)  # what it was at first: remembered
        write(place, name_of(1), 60)
    process = SERVER.Process(target=run_and_fail, args=(tmp_path, grain))
    process.start()
    process.join(timeout=60)
    assert process.exitcode == 0
    with place_at(tmp_path, grain) as place:
        place.tick()
        assert what_dagster_says(place)["word_counts"] == what_dagster_should_say(place)["word_counts"]
        place.settle()
        assert what_dagster_says(place) == what_dagster_should_say(place)
        assert place.installation.catalog.untold() == []


@pytest.mark.parametrize("grain", [by_file, by_folder], ids=["by_file", "by_folder"])
def test_what_a_killed_run_has_not_told_survives_a_failed_run_over_the_same_files(
    tmp_path: Path, grain: Grain
) -> None:
    with place_at(tmp_path, grain) as place:
        for number in range(6):
            write(place, name_of(number), number + 1)
        place.settle()
        for number in (3, 4):
            write(place, name_of(number), 50 + number)
    killed(tmp_path, before_it_tells_dagster, grain)
    with place_at(tmp_path, grain) as place:
        job = place.definitions(place.installation).resolve_job_def("text_files_job")
        keys = sorted({grain(name_of(number)) for number in (3, 4)})
        first, last = place_together(place.instance, "text_files", keys)
        with nothing_can_be_made():
            tags = {RANGE_START_TAG: first, RANGE_END_TAG: last}
            assert not run_here(job, place.instance, assets=["word_counts"], tags=tags).success
        place.settle()
        assert what_dagster_says(place) == what_dagster_should_say(place)


def test_a_look_tells_of_so_many_keys_however_many_files_they_hold(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photo_popularity.healing.TOLD_AT_ONCE", 4)
    shutil.rmtree(made / "home" / "dagster")
    with place_at(made, by_folder) as place:
        place.tick()
        place.tick()
        assert events(place, "word_counts") == events(place, "long_texts") == {"0": 1, "1": 1, "2": 1}
        assert place.installation.catalog.untold() == []


def test_of_very_many_that_dagster_lacks_a_part_is_told_at_each_look(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photo_popularity.healing.TOLD_AT_ONCE", 4)
    shutil.rmtree(made / "home" / "dagster")
    with place_at(made) as place:
        left = []
        for _ in range(7):
            place.tick()
            left.append(len(lacking(place)))
    assert left == [16, 12, 8, 4, 0, 0, 0]


def test_a_run_that_is_at_work_is_left_alone(place: TextPlace, tmp_path: Path) -> None:
    """Also one of another instance of Dagster, as a command line without DAGSTER_HOME has."""
    process = SERVER.Process(target=run_elsewhere, args=(tmp_path,))
    process.start()
    try:
        while not (tmp_path / "at work").exists():
            assert process.is_alive()
        heal(place.installation, place.instance)
        assert {e.status for e in place.installation.catalog.executions()} == {"started"}
    finally:
        (tmp_path / "at work").unlink(missing_ok=True)
        process.join(timeout=60)
    assert process.exitcode == 0


def run_elsewhere(root: Path) -> None:
    """Run what is out of date on an instance of this process alone, and stop in its middle until told to go on."""
    begin = TableIOManager.begin

    def begin_and_wait(*given: Any) -> None:
        begin(*given)
        if not (root / "done").exists():
            (root / "at work").touch()
            while (root / "at work").exists():
                pass
            (root / "done").touch()

    with (
        patch.object(TableIOManager, "begin", begin_and_wait),
        text_tables(),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        TextPlace.at(root, instance).settle()
