"""A complete sample site as its users see it: where it lies, how large it is, and what is true of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

MARKER, LAW, TRUTH = "sample_site.json", "law.json", "truth.json"


@dataclass(frozen=True)
class SampleSite:
    """A complete sample site; `is_fresh` tells whether this call generated it."""

    folder: Path
    seed: int
    first_day: date
    last_day: date
    photos: int
    lines: int
    malformed_lines: int
    is_fresh: bool

    def truth(self) -> list[dict[str, str | int]]:
        """The behavior_signals that are right, a row per day and photo with any, sorted by both."""
        stored = json.loads((self.folder / TRUTH).read_text())
        columns: list[str] = stored["columns"]
        return [dict(zip(columns, row, strict=True)) for row in stored["rows"]]

    def expected_views(self) -> dict[tuple[date, str], float]:
        """The law's expectation for every log day and every photo that is in the galleries on it."""
        stored = json.loads((self.folder / LAW).read_text())["expected_views"]
        days = {day: date.fromisoformat(day) for day in stored}
        return {(days[day], photo): views for day, row in stored.items() for photo, views in row.items()}


def read_site(folder: Path, *, is_fresh: bool = False) -> SampleSite:
    """The complete site in a folder."""
    stored = json.loads((folder / MARKER).read_text())
    first, last = (date.fromisoformat(day) for day in stored["log_days"])
    return SampleSite(folder, stored["recipe"]["seed"], first, last, **stored["counts"], is_fresh=is_fresh)
