"""The files that other people's systems write: what is there now, and reading one file of it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from upath import UPath

from partitions.files import key_of, path_of
from photo_popularity.domain.errors import InputError
from resources.catalog_records import Output
from resources.folder_listing import FileStat, walk
from resources.hashing_reader import HashingReader
from resources.json_object import JsonObject
from resources.storage import open_folder

CHUNK_BYTES = 1 << 20
UNREADABLE = "unreadable-"
# folders that the command line has an option for
WITH_OPTION = ("photos", "logs")


class SourceUnavailable(Exception):
    """A source that cannot be reached now and may be again later: worth a retry."""


@dataclass(frozen=True)
class FolderState:
    """The files of a source as they are now, by partition key, and those left for later.

    `unreadable` gives the reason for each file whose bytes cannot be had; one with an unusable name is only here.
    """

    files: Mapping[str, Output]
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

    def list(self) -> dict[str, FileStat]:
        """Every file below the folder by its partition key.

        Raises InputError when there is no such folder and SourceUnavailable when it cannot be listed: never an
        empty listing in place of a failed one.
        """
        root = self.root
        try:
            if not root.is_dir():
                raise InputError(f"{root}: no such folder ({self.name}); correct --{self._setting}")
            return {key_of(path): found for path, found in walk(root)}
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
                stream = io.BufferedReader(passing, CHUNK_BYTES)
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

    def state(self, before: Mapping[str, Output], *, quiet_seconds: float = 0.0) -> FolderState:
        """The files as they are now; only those whose size or time moved since `before` are hashed again.

        A file touched less than `quiet_seconds` ago may still be being written: it keeps its state before and is
        unsettled. Raises as `list` does, and InputError for a folder that had files and now holds nothing at all.
        """
        files: dict[str, Output] = {}
        unsettled: list[str] = []
        unreadable: dict[str, str] = {}
        listing = self.list()
        if before and not listing and not any(self.root.iterdir()):
            raise InputError(
                f"{self.root}: empty, and {len(before):,} files had been there: is the disk mounted? If they were deleted, "
                "put any hidden file there, such as .empty"
            )
        for key, found in listing.items():
            known = before.get(key)
            detail = _seen(found)
            if (
                known is not None
                and JsonObject.of(known.detail).text == detail.text
                and not known.content_version.startswith(UNREADABLE)
            ):
                files[key] = known
            elif problem := _problem_of_name(key):
                unreadable[key] = problem
            elif (
                abs(found.age_seconds) < quiet_seconds
            ):  # a clock ahead of ours must not make it unsettled for ever
                unsettled.append(key)
                if known is not None:
                    files[key] = known
            else:
                try:
                    with self.open(key):
                        pass
                except FileNotFoundError:
                    continue  # it vanished since the listing, which is how a deleted file looks
                except OSError as error:
                    unreadable[key] = error.strerror or str(error)
                files[key] = Output(str(self.versions_read[key]), bytes=found.size, rows=1, detail=detail)
        return FolderState(files, tuple(sorted(unsettled)), unreadable)


def is_of_the_system(error: OSError) -> bool:
    """Whether the system says so, and not a decoder of what it was given, whose errors have no number."""
    told_by_class = type(error) is not OSError and type(error).__module__ == "builtins"
    return error.errno is not None or told_by_class


def _seen(found: FileStat) -> JsonObject:
    """What tells that a file may have changed, as the catalog keeps it."""
    # a time in nanoseconds, or an ETag, which stands in quotes of its own
    stamp = found.stamp if found.stamp.isdigit() else json.dumps(found.stamp)[1:-1]
    return JsonObject(f'{{"size": {found.size}, "stamp": "{stamp}"}}')


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
