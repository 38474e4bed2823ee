"""Immutable files below one root, on local disk or an object store. Nothing here knows what the files mean."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from upath import UPath

from photo_popularity.domain.errors import InputError


class FileStorage:
    """Files below one root, each written once under a name that says what is in it.

    Paths are relative to the root and use `/`.
    """

    def __init__(self, root: str, *, s3_endpoint: str = "") -> None:
        self.root = open_folder(root, s3_endpoint=s3_endpoint)

    def write(self, path: str, data: bytes) -> None:
        """Write the file aside and promote it; does nothing when these very bytes are there already.

        A reader sees the whole file or none, whenever the writer is killed. A file with other bytes (damaged, or
        encoded by another release of the writer) is replaced, so that making an output again heals it.
        """
        target = self._path(path)
        if _holds(target, data):
            return
        if not isinstance(target, Path):
            target.write_bytes(data)  # an object store shows an object only when it is complete
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{uuid.uuid4().hex}")
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)

    def read(self, path: str) -> bytes:
        """The file's bytes; FileNotFoundError names the whole path."""
        try:
            return bytes(self._path(path).read_bytes())
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{self.url(path)}: no such file") from error

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return bool(self._path(path).exists())

    def url(self, path: str) -> str:
        """The file's full path or URL."""
        return str(self._path(path))

    def _path(self, path: str) -> UPath:
        if path.startswith("/") or ".." in path.split("/"):
            raise InputError(f"{path!r} leads out of {self.root}")
        return self.root / path


def _holds(target: UPath, data: bytes) -> bool:
    try:
        return target.stat().st_size == len(data) and bytes(target.read_bytes()) == data
    except FileNotFoundError:
        return False


def open_folder(root: str, *, s3_endpoint: str = "") -> UPath:
    """The folder as a path object: local, or `s3://bucket/prefix` at `s3_endpoint` when that is given."""
    if root.startswith("s3://"):
        options = {"endpoint_url": s3_endpoint} if s3_endpoint else {}
        # listings must be fresh: sensors compare them with the state before
        return UPath(root, client_kwargs=options, use_listings_cache=False)
    return UPath(Path(root).absolute())
