"""What one call of a step's function is to make, and how far a step is, told as lines of the run's log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SECONDS_BETWEEN_LINES = 2.0


@dataclass(frozen=True)
class Work:
    """The partitions of one call; the step makes `of` in all, and has made `before` of them when the call begins."""

    partition_keys: list[str]
    log: logging.Logger
    before: int = 0
    of: int = 0

    @property
    def partition_key(self) -> str:
        """The one partition of a step that makes one a run."""
        [key] = self.partition_keys
        return key


def followed(work: Work, keys: Sequence[str], what: str) -> Iterator[str]:
    """The keys one by one; now and then a line says how many are done."""
    told, total = time.monotonic(), max(work.of, len(keys))
    for done, key in enumerate(keys):
        if time.monotonic() - told > SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            work.log.info(f"{work.before + done:,} of {total:,} {what} done")
        yield key
    work.log.info(f"{min(work.before + len(work.partition_keys), total):,} of {total:,} {what} done")
