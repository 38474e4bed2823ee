"""Behaviour signals: what people did with each photo on a UTC day."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd

from assets.pictures import picture
from assets.pipeline_asset import day_asset
from assets.progress import Work
from partitions.days import days_between
from partitions.reads import FilesWithDay
from photo_popularity.domain import plots
from photo_popularity.domain.behavior import merge_signals
from resources.output_parts import Result
from resources.table_storage import TableStorage

DAYS_SHOWN = 60


@day_asset(reads={"log_signals": FilesWithDay()}, group="logs", kinds=("pandas", "parquet"))
def behavior_signals(work: Work, log_signals: pd.DataFrame, storage: TableStorage) -> Result:
    """One row is a photo on a UTC day: what people did with it, and the views by robots apart.

    Views, unique visitors, likes, downloads, bytes and external referrals, merged from the partial counts of every log file that holds lines of the day. A late or edited file recomputes
    exactly the days inside it. A day is complete when the logs have passed its end.
    """
    signals = merge_signals(log_signals, [pd.Timestamp(key) for key in work.partition_keys])
    shown = {
        "views": int(signals["views"].sum()),
        "robot_views": int(signals["robot_views"].sum()),
        "daily_views": picture(plots.daily_views(_with_days_before(signals, storage, work.partition_keys))),
    }
    return Result(signals, shown)


def _with_days_before(signals: pd.DataFrame, storage: TableStorage, made: list[str]) -> pd.DataFrame:
    """The signals, and the current ones of the days before them: for the picture alone, no row depends on it."""
    last = date.fromisoformat(max(made))
    current = storage.catalog.current("behavior_signals")
    wanted = set(days_between(last - timedelta(days=DAYS_SHOWN - 1), last)) - set(made)
    outputs = {day: current[day] for day in sorted(wanted & current.keys())}
    before = storage.read_table("behavior_signals", outputs, plots.DAILY_VIEWS)
    return pd.concat([before, signals[[*plots.DAILY_VIEWS]]], ignore_index=True)
