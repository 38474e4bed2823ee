"""Which failures are tried again: those that may pass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from photo_popularity.domain.errors import InputError
from resources.errors import SourceUnavailable
from resources.io_managers import FIRST_PAUSE_SECONDS, MAX_RETRIES, classified


def after(attempts: int) -> Any:
    """A step that has been tried so often before."""
    return SimpleNamespace(previous_attempt_count=attempts)


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
    asked = [classified(error, after(attempts)) for attempts in range(2)]
    assert [
        (retry.max_retries, retry.seconds_to_wait) for retry in asked if isinstance(retry, dg.RetryRequested)
    ] == [
        (MAX_RETRIES, FIRST_PAUSE_SECONDS),
        (MAX_RETRIES, 2 * FIRST_PAUSE_SECONDS),
    ]


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
    failure = classified(error, after(0))
    assert isinstance(failure, dg.Failure)
    assert not failure.allow_retries
