"""What visitors did with photos: from the counts of log files to days.

How the lines of a file are counted belongs in `log_scan`, what counts in `behavior_rules`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photo_popularity.domain.behavior_rules import COUNTS
from photo_popularity.domain.errors import InputError

_HASHES = pd.ArrowDtype(pa.list_(pa.uint64()))
_SIGNAL_KEY = ["day", "photo_id"]
_BEHAVIOR = [*_SIGNAL_KEY, "views", "unique_visitors", *COUNTS[1:]]


def merge_signals(signals: pd.DataFrame, days: Sequence[pd.Timestamp]) -> pd.DataFrame:
    """The behavior_signals of some days, from the log_signals of every file that holds lines of them.

    Visitors are exact: a client in two files counts once. A photo without any count that day has no row, nor
    has a day without signals. Raises InputError when the files of a day were hashed with different salts.
    """
    chosen = signals["day"].isin(list(days))
    _check_one_salt_a_day(signals, chosen)
    # one photo_id column may hold only nulls, which have another type
    photos = signals[chosen & signals["photo_id"].notna()].astype({"photo_id": "str"})
    by_photo = photos.groupby(_SIGNAL_KEY, sort=True)
    merged = by_photo[COUNTS].sum()
    merged["unique_visitors"] = _distinct_in_groups(
        photos["visitors"], by_photo.ngroup().to_numpy(), len(merged)
    )
    merged = merged[(merged[COUNTS] > 0).any(axis=1)].reset_index()
    types = dict.fromkeys(_BEHAVIOR[2:], "int64")
    return merged[_BEHAVIOR].astype({"day": "datetime64[us]", **types})


def _distinct_in_groups(lists: pd.Series, groups: np.ndarray, group_count: int) -> np.ndarray:
    """How many distinct values the lists of each group hold together."""
    array = pa.array(lists.astype(_HASHES))
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    lengths = pc.list_value_length(array).to_numpy(zero_copy_only=False)
    # a value's number and its group share one word, which sorts many times as fast as a pair
    values, _ = pd.factorize(array.flatten().to_numpy())
    pairs = np.repeat(groups.astype(np.int64), lengths) << 32 | values
    pairs.sort()
    is_first = np.ones(len(pairs), dtype=bool)
    is_first[1:] = pairs[1:] != pairs[:-1]
    return np.bincount(pairs[is_first] >> 32, minlength=group_count)


def _check_one_salt_a_day(signals: pd.DataFrame, chosen: pd.Series) -> None:
    salts = signals["salt_version"][chosen].groupby(signals["day"][chosen].to_numpy()).nunique()
    if (salts <= 1).all():
        return
    day = salts[salts > 1].index[0]
    files = signals[signals["day"] == day].groupby("salt_version")["file"].first()
    examples = ", ".join(f"{file} has {salt}" for salt, file in files.items())
    raise InputError(
        f"{day:%Y-%m-%d}: its log files were hashed with different salts ({examples}), so visitors cannot be "
        "counted; materialize log_signals of the older ones again"
    )
