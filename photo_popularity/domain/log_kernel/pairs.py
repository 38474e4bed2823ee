"""Distinct (row, visitor) pairs, in sorted runs: on disk once they are many, so that memory stays bounded."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import numpy as np

MOST_IN_MEMORY = 6 << 20
SLICE = 1 << 16


class PairRuns:
    """Pairs as `row << 32 | visitor`, each once; adding costs a sort of what is added and, now and then, of more."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []
        self._on_disk: list[_DiskRun] = []

    def add(self, pairs: np.ndarray) -> None:
        """Add pairs in any order, of which there may be several alike; they are sorted where they lie."""
        self._runs.append(_distinct(pairs).copy())
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            self._runs.append(_distinct(np.concatenate([self._runs.pop(), self._runs.pop()])))
        if sum(len(run) for run in self._runs) > MOST_IN_MEMORY:
            self._spill(self._runs.pop(0))

    def add_last(self, pairs: np.ndarray) -> None:
        """Add pairs that stay where they lie until everything has been read."""
        self._runs.append(_distinct(pairs))

    def slices(self) -> Iterator[np.ndarray]:
        """All distinct pairs in order, a few at a time, the pairs of a row always together."""
        runs: list[_DiskRun | _MemoryRun] = [*self._on_disk]
        runs += [_MemoryRun(run) for run in self._runs if len(run)]
        if not runs:
            return
        longest = max((run.pairs for run in runs), key=len)
        ends = np.unique(longest[SLICE::SLICE] >> 32)
        positions = [0] * len(runs)
        for end in (*(ends << 32).tolist(), None):
            parts = []
            for number, run in enumerate(runs):
                stop = len(run.pairs) if end is None else int(np.searchsorted(run.pairs, end))
                parts.append(run.part(positions[number], stop))
                positions[number] = stop
            if any(len(part) for part in parts):
                yield parts[0] if len(parts) == 1 else _distinct(np.concatenate(parts))

    def _spill(self, run: np.ndarray) -> None:
        self._on_disk.append(_DiskRun(run))


class _MemoryRun:
    """A sorted run in memory."""

    def __init__(self, pairs: np.ndarray) -> None:
        self.pairs = pairs

    def part(self, start: int, stop: int) -> np.ndarray:
        return self.pairs[start:stop]


class _DiskRun:
    """A sorted run in a file: `pairs` is for searching, as what is read through it counts as memory of this process."""

    def __init__(self, run: np.ndarray) -> None:
        # the file lives as long as the run
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        run.tofile(self._file)
        self._file.flush()
        self.pairs = np.memmap(self._file, dtype=run.dtype, mode="r")

    def part(self, start: int, stop: int) -> np.ndarray:
        size = self.pairs.itemsize
        return np.frombuffer(
            os.pread(self._file.fileno(), (stop - start) * size, start * size), self.pairs.dtype
        )


def _distinct(pairs: np.ndarray) -> np.ndarray:
    """The pairs in order, each once, where they lie; np.unique takes several times as long, and memory."""
    pairs.sort()
    kept = 0
    for start in range(0, len(pairs), SLICE):
        part = pairs[start : start + SLICE]
        is_first = np.empty(len(part), dtype=bool)
        np.not_equal(part[1:], part[:-1], out=is_first[1:])
        is_first[0] = start == 0 or part[0] != pairs[kept - 1]
        found = part[is_first]
        pairs[kept : kept + len(found)] = found
        kept += len(found)
    return pairs[:kept]
