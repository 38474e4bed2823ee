"""`python -m benchmarks.logs.rows OURS OTHER`: how many rows of two tables differ, in any count or by being there.

It is a program of its own because its memory must not be counted for what is measured: a process starts with the peak
of the one that started it.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path


def differing_rows(ours: Path, other: Path) -> int:
    """Rows that one has and the other has not, or has with other counts."""
    left, right = _rows(ours), _rows(other)
    return sum(left.get(key) != right.get(key) for key in left.keys() | right.keys())


def _rows(path: Path) -> dict[tuple[str, str], tuple[int, ...]]:
    """The counts of each photo and day, in the order of the standard columns."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.reader(file)
        next(rows, None)
        return {(day[:10], photo): tuple(map(int, counts)) for day, photo, *counts in rows}


if __name__ == "__main__":
    print(differing_rows(Path(sys.argv[1]), Path(sys.argv[2])))
