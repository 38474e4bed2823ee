"""The project itself: ticks of the real sensor and runs of the real job, over N texts of which k changed.

A tick is the sensor's function in a process that has started already, with its working set made anew; what Dagster's
daemon writes about the tick itself is no part of it. A run is the requested one, in the same process, with the
persistent instance that a user has. Of the text pipeline two steps matter: `word_counts` of each file, and
`long_texts`, which reads only those, so that it need not run for a number of words that it has met before.
"""

from __future__ import annotations

import os
import resource
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, TypeVar
from unittest.mock import patch

import dagster as dg

from benchmarks.incremental.rows import CATALOG, DAGSTER, row_counts, rows_between, watched
from benchmarks.incremental.texts import FILES_IN_A_FOLDER, Texts
from partitions.file_sets import Grain, by_file, by_folder
from resources.dagster_home import make_folder, open_instance
from resources.environment import Environment
from resources.output_parts import Part, Result, file_part, renamed
from resources.settings import Settings
from tests.text_pipeline import MANY, TextPlace, text_assets, text_tables

GRAINS: dict[str, Grain] = {"file": by_file, "folder": by_folder}
PARTITION_A_FOLDER_FROM = 1_000_000
FILES_IN_A_RUN = 10_000
STEPS = ("word_counts", "long_texts")
WARM_UP_CHANGES = 10
Found = TypeVar("Found")


@dataclass(frozen=True)
class Preparation:
    """How N files came to be up to date, and how long it took.

    The first `materialized` files went through the real job, each of `runs` a run of at most 10,000 of them; the
    others were put into the catalog and the storage without Dagster, which knows their keys and none of their events.
    """

    files: int
    partitions: str
    materialized: int
    runs: Sequence[float]
    look_seconds: float
    filled: int
    fill_seconds: float
    peak_megabytes: int

    def __str__(self) -> str:
        return f"prepared in {sum(self.runs) + self.look_seconds + self.fill_seconds:.0f} s"


@dataclass(frozen=True)
class Round:
    """One edit, and all that the sensor requests until nothing is left to be done; without a change there is no run.

    `tick_seconds` is the tick that sees the edit, `later_tick_seconds` those that request a further run, and
    `run_seconds` all the runs together. Rows are those that the first tick adds, and those of all that follows it.
    """

    tick_seconds: float
    later_tick_seconds: float = 0.0
    run_seconds: float = 0.0
    runs: int = 0
    executions: tuple[int, ...] = (0,) * len(STEPS)
    expected: tuple[int, ...] = (0,) * len(STEPS)
    tick_catalog_rows: int = 0
    tick_dagster_rows: int = 0
    run_catalog_rows: int = 0
    run_dagster_rows: int = 0

    @property
    def all_seconds(self) -> float:
        """From the tick that sees the edit to the end of the last run."""
        return self.tick_seconds + self.later_tick_seconds + self.run_seconds


@dataclass(frozen=True)
class Measured:
    """The rounds with k changed files of N."""

    files: int
    changed: int
    rounds: Sequence[Round]
    written_when_idle: Sequence[str] = ()
    """Database files that an idle tick wrote to, without counting rows."""

    def __str__(self) -> str:
        return f"{self.changed:,} changed: look {self.tick_seconds:.2f} s, run {self.run_seconds:.2f} s"

    def median(self, what: Callable[[Round], float]) -> float:
        """The median over the rounds."""
        return median(map(what, self.rounds))

    @property
    def tick_seconds(self) -> float:
        """Seconds of the tick that sees the edit."""
        return self.median(lambda one: one.tick_seconds)

    @property
    def run_seconds(self) -> float:
        """Seconds of the runs that an edit leads to."""
        return self.median(lambda one: one.run_seconds)

    @property
    def all_seconds(self) -> float:
        """Seconds of the ticks and runs that an edit leads to."""
        return self.median(lambda one: one.all_seconds)

    @property
    def as_expected(self) -> bool:
        """Whether every round executed each step exactly as often as its edit asks for."""
        return all(one.executions == one.expected for one in self.rounds)


@dataclass
class Bench:
    """A place with N texts that are all up to date."""

    place: TextPlace
    texts: Texts
    files: int
    preparation: Preparation = field(init=False)
    _is_warm: bool = False

    @classmethod
    @contextmanager
    def of(cls, root: Path, files: int, *, grain: str = "", first_run_files: int) -> Iterator[Bench]:
        """A place below `root`, gone with it; at most `first_run_files` of its files go through the real job."""
        grain = grain or ("folder" if files >= PARTITION_A_FOLDER_FROM else "file")
        with ExitStack() as stack:
            stack.enter_context(text_tables())
            stack.enter_context(patch.dict(os.environ))
            os.environ.pop("DAGSTER_HOME", None)
            # a run's log lines are made as ever, and not shown between the tables
            stack.enter_context(redirect_stderr(stack.enter_context(Path(os.devnull).open("w"))))
            environment = Environment(
                "local", "benchmark", root / "home", Settings(photos=str(root / "texts"))
            )
            make_folder(environment.home)
            instance = stack.enter_context(open_instance(environment))
            place = TextPlace.at(root, instance, assets=text_assets(GRAINS[grain])[:2])
            bench = cls(place, Texts(place.folder), files)
            bench.preparation = bench._prepare(grain, min(files, first_run_files))
            yield bench

    def _prepare(self, grain: str, materialized: int) -> Preparation:
        runs = []
        for start in range(0, materialized, FILES_IN_A_RUN):
            self.texts.write(range(start, min(start + FILES_IN_A_RUN, materialized)))
            runs.append(self._settled().run_seconds)
        left = range(materialized, self.files)
        self.texts.write(left)
        look_seconds, requests = timed(self._requests)
        fill_seconds = 0.0
        if requests:
            with patch("os.fsync"):  # nobody's data is at stake, and it takes most of the time
                fill_seconds, _ = timed(partial(self._fill, left))
            assert not self._requests()
        return Preparation(
            files=self.files,
            partitions=f"a {grain}",
            materialized=materialized,
            runs=runs,
            look_seconds=look_seconds,
            filled=len(left),
            fill_seconds=fill_seconds,
            peak_megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        )

    def _requests(self) -> Sequence[dg.RunRequest]:
        return self.place.tick().run_requests or []

    def _fill(self, places: range) -> None:
        """What a run would make of these texts, by the storage's own calls."""
        installation = self.place.installation
        storage = installation.storage
        made: dict[str, Callable[[int], Any]] = {
            "word_counts": lambda words: {"words": words},
            "long_texts": lambda words: {"is_long": words >= MANY},
        }
        for name, row in made.items():
            files = [self.texts.name(place) for place in places]
            grain = installation.pipeline.by_asset[name].grain
            step = storage.step(
                uuid.uuid4().hex, name, keys=sorted({*map(grain, files)}), launched_by="benchmark"
            )
            known: dict[int, Part] = {}
            wanted = set(step.partitions)
            for some in _folders(places):
                named = {self.texts.name(place): place for place in some}
                parts = {}
                for file in sorted(named.keys() & wanted):
                    words = self.texts.words(named[file])
                    if words not in known:
                        known[words] = file_part(name, file, Result(row(words)), of_the_name=False)
                    one = known[words]
                    parts[file] = Part(
                        one.version, renamed(name, one.made, file), one.rows, of_the_name=False
                    )
                storage.begin(step, list(parts))
                storage.commit({name: parts}, step, seconds=dict.fromkeys(parts, 0.0))
            storage.told(step)
            storage.forget(step)

    def measure(self, changed: int, *, rounds: int, seconds: float = inf) -> Measured:
        """The cost of `changed` files; the first edit and what it leads to do not count.

        Once so many seconds have passed no further round is begun.
        """
        written: Sequence[str] = ()
        if not changed:
            with watched(self.place.environment) as seen:
                assert not self._requests()
            written = seen.files
        elif not self._is_warm:
            self._round(min(changed, WARM_UP_CHANGES))
            self._is_warm = True
        started, found = time.perf_counter(), list[Round]()
        while len(found) < rounds and (not found or time.perf_counter() - started < seconds):
            found.append(self._round(changed))
        return Measured(self.files, changed, found, written)

    def _round(self, changed: int) -> Round:
        new_counts = self.texts.edit(changed, self.files) if changed else 0
        found = self._settled()
        assert bool(found.runs) == bool(changed)
        return replace(found, expected=(changed, new_counts))

    def _settled(self) -> Round:
        """Ticks and runs until the sensor requests nothing more; the last tick, which finds that, does not count."""
        environment = self.place.environment
        before = row_counts(environment)
        tick_seconds, requests = timed(self._requests)
        between = row_counts(environment)
        later, runs, executions = list[float](), list[float](), Counter[str]()
        while requests:
            assert len(runs) < len(STEPS), "the sensor requests more runs than there are steps"
            [request] = requests
            seconds, result = timed(partial(self.place.launch, request))
            assert result.success
            runs.append(seconds)
            executions += self._executions(result.run_id)
            seconds, requests = timed(self._requests)
            later += [seconds] if requests else []
        after = row_counts(environment)
        return Round(
            tick_seconds,
            sum(later),
            sum(runs),
            len(runs),
            tuple(executions[step] for step in STEPS),
            tick_catalog_rows=rows_between(before, between, CATALOG),
            tick_dagster_rows=rows_between(before, between, DAGSTER),
            run_catalog_rows=rows_between(between, after, CATALOG),
            run_dagster_rows=rows_between(between, after, DAGSTER),
        )

    def _executions(self, run_id: str) -> Counter[str]:
        """How often each step was executed by the run, by the catalog."""
        found = self.place.installation.catalog.executions(run_id=run_id)
        assert all(execution.status == "succeeded" for execution in found)
        return Counter(execution.asset for execution in found)


def timed(what: Callable[[], Found]) -> tuple[float, Found]:
    """How many seconds it took, and what it returned."""
    started = time.perf_counter()
    found = what()
    return time.perf_counter() - started, found


def _folders(places: range) -> Iterable[range]:
    return (places[start : start + FILES_IN_A_FOLDER] for start in range(0, len(places), FILES_IN_A_FOLDER))
