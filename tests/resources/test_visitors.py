"""The visitors' salt: its version moves with it, and production has one of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.settings import Settings
from resources.visitors import VisitorSalt


def test_the_version_moves_with_the_salt_and_with_its_number_and_shows_neither_salt() -> None:
    versions = {
        VisitorSalt(
            Environment("local", "ann", Path("/home"), Settings(visitor_salt=salt, visitor_salt_version=n))
        ).public_version
        for salt in ("first-secret", "second-secret")
        for n in ("1", "2")
    }
    assert len(versions) == 4
    assert not any("secret" in version for version in versions)


def test_production_does_not_hash_with_the_salt_that_everybody_knows() -> None:
    with pytest.raises(InputError, match="set PHOTO_POPULARITY_VISITOR_SALT to a secret"):
        VisitorSalt(Environment("production", "ann", Path("/home")))
    own = Environment("production", "ann", Path("/home"), Settings(visitor_salt="own"))
    assert VisitorSalt(own).value == "own"
