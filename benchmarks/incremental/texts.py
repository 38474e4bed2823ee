"""The files that are measured on: small texts, all different, a thousand in each folder; and editing some of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

FILES_IN_A_FOLDER = 1_000
SECONDS_AGO = 3_600.0


@dataclass
class Texts:
    """The texts of a folder. No two of them, and no two editions of one, have the same bytes.

    The number of words differs between editions too, so that a second step that reads it has something to do. Texts
    that are `aged` look as if they had been written an hour ago: the sensor leaves alone what was just written.
    """

    folder: Path
    aged: bool = True
    _edition: int = 0
    _editions: dict[int, int] = field(default_factory=dict)
    _word_counts: set[int] = field(default_factory=set)

    def name(self, place: int) -> str:
        """Path of a text below the folder."""
        return f"{place // FILES_IN_A_FOLDER:04d}/{place:07d}.txt"

    def words(self, place: int) -> int:
        """How many words the text has now."""
        return 2 + place % 7 + self._editions.get(place, 0)

    def write(self, places: Iterable[int]) -> int:
        """Write these texts; returns how many of their numbers of words no text had before."""
        moment = time.time() - SECONDS_AGO
        counts = set()
        for place in places:
            path = self.folder / self.name(place)
            if place % FILES_IN_A_FOLDER == 0 or not path.parent.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
            words = self.words(place)
            path.write_text(f"{place} {self._editions.get(place, 0)}{' w' * (words - 2)}")
            if self.aged:
                os.utime(path, (moment, moment))
            counts.add(words)
        new = counts - self._word_counts
        self._word_counts |= counts
        return len(new)

    def edit(self, changed: int, of: int) -> int:
        """Change so many texts, scattered evenly over the first ones `of` the folder; returns what `write` does."""
        self._edition += 1
        places = [number * (of // changed) for number in range(changed)]
        self._editions |= dict.fromkeys(places, self._edition)
        return self.write(places)
