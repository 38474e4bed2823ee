"""The files that other people's systems write: listing a folder or bucket, and reading one file of it."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from upath import UPath

from partitions.files import key_of, path_of
from photo_popularity.domain.errors import InputError
from resources.catalog_records import Output
from resources.storage import open_folder

CHUNK_BYTES = 1 << 20
UNREADABLE = "unreadable-"


class SourceUnavailable(Exception):
    """A source that cannot be reached now and may be again later: worth a retry."""


@dataclass(frozen=True)
class FileStat:
    """What a listing tells of one file: enough to see that it may have changed."""

    size: int
    stamp: str
    age_seconds: float


@dataclass(frozen=True)
class FolderState:
    """The files of a source as they are now, by partition key, and those left for later."""

    files: Mapping[str, Output]
    unsettled: tuple[str, ...]
    unreadable: Mapping[str, str]


class FileSource:
    """A folder or an `s3://` URL whose files are one data entity; hidden files are not part of it."""

    def __init__(self, name: str, folder: str, *, setting: str, s3_endpoint: str = "") -> None:
        self.name, self._setting = name, setting
        self._folder, self._s3_endpoint = folder, s3_endpoint
        self.versions_read: dict[str, str] = {}

    @property
    def root(self) -> UPath:
        """The folder; raises InputError while none is set."""
        if not self._folder:
            raise InputError(
                f"no folder is set for {self.name}; give --{self._setting} FOLDER (or --site), "
                f"or set PHOTO_POPULARITY_{self._setting.upper()}"
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
            return dict(self._walk(root))
        except PermissionError as error:
            raise InputError(f"{root}: {error.strerror or error}; give this user read access to it") from error
        except OSError as error:
            raise SourceUnavailable(f"{root}: cannot be listed ({error}); nothing is changed until it can") from error

    def _walk(self, root: UPath) -> list[tuple[str, FileStat]]:
        if root.protocol in ("", "file"):
            return list(_walk_local(root))
        base = root.path.rstrip("/") + "/"
        found = root.fs.find(root.path, detail=True)
        return [
            (key_of(path.removeprefix(base)), _object_stat(info))
            for path, info in found.items()
            if not _is_hidden(path.removeprefix(base))
        ]

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        """The file as a stream, read to its end whatever the reader takes of it, so that its version is known.

        Raises FileNotFoundError or another OSError.
        """
        digest = hashlib.sha256()
        try:
            with (self.root / path_of(key)).open("rb") as raw:
                stream = io.BufferedReader(_HashingReader(raw, digest), CHUNK_BYTES)
                yield stream
                while stream.read(CHUNK_BYTES):
                    pass
        except OSError:
            self.versions_read[key] = self._unreadable_version(key)
            raise
        self.versions_read[key] = digest.hexdigest()[:16]

    def read(self, key: str, *, at_most: int | None = None) -> bytes:
        """The file's bytes, or the first `at_most` of them; raises as `open` does."""
        with self.open(key) as stream:
            return stream.read() if at_most is None else stream.read(at_most)

    def _unreadable_version(self, key: str) -> str:
        path = self.root / path_of(key)
        return f"{UNREADABLE}{path.stat().st_mtime_ns}" if path.exists() and isinstance(path, Path) else UNREADABLE

    def state(self, before: Mapping[str, Output], *, quiet_seconds: float = 0.0) -> FolderState:
        """The files as they are now; only those whose size or time moved since `before` are hashed again.

        A file younger than `quiet_seconds` may still be being written: it keeps its state before and is unsettled.
        """
        files: dict[str, Output] = {}
        unsettled: list[str] = []
        unreadable: dict[str, str] = {}
        for key, stat in self.list().items():
            known = before.get(key)
            detail = {"size": stat.size, "stamp": stat.stamp}
            if known is not None and dict(known.detail) == detail and not known.content_version.startswith(UNREADABLE):
                files[key] = known
            elif stat.age_seconds < quiet_seconds:
                unsettled.append(key)
                if known is not None:
                    files[key] = known
            else:
                try:
                    with self.open(key):
                        pass
                    files[key] = Output(self.versions_read[key], bytes=stat.size, rows=1, detail=detail)
                except FileNotFoundError:
                    continue  # it vanished since the listing, which is how a deleted file looks
                except OSError as error:
                    unreadable[key] = str(error)
                    files[key] = Output(self.versions_read[key], bytes=stat.size, rows=1, detail=detail)
        return FolderState(files, tuple(sorted(unsettled)), unreadable)


class _HashingReader(io.RawIOBase):
    """Reads from a stream and hashes all that passes."""

    def __init__(self, raw: BinaryIO, digest: hashlib._Hash) -> None:
        self._raw, self._digest = raw, digest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._raw.read(len(buffer))
        self._digest.update(data)
        buffer[: len(data)] = data
        return len(data)


def _walk_local(root: UPath) -> list[tuple[str, FileStat]]:
    now = time.time()
    found: list[tuple[str, FileStat]] = []

    def refuse(error: OSError) -> None:
        # os.walk skips what it cannot list; a folder that cannot be listed is not an empty one
        raise error

    for folder, folders, names in root.walk(on_error=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            path = folder / name
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # deleted since its folder was listed, or a dangling link
            key = key_of(str(path.relative_to(root)))
            found.append((key, FileStat(stat.st_size, str(stat.st_mtime_ns), now - stat.st_mtime)))
    return found


def _object_stat(info: Mapping[str, object]) -> FileStat:
    modified = info.get("LastModified")
    age = time.time() - modified.timestamp() if hasattr(modified, "timestamp") else float("inf")
    return FileStat(int(str(info["size"])), str(info.get("ETag", modified)), age)


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))
