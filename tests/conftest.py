"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from itertools import chain, groupby
from pathlib import Path

import pytest

pytest_plugins = [
    "tests.night_fixtures",
    "tests.services.browser",
    "tests.services.postgres",
    "tests.services.s3",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules with long nights between the others, and evenly, where several processes take one module after the other.

    The processes would otherwise wait for nights that are begun last, or do several at once, which then wait for the machine.
    """
    modules = [list(its) for _, its in groupby(items, lambda item: item.path)]
    long, others = (
        sorted((its for its in modules if is_night(its) == wanted), key=len, reverse=True)
        for wanted in (True, False)
    )
    # what a night leaves to be done in the end is short
    apart = 1 + len(others) * 3 / 4 / max(1, len(long))
    for place, its in enumerate(reversed(long)):
        others.insert(int(place * apart), its)
    items[:] = chain.from_iterable(others)


def is_night(module: list[pytest.Item]) -> bool:
    """Whether tests of the module run the whole program."""
    return any(item.get_closest_marker("end_to_end") for item in module)


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
