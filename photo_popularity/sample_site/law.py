"""The law of popularity on the sample site: the views that people give a photo on a day.

Pure functions of a photo's traits. Who views at what second and what a log says of it belongs to traffic.py.

    expected views = BASE_VIEWS * decay(age)
        * exp(owner + animal + light + colour + shape + hour + weekday + luck)

- owner, luck: lasting log-normal strengths; an owner's shows in all their photos, luck only in a photo's history
- animal: ANIMAL_EFFECT of what the photo shows
- light:  -LIGHT_PENALTY * (mean luminance - BEST_BRIGHTNESS)^2, never below LIGHT_FLOOR
- colour: COLOUR_EFFECT * (mean saturation - TYPICAL_SATURATION), at most COLOUR_LIMIT either way
- shape:  PORTRAIT_EFFECT for a photo that is higher than wide
- hour:   HOUR_EFFECT * cos(2 pi * (hour of upload in UTC - BEST_HOUR) / 24)
- weekday: WEEKEND_EFFECT on Saturday and Sunday (UTC) of the day of viewing
- decay:  (1 + age)^-DECAY_EXPONENT, never below DECAY_FLOOR, age in days since the first day in the galleries

The galleries are built at 00:00 UTC: a photo is seen from the day after its upload through the day of its
deletion, so at the end of its upload day every photo is new. Counts are Poisson with this mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import numpy.typing as npt

BASE_VIEWS = 30.0
ANIMAL_EFFECT = {"cat": 0.45, "dog": 0.1, "neither": -0.65}
OWNER_SIGMA = 0.5
LUCK_SIGMA = 0.3
LIGHT_PENALTY, BEST_BRIGHTNESS, LIGHT_FLOOR = 14.0, 0.58, -1.3
COLOUR_EFFECT, TYPICAL_SATURATION, COLOUR_LIMIT = 2.0, 0.4, 0.6
PORTRAIT_EFFECT = -0.2
HOUR_EFFECT, BEST_HOUR = 0.45, 18.0
WEEKEND_EFFECT = 0.25
DECAY_EXPONENT, DECAY_FLOOR = 1.1, 0.02


@dataclass(frozen=True)
class PhotoTraits:
    """All that the law asks of a photo; `owner_strength` and `luck` are logarithms, times are UTC."""

    animal: str
    owner_strength: float
    luck: float
    brightness: float
    saturation: float
    aspect: float
    uploaded_at: datetime
    deleted_at: datetime | None = None


@dataclass(frozen=True)
class Scores:
    """How well predictions meet counts: rank correlation and mean absolute error of log(1 + views)."""

    spearman: float
    mae_log1p: float


def parameters() -> dict[str, float | dict[str, float]]:
    """The law's constants by name, for law.json."""
    return {name: value for name, value in globals().items() if name.isupper()}


def lasting_appeal(traits: PhotoTraits) -> float:
    """Expected views on a weekday at age 0: everything but age and weekday."""
    light = max(-LIGHT_PENALTY * (traits.brightness - BEST_BRIGHTNESS) ** 2, LIGHT_FLOOR)
    colour = COLOUR_EFFECT * (traits.saturation - TYPICAL_SATURATION)
    colour = min(max(colour, -COLOUR_LIMIT), COLOUR_LIMIT)
    shape = PORTRAIT_EFFECT if traits.aspect < 1 else 0.0
    hour_of_upload = traits.uploaded_at.hour + traits.uploaded_at.minute / 60
    hour = HOUR_EFFECT * math.cos(2 * math.pi * (hour_of_upload - BEST_HOUR) / 24)
    effects = (
        ANIMAL_EFFECT[traits.animal] + traits.owner_strength + light + colour + shape + hour + traits.luck
    )
    return BASE_VIEWS * math.exp(effects)


def decay(age_days: int) -> float:
    """The share of its first day's appeal that a photo has kept."""
    return max(math.pow(1 + age_days, -DECAY_EXPONENT), DECAY_FLOOR)


def expected_views(traits: PhotoTraits, day: date) -> float:
    """Mean of the Poisson count of views by people on a UTC day; 0 while it is not in the galleries."""
    age_days = (day - traits.uploaded_at.date()).days - 1
    if age_days < 0 or (traits.deleted_at is not None and day > traits.deleted_at.date()):
        return 0.0
    weekday = WEEKEND_EFFECT if day.weekday() >= 5 else 0.0
    return lasting_appeal(traits) * math.exp(weekday) * decay(age_days)


def scores(predicted: npt.ArrayLike, realised: npt.ArrayLike) -> Scores:
    """Scores of predictions; those of the law's own expectation are the best that anyone can hope for."""
    guess, truth = np.asarray(predicted, float), np.asarray(realised, float)
    error = float(np.mean(np.abs(np.log1p(guess) - np.log1p(truth))))
    return Scores(spearman=_correlation(_ranks(guess), _ranks(truth)), mae_log1p=error)


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Ranks from 0, ties share their mean rank."""
    _, group, size = np.unique(values, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(size) - (size + 1) / 2
    return np.asarray(mean_rank[group], float)


def _correlation(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> float:
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])
