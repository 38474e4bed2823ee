"""One night at a time on a home folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from photo_popularity.domain.errors import InputError
from resources.environment import Environment
from resources.run_lock import only_night


def test_a_second_night_is_refused_with_the_process_of_the_first(tmp_path: Path) -> None:
    environment = Environment("local", "ann", tmp_path)
    with (
        only_night(environment),
        pytest.raises(InputError, match=f"process {os.getpid()} is running a night here; wait until it ends"),
        only_night(environment),
    ):
        pass
    with only_night(environment):
        pass


def test_environments_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with (
        only_night(Environment("local", "ann", tmp_path)),
        only_night(Environment("staging", "ann", tmp_path)),
    ):
        pass
