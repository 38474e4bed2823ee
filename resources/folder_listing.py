"""Listing what lies below a folder or an object store's prefix: every file, by its path, or an error; never a part.

What a listing means for the pipeline is for `sources.py` to say.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from upath import UPath

Listed = tuple[str, str, float]
"""A file's path, what tells that it may have changed, as JSON, and when it did, in seconds since 1970."""


def walk(root: UPath) -> Iterator[Listed]:
    """Each file below the root; hidden files and folders are not part of it.

    Raises OSError, or what the object store's client raises, when a part cannot be listed. There may be a million files,
    so these are plain tuples.
    """
    return _walk_local(Path(root)) if isinstance(root, Path) else _walk_objects(root)


def _walk_local(root: Path) -> Iterator[Listed]:
    top = os.path.realpath(root)
    followed = {top}

    def may_be_followed(entry: os.DirEntry[str]) -> bool:
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
            name = entry.name
            if name.startswith(".") or (entry.is_symlink() and not may_be_followed(entry)):
                continue
            if entry.is_dir():
                inside.append((entry.path, f"{prefix}{name}/"))
            elif (found := _stat_of_file(entry)) is not None:
                seen = f'{{"size": {found.st_size}, "stamp": "{found.st_mtime_ns}"}}'
                yield prefix + name, seen, found.st_mtime
        folders += reversed(inside)


def _entries(folder: str, *, is_root: bool) -> list[os.DirEntry[str]]:
    """What lies in the folder, by name; nothing in one that is gone since its own folder was listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=attrgetter("name"))
    except FileNotFoundError:
        if is_root:
            raise
        return []


def _stat_of_file(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        found = entry.stat()
    except FileNotFoundError:
        return None  # deleted since its folder was listed, or a link to nothing
    # reading a pipe would wait for ever
    return found if stat.S_ISREG(found.st_mode) else None


def _walk_objects(root: UPath) -> Iterator[Listed]:
    base = root.path.rstrip("/") + "/"
    for path, info in root.fs.find(root.path, detail=True).items():
        below = path.removeprefix(base)
        is_marker = not below or below.endswith("/") or info.get("type") == "directory"
        if not is_marker and not any(part.startswith(".") and part != ".." for part in below.split("/")):
            modified = info.get("LastModified")
            moment = modified.timestamp() if hasattr(modified, "timestamp") else 0.0
            yield (
                below,
                json.dumps({"size": int(info["size"]), "stamp": str(info.get("ETag", modified))}),
                moment,
            )
