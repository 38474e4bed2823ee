"""Listing what lies below a folder or an object store's prefix: every file, by its path, or an error; never a part.

What a listing means for the pipeline is for `sources.py` to say.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from upath import UPath


@dataclass(frozen=True)
class FileStat:
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

    def refuse(error: OSError) -> None:
        # os.walk skips what it cannot list, but a folder that cannot be listed is not an empty one
        if not isinstance(error, FileNotFoundError) or error.filename == str(root):
            raise error

    def wanted(folder: Path, name: str) -> bool:
        path = folder / name
        if name.startswith(".") or not path.is_symlink():
            return not name.startswith(".")
        # a link to a folder within is listed under its own name, and one that was followed leads round in circles
        target = os.path.realpath(path)
        if f"{target}/".startswith(f"{top}/") or target in followed:
            return False
        followed.add(target)
        return True

    for place, folders, names in os.walk(root, onerror=refuse, followlinks=True):
        folder = Path(place)
        folders[:] = sorted(name for name in folders if wanted(folder, name))
        for name in sorted(names):
            found = None if name.startswith(".") else _local_stat(folder / name, now)
            if found is not None:
                yield (folder / name).relative_to(root).as_posix(), found


def _local_stat(path: Path, now: float) -> FileStat | None:
    try:
        found = path.stat()
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
