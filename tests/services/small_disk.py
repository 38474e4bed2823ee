"""A disk of its own that a test can fill, and empty again: a tmpfs, which needs the right to mount it."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

BLOCK = bytes(4096)


@dataclass(frozen=True)
class SmallDisk:
    """A mounted file system; `folder` is where."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / ".ballast"

    def fill(self) -> None:
        """Leave not a byte to anybody."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(BLOCK)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """Take away what it was filled with."""
        self._ballast.unlink()


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """A disk mounted at the folder until the block ends; skips visibly where this user may not mount one."""
    folder.mkdir(parents=True)
    options = f"size={megabytes}m,mode=0755"
    mounting = ["mount", "-t", "tmpfs", "-o", options, "photo-popularity-test", str(folder)]
    mounted = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"this user may not mount a disk of {megabytes} MB ({mounted.stderr.strip()})")
    try:
        yield SmallDisk(folder)
    finally:
        # lazily: a process that is ending may still have a file open there
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        Path(folder).rmdir()
