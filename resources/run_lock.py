"""One night at a time on a home folder: a second one would do the same work once more."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from photo_popularity.domain.errors import InputError
from resources.environment import Environment


@contextmanager
def only_night(environment: Environment) -> Iterator[None]:
    """Hold the environment's lock; InputError at once while another process holds it. It ends with its process."""
    path = environment.home / f"{environment.label}.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise InputError(
                f"{environment.home}: process {file.read() or 'unknown'} is running a night here; wait until it ends"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)
