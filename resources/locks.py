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


class Release(Protocol):
    """Gives back a lock that was taken."""

    def __call__(self) -> None: ...

    def lasts(self) -> bool:
        """Whether the lock is still held; one of a server ends with its connection, and so when the server is restarted."""
        ...


class Locks(Protocol):
    """Where locks are taken. One that is held is held by one holder, also within a process."""

    def try_take(self, name: str) -> Release | None:
        """Take the lock; returns what gives it back, or None while another holds it."""
        ...

    @property
    def silence(self) -> timedelta:
        """How long a run may hold no lock and say nothing before it counts as lost."""
        ...

    def is_held(self, name: str) -> bool:
        """Whether anybody holds the lock."""
        ...

    def was_left_behind(self, name: str) -> bool:
        """Whether the lock was taken by a process that has ended without giving it back."""
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

    def is_held(self, name: str) -> bool:
        """See `Locks`."""
        return (self._folder / f"{name}.lock").exists() and not self.was_left_behind(name)

    def try_take(self, name: str) -> Release | None:
        """See `Locks`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.lock"
        while True:
            if not path.exists():
                # it appears locked, or a look at the wrong moment would take it for one that was left behind
                aside = path.with_name(f".{name}.{uuid.uuid4().hex}")
                descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                try:
                    os.link(aside, path)
                    return _HeldFile(path, descriptor)
                except FileExistsError:
                    os.close(descriptor)
                finally:
                    aside.unlink()
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

    def was_left_behind(self, name: str) -> bool:
        """See `Locks`."""
        try:
            descriptor = os.open(self._folder / f"{name}.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            # one that was given back since it was opened is no file any more
            return _lock(descriptor) and _is_still(self._folder / f"{name}.lock", descriptor)
        finally:
            os.close(descriptor)


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
        digest = hashlib.sha256(f"{self._scope}\0{name}".encode()).digest()
        number = int.from_bytes(digest[:8], "big", signed=True)
        connection = self._engine().connect().execution_options(isolation_level="AUTOCOMMIT")
        if connection.scalar(sa.select(sa.func.pg_try_advisory_lock(number))):
            return _HeldOnServer(connection, number)
        connection.close()
        return None

    def was_left_behind(self, name: str) -> bool:
        """Never known here."""
        return False


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
    number: int

    def __call__(self) -> None:
        # asked for, because the server notices the end of a connection a little later
        with suppress(sa.exc.SQLAlchemyError):
            self.connection.execute(sa.select(sa.func.pg_advisory_unlock(self.number)))
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
