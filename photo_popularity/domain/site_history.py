"""A stretch of the site's past as arrays of days by photos: who existed when, and what people did.

Only what happened; what it says about a photo is a feature and belongs to `features.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SIGNALS = (
    "views",
    "unique_visitors",
    "likes",
    "downloads",
    "external_referrals",
    "robot_views",
)


@dataclass(frozen=True)
class SiteHistory:
    """Photos and their behaviour as arrays, aligned with the rows of `photos`.

    Times are in days since the start of the first day; `signals` and `existed` have a row per UTC day.
    """

    photos: pd.DataFrame
    last_day: pd.Timestamp
    uploaded_on: NDArray[np.int64]
    alive_from: Array
    alive_until: Array
    owner: NDArray[np.int64]
    signals: dict[str, Array]
    existed: NDArray[np.bool_]


def read_site_history(
    photos: pd.DataFrame, behavior: pd.DataFrame, *, first: pd.Timestamp, last: pd.Timestamp
) -> SiteHistory:
    """The days from `first` to `last`; photos uploaded later, other days and unknown photos are left out."""
    uploaded = photos["uploaded_at"].dt.tz_localize(None)
    known = photos[uploaded < last + pd.Timedelta(days=1)].sort_values("photo_id", ignore_index=True)
    alive_from = _days_since(known["uploaded_at"], first)
    deleted = _days_since(known["deleted_at"], first)
    alive_until = np.where(np.isnan(deleted), np.inf, deleted)
    row = np.arange((last - first).days + 1)[:, None]
    return SiteHistory(
        photos=known,
        last_day=last,
        uploaded_on=np.floor(alive_from).astype(np.int64),
        alive_from=alive_from,
        alive_until=alive_until,
        owner=pd.factorize(known["owner_id"])[0].astype(np.int64),
        signals=_signals(behavior, known["photo_id"], first=first, days=len(row)),
        existed=(alive_from < row + 1) & (alive_until >= row),
    )


def _days_since(times: pd.Series, first: pd.Timestamp) -> Array:
    naive = pd.to_datetime(times, utc=True).dt.tz_localize(None)
    return np.asarray((naive - first) / pd.Timedelta(days=1), dtype=np.float64)


def _signals(
    behavior: pd.DataFrame, photo_ids: pd.Series, *, first: pd.Timestamp, days: int
) -> dict[str, Array]:
    since = (behavior["day"] - first).dt.days
    within = behavior[(since >= 0) & (since < days)]
    row = since[within.index].to_numpy()
    column = pd.Index(photo_ids).get_indexer(within["photo_id"])
    known = column >= 0
    arrays = {}
    for name in _SIGNALS:
        arrays[name] = np.zeros((days, len(photo_ids)))
        np.add.at(arrays[name], (row[known], column[known]), within[name].to_numpy()[known])
    return arrays
