"""The law's effects, one at a time, and the scores that measure predictions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from photo_popularity.sample_site import law
from photo_popularity.sample_site.law import PhotoTraits, expected_views, scores

PLAIN = PhotoTraits(
    animal="dog",
    owner_strength=-law.ANIMAL_EFFECT["dog"],
    luck=0.0,
    brightness=law.BEST_BRIGHTNESS,
    saturation=law.TYPICAL_SATURATION,
    aspect=1.5,
    uploaded_at=datetime(2026, 10, 4, 12, 0, tzinfo=UTC),
)
SUNDAY, MONDAY = date(2026, 10, 4), date(2026, 10, 5)


def test_a_photo_without_any_effect_gets_the_base_on_its_first_day() -> None:
    assert expected_views(PLAIN, MONDAY) == pytest.approx(law.BASE_VIEWS)


def test_nobody_sees_a_photo_on_its_upload_day_or_after_its_deletion() -> None:
    deleted = replace(PLAIN, deleted_at=datetime(2026, 10, 7, 1, tzinfo=UTC))
    assert expected_views(PLAIN, SUNDAY) == 0
    assert expected_views(deleted, date(2026, 10, 7)) > 0
    assert expected_views(deleted, date(2026, 10, 8)) == 0


@pytest.mark.parametrize(
    ("change", "log_ratio"),
    [
        ({"animal": "cat"}, 0.35),
        ({"animal": "neither"}, -0.75),
        ({"owner_strength": 0.9}, 1.0),
        ({"luck": -0.5}, -0.5),
        ({"brightness": 0.48}, -0.14),
        ({"brightness": 0.0}, -1.3),  # the floor
        ({"saturation": 0.5}, 0.2),
        ({"saturation": 1.0}, 0.6),  # the limit
        ({"aspect": 0.75}, -0.2),
        ({"uploaded_at": datetime(2026, 10, 4, 18, tzinfo=UTC)}, 0.45),
    ],
)
def test_each_trait_changes_the_expectation_as_documented(
    change: dict[str, float | str | datetime], log_ratio: float
) -> None:
    changed = replace(PLAIN, **change)  # type: ignore[arg-type]
    ratio = expected_views(changed, MONDAY) / expected_views(PLAIN, MONDAY)
    assert np.log(ratio) == pytest.approx(log_ratio)


def test_age_takes_its_share_down_to_a_floor() -> None:
    later = expected_views(PLAIN, MONDAY + timedelta(days=7))
    assert later == pytest.approx(law.BASE_VIEWS * 8**-1.1)
    assert expected_views(PLAIN, MONDAY + timedelta(days=700)) == pytest.approx(law.BASE_VIEWS * 0.02)


def test_scores_of_a_perfect_an_inverse_and_a_constant_prediction() -> None:
    perfect = scores([1, 2, 3], [1, 2, 3])
    assert perfect.spearman == pytest.approx(1)
    assert perfect.mae_log1p == 0
    assert scores([3, 2, 1], [1, 2, 3]).spearman == pytest.approx(-1)
    assert scores([5, 5, 5], [1, 2, 3]).spearman == 0


def test_spearman_gives_ties_their_mean_rank() -> None:
    assert scores([1, 1, 2, 3], [1, 2, 3, 4]).spearman == pytest.approx(0.9486833)
