"""Random edits of files and code, step by step: only what really differs is made, and nothing is ever left wrong."""

from __future__ import annotations

import importlib
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest

from assets.pipeline_asset import PipelineAsset
from partitions.file_sets import Grain, buckets, by_file, by_folder
from partitions.files import file_of, key_of
from resources.databases import database_url, sqlite_file
from tests.edit_scripts import Expected, Oracle, Refused, Script, Workshop, script_of
from tests.text_pipeline import (
    LAST_DAY,
    Made,
    TextPlace,
    kept_instance,
    text_assets,
    text_tables,
    what_dagster_says,
    what_dagster_should_say,
    what_is_made,
)

pytestmark = pytest.mark.end_to_end

GRAINS: dict[str, Grain] = {"by file": by_file, "by folder": by_folder, "in buckets": buckets(4)}
PACKAGE = "edited_steps"
# the steps of files together or one after the other, and the combined one
MOST_RUNS = 3


@dataclass
class Trial:
    """A script that is carried out in a folder, with a place that follows it."""

    script: Script
    place: TextPlace
    workshop: Workshop
    oracle: Oracle

    def carry_out(self, *, compare_each_step: bool = False) -> None:
        """Do all steps; an error names the script so far when anything is not as it should be."""
        last = len(self.script.steps) - 1
        for number, edits in enumerate(self.script.steps):
            try:
                for edit in edits:
                    self.workshop.carry_out(edit)
                self.place = replace(self.place, assets=self._assets())
                self._settle_at_least_cost()
                self._look_at_dagster()
                self._settle_without_a_trace()
                if compare_each_step or number == last:
                    self._build_from_scratch(number)
            except Exception as error:
                raise AssertionError(f"{error}\n{self.script.told(until=number)}") from error

    def _assets(self) -> tuple[PipelineAsset, ...]:
        """The steps with the code that they have now."""
        _forget_code()
        steps = importlib.import_module(f"{PACKAGE}.steps")
        functions = [steps.word_counts, steps.long_texts, steps.text_totals]
        return text_assets(GRAINS[self.script.grain], functions)

    def _settle_at_least_cost(self) -> None:
        catalog, runs = self.place.installation.catalog, self.place.instance.get_runs_count()
        before = {execution.id for execution in catalog.executions()}
        self.place.settle()
        new = [execution for execution in catalog.executions() if execution.id not in before]
        assert {execution.status for execution in new} <= {"succeeded", "quarantined"}, new
        executions = dict(Counter(execution.asset for execution in new))
        assert _told(what_is_made(self.place), executions) == self.oracle.after(self.workshop.now)
        assert self.place.instance.get_runs_count() - runs <= MOST_RUNS

    def _look_at_dagster(self) -> None:
        grain = GRAINS[self.script.grain]
        keys = self.place.instance.get_dynamic_partitions("text_files")
        assert len(keys) == len(set(keys))
        assert set(keys) == {grain(key_of(name)) for name in self.workshop.now.files}
        assert what_dagster_says(self.place) == what_dagster_should_say(self.place)
        assert self.place.installation.catalog.untold() == []

    def _settle_without_a_trace(self) -> None:
        file = sqlite_file(database_url(self.place.environment.catalog_url))
        assert file is not None
        with closing(sqlite3.connect(file)) as looking_on:
            before = self._trace(looking_on)
            self.place.settle()
            assert self._trace(looking_on) == before, "something was written though nothing had changed"

    def _trace(self, catalog: sqlite3.Connection) -> object:
        """Moves with whatever is written to the catalog or told to Dagster."""
        instance = self.place.instance
        return (
            catalog.execute("PRAGMA data_version").fetchone(),
            instance.get_runs_count(),
            instance.event_log_storage.get_maximum_record_id(),
            instance.get_dynamic_partitions("text_files"),
        )

    def _build_from_scratch(self, number: int) -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            fresh = self.place.anew(self.place.folder.parent / f"fresh{number}", instance)
            fresh.settle()
            assert what_is_made(self.place) == what_is_made(fresh)


def _told(made: Mapping[str, Mapping[str, Made]], executions: Mapping[str, int]) -> Expected:
    """What there is, in the words of the oracle."""
    counts = {file_of(key): _outcome(its, "words") for key, its in made["word_counts"].items()}
    judged = {file_of(key): _outcome(its, "is_long") for key, its in made["long_texts"].items()}
    [sums] = made["text_totals"][str(LAST_DAY)].rows
    totals = tuple(sums[column] for column in ("texts", "words", "long_texts"))
    return Expected(executions, counts, judged, totals)


def _outcome(made: Made, column: str) -> object:
    return Refused(made.quarantined) if made.quarantined else made.rows[0][column]


def _forget_code() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]
    importlib.invalidate_caches()


@contextmanager
def trial_of(seed: int, root: Path, instance: dg.DagsterInstance) -> Iterator[Trial]:
    """The trial of the script with that seed, below `root`."""
    workshop = Workshop(root / "texts", root / "code" / PACKAGE)
    with patch.object(sys, "path", [str(root / "code"), *sys.path]), text_tables():
        yield Trial(script_of(seed), TextPlace.at(root, instance), workshop, Oracle())
        _forget_code()


@pytest.mark.parametrize("seed", range(9))
def test_after_each_edit_only_what_differs_is_made_and_all_is_as_if_made_anew(
    seed: int, tmp_path: Path
) -> None:
    with dg.DagsterInstance.ephemeral() as instance, trial_of(seed, tmp_path, instance) as trial:
        trial.carry_out()


def test_the_same_holds_where_dagster_keeps_what_it_knows_in_files(tmp_path: Path) -> None:
    with kept_instance(tmp_path) as instance, trial_of(9, tmp_path, instance) as trial:
        trial.carry_out()
