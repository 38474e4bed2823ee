"""Kill -9 while a place is settling, at any point where something becomes durable; and what has to hold afterwards.

Each act has a process of its own, forked from this one, which has imported everything and opened nothing.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import shutil
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import dagster as dg
from sqlalchemy.engine.default import DefaultDialect

from partitions.file_sets import Grain
from photo_popularity.domain import tables
from photo_popularity.domain.schemas import SCHEMAS
from photo_popularity.healing import IN_FLIGHT
from resources.catalog_records import Output
from tests.text_pipeline import (
    POISON,
    Made,
    TextPlace,
    kept_instance,
    text_assets,
    text_tables,
    what_dagster_says,
    what_dagster_should_say,
    what_is_made,
)

DETECTION, PROCESSING, PROMOTION = "detection", "processing", "promotion"
COMMIT, EVENTS = "commit", "event writing"
PHASES = (DETECTION, PROCESSING, PROMOTION, COMMIT, EVENTS)
# few at once, so that there are commits to be killed between
HANDFUL = 2
MINUTES_OF_SILENCE = 11
FIRST_STAMP = 1_700_000_000
SECONDS_AT_MOST = 300
SHARED = ("catalog.sqlite", "index.db", "runs.db", "schedules.db")
Versions = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Operation:
    """Something that has become durable: what was done, and what for."""

    what: str
    phase: str


@dataclass(frozen=True)
class Point:
    """Where a process is killed: right before or right after its n-th durable operation, or after some seconds."""

    number: int = -1
    after: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A home where all was made of some texts, which were edited since; every trial gets a copy of it.

    `before` and `wanted` are the versions then and what is to be made now, `operations` those of making it.
    """

    root: Path
    grain: Grain
    before: Versions
    wanted: Mapping[str, Mapping[str, Made]]
    operations: tuple[Operation, ...]
    seconds: float

    @classmethod
    def prepared(cls, root: Path, grain: Grain) -> Scene:
        """The scene below `root`, and what happens in it when nobody kills anything."""
        before: Versions = _result_of(lambda: _first_state(root / "home", grain), root)
        wanted = _result_of(lambda: _built_from_scratch(root / "home", root / "scratch", grain), root)
        shutil.copytree(root / "home", root / "whole")
        started = time.monotonic()
        operations = _result_of(lambda: _settle_watched(root / "whole", grain, Point()), root)
        return cls(root, grain, before, wanted, operations, time.monotonic() - started)

    def trial(self, name: str, point: Point) -> Operation | None:
        """Settle a copy, kill that at the point, look at what is left, and settle it once more.

        Returns the operation at which it was killed; None when it had ended before or was killed from outside.
        """
        home = self.root / name
        shutil.copytree(self.root / "home", home)
        pid = _fork(lambda: _settle_watched(home, self.grain, point), home)
        if point.seconds:
            time.sleep(point.seconds)
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in {0, -signal.SIGKILL}, _log(home)
        at = home / "killed_at"
        killed_at: Operation | None = pickle.loads(at.read_bytes()) if at.exists() else None
        try:
            _result_of(lambda: _look_and_settle(home, self), home)
        except AssertionError as error:
            raise AssertionError(f"killed at {point}, {killed_at}: {error}") from error
        shutil.rmtree(home)
        return killed_at


@contextmanager
def _place(root: Path, grain: Grain) -> Iterator[TextPlace]:
    """The place below `root`, opened in this process."""
    logging.disable(logging.CRITICAL)
    one_by_one = patch("resources.together.AT_ONCE", 1)
    with text_tables(), patch("assets.making.HANDFUL", HANDFUL), one_by_one, kept_instance(root) as instance:
        yield TextPlace.at(root, instance, assets=text_assets(grain))


def _first_state(root: Path, grain: Grain) -> Versions:
    """Make all of some texts, and edit them in every way."""
    with _place(root, grain) as place:
        names = [f"{folder}{letter}.txt" for folder in ("", "x/", "y/") for letter in "abcd"]
        for number, name in enumerate(names):
            _write(place.folder / name, f"first{number}" + " w" * (number % 5))
        _write(place.folder / "bad.txt", f"{POISON} at first")
        place.settle()
        before = _versions(place)
        for name in ("a.txt", "x/a.txt", "y/a.txt"):
            _write(place.folder / name, f"changed {name} w w w")
        # the same number of words as before
        _write(place.folder / "b.txt", "other w")
        _write(place.folder / "x/b.txt", f"{POISON} by now")
        # what is remembered of these bytes is that nothing can be made of them
        _write(place.folder / "y/b.txt", f"{POISON} at first")
        _write(place.folder / "bad.txt", "cured of it")
        for number in range(5):
            _write(place.folder / f"z/new{number}.txt", f"new{number // 2}" + " w" * (number // 2 + 6))
        (place.folder / "c.txt").unlink()
        (place.folder / "x/c.txt").unlink()
        (place.folder / "y/c.txt").rename(place.folder / "z/renamed.txt")
        return before


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    # other texts at other times, long ago
    moment = FIRST_STAMP + sum(text.encode()) % 100_000
    os.utime(path, (moment, moment))


def _built_from_scratch(root: Path, scratch: Path, grain: Grain) -> dict[str, dict[str, Made]]:
    with text_tables(), dg.DagsterInstance.ephemeral() as instance:
        place = TextPlace.at(root, instance, assets=text_assets(grain)).anew(scratch, instance)
        place.settle()
        return what_is_made(place)


def _settle_watched(root: Path, grain: Grain, point: Point) -> tuple[Operation, ...]:
    """Settle, and die at the point; returns the durable operations."""
    done: list[Operation] = []
    with _place(root, grain) as place, _watched(done, root, point):
        place.settle()
    return tuple(done)


@contextmanager
def _watched(done: list[Operation], root: Path, point: Point) -> Iterator[None]:
    """Note each operation that makes something durable, and die at the point."""

    def watched(whole: Callable[..., Any], what: Callable[..., str]) -> Callable[..., Any]:
        def operation(*given: Any) -> Any:
            name = what(*given)
            if not name:
                return whole(*given)
            done.append(Operation(name, _phase(name, sys._getframe(1))))
            if len(done) == point.number + 1 and not point.after:
                _die(done[-1], root)
            returned = whole(*given)
            if len(done) == point.number + 1 and point.after:
                _die(done[-1], root)
            return returned

        return operation

    commit = watched(DefaultDialect.do_commit, lambda _, connection: _database(connection))
    with (
        patch.object(DefaultDialect, "do_commit", commit),
        patch.object(os, "replace", watched(os.replace, lambda *_: "replace")),
        patch.object(os, "fsync", watched(os.fsync, lambda *_: "fsync")),
    ):
        yield


def _database(connection: Any) -> str:
    """The file of a database in which something is to be committed; empty when there is nothing."""
    if not connection.in_transaction:
        return ""
    [(_, _, file), *_] = connection.execute("PRAGMA database_list").fetchall()
    name = Path(file).name
    # each run has a file of its own for its events
    return f"commit to {name if name in SHARED else 'events.db'}"


def _phase(what: str, frame: FrameType | None) -> str:
    """What the operation belongs to, from who has called it."""
    callers = set[str]()
    while frame is not None:
        callers.add(f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}")
        frame = frame.f_back
    if "text_pipeline.py:tick" in callers:
        return DETECTION
    if "storage.py:write" in callers:
        return PROMOTION
    if what != "commit to catalog.sqlite":
        return EVENTS
    return COMMIT if "catalog.py:commit" in callers else PROCESSING


def _die(operation: Operation, root: Path) -> None:
    (root / "killed_at").write_bytes(pickle.dumps(operation))
    os.kill(os.getpid(), signal.SIGKILL)


def _look_and_settle(root: Path, scene: Scene) -> None:
    """What has to hold right after a kill, and after the next look at the place."""
    with _place(root, scene.grain) as place:
        _assert_old_or_new(place, scene)
        place.tick()
        if in_flight := _in_flight(place.instance):
            # nothing was begun by these: only their silence tells that nobody is at work on them
            begun = {execution.run_id for execution in place.installation.catalog.executions()}
            assert not begun & {run.run_id for run in in_flight}, in_flight
            _let_time_pass(place)
        place.settle()
        _assert_whole(place, scene)


def _assert_old_or_new(place: TextPlace, scene: Scene) -> None:
    """What the catalog names is there, whole, and what it was before or is to be; nothing between."""
    storage = place.installation.storage
    for asset in storage.pipeline.by_asset:
        schema = SCHEMAS[asset]
        for key, output in storage.catalog.current(asset).items():
            allowed = {scene.before[asset].get(key)}
            if key in scene.wanted[asset]:
                allowed.add(scene.wanted[asset][key].content_version)
            assert output.content_version in allowed, (asset, key, output)
            if not output.quarantined:
                rows = storage.rows(asset, {key: output})[key].drop_columns([schema.partition_column])
                assert tables.content_version(rows) == output.content_version, (asset, key, output)
                assert not _is_hidden(output), (asset, key, output)


def _assert_whole(place: TextPlace, scene: Scene) -> None:
    """All is as if nobody had killed anything: nothing lost, nothing repeated, nothing mixed, and Dagster knows."""
    _assert_same(what_is_made(place), scene.wanted)
    catalog = place.installation.catalog
    executions = catalog.executions()
    assert "started" not in {execution.status for execution in executions}
    ended = [execution for execution in executions if execution.status in {"succeeded", "quarantined"}]
    made = Counter((execution.asset, *sorted(execution.inputs.items())) for execution in ended)
    assert set(made.values()) == {1}, [what for what, times in made.items() if times > 1]
    assert not _in_flight(place.instance), _in_flight(place.instance)
    _assert_same(what_dagster_says(place), what_dagster_should_say(place))
    assert catalog.untold() == [], catalog.untold()
    assert not any(_is_hidden(o) for asset in scene.wanted for o in catalog.current(asset).values())


def _assert_same(
    there: Mapping[str, Mapping[str, object]], wanted: Mapping[str, Mapping[str, object]]
) -> None:
    for asset in there.keys() | wanted.keys():
        one, other = there.get(asset, {}), wanted.get(asset, {})
        different = [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]
        assert not different, [(asset, key, one.get(key), other.get(key)) for key in different]


def _is_hidden(output: Output) -> bool:
    return Path(output.path).name.startswith(".")


def _versions(place: TextPlace) -> Versions:
    return {
        asset: {key: made.content_version for key, made in its.items()}
        for asset, its in what_is_made(place).items()
    }


def _in_flight(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    return list(instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT)))


def _let_time_pass(place: TextPlace) -> None:
    """Make Dagster's runs older than what counts as silence."""
    [file] = place.environment.dagster_home.rglob("runs.db")
    with closing(sqlite3.connect(file)) as runs, runs:
        since = f"-{MINUTES_OF_SILENCE} minutes"
        runs.execute("UPDATE runs SET update_timestamp = datetime(update_timestamp, ?)", [since])


def _result_of(work: Callable[[], Any], root: Path) -> Any:
    """What the work returns in a process of its own; AssertionError with what it told if it fails."""
    root.mkdir(parents=True, exist_ok=True)
    result = root / "result"
    pid = _fork(lambda: result.write_bytes(pickle.dumps(work())), root)
    assert os.waitpid(pid, 0)[1] == 0, _log(root)
    return pickle.loads(result.read_bytes())


def _fork(work: Callable[[], object], root: Path) -> int:
    """Begin the work in another process, which tells what goes wrong in a file."""
    if pid := os.fork():
        return pid
    status = 1
    # who hangs is a failure too
    signal.alarm(SECONDS_AT_MOST)
    try:
        log = os.open(root / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.stdout = sys.stderr = os.fdopen(2, "w", closefd=False)
        work()
        # what would be given back at the end of a process, which this one does not come to
        gc.collect()
        status = 0
    finally:
        if status:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(status)


def _log(root: Path) -> str:
    return (root / "log").read_text()[-4_000:]
