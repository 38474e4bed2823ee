"""Tests that take very long: only who names this folder, as `make torture` does, runs them."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass by what lies here unless an argument of the command line leads here."""
    named = any("torture" in Path(argument.partition("::")[0]).parts for argument in config.args)
    return None if named else True
