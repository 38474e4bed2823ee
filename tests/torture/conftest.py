"""Tests that take very long: only who names this folder, as `make torture` does, runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from photo_popularity.sample_site.generate import generate_site
from tests.end_to_end.command_line import CommandLine
from tests.end_to_end.deployed_site import embedded_run
from tests.end_to_end.site_scale import SMALL_SCALE


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass by what lies here unless an argument of the command line leads here."""
    named = any("torture" in Path(argument.partition("::")[0]).parts for argument in config.args)
    return None if named else True


@pytest.fixture(scope="session")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_site(tmp_path_factory.mktemp("small") / "site", scale=SMALL_SCALE).folder


@pytest.fixture(scope="session")
def embedded(small_site: Path, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The same site after an embedded run."""
    return embedded_run(small_site, tmp_path_factory.mktemp("embedded") / "home")
