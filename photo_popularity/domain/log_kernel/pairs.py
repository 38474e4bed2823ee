"""Distinct (row, visitor) pairs, in sorted runs: on disk once they are many, so that memory stays bounded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np

MOST_IN_MEMORY = 6 << 20
SLICE = 1 << 19


class PairRuns:
    """Pairs as `row << 32 | visitor`, each once; adding costs a sort of what is added and, now and then, of more."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []
        self._on_disk: list[np.ndarray] = []
        self._files: list[IO[bytes]] = []

    def add(self, pairs: np.ndarray) -> None:
        """Add pairs in any order, of which there may be several alike; they are sorted where they lie."""
        self._runs.append(_distinct(pairs))
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            self._runs.append(_distinct(np.concatenate([self._runs.pop(), self._runs.pop()])))
        if sum(len(run) for run in self._runs) > MOST_IN_MEMORY:
            self._spill(self._runs.pop(0))

    def slices(self) -> Iterator[np.ndarray]:
        """All distinct pairs in order, a few at a time, the pairs of a row always together."""
        runs = [run for run in (*self._on_disk, *self._runs) if len(run)]
        if not runs:
            return
        longest = max(runs, key=len)
        ends = np.unique(longest[SLICE::SLICE] >> 32)
        positions = [0] * len(runs)
        for end in (*(ends << 32).tolist(), None):
            parts = []
            for number, run in enumerate(runs):
                stop = len(run) if end is None else int(np.searchsorted(run, end))
                parts.append(np.asarray(run[positions[number] : stop]))
                positions[number] = stop
            if any(len(part) for part in parts):
                yield np.array(parts[0]) if len(parts) == 1 else _distinct(np.concatenate(parts))

    def _spill(self, run: np.ndarray) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- the run is read as long as the runs live
        run.tofile(file)
        file.flush()
        self._files.append(file)
        self._on_disk.append(np.memmap(file, dtype=run.dtype, mode="r"))


def _distinct(pairs: np.ndarray) -> np.ndarray:
    # np.unique asks a hash table first, which takes several times as long as the sort
    pairs.sort()
    is_first = np.empty(len(pairs), dtype=bool)
    is_first[:1] = True
    np.not_equal(pairs[1:], pairs[:-1], out=is_first[1:])
    return pairs[is_first]
