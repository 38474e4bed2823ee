"""How large the sites are that whole runs work on."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from photo_popularity.sample_site.population import SampleScale

# the fewest days that make a model
SCALE = SampleScale(
    first_day=date(2026, 10, 1), days=24, photos_a_day=2, earlier_photos=12, owners=8, drawings_a_class=6
)
SMALL_SCALE = replace(SCALE, photos_a_day=1, earlier_photos=6, owners=5)
