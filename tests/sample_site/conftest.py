"""One small sample site around the change of clock, generated once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from photo_popularity.sample_site.generate import generate_site
from photo_popularity.sample_site.population import SampleScale
from photo_popularity.sample_site.site import SampleSite

SMALL = SampleScale(
    first_day=date(2026, 10, 20), days=9, photos_a_day=4, earlier_photos=20, owners=6, drawings_a_class=2
)


@pytest.fixture(scope="session")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> SampleSite:
    """Nine days with 25 October, when Berlin's clocks go back."""
    folder: Path = tmp_path_factory.mktemp("sample") / "site"
    return generate_site(folder, seed=7, scale=SMALL)
