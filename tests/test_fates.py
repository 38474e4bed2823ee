"""Each of 500 scattered files has a fate of its own, in one run; and one file, a range or a backfill is made just as well."""

from __future__ import annotations

import logging
import os
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration

from partitions.file_sets import by_folder
from photo_popularity.jobs import run_here
from resources.io_managers import PARTITION_TAG, RANGE_END_TAG, RANGE_START_TAG
from resources.pages import DATA_VERSION_TAG
from tests.text_pipeline import (
    LAST_DAY,
    POISON,
    TextPlace,
    kept_instance,
    text_assets,
    text_tables,
    what_dagster_says,
    what_dagster_should_say,
)

FILES, POISONED = 500, 250
STEPS = ("word_counts", "long_texts", "text_totals")
REASON = "ZeroDivisionError: division by zero"
LONG_AGO = 1_700_000_000
ROOT_VARIABLE = "TEXTS_OF_A_TEST"


@pytest.fixture(autouse=True, scope="module")
def _tables() -> Iterator[None]:
    with text_tables():
        yield


def name_of(number: int) -> str:
    """The files lie scattered over many folders."""
    return f"{number * 7919 % 31}/{number:03}.txt"


def write(place: TextPlace, name: str, text: str) -> None:
    path = place.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (LONG_AGO, LONG_AGO + zlib.crc32(text.encode()) % 1_000_000))


def words(number: int, word: str = "word") -> str:
    return " ".join([word] * number)


@contextmanager
def place_at(root: Path) -> Iterator[TextPlace]:
    with kept_instance(root) as instance:
        yield TextPlace.at(root, instance)


def executed(place: TextPlace, done: set[str]) -> Counter[tuple[str, str]]:
    """What was executed beside `done`, to which it is added: how often each step, and how it ended."""
    new = [e for e in place.installation.catalog.executions() if e.id not in done]
    done.update(e.id for e in new)
    return Counter((e.asset, e.status) for e in new)


def executions_of(place: TextPlace) -> set[str]:
    return {e.id for e in place.installation.catalog.executions()}


def shown(place: TextPlace, asset: str, key: str) -> dg.AssetMaterialization:
    """What Dagster was last told of a partition."""
    record = place.instance.get_latest_data_version_record(dg.AssetKey(asset), partition_key=key)
    assert record is not None
    assert record.asset_materialization is not None
    return record.asset_materialization


def built_on(place: TextPlace) -> object:
    """What the page of the combined step says that it is built on; None when nothing is missing."""
    told = shown(place, "text_totals", str(LAST_DAY)).metadata.get("built_on")
    return told and told.value


@pytest.fixture(scope="module")
def arrived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 files of different lengths have arrived, of which one is poisoned, and were run."""
    root = tmp_path_factory.mktemp("arrived")
    with place_at(root) as place:
        for number in range(1, FILES + 1):
            write(place, name_of(number), POISON if number == POISONED else words(number))
        place.settle()
    return root


@pytest.fixture
def place(arrived: Path, tmp_path: Path) -> Iterator[TextPlace]:
    """The same, to be changed."""
    shutil.copytree(arrived, tmp_path / "place")
    with place_at(tmp_path / "place") as copy:
        yield copy


@pytest.fixture
def small_place(tmp_path: Path) -> Iterator[TextPlace]:
    """Ten files, all of which were made."""
    with place_at(tmp_path) as place:
        for number in range(1, 11):
            write(place, name_of(number), words(number))
        place.settle()
        yield place


def test_of_500_files_of_which_one_is_poisoned_499_are_committed_in_one_run(arrived: Path) -> None:
    with place_at(arrived) as place:
        assert executed(place, set()) == {
            ("word_counts", "succeeded"): 499,
            ("word_counts", "quarantined"): 1,
            ("long_texts", "succeeded"): 499,
            ("text_totals", "succeeded"): 1,
        }
        runs = place.instance.get_runs()
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 2
        assert [run.job_name for run in runs if run.job_name == "text_files_job"] == ["text_files_job"]
        catalog = place.installation.catalog
        quarantined = {k: o.quarantined for k, o in catalog.current("word_counts").items() if o.quarantined}
        assert quarantined == {name_of(POISONED): REASON}
        assert len(catalog.current("word_counts")) == 500
        assert len(catalog.current("long_texts")) == 499
        assert shown(place, "word_counts", name_of(POISONED)).metadata["quarantined"].value == REASON
        assert built_on(place) == "word_counts: 499 of 500"


def test_the_poisoned_file_that_is_mended_is_made_alone(place: TextPlace) -> None:
    done = executions_of(place)
    place.settle()
    assert executed(place, done) == {}
    write(place, name_of(POISONED), words(POISONED))
    place.settle()
    assert executed(place, done) == dict.fromkeys([(step, "succeeded") for step in STEPS], 1)
    assert len(place.installation.catalog.current("long_texts")) == 500
    assert built_on(place) is None


def test_when_490_outputs_of_500_changed_files_are_identical_the_next_step_runs_10_times(
    place: TextPlace,
) -> None:
    write(place, name_of(POISONED), words(POISONED))
    place.settle()
    done = executions_of(place)
    for number in range(1, FILES + 1):
        more = FILES if number % 50 == 0 else 0
        write(place, name_of(number), words(number + more, word="other"))
    place.settle()
    assert executed(place, done) == {
        ("word_counts", "succeeded"): 500,
        ("long_texts", "succeeded"): 10,
        ("text_totals", "succeeded"): 1,
    }


def test_a_poisoned_file_is_not_tried_again_under_another_name(small_place: TextPlace) -> None:
    write(small_place, "bad.txt", POISON)
    small_place.settle()
    done = executions_of(small_place)
    (small_place.folder / "bad.txt").rename(small_place.folder / "renamed.txt")
    small_place.settle()
    assert executed(small_place, done) == {}
    current = small_place.installation.catalog.current("word_counts")
    assert current["renamed.txt"].quarantined == REASON
    assert "bad.txt" not in current
    assert shown(small_place, "word_counts", "renamed.txt").metadata["quarantined"].value == REASON


def test_poisoned_bytes_that_were_tried_are_not_tried_again_in_another_file(small_place: TextPlace) -> None:
    write(small_place, "bad.txt", POISON)
    small_place.settle()
    done = executions_of(small_place)
    write(small_place, "copy.txt", POISON)
    write(small_place, name_of(3), POISON)
    small_place.settle()
    assert executed(small_place, done) == {("text_totals", "succeeded"): 1}
    catalog = small_place.installation.catalog
    current = catalog.current("word_counts")
    assert {key for key, output in current.items() if output.quarantined} == {
        "bad.txt",
        "copy.txt",
        name_of(3),
    }
    assert name_of(3) not in catalog.current("long_texts")
    assert built_on(small_place) == "word_counts: 9 of 12"


def test_files_of_a_folder_that_fail_alike_are_quarantined_beside_those_that_are_right(
    tmp_path: Path,
) -> None:
    """Risk: they look like a fault of the step where nothing but they is made in the run."""
    with kept_instance(tmp_path) as instance:
        place = TextPlace.at(tmp_path, instance, assets=text_assets(by_folder))
        for number in range(1, 5):
            write(place, f"folder/{number}.txt", words(number))
        place.settle()
        done = executions_of(place)
        for number in (5, 6):
            write(place, f"folder/{number}.txt", f"{POISON} {number}")
        place.settle()
        assert executed(place, done)["word_counts", "quarantined"] == 2
        assert not place.tick().run_requests
        assert what_dagster_says(place) == what_dagster_should_say(place)


def test_what_is_built_on_fewer_files_says_so_when_it_is_made(small_place: TextPlace) -> None:
    assert built_on(small_place) is None
    write(small_place, "bad.txt", POISON)
    write(small_place, name_of(1), "one more text of six words")
    small_place.settle()
    assert built_on(small_place) == "word_counts: 10 of 11"
    (small_place.folder / "bad.txt").unlink()
    write(small_place, name_of(1), "another text of one two three words")
    small_place.settle()
    assert built_on(small_place) is None


def test_what_dagster_is_told_later_says_on_how_many_files_it_is_built(small_place: TextPlace) -> None:
    write(small_place, name_of(3), POISON)
    small_place.settle()
    assert built_on(small_place) == "word_counts: 9 of 10"
    # as if the run had been killed before it could say so
    small_place.installation.catalog.note_untold("text_totals", [str(LAST_DAY)])
    small_place.tick()
    assert not small_place.installation.catalog.untold()
    assert built_on(small_place) == "word_counts: 9 of 10"


def launch(place: TextPlace, **tags: str) -> dg.ExecuteInProcessResult:
    """What the button `Materialize` and the command line launch."""
    job = place.definitions(place.installation).resolve_implicit_global_asset_job_def()
    return run_here(job, place.instance, assets=STEPS[:2], tags=tags)


def assert_dagster_agrees(place: TextPlace) -> None:
    """The last event of each file has the version that the catalog has, and there are no other keys."""
    keys = {str(path.relative_to(place.folder)) for path in place.folder.rglob("*.txt")}
    assert set(place.instance.get_dynamic_partitions("text_files")) == keys
    for step in STEPS[:2]:
        current = place.installation.catalog.current(step)
        told = {key: (shown(place, step, key).tags or {})[DATA_VERSION_TAG] for key in current}
        assert told == {key: output.content_version for key, output in current.items()}


def partitions_executed(place: TextPlace, done: set[str]) -> dict[str, list[str]]:
    new = [e for e in place.installation.catalog.executions() if e.id not in done]
    assert {e.status for e in new} == {"succeeded"}
    return {step: sorted(e.partition for e in new if e.asset == step) for step in STEPS[:2]}


def test_a_single_file_is_made_again_when_a_person_asks(small_place: TextPlace) -> None:
    done = executions_of(small_place)
    assert launch(small_place, **{PARTITION_TAG: name_of(4)}).success
    assert partitions_executed(small_place, done) == {step: [name_of(4)] for step in STEPS[:2]}
    assert_dagster_agrees(small_place)


def test_a_range_of_files_is_made_again_in_one_run(small_place: TextPlace) -> None:
    keys = small_place.instance.get_dynamic_partitions("text_files")
    done = executions_of(small_place)
    write(small_place, keys[3], words(60))
    assert launch(small_place, **{RANGE_START_TAG: keys[2], RANGE_END_TAG: keys[6]}).success
    assert partitions_executed(small_place, done) == dict.fromkeys(STEPS[:2], keys[2:7])
    assert_dagster_agrees(small_place)


@dg.definitions
def defs() -> dg.Definitions:
    """What a backfill of these tests loads."""
    place = TextPlace.at(Path(os.environ[ROOT_VARIABLE]), dg.DagsterInstance.ephemeral())
    return place.definitions(place.installation)


@contextmanager
def place_that_backfills(root: Path) -> Iterator[TextPlace]:
    """A place whose runs Dagster launches in this process."""
    launcher = {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    }
    coordinator = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    overrides = {"run_launcher": launcher, "run_coordinator": coordinator}
    with dg.DagsterInstance.local_temp(str(root), overrides=overrides) as instance:
        yield TextPlace.at(root, instance)


def backfill(place: TextPlace, keys: Sequence[str]) -> PartitionBackfill:
    """Backfill both steps of these files, as the pages do, and take the daemon's part until it is over."""
    graph = place.definitions(place.installation).resolve_asset_graph()
    wanted = PartitionBackfill.from_asset_partitions(
        backfill_id="wanted",
        asset_graph=graph,
        partition_names=keys,
        asset_selection=[dg.AssetKey(step) for step in STEPS[:2]],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=place.instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    place.instance.add_backfill(wanted)
    target = LoadableTargetOrigin(module_name=__name__, attribute="defs")
    workspace = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target))
    with create_test_daemon_workspace_context(workspace, place.instance) as context:
        for _ in range(10):
            assert not [
                error for error in execute_backfill_iteration(context, logging.getLogger("backfill")) if error
            ]
            found = place.instance.get_backfill("wanted")
            assert found is not None
            if found.status != BulkActionStatus.REQUESTED:
                return found
    raise AssertionError("the backfill does not end")


@pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`")
def test_a_backfill_of_scattered_files_makes_these_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    with place_that_backfills(tmp_path) as place:
        for number in range(1, 11):
            write(place, name_of(number), words(number))
        place.settle()
        keys = place.instance.get_dynamic_partitions("text_files")
        wanted = [keys[1], keys[4], keys[5], keys[8]]
        done = executions_of(place)
        assert backfill(place, wanted).status == BulkActionStatus.COMPLETED_SUCCESS
        assert partitions_executed(place, done) == dict.fromkeys(STEPS[:2], sorted(wanted))
        assert_dagster_agrees(place)
