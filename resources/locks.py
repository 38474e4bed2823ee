"""Locks by name that end with the process that holds them: files beside a SQLite catalog, or locks of PostgreSQL.

They keep two runs from working on the same step at once, and tell a run that is at work from one whose process was killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

SECONDS_BETWEEN_TRIES = 0.2
SUFFIX = ".lock"


class Release(Protocol):
    """Gives back a lock that was taken."""

    def __call__(self) -> None: ...

    def lasts(self) -> bool:
        """Whether the lock is still held; one of a server ends with its connection, and so when the server is restarted."""
        ...


class Locks(Protocol):
    """Where locks are taken. One that is not shared is held by one holder, also within a process."""

    def try_take(self, name: str) -> Release | None:
        """Take the lock; returns what gives it back, or None while another holds it."""
        ...

    def share(self, name: str) -> Release:
        """Hold the lock together with all others who share it; of such a name it is held as long as one of them does."""
        ...

    @property
    def silence(self) -> timedelta:
        """How long a run may hold no lock and say nothing before it counts as lost."""
        ...

    def is_held(self, name: str) -> bool:
        """Whether anybody holds the lock."""
        ...

    def was_left_behind(self, name: str) -> bool:
        """Whether the lock was held by a process that has ended without giving it back, and is held by none now."""
        ...

    def clear(self, name: str) -> None:
        """Remove what ended processes have left of a lock that is shared."""
        ...


def take(locks: Locks, name: str, *, waiting: Callable[[], object]) -> Release:
    """Take the lock, and wait for it as long as another holds it; `waiting` is called once if it has to."""
    told = False
    while (release := locks.try_take(name)) is None:
        if not told:
            told = True
            waiting()
        time.sleep(SECONDS_BETWEEN_TRIES)
    return release


class FileLocks:
    """Locks on files of a folder, for processes of one machine."""

    silence = timedelta(minutes=10)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def try_take(self, name: str) -> Release | None:
        """See `Locks`."""
        path = self._folder / f"{name}{SUFFIX}"
        while True:
            if not path.exists():
                with suppress(FileExistsError):
                    return self._made(path)
            try:
                descriptor = os.open(path, os.O_RDWR)
            except FileNotFoundError:
                continue
            if not _lock(descriptor):
                os.close(descriptor)
                return None
            if _is_still(path, descriptor):
                return _HeldFile(path, descriptor)
            # whoever held it has just removed the file: this one is nobody's any more
            os.close(descriptor)

    def share(self, name: str) -> Release:
        """See `Locks`. Each holder has a file of its own: only so is one that is removed told from one left behind."""
        return self._made(self._folder / f"{name}.{uuid.uuid4().hex}{SUFFIX}")

    def is_held(self, name: str) -> bool:
        """See `Locks`."""
        return any(path.exists() and not _was_left_behind(path) for path in self._files(name))

    def was_left_behind(self, name: str) -> bool:
        """See `Locks`."""
        return any(map(_was_left_behind, self._files(name))) and not self.is_held(name)

    def clear(self, name: str) -> None:
        """See `Locks`."""
        for path in filter(_was_left_behind, self._files(name)):
            path.unlink(missing_ok=True)

    def _files(self, name: str) -> list[Path]:
        return [self._folder / f"{name}{SUFFIX}", *self._folder.glob(f"{name}.*{SUFFIX}")]

    def _made(self, path: Path) -> Release:
        """The lock, whose file was not there; FileExistsError when another was faster."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # it appears locked, or a look at the wrong moment would take it for one that was left behind
        aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            os.link(aside, path)
        except FileExistsError:
            os.close(descriptor)
            raise
        finally:
            aside.unlink()
        return _HeldFile(path, descriptor)


class ServerLocks:
    """Locks of PostgreSQL, each held by a connection of its own. What nobody holds may never have been held."""

    # a worker elsewhere may be between two steps, or wait for its turn
    silence = timedelta(hours=12)

    def __init__(self, engine: Callable[[], sa.Engine], *, scope: str) -> None:
        self._engine, self._scope = engine, scope

    def is_held(self, name: str) -> bool:
        """See `Locks`."""
        release = self.try_take(name)
        if release is None:
            return True
        release()
        return False

    def try_take(self, name: str) -> Release | None:
        """See `Locks`."""
        connection, number = self._connection(), self._number(name)
        if connection.scalar(sa.select(sa.func.pg_try_advisory_lock(number))):
            return _HeldOnServer(connection, sa.func.pg_advisory_unlock(number))
        connection.close()
        return None

    def share(self, name: str) -> Release:
        """See `Locks`. It waits for whoever asks at this moment whether anybody holds it."""
        connection, number = self._connection(), self._number(name)
        connection.execute(sa.select(sa.func.pg_advisory_lock_shared(number)))
        return _HeldOnServer(connection, sa.func.pg_advisory_unlock_shared(number))

    def was_left_behind(self, name: str) -> bool:
        """Never known here."""
        return False

    def clear(self, name: str) -> None:
        """Nothing is left of a lock here."""

    def _connection(self) -> sa.Connection:
        return self._engine().connect().execution_options(isolation_level="AUTOCOMMIT")

    def _number(self, name: str) -> int:
        digest = hashlib.sha256(f"{self._scope}\0{name}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)


def _was_left_behind(path: Path) -> bool:
    """Whether the file's holder has ended without removing it."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        # one that was given back since it was opened is no file any more
        return _lock(descriptor) and _is_still(path, descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


@dataclass(frozen=True)
class _HeldFile:
    path: Path
    descriptor: int

    def __call__(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def lasts(self) -> bool:
        return _is_still(self.path, self.descriptor)


@dataclass(frozen=True)
class _HeldOnServer:
    connection: sa.Connection
    release: sa.Function[bool]

    def __call__(self) -> None:
        # asked for, because the server notices the end of a connection a little later
        with suppress(sa.exc.SQLAlchemyError):
            self.connection.execute(sa.select(self.release))
        # the lock ends with its connection at the latest, which must not go back to the pool
        if not self.connection.invalidated:
            self.connection.detach()
        self.connection.close()

    def lasts(self) -> bool:
        try:
            # one that is broken would connect anew by itself, without the lock
            return not self.connection.invalidated and bool(self.connection.scalar(sa.select(1)))
        except sa.exc.DBAPIError:
            return False
