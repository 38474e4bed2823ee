"""Which partitions of an input a partition reads: a truth table for each rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
import pytest

from partitions.reads import Days, FilesListedUntilDay, FilesWithDay, Outputs, Read, SameKey, UntilDay


@dataclass(frozen=True)
class AnOutput:
    index: tuple[str, ...] = ()


def outputs(**assets: Mapping[str, tuple[str, ...]]) -> Outputs:
    return lambda asset: {key: AnOutput(index) for key, index in assets[asset].items()}


DAYS = dict.fromkeys(["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-03"], ())
LOGS = {"b.gz": ("2026-03-01", "2026-03-02"), "a.gz": ("2026-03-01",), "c.gz": (), "d.gz": ("2026-03-03",)}
CONTENT = dict.fromkeys(["cat%2C a.jpg", "b.jpg", "stray.jpg"], ())
METADATA = {"2026-03-01": ("cat, a.jpg", "lost.jpg"), "2026-03-02": ("b.jpg",)}
GIVEN = outputs(days=DAYS, logs=LOGS, content=CONTENT, metadata=METADATA)


@pytest.mark.parametrize(
    ("read", "asset", "partition", "selected"),
    [
        (SameKey(), "days", "2026-03-01", ["2026-03-01"]),
        (SameKey(), "days", "2026-03-02", []),  # not there
        (SameKey(), "content", "cat%2C a.jpg", ["cat%2C a.jpg"]),
        (Days(0), "days", "2026-03-01", ["2026-03-01"]),
        (
            Days(-2),
            "days",
            "2026-03-01",
            ["2026-02-27", "2026-02-28", "2026-03-01"],
        ),  # over the end of a month
        (Days(-2), "days", "2026-03-04", ["2026-03-03"]),  # gaps are left out
        (Days(-7, -7), "days", "2026-03-08", ["2026-03-01"]),  # one day a week ago
        (Days(1, 7), "days", "2026-02-28", ["2026-03-01", "2026-03-03"]),
        (Days(-6), "days", "2026-04-01", []),
        (UntilDay(), "days", "2026-03-02", ["2026-02-27", "2026-02-28", "2026-03-01"]),
        (UntilDay(), "days", "2026-02-27", ["2026-02-27"]),  # the day itself
        (UntilDay(), "days", "2026-02-26", []),
        (FilesWithDay(), "logs", "2026-03-01", ["a.gz", "b.gz"]),  # in order, whatever came first
        (FilesWithDay(), "logs", "2026-03-02", ["b.gz"]),
        (FilesWithDay(), "logs", "2026-03-04", []),
        (FilesListedUntilDay("metadata"), "content", "2026-02-28", []),
        # a row without a file is no file, and a path is not its key
        (FilesListedUntilDay("metadata"), "content", "2026-03-01", ["cat%2C a.jpg"]),
        (
            FilesListedUntilDay("metadata"),
            "content",
            "2026-03-09",
            ["b.jpg", "cat%2C a.jpg"],
        ),  # a file without a row is not read
    ],
)
def test_the_partitions_read_are_those_of_the_rule_that_are_there(
    read: Read, asset: str, partition: str, selected: list[str]
) -> None:
    assert read.select(asset, partition, GIVEN) == selected


@pytest.mark.parametrize(
    "read", [SameKey(), Days(-6), UntilDay(), FilesWithDay(), FilesListedUntilDay("metadata")]
)
def test_dagster_knows_the_mapping_of_every_rule(read: Read) -> None:
    """A mapping of our own would vanish from the daemon's and the UI's view."""
    assert type(read.mapping()).__module__.startswith("dagster.")


def test_the_edge_of_a_window_of_days_is_what_is_loaded() -> None:
    days = dg.DailyPartitionsDefinition("2026-02-01", end_date="2026-04-01")
    subset = days.empty_subset().with_partition_keys(["2026-03-01"])
    mapped = Days(-2, 0).mapping().get_upstream_mapped_partitions_result_for_partitions(subset, days, days)
    assert sorted(mapped.partitions_subset.get_partition_keys()) == ["2026-02-27", "2026-02-28", "2026-03-01"]
