"""Two processes that run the same files at the same time: one works, the other waits for it and then finds nothing to do.

The steps are those of the text pipeline. They write down when they begin and end with a file, and in which process, and a
test can hold them up.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pandas as pd
import pytest

from assets.pipeline_asset import PipelineAsset, file_asset
from partitions.file_sets import FileSet
from photo_popularity.detection import detect_files
from photo_popularity.healing import heal, wait_until_alone
from photo_popularity.jobs import run_here
from photo_popularity.planning import assets_of, next_batch, range_tags
from resources.catalog import KILLED
from resources.io_managers import RANGE_END_TAG, RANGE_START_TAG
from resources.output_parts import Row
from resources.pages import DATA_VERSION_TAG
from resources.source_file import SourceFile
from tests.end_to_end.dagster_ui import wait_for
from tests.text_pipeline import LAST_DAY, TextPlace, kept_instance, text_tables

pytestmark = pytest.mark.end_to_end

FILES = 12
STEPS = ("word_counts", "long_texts")
LONG_AGO = 1_700_000_000
ROOT = "ROOT_OF_A_TEST"
WAITS = "another run works on this step: waiting until it has ended"
# a process that has imported everything and starts others in no time
SERVER = get_context("forkserver")
SERVER.set_forkserver_preload([__name__])


@contextmanager
def noted(step: str) -> Iterator[None]:
    """Write down when the block begins and ends; it begins once nobody holds it up."""
    root = Path(os.environ[ROOT])
    began = time.monotonic()
    note(root, {"step": step, "process": os.getpid(), "began": began})
    while is_held_up(root):
        time.sleep(0.02)
    yield
    note(root, {"step": step, "process": os.getpid(), "began": began, "ended": time.monotonic()})


def note(root: Path, what: Mapping[str, object]) -> None:
    with (root / "diary").open("a") as diary:
        diary.write(json.dumps(what) + "\n")


def is_held_up(root: Path) -> bool:
    try:
        after = int((root / "hold").read_text())
    except FileNotFoundError:  # whoever held it up has just let go
        return False
    return (root / "diary").read_text().count("ended") >= after


@contextmanager
def held_up(root: Path, *, after: int = 0) -> Iterator[None]:
    """Let nobody go on with a file, once so many are done, until the block ends."""
    hold = root / "hold"
    hold.with_suffix(".new").write_text(str(after))
    hold.with_suffix(".new").rename(hold)
    yield
    hold.unlink()


def word_counts(file: SourceFile) -> Row:
    """How many words the file has."""
    with noted("word_counts"):
        return {"words": len(file.read().split())}


def long_texts(word_counts: pd.DataFrame) -> Row:
    """Whether the file has many words."""
    with noted("long_texts"):
        return {"is_long": bool((word_counts["words"] >= 3).all())}


def slow_assets() -> tuple[PipelineAsset, ...]:
    text_files = FileSet("text_files", setting="photos", noun="text")
    return file_asset(text_files)(word_counts), file_asset(text_files, reads=("word_counts",))(long_texts)


@contextmanager
def slow_place(root: Path) -> Iterator[TextPlace]:
    with patch.dict(os.environ, {ROOT: str(root)}), text_tables(), kept_instance(root) as instance:
        yield TextPlace.at(root, instance, assets=slow_assets())


@dataclass(frozen=True)
class Launched:
    """What a process that was started answers: whether its runs succeeded, and which these were."""

    process: BaseProcess
    answer: Path

    @property
    def runs(self) -> list[str]:
        """Its runs, once it has ended; all of them have succeeded."""
        self.process.join(timeout=60)
        assert self.process.exitcode == 0
        answer = json.loads(self.answer.read_text())
        assert answer["succeeded"]
        runs: list[str] = answer["runs"]
        return runs


def started(root: Path, how: str, *arguments: str) -> Launched:
    """Run the files in another process: as a sensor has requested, as the night does, or as a person by hand."""
    answer = root / f"answer-{time.monotonic_ns()}.json"
    process = SERVER.Process(target=work, args=(root, answer, how, *arguments))
    process.start()
    return Launched(process, answer)


def work(root: Path, answer: Path, how: str, *arguments: str) -> None:
    with slow_place(root) as place, patch("assets.making.HANDFUL", 2):
        ways: dict[str, Callable[..., list[dg.ExecuteInProcessResult]]] = {
            "as requested": as_requested,
            "by night": by_night,
            "by hand": by_hand,
        }
        results = ways[how](place, *arguments)
        told = {"succeeded": all(r.success for r in results), "runs": [r.run_id for r in results]}
    answer.write_text(json.dumps(told))


def as_requested(place: TextPlace, tags: str) -> list[dg.ExecuteInProcessResult]:
    """Run what a sensor has requested."""
    request = dg.RunRequest(
        job_name="text_files_job",
        tags=json.loads(tags),
        asset_selection=[dg.AssetKey(step) for step in STEPS],
    )
    return [place.launch(request)]


def by_night(place: TextPlace) -> list[dg.ExecuteInProcessResult]:
    """Bring the catalog up to the files, and run whatever is out of date until nothing is."""
    installation, results = place.installation, []
    heal(installation, place.instance)
    detect_files(installation, "text_files", place.instance)
    while batch := next_batch(installation, LAST_DAY):
        job = place.definitions(installation).resolve_job_def("text_files_job")
        if wait_until_alone(installation, place.instance, batch.kind, tell=print):
            continue
        tags = range_tags(installation, batch, place.instance)
        results.append(run_here(job, place.instance, assets=assets_of(installation, batch), tags=tags))
    return results


def by_hand(place: TextPlace, first: str, last: str) -> list[dg.ExecuteInProcessResult]:
    """Make a range of files again, whatever is there."""
    job = place.definitions(place.installation).resolve_implicit_global_asset_job_def()
    return [run_here(job, place.instance, assets=STEPS, tags={RANGE_START_TAG: first, RANGE_END_TAG: last})]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[TextPlace]:
    """Twelve files that nothing was made of yet, and that have their keys."""
    with slow_place(tmp_path) as place:
        for number in range(FILES):
            write(place, name_of(number), number + 1)
        detect_files(place.installation, "text_files", place.instance)
        yield place


def name_of(number: int) -> str:
    return f"{number:02}.txt"


def write(place: TextPlace, name: str, words: int) -> None:
    path = place.folder / name
    path.write_text(" ".join(["word"] * words))
    os.utime(path, (LONG_AGO, LONG_AGO + words))


@dataclass(frozen=True)
class Spell:
    """A process at work on a step, from its first to its last file."""

    step: str
    process: int
    began: float
    ended: float


def spells(root: Path) -> list[Spell]:
    """What the diary tells, the spells of each step in order."""
    lines = [json.loads(line) for line in (root / "diary").read_text().splitlines()]
    found = []
    for step, process in sorted({(line["step"], line["process"]) for line in lines}):
        its = [line for line in lines if (line["step"], line["process"]) == (step, process)]
        ended = max((line["ended"] for line in its if "ended" in line), default=float("inf"))
        found.append(Spell(step, process, min(line["began"] for line in its), ended))
    return sorted(found, key=lambda spell: (spell.step, spell.began))


def assert_never_at_the_same_time(root: Path) -> None:
    for earlier, later in pairwise(spells(root)):
        assert earlier.step != later.step or earlier.ended <= later.began


def wait_until_at_work(root: Path) -> None:
    wait_for((root / "diary").exists, "a process to be at work", seconds=30)


def wait_until_one_waits(place: TextPlace, *, seconds: float = 30) -> None:
    wait_for(
        lambda: any(waits_of(place, run.run_id) for run in place.instance.get_runs()),
        "a run to wait for another",
        seconds=seconds,
    )


def made(place: TextPlace) -> Counter[tuple[str, str]]:
    """How often each step has made each file."""
    executions = place.installation.catalog.executions()
    assert {e.status for e in executions} == {"succeeded"}
    return Counter((e.asset, e.partition) for e in executions)


def each_file(times: int) -> Counter[tuple[str, str]]:
    return Counter({(step, name_of(number)): times for step in STEPS for number in range(FILES)})


def waits_of(place: TextPlace, run_id: str) -> int:
    """How often the run has said that it waits."""
    return sum(entry.user_message == WAITS for entry in place.instance.all_logs(run_id))


def assert_dagster_agrees(place: TextPlace) -> None:
    """The last event of each file has the version that the catalog has, and there are no other keys."""
    assert set(place.instance.get_dynamic_partitions("text_files")) == set(map(name_of, range(FILES)))
    for step in STEPS:
        current = place.installation.catalog.current(step)
        assert set(current) == set(map(name_of, range(FILES)))
        for key, output in current.items():
            record = place.instance.get_latest_data_version_record(dg.AssetKey(step), partition_key=key)
            assert record is not None
            assert record.asset_materialization is not None
            assert (record.asset_materialization.tags or {})[DATA_VERSION_TAG] == output.content_version


def test_of_two_runs_that_were_requested_for_the_same_files_one_works_on_each(
    place: TextPlace, tmp_path: Path
) -> None:
    [request] = place.tick().run_requests or []
    with held_up(tmp_path):
        both = [started(tmp_path, "as requested", json.dumps(dict(request.tags))) for _ in range(2)]
        wait_until_one_waits(place)
    for launched in both:
        assert len(launched.runs) == 1
    assert made(place) == each_file(times=1)
    assert_never_at_the_same_time(tmp_path)
    assert_dagster_agrees(place)
    assert not place.tick().run_requests


def test_a_night_beside_a_run_by_hand_waits_for_it_and_makes_nothing_twice(
    place: TextPlace, tmp_path: Path
) -> None:
    with held_up(tmp_path):
        by_a_person = started(tmp_path, "by hand", name_of(0), name_of(FILES - 1))
        wait_until_at_work(tmp_path)
        night = started(tmp_path, "by night")
        with suppress(AssertionError):
            wait_until_one_waits(place, seconds=3)
    [run] = by_a_person.runs
    assert not night.runs
    assert made(place) == each_file(times=1)
    assert {e.run_id for e in place.installation.catalog.executions(assets=["word_counts"])} == {run}
    assert_never_at_the_same_time(tmp_path)
    assert_dagster_agrees(place)


def test_a_run_by_hand_beside_a_night_makes_all_again_when_the_night_is_done_with_the_step(
    place: TextPlace, tmp_path: Path
) -> None:
    with held_up(tmp_path):
        night = started(tmp_path, "by night")
        wait_until_at_work(tmp_path)
        by_a_person = started(tmp_path, "by hand", name_of(0), name_of(FILES - 1))
        wait_until_one_waits(place)
    [_], [waited] = night.runs, by_a_person.runs
    assert waits_of(place, waited)
    of_a_person = [e.asset for e in place.installation.catalog.executions(run_id=waited)]
    assert Counter(of_a_person) == dict.fromkeys(STEPS, FILES)
    assert_never_at_the_same_time(tmp_path)
    assert_dagster_agrees(place)


def test_two_persons_who_make_the_same_files_again_do_so_one_after_the_other(
    place: TextPlace, tmp_path: Path
) -> None:
    with held_up(tmp_path):
        both = [started(tmp_path, "by hand", name_of(0), name_of(FILES - 1)) for _ in range(2)]
        wait_until_one_waits(place)
    for launched in both:
        assert len(launched.runs) == 1
    assert made(place) == each_file(times=2)
    assert len(spells(tmp_path)) == 4
    assert_never_at_the_same_time(tmp_path)
    assert_dagster_agrees(place)


def test_a_night_that_moves_keys_takes_no_file_from_a_run_by_hand_and_gives_it_no_other(
    place: TextPlace, tmp_path: Path
) -> None:
    """Risk: a range is looked up by its ends, which the night moves to bring together what it wants."""
    assert by_night(place)
    (tmp_path / "diary").unlink()
    with held_up(tmp_path):
        by_a_person = started(tmp_path, "by hand", name_of(2), name_of(6))
        wait_until_at_work(tmp_path)
        for number in (0, 6):
            write(place, name_of(number), 50 + number)
        night = started(tmp_path, "by night")
        # it may wait in a run, or before it moves anything
        with suppress(AssertionError):
            wait_until_one_waits(place, seconds=5)
    [run] = by_a_person.runs
    assert night.runs
    its = [(e.asset, e.partition) for e in place.installation.catalog.executions(run_id=run)]
    assert sorted(its) == sorted((step, name_of(number)) for step in STEPS for number in range(2, 7))
    assert_never_at_the_same_time(tmp_path)
    assert_dagster_agrees(place)


def test_a_run_that_was_killed_in_the_middle_of_a_step_keeps_nobody_waiting(
    place: TextPlace, tmp_path: Path
) -> None:
    with held_up(tmp_path, after=5):
        killed = started(tmp_path, "by night")
        wait_for(lambda: (tmp_path / "diary").exists() and is_held_up(tmp_path), "five files", seconds=30)
        assert killed.process.pid is not None
        os.kill(killed.process.pid, signal.SIGKILL)
        killed.process.join()
    assert Counter(e.status for e in place.installation.catalog.executions()) == {
        "succeeded": 4,
        "started": 2,
    }
    began = time.monotonic()
    assert all(result.success for result in by_night(place))
    assert time.monotonic() - began < 10
    found = place.installation.catalog.executions()
    succeeded = Counter((e.asset, e.partition) for e in found if e.status == "succeeded")
    assert succeeded == each_file(times=1)
    assert [e.error for e in found if e.status != "succeeded"] == [KILLED] * 2
    assert_dagster_agrees(place)
