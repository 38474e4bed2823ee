"""Photo features: what was known of each living photo at the end of a day."""

from __future__ import annotations

import pandas as pd

from assets.pipeline_asset import day_asset
from assets.progress import Work
from partitions.reads import Days, FilesListedUntilDay, UntilDay
from photo_popularity.domain.features import BEHAVIOR_WINDOW_DAYS, build_features


@day_asset(
    reads={
        "photo_metadata": UntilDay(),
        "photo_content": FilesListedUntilDay("photo_metadata"),
        "cat_dog_scores": FilesListedUntilDay("photo_metadata"),
        "behavior_signals": Days(1 - BEHAVIOR_WINDOW_DAYS),
    },
    group="popularity",
    kinds=("pandas", "parquet"),
)
def photo_features(
    work: Work,
    photo_metadata: pd.DataFrame,
    photo_content: pd.DataFrame,
    cat_dog_scores: pd.DataFrame,
    behavior_signals: pd.DataFrame,
) -> pd.DataFrame:
    """One row is a photo alive at the end of the day, with only what was known then.

    Titles and albums are left out: a later edit could have changed them. Behaviour reaches back 28 days.
    """
    return build_features(
        [pd.Timestamp(key) for key in work.partition_keys],
        photos=photo_metadata,
        content=photo_content,
        scores=cat_dog_scores,
        behavior=behavior_signals,
    )
