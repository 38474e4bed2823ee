"""Behaviour signals: what people did with each photo on a UTC day."""

from __future__ import annotations

import dagster as dg
import pandas as pd

from assets.pipeline_asset import pipeline_asset
from partitions.reads import FilesWithDay
from photo_popularity.domain.behavior import merge_signals
from resources.table_storage import Result


@pipeline_asset(
    partitions="days", reads={"log_signals": FilesWithDay()}, group="logs", kinds=("pandas", "parquet")
)
def behavior_signals(context: dg.AssetExecutionContext, log_signals: pd.DataFrame) -> Result:
    """One row is a photo on a UTC day: views, unique visitors, likes, downloads, bytes and external referrals by people,
    and the views by robots apart.

    Merged from the partial counts of every log file that holds lines of the day. A late or edited file recomputes
    exactly the days inside it. A day is complete when the logs have passed its end.
    """
    days = [pd.Timestamp(key) for key in context.partition_keys]
    signals = merge_signals(log_signals, days)
    return Result(signals, {"views": int(signals["views"].sum()), "robot_views": int(signals["robot_views"].sum())})
