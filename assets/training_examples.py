"""Training examples: features, and the views that followed."""

from __future__ import annotations

import pandas as pd

from assets.pipeline_asset import day_asset
from assets.progress import Work
from partitions.reads import Days
from photo_popularity.domain.popularity import LABEL_DAYS, build_examples


@day_asset(
    reads={"photo_features": Days(-LABEL_DAYS, -LABEL_DAYS), "behavior_signals": Days(1 - LABEL_DAYS)},
    group="popularity",
    kinds=("pandas", "parquet"),
)
def training_examples(
    work: Work, photo_features: pd.DataFrame, behavior_signals: pd.DataFrame
) -> pd.DataFrame:
    """One row is a photo as it was known seven days before the night, with the views by people that followed.

    The partition is the night on which the seven days were over, so no partition ever reads a later day.
    """
    nights = [pd.Timestamp(key) for key in work.partition_keys]
    return build_examples(nights, features=photo_features, behavior=behavior_signals)
