"""Popularity predictions: the views that each photo may expect."""

from __future__ import annotations

import dagster as dg
import pandas as pd

from assets.pipeline_asset import pipeline_asset
from partitions.reads import Days, SameKey
from photo_popularity.domain.popularity import predict, read_model
from resources.table_storage import ModelFile, Result


@pipeline_asset(
    partitions="days",
    reads={"popularity_model": SameKey(), "photo_features": SameKey()},
    group="popularity",
    kinds=("scikitlearn", "parquet"),
)
def popularity_predictions(
    context: dg.AssetExecutionContext, popularity_model: dict[str, ModelFile], photo_features: pd.DataFrame
) -> Result:
    """One row is a photo alive at the end of the night, with the views by people expected in the seven days after it."""
    frames = []
    for night, features in photo_features.groupby("day"):
        model = popularity_model[f"{night:%Y-%m-%d}"]
        frames.append(predict(read_model(model.data), features))
    return Result(pd.concat(frames, ignore_index=True))
