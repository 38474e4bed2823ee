"""A small sample site on which the night has really run, and Dagster's own server on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from photo_popularity.sample_site.generate import generate_site
from tests.end_to_end.dagster_site import DagsterSite
from tests.end_to_end.dagster_ui import DagsterUI, served
from tests.end_to_end.site_scale import SCALE, SMALL_SCALE


@pytest.fixture(scope="session")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of few photos, for tests of what a whole run does with it; nobody may write there."""
    return generate_site(tmp_path_factory.mktemp("small") / "site", scale=SMALL_SCALE).folder


@pytest.fixture(scope="module")
def ran_site(tmp_path_factory: pytest.TempPathFactory) -> DagsterSite:
    """A site of 24 days after `photo-popularity run`; what a module does to it no other module sees."""
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
