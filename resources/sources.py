"""The files that other people's systems write: what is there now, and reading one file of it."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from upath import UPath

from partitions.files import key_of, path_of
from photo_popularity.domain.errors import InputError
from resources.catalog_records import Output
from resources.errors import SourceUnavailable
from resources.folder_listing import Listed, walk
from resources.hashing_reader import HashingReader
from resources.json_object import JsonObject
from resources.storage import open_folder

CHUNK_BYTES = 1 << 20
# whoever asks for more at once gets it without a copy
BUFFER_BYTES = 1 << 16
UNREADABLE = "unreadable-"
# folders that the command line has an option for
WITH_OPTION = ("photos", "logs")


@dataclass(frozen=True)
class FolderState:
    """The partition keys of a source's files now, the state of those that `moved`, and the files left for later.

    `unreadable` gives the reason for each file whose bytes cannot be had; one with an unusable name is only here.
    """

    files: Set[str]
    moved: Mapping[str, Output]
    unsettled: tuple[str, ...]
    unreadable: Mapping[str, str]


@dataclass(frozen=True)
class FileStart:
    """The first bytes of a file, and the size and content version of all of it."""

    data: bytes
    size: int
    content_version: str


class FileSource:
    """A folder or an `s3://` URL whose files are one data entity; hidden files are not part of it."""

    def __init__(self, name: str, folder: str, *, setting: str, s3_endpoint: str = "") -> None:
        self.name, self._setting = name, setting
        self._folder, self._s3_endpoint = folder, s3_endpoint
        self.versions_read: dict[str, str | None] = {}

    @property
    def root(self) -> UPath:
        """The folder; raises InputError while none is set."""
        if not self._folder:
            given = f"give --{self._setting} FOLDER (or --site), or " if self._setting in WITH_OPTION else ""
            raise InputError(
                f"no folder is set for {self.name}; {given}set PHOTO_POPULARITY_{self._setting.upper()}"
            )
        return open_folder(self._folder, s3_endpoint=self._s3_endpoint)

    def listing(self) -> Iterator[Listed]:
        """Every file below the folder, as `walk` has it, by its partition key.

        Raises InputError when there is no such folder and SourceUnavailable when it cannot be listed to the end: never
        an empty listing, or a part of one, in place of one that failed.
        """
        root = self.root
        try:
            if not root.is_dir():
                raise InputError(f"{root}: no such folder ({self.name}); correct --{self._setting}")
            for path, seen, modified in walk(root):
                yield key_of(path), seen, modified
        except PermissionError as error:
            place = error.filename or root
            raise InputError(
                f"{place}: {error.strerror or error}; give this user read access to it"
            ) from error
        except _failures_of(root) as error:
            raise SourceUnavailable(
                f"{root}: cannot be listed ({error}); nothing is changed until it can"
            ) from error

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        """The file as a stream, read to its end whatever the reader takes of it, so that its version is known.

        Raises OSError for a file that is gone or closed to us, and SourceUnavailable when the store cannot be reached.
        """
        with self._opened(key) as (stream, _):
            yield stream

    def read(self, key: str, *, at_most: int = -1) -> bytes:
        """The file's bytes, or the first `at_most` of them; raises as `open` does."""
        return self.read_start(key, at_most=at_most).data

    def read_start(self, key: str, *, at_most: int) -> FileStart:
        """The first `at_most` bytes of a file of any size; raises as `open` does."""
        with self._opened(key) as (stream, passing):
            data = stream.read(at_most)
        return FileStart(data, passing.size, passing.content_version)

    @contextmanager
    def _opened(self, key: str) -> Iterator[tuple[BinaryIO, HashingReader]]:
        path = self.root / path_of(key)
        try:
            with path.open("rb") as raw:
                passing = HashingReader(raw)
                stream = io.BufferedReader(passing, BUFFER_BYTES)
                try:
                    yield stream, passing
                finally:
                    # also when the reader gave up on the content: what it gave up on has a version too
                    while stream.read(CHUNK_BYTES):
                        pass
                    self.versions_read[key] = passing.content_version
        except (ConnectionError, TimeoutError) as error:
            raise SourceUnavailable(f"{path}: cannot be reached ({error})") from error
        except OSError as error:
            if is_of_the_system(error):
                self.versions_read[key] = _unreadable_version(path)
            raise
        except _failures_of(path) as error:
            raise SourceUnavailable(f"{path}: cannot be reached ({error})") from error

    def state(self, before: Mapping[str, str], *, quiet_seconds: float = 0.0) -> FolderState:
        """The files as they are now; only those whose size or time moved since they were seen `before` are hashed again.

        `before` has the detail of each file's state, as the catalog keeps it. A file touched less than `quiet_seconds`
        ago may still be being written: it keeps its state before and is unsettled. Raises as `listing` does, and
        InputError for a folder that had files and now holds nothing at all.
        """
        files: set[str] = set()
        others: list[Listed] = []
        now = time.time()
        for key, seen, modified in self.listing():
            if before.get(key) == seen:
                files.add(key)
            else:
                others.append((key, seen, modified))
        if before and not (files or others) and not any(self.root.iterdir()):
            raise InputError(
                f"{self.root}: empty, and {len(before):,} files had been there: is the disk mounted? If they were deleted, "
                "put any hidden file there, such as .empty"
            )
        moved: dict[str, Output] = {}
        unsettled: list[str] = []
        unreadable: dict[str, str] = {}
        for key, seen, modified in others:
            if problem := _problem_of_name(key):
                unreadable[key] = problem
            elif abs(now - modified) < quiet_seconds:
                # a clock ahead of ours must not make it unsettled for ever
                unsettled.append(key)
                if key in before:
                    files.add(key)
            elif (output := self._look_into(key, JsonObject(seen), unreadable)) is not None:
                moved[key] = output
        return FolderState(files | moved.keys(), moved, tuple(sorted(unsettled)), unreadable)

    def _look_into(self, key: str, seen: JsonObject, unreadable: dict[str, str]) -> Output | None:
        """The state of a file that may have changed; None when it has vanished since the listing."""
        detail = seen
        try:
            with self.open(key):
                pass
        except FileNotFoundError:
            return None
        except OSError as error:
            unreadable[key] = error.strerror or str(error)
            # no detail that a listing can have: it is tried again at the next look
            detail = JsonObject.of({"unreadable": unreadable[key]})
        return Output(str(self.versions_read[key]), bytes=seen["size"], rows=1, detail=detail)


def is_of_the_system(error: OSError) -> bool:
    """Whether the system says so, and not a decoder of what it was given, whose errors have no number."""
    told_by_class = type(error) is not OSError and type(error).__module__ == "builtins"
    return error.errno is not None or told_by_class


def _problem_of_name(key: str) -> str | None:
    try:
        path_of(key)
    except InputError as error:
        return str(error)
    return None


def _unreadable_version(path: UPath) -> str:
    try:
        return f"{UNREADABLE}{path.stat().st_mtime_ns}" if isinstance(path, Path) else UNREADABLE
    except OSError:
        return UNREADABLE


def _failures_of(path: UPath) -> tuple[type[Exception], ...]:
    """What a store that cannot be reached raises."""
    if isinstance(path, Path):
        return (OSError,)
    # here, because only sites with an object store have its client
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, BotoCoreError, ClientError)
