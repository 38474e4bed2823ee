"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = [
    "tests.night_fixtures",
    "tests.services.browser",
    "tests.services.postgres",
    "tests.services.s3",
]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; tests that need it skip visibly where it is missing."""
    folder = os.environ.get("PHOTO_POPULARITY_REAL_DATA")
    if not folder:
        pytest.skip("PHOTO_POPULARITY_REAL_DATA names no folder of real data")
    path = Path(folder)
    if not path.is_dir():
        pytest.skip(f"PHOTO_POPULARITY_REAL_DATA: {path} is not a folder")
    return path
