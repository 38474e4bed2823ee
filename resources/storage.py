"""Immutable files below one root, on local disk or an object store. Nothing here knows what the files mean."""

from __future__ import annotations

import os
from pathlib import Path

from upath import UPath


class FileStorage:
    """Files below one root, written once: a path that exists is never written again.

    Paths are relative to the root and use `/`.
    """

    def __init__(self, root: str, *, s3_endpoint: str = "") -> None:
        self.root = open_folder(root, s3_endpoint=s3_endpoint)

    def write(self, path: str, data: bytes) -> None:
        """Write the file aside and promote it; does nothing when it exists with the same size.

        A reader sees the whole file or none, whenever the writer is killed.
        """
        target = self.root / path
        if target.exists() and target.stat().st_size == len(data):
            return
        if not isinstance(target, Path):
            target.write_bytes(data)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.{os.getpid()}")
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)

    def read(self, path: str) -> bytes:
        """The file's bytes; FileNotFoundError names the whole path."""
        return bytes((self.root / path).read_bytes())

    def url(self, path: str) -> str:
        """The file's full path or URL."""
        return str(self.root / path)


def open_folder(root: str, *, s3_endpoint: str = "") -> UPath:
    """The folder as a path object: local, or `s3://bucket/prefix` at `s3_endpoint` when that is given."""
    if root.startswith("s3://"):
        options = {"endpoint_url": s3_endpoint} if s3_endpoint else {}
        # listings must be fresh: sensors compare them with the state before
        return UPath(root, client_kwargs=options, use_listings_cache=False)
    return UPath(Path(root).absolute())
