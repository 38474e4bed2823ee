"""When work that a sensor has requested may be requested again: after a pause that doubles each time.

A digest stands for a piece of work; what it means is the sensor's business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0


@dataclass(frozen=True)
class Attempts:
    """A sensor's cursor: how often each piece of work was requested, and from when on it may be again."""

    requested: Mapping[str, tuple[int, float]] = field(default_factory=dict)

    def may_start(self, work: str, now: float) -> bool:
        """Whether the work is new, or its pause is over."""
        left = self.requested.get(work, (0, 0.0))[1] - now
        # no pause is longer than the longest: the clock was ahead when it began
        return not 0 < left <= LONGEST_PAUSE_SECONDS

    def with_start(self, work: str, now: float) -> Attempts:
        """The attempts after requesting the work now; what has long been done or given up is forgotten."""
        before = self.requested.get(work, (0, 0.0))[0]
        pause = min(FIRST_PAUSE_SECONDS * 2**before, LONGEST_PAUSE_SECONDS)
        kept = {w: a for w, a in self.requested.items() if a[1] > now - 2 * LONGEST_PAUSE_SECONDS}
        return Attempts({**kept, work: (before + 1, now + pause)})

    def to_cursor(self) -> str:
        """Text for Dagster to keep."""
        return json.dumps(dict(self.requested))

    @classmethod
    def from_cursor(cls, cursor: str | None) -> Attempts:
        """The attempts that a sensor's cursor holds."""
        stored = json.loads(cursor) if cursor else {}
        return cls({work: (int(count), float(until)) for work, (count, until) in stored.items()})
