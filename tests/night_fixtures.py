"""Fixtures of a small site on which a whole night has been run once; each test gets a copy of its own."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from photo_popularity.definitions import PIPELINE, build_defs
from photo_popularity.detection import Changes, detect_database, detect_files
from photo_popularity.jobs import job_of
from photo_popularity.night import Night, run_night
from photo_popularity.planning import Batch, assets_of, expected_partitions, next_batch, range_tags
from resources.environment import Environment
from resources.installation import Installation, install
from resources.pipeline import Snapshot
from tests.photo_site import LAST_DAY, PhotoSite, make_site, train_small_classifier


@dataclass(frozen=True)
class Place:
    """A site, the environment that works on it, and a Dagster instance of its own."""

    site: PhotoSite
    environment: Environment
    instance: dg.DagsterInstance

    @property
    def installation(self) -> Installation:
        return install(self.environment, PIPELINE)

    def reject(self, asset: str, partition: str) -> None:
        """Mark an output as a failed check does."""
        catalog = self.installation.catalog
        catalog.reject(asset, {partition: catalog.current(asset)[partition]}, "the check of a test")

    @property
    def definitions(self) -> dg.Definitions:
        return build_defs(self.environment, loggers={"quiet": quiet})

    def run_night(self) -> Night:
        return run_night(
            self.environment,
            self.instance,
            run_config=QUIETLY,
            build=lambda environment, installation: build_defs(
                environment, installation=installation, loggers={"quiet": quiet}
            ),
        )

    def detect(self) -> dict[str, Changes]:
        """Compare every source with the catalog."""
        found = {s: detect_files(self.installation, s, self.instance) for s in ("photo_files", "log_files")}
        return {**found, "photo_database": detect_database(self.installation, self.instance)}

    def stale(self) -> dict[str, list[str]]:
        """What is out of date by itself, step by step; what that will put out of date in turn is not in it."""
        snapshot, found = Snapshot(self.installation.catalog), {}
        for step in PIPELINE.steps:
            expected = expected_partitions(self.installation, step, LAST_DAY, snapshot)
            keys = PIPELINE.out_of_date(step, expected, snapshot, self.environment)
            if keys:
                found[step.name] = keys
        return found

    def execute(self, batch: Batch) -> dg.ExecuteInProcessResult:
        """Run a batch as the night does."""
        return self.definitions.resolve_job_def(job_of(PIPELINE, batch.kind)).execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset) for asset in assets_of(self.installation, batch)],
            tags=range_tags(self.installation, batch, self.instance),
            raise_on_error=False,
            run_config=QUIETLY,
        )

    def settle(self, *steps: str) -> list[tuple[tuple[str, ...], list[str]]]:
        """Run these steps until nothing of them is out of date; the steps and partitions of each run."""
        self.detect()
        batches, done = [], set[tuple[str, str]]()
        while batch := next_batch(self.installation, LAST_DAY, steps=steps, done=done):
            self.execute(batch)
            done.update((step, key) for step in batch.steps for key in batch.partitions)
            batches.append((batch.steps, list(batch.partitions)))
        return batches

    def materialize(self, *assets: str, **tags: str) -> dg.ExecuteInProcessResult:
        """Run assets, with their checks, as the UI does."""
        job = self.definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            tags=tags,
            raise_on_error=False,
            run_config=QUIETLY,
        )


QUIETLY = dg.RunConfig(loggers={"quiet": {}})


@dg.logger
def quiet(_: dg.InitLoggerContext) -> logging.Logger:
    """Says nothing on the console."""
    logger = logging.Logger("quiet")
    logger.addHandler(logging.NullHandler())
    return logger


@pytest.fixture(scope="session")
def _finished_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished-site")
    site = make_site(folder / "site")
    train_small_classifier(folder / "drawings", site.folder / "classifier.skops")
    with dg.DagsterInstance.ephemeral() as instance:
        night = Place(site, site.environment(folder / "home"), instance).run_night()
    assert not night.failed_runs
    return folder


@pytest.fixture
def new_place(_finished_site: Path, tmp_path: Path) -> Iterator[Place]:
    """A site on which nothing was run yet."""
    shutil.copytree(_finished_site / "site", tmp_path / "site")
    site = PhotoSite(tmp_path / "site")
    with dg.DagsterInstance.ephemeral() as instance:
        yield Place(site, site.environment(tmp_path / "home"), instance)


@pytest.fixture
def place(new_place: Place, _finished_site: Path) -> Place:
    """A site whose night is done: nothing is out of date until the test changes something."""
    shutil.copytree(_finished_site / "home", new_place.environment.home)
    return new_place
