"""A clock that jumps, for programs that are started with it.

How long something takes they measure rightly, as after a real jump. Debian's libfaketime moves that clock too, or breaks
every sleep.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("clock.c")


@dataclass(frozen=True)
class Clock:
    """The time of day as some programs see it."""

    library: Path
    file: Path

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment of such a program, and of those that it starts."""
        return {"LD_PRELOAD": str(self.library), "CLOCK_OFFSET_FILE": str(self.file)}

    def jump(self, seconds: int) -> None:
        """From now on it is so many seconds further ahead than it was, or behind."""
        seconds += int.from_bytes(self.file.read_bytes(), "little", signed=True)
        # in place: the programs have it in their memory
        with self.file.open("r+b") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))


def jumping_clock(folder: Path) -> Clock:
    """A clock that is right at first; skips visibly where this machine has no C compiler to make it."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("this machine has no C compiler (Debian: apt-get install gcc libc6-dev)")
    library, file = folder / "clock.so", folder / "clock"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
    file.write_bytes(bytes(8))
    return Clock(library, file)
