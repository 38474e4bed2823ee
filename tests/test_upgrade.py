"""`photo-popularity upgrade`, with a release whose catalog breaks the one before: it tells first, and works alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from photo_popularity.cli import app
from photo_popularity.domain.errors import InputError
from resources.catalog import Catalog
from resources.table_storage import life_of
from tests.resources.test_catalog import execution
from tests.resources.test_catalog_versions import NEWER, an_old_catalog, columns_of, of_release, versions_of


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The catalog of the home folder, of the version before; the release knows two more."""
    monkeypatch.setenv("PHOTO_POPULARITY_HOME", str(tmp_path))
    url = f"sqlite:///{tmp_path}/storage/catalog.sqlite"
    an_old_catalog(url)
    monkeypatch.setitem(Catalog.__init__.__kwdefaults__ or {}, "versions", NEWER)
    return url


def upgrade(*options: str) -> Any:
    return CliRunner().invoke(app, ["upgrade", *options])


def test_a_dry_run_tells_what_would_be_made_and_makes_nothing(url: str) -> None:
    said = upgrade("--dry-run")
    assert said.exit_code == 0
    assert "version 2, of release 0.2.0: outputs say which run has made them\n" in said.output
    assert "no execution names its log, and older releases fail from then on" in said.output
    assert "run_id" not in columns_of(url, "current_outputs")


def test_it_makes_what_breaks_once(url: str) -> None:
    said = upgrade()
    assert said.exit_code == 0
    assert "made version 3, of release 0.3.0" in said.output
    assert versions_of(url) == [1, 2, 3]
    assert "nothing to do" in upgrade().output


def test_it_refuses_while_a_run_is_at_work(url: str) -> None:
    """Risk: the run would fail at its next statement, after hours of work."""
    catalog = of_release(url, NEWER[:1])
    catalog.begin([execution(run_id="run-2")])
    release = catalog.locks.try_take(life_of("run-2"))
    assert release is not None
    refused = upgrade()
    assert isinstance(refused.exception, InputError)
    assert str(refused.exception) == "1 run at work (run-2); wait or stop them, then upgrade"
    assert "log" in columns_of(url, "executions")
    release()
    assert upgrade().exit_code == 0
    assert "log" not in columns_of(url, "executions")
