"""Which partitions of an input a partition reads: a truth table for each rule."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitions.reads import (
    Days,
    EveryFile,
    FilesListedUntilDay,
    FilesWithDay,
    Outputs,
    Read,
    SameKey,
    UntilDay,
    digest,
)


@dataclass(frozen=True)
class AnOutput:
    index: tuple[str, ...] = ()
    content_version: str = "1"


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
        (EveryFile(), "logs", "2026-03-01", ["a.gz", "b.gz", "c.gz", "d.gz"]),  # in order, whatever the day
        (EveryFile(), "content", "1970-01-01", ["b.jpg", "cat%2C a.jpg", "stray.jpg"]),
    ],
)
def test_the_partitions_read_are_those_of_the_rule_that_are_there(
    read: Read, asset: str, partition: str, selected: list[str]
) -> None:
    assert read.select(asset, [partition], GIVEN) == {partition: selected}
    assert read.union(asset, [partition], GIVEN) == set(selected)


def test_a_partition_with_the_same_key_is_told_by_its_version_whatever_the_key() -> None:
    """A file that has got another name is the same file."""
    files = {"old.jpg": AnOutput(content_version="v1"), "new.jpg": AnOutput(content_version="v1")}
    digests = SameKey().digests("files", ["old.jpg", "new.jpg", "gone.jpg"], lambda _: files)
    assert digests == {"old.jpg": "v1", "new.jpg": "v1", "gone.jpg": ""}


@pytest.mark.parametrize("read", [Days(-2), FilesWithDay(), EveryFile(), UntilDay()])
def test_the_digest_of_several_is_that_of_their_keys_and_versions(read: Read) -> None:
    asset = "days" if isinstance(read, Days | UntilDay) else "logs"
    [selected] = read.select(asset, ["2026-03-01"], GIVEN).values()
    assert selected
    assert read.digests(asset, ["2026-03-01"], GIVEN) == {"2026-03-01": digest(dict.fromkeys(selected, "1"))}


# keys that meet often, so that digests have reason to be equal
some_days = st.sampled_from([f"2026-03-{day:02}" for day in range(1, 7)])
some_files = st.sampled_from(["a", "b", "c%2C", "d"])
versions = st.sampled_from(["1", "2"])
listings = st.lists(st.sampled_from(["a", "b", "c,", "d", "lost"]), max_size=3, unique=True).map(tuple)
sites = st.fixed_dictionaries(
    {
        "days": st.dictionaries(some_days, st.builds(AnOutput, content_version=versions)),
        "logs": st.dictionaries(
            some_files,
            st.builds(AnOutput, st.lists(some_days, max_size=3, unique=True).map(tuple), versions),
        ),
        "content": st.dictionaries(some_files, st.builds(AnOutput, content_version=versions)),
        "metadata": st.dictionaries(some_days, st.builds(AnOutput, listings, versions)),
    }
)
Site = Mapping[str, Mapping[str, AnOutput]]
READS: list[tuple[Read, str]] = [
    (SameKey(), "days"),
    (Days(0), "days"),
    (Days(-2), "days"),
    (Days(-3, -2), "days"),
    (UntilDay(), "days"),
    (FilesWithDay(), "logs"),
    (EveryFile(), "logs"),
    (FilesListedUntilDay("metadata"), "content"),
]


def what_is_read(read: Read, asset: str, partitions: Collection[str], site: Site) -> dict[str, object]:
    """For each partition, what it is made from: keys and versions; for the same key the version alone."""
    selected = read.select(asset, partitions, site.__getitem__)
    pairs = {p: [(key, site[asset][key].content_version) for key in keys] for p, keys in selected.items()}
    if isinstance(read, SameKey):
        return {partition: [version for _, version in read_here] for partition, read_here in pairs.items()}
    return dict(pairs)


@pytest.mark.parametrize(("read", "asset"), READS)
@given(site=sites, partitions=st.sets(some_days))
def test_two_partitions_have_one_digest_exactly_if_they_read_the_same(
    read: Read, asset: str, site: Site, partitions: set[str]
) -> None:
    made_of = what_is_read(read, asset, partitions, site)
    digests = read.digests(asset, partitions, site.__getitem__)
    assert made_of.keys() == digests.keys() == partitions
    for one, other in combinations(partitions, 2):
        assert (digests[one] == digests[other]) == (made_of[one] == made_of[other])


@pytest.mark.parametrize(("read", "asset"), READS)
@given(before=sites, after=sites, partitions=st.sets(some_days))
def test_a_partition_that_reads_something_else_than_before_has_another_digest(
    read: Read, asset: str, before: Site, after: Site, partitions: set[str]
) -> None:
    """Or nobody would notice that it is out of date."""
    first, second = (what_is_read(read, asset, partitions, site) for site in (before, after))
    old, new = (read.digests(asset, partitions, site.__getitem__) for site in (before, after))
    for partition in partitions:
        if first[partition] != second[partition]:
            assert old[partition] != new[partition]


@pytest.mark.parametrize(("read", "asset"), READS)
@given(site=sites, partitions=st.sets(some_days))
def test_the_union_is_that_of_what_is_selected(
    read: Read, asset: str, site: Site, partitions: set[str]
) -> None:
    selected = read.select(asset, partitions, site.__getitem__)
    assert read.union(asset, partitions, site.__getitem__) == {k for keys in selected.values() for k in keys}


@pytest.mark.parametrize(("read", "asset"), READS)
@given(site=sites, partitions=st.sets(some_days))
def test_a_partition_is_told_the_same_whatever_others_are_asked_for(
    read: Read, asset: str, site: Site, partitions: set[str]
) -> None:
    together = read.select(asset, partitions, site.__getitem__)
    digests = read.digests(asset, partitions, site.__getitem__)
    for partition in partitions:
        assert read.select(asset, [partition], site.__getitem__) == {partition: together[partition]}
        assert read.digests(asset, [partition], site.__getitem__) == {partition: digests[partition]}


@pytest.mark.parametrize(
    "read", [SameKey(), Days(-6), UntilDay(), FilesWithDay(), EveryFile(), FilesListedUntilDay("metadata")]
)
def test_dagster_knows_the_mapping_of_every_rule(read: Read) -> None:
    """A mapping of our own would vanish from the daemon's and the UI's view."""
    assert type(read.mapping()).__module__.startswith("dagster.")


def test_the_edge_of_a_window_of_days_is_what_is_loaded() -> None:
    days = dg.DailyPartitionsDefinition("2026-02-01", end_date="2026-04-01")
    subset = days.empty_subset().with_partition_keys(["2026-03-01"])
    mapped = Days(-2, 0).mapping().get_upstream_mapped_partitions_result_for_partitions(subset, days, days)
    assert sorted(mapped.partitions_subset.get_partition_keys()) == ["2026-02-27", "2026-02-28", "2026-03-01"]
