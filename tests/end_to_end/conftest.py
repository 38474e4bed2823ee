"""A small sample site on which the night has really run, and Dagster's own server on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from photo_popularity.sample_site.generate import generate_site
from photo_popularity.sample_site.population import SampleScale
from tests.end_to_end.dagster_site import DagsterSite
from tests.end_to_end.dagster_ui import DagsterUI, served

# the fewest days that make a model
SCALE = SampleScale(
    first_day=date(2026, 10, 1), days=24, photos_a_day=2, earlier_photos=12, owners=8, drawings_a_class=6
)


@pytest.fixture(scope="session")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of few photos, for tests of what a whole run does with it; nobody may write there."""
    scale = replace(SCALE, photos_a_day=1, earlier_photos=6, owners=5)
    return generate_site(tmp_path_factory.mktemp("small") / "site", scale=scale).folder


@pytest.fixture(scope="session")
def ran_site(tmp_path_factory: pytest.TempPathFactory) -> DagsterSite:
    """A site of 24 days after `photo-popularity run`."""
    folder: Path = tmp_path_factory.mktemp("ran")
    site = DagsterSite(home=folder / "home", folder=generate_site(folder / "site", scale=SCALE).folder)
    trained = site.command_line(
        "train-classifier",
        str(site.folder / "classifier_training"),
        "--output",
        str(site.folder / "classifier.skops"),
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    ran = site.command_line("run", "--site", str(site.folder))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return site


@pytest.fixture(scope="module")
def ui(
    ran_site: DagsterSite, chromium: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DagsterUI]:
    """`photo-popularity dev` on the site: web server, daemon and code location, as a person starts them."""
    with served(ran_site, log=tmp_path_factory.mktemp("dev") / "dev.log") as server:
        yield server
