"""Listing what lies below a folder or an object store's prefix: every file, by its path, or an error; never a part.

What a listing means for the pipeline is for `sources.py` to say.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from upath import UPath


class FileStat(NamedTuple):
    """What a listing tells of one file: enough to see that it may have changed."""

    size: int
    stamp: str
    age_seconds: float


def walk(root: UPath) -> Iterator[tuple[str, FileStat]]:
    """Each file's path below the root, and its state; hidden files and folders are not part of it.

    Raises OSError, or what the object store's client raises, when a part cannot be listed.
    """
    return _walk_local(Path(root)) if isinstance(root, Path) else _walk_objects(root)


def _walk_local(root: Path) -> Iterator[tuple[str, FileStat]]:
    now, top = time.time(), os.path.realpath(root)
    followed = {top}

    def wanted(entry: os.DirEntry[str]) -> bool:
        if entry.name.startswith(".") or not entry.is_symlink():
            return not entry.name.startswith(".")
        # a link to a folder within is listed under its own name, and one that was followed leads round in circles
        target = os.path.realpath(entry.path)
        if f"{target}/".startswith(f"{top}/") or (target in followed and entry.is_dir()):
            return False
        followed.add(target)
        return True

    folders = [(str(root), "")]
    while folders:
        folder, prefix = folders.pop()
        inside = []
        for entry in _entries(folder, is_root=not prefix):
            if not wanted(entry):
                continue
            if entry.is_dir():
                inside.append((entry.path, f"{prefix}{entry.name}/"))
            elif (found := _local_stat(entry, now)) is not None:
                yield prefix + entry.name, found
        folders += reversed(inside)


def _entries(folder: str, *, is_root: bool) -> list[os.DirEntry[str]]:
    """What lies in the folder, by name; nothing in one that is gone since its own folder was listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        if is_root:
            raise
        return []


def _local_stat(entry: os.DirEntry[str], now: float) -> FileStat | None:
    try:
        found = entry.stat()
    except FileNotFoundError:
        return None  # deleted since its folder was listed, or a link to nothing
    if not stat.S_ISREG(found.st_mode):
        return None  # reading a pipe would wait for ever
    return FileStat(found.st_size, str(found.st_mtime_ns), now - found.st_mtime)


def _walk_objects(root: UPath) -> Iterator[tuple[str, FileStat]]:
    base = root.path.rstrip("/") + "/"
    for path, info in root.fs.find(root.path, detail=True).items():
        below = path.removeprefix(base)
        is_marker = not below or below.endswith("/") or info.get("type") == "directory"
        if not is_marker and not any(part.startswith(".") and part != ".." for part in below.split("/")):
            yield below, _object_stat(info)


def _object_stat(info: Mapping[str, object]) -> FileStat:
    modified = info.get("LastModified")
    age = time.time() - modified.timestamp() if hasattr(modified, "timestamp") else float("inf")
    return FileStat(int(str(info["size"])), str(info.get("ETag", modified)), age)
