"""The day partitions: UTC days, the key of everything that is not a file."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import dagster as dg


def day_partitions(first_day: date) -> dg.DailyPartitionsDefinition:
    """UTC days from `first_day` up to the last one that has ended."""
    return dg.DailyPartitionsDefinition(start_date=first_day.isoformat(), timezone="UTC")


def days_between(first: date, last: date) -> list[str]:
    """The keys of all days from `first` to `last`, both included."""
    return [str(first + timedelta(days=offset)) for offset in range((last - first).days + 1)]


def contiguous(keys: Iterable[str]) -> list[list[str]]:
    """The day keys in runs without a gap, oldest first: each can be one ranged run."""
    ranges: list[list[str]] = []
    for key in sorted(keys):
        if ranges and date.fromisoformat(ranges[-1][-1]) + timedelta(days=1) == date.fromisoformat(key):
            ranges[-1].append(key)
        else:
            ranges.append([key])
    return ranges
