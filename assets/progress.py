"""What one call of a step's function is to make, and how far a step over files is, told as lines of the run's log."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

SECONDS_BETWEEN_LINES = 2.0


@dataclass(frozen=True)
class Work:
    """The days of one call."""

    partition_keys: list[str]
    log: logging.Logger

    @property
    def partition_key(self) -> str:
        """The one day of a step that makes one a run."""
        [key] = self.partition_keys
        return key


@dataclass
class Progress:
    """Counts the files that are done; now and then a line says how many."""

    what: str
    total: int
    log: logging.Logger
    done: int = 0
    _told: float = field(default_factory=time.monotonic)

    def step(self) -> None:
        """One more file is done."""
        self.done += 1
        if time.monotonic() - self._told > SECONDS_BETWEEN_LINES or self.done == self.total:
            self._told = time.monotonic()
            self.log.info(f"{self.done:,} of {self.total:,} {self.what} done")
