"""Which failures are tried again: those that may pass."""

from __future__ import annotations

import dagster as dg
import pytest
import sqlalchemy as sa

from photo_popularity.domain.errors import InputError
from resources.io_managers import classified
from resources.sources import SourceUnavailable


@pytest.mark.parametrize(
    "error",
    [
        SourceUnavailable("away"),
        ConnectionResetError("reset"),
        OSError(28, "No space left on device"),
        sa.exc.OperationalError("select", {}, Exception("the database system is starting up")),
    ],
)
def test_what_may_pass_is_left_to_the_retry_policy(error: Exception) -> None:
    assert classified(error) is error


@pytest.mark.parametrize(
    "error",
    [
        InputError("bad"),
        FileNotFoundError("gone"),
        PermissionError("closed"),
        ValueError("a mistake of ours"),
        sa.exc.ProgrammingError("select", {}, Exception("no such column")),
    ],
)
def test_what_will_fail_again_is_not_tried_again(error: Exception) -> None:
    failure = classified(error)
    assert isinstance(failure, dg.Failure)
    assert not failure.allow_retries
