"""Rows of a day in many files, kept together: always what reading each file would give, and never more reads than changes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from partitions.files import file_of, key_of
from photo_popularity.domain import tables
from photo_popularity.domain.schemas import LOG_SIGNALS
from resources import day_bundles
from resources.catalog_records import Output
from resources.day_bundles import DayBundles
from resources.storage import FileStorage

FIRST = date(2026, 9, 1)


class Files:
    """Files that come, change and go; it counts how often each is read."""

    def __init__(self) -> None:
        self.tables: dict[str, pa.Table] = {}
        self.reads: list[str] = []

    def put(self, name: str, days: Mapping[int, int]) -> None:
        """A file with so many views of a photo on each of these days, counted from the first."""
        rows = [
            {
                "file": name,
                "day": FIRST + timedelta(days=day),
                "photo_id": "p1" if views % 2 else None,
                **dict.fromkeys(LOG_SIGNALS.columns.keys() - {"file", "day", "photo_id", "visitors"}, views),
                "visitors": [views],
                "salt_version": "1",
            }
            for day, views in days.items()
        ]
        self.tables[key_of(name)] = tables.rows_to_table(rows, LOG_SIGNALS, name=name)

    @property
    def outputs(self) -> dict[str, Output]:
        return {key: Output(tables.content_version(table)) for key, table in self.tables.items()}

    @property
    def wanted(self) -> dict[str, list[str]]:
        days = {str(day) for table in self.tables.values() for day in table["day"].to_pylist()}
        return {
            day: [key for key, table in self.tables.items() if day in map(str, table["day"].to_pylist())]
            for day in sorted(days)
        }

    def read(self, outputs: Mapping[str, Output]) -> dict[str, pa.Table]:
        self.reads += outputs
        return {key: self.tables[key] for key in outputs}

    def rows(self) -> list[dict[str, object]]:
        return sorted((row for table in self.tables.values() for row in table.to_pylist()), key=str)


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DayBundles:
    monkeypatch.setattr(day_bundles, "FEWEST_FILES", 1)
    return DayBundles("log_signals", LOG_SIGNALS, FileStorage(str(tmp_path)))


def rows_of(bundles: DayBundles, files: Files) -> list[dict[str, object]]:
    return sorted(bundles.rows(files.wanted, files.outputs, files.read).to_pylist(), key=str)


def test_whatever_becomes_of_the_files_the_rows_are_theirs_and_only_changed_ones_are_read(
    bundles: DayBundles,
) -> None:
    chance, files = random.Random(4), Files()
    for step in range(60):
        before = files.outputs
        for _ in range(chance.randrange(4)):
            name = f"{chance.randrange(12)}.log"
            if chance.random() < 0.3:
                files.tables.pop(key_of(name), None)
            else:
                first = chance.randrange(4)
                files.put(name, {first: chance.randrange(9), first + 1: step})
        files.reads.clear()
        assert rows_of(bundles, files) == files.rows()
        assert set(files.reads) <= {key for key, its in files.outputs.items() if before.get(key) != its}
        assert len(files.reads) == len(set(files.reads))


def test_a_day_alone_has_its_own_rows_alone(bundles: DayBundles) -> None:
    files = Files()
    files.put("a.log", {0: 1, 1: 2})
    [one] = bundles.rows({str(FIRST): [key_of("a.log")]}, files.outputs, files.read).to_pylist()
    assert (one["day"], one["views"]) == (FIRST, 1)


def test_a_bundle_that_is_damaged_anywhere_is_made_anew(bundles: DayBundles) -> None:
    """Arrow notices some damage, gives other rows for some, and crashes on some."""
    files = Files()
    files.put("a.log", {0: 1})
    rows_of(bundles, files)
    [kept] = Path(str(bundles.files.root)).rglob("*.bundle")
    whole, chance = kept.read_bytes(), random.Random(5)
    damages = [b"", b"nonsense", whole[:-1], bytes(len(whole))]
    for _ in range(50):
        place = chance.randrange(len(whole))
        damages.append(whole[:place] + bytes([whole[place] ^ 1 << chance.randrange(8)]) + whole[place + 1 :])
    for damaged in damages:
        kept.write_bytes(damaged)
        files.reads.clear()
        assert rows_of(bundles, files) == files.rows()
        assert files.reads == [key_of("a.log")]
    files.reads.clear()
    assert rows_of(bundles, files) == files.rows()
    assert not files.reads


def test_a_bundle_with_the_columns_of_another_release_is_made_anew(bundles: DayBundles) -> None:
    files = Files()
    files.put("a.log", {0: 1})
    older = replace(LOG_SIGNALS, columns={**LOG_SIGNALS.columns, "more": LOG_SIGNALS.columns["views"]})
    table = files.tables[key_of("a.log")]
    earlier = table.append_column(older.arrow.field("more"), table["views"])
    DayBundles(bundles.asset, older, bundles.files).rows(
        files.wanted, files.outputs, lambda _: {key_of("a.log"): earlier}
    )
    assert rows_of(bundles, files) == files.rows()
    assert files.reads == [key_of("a.log")]


def test_days_with_few_files_are_not_kept(bundles: DayBundles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_bundles, "FEWEST_FILES", 2)
    files = Files()
    files.put("a.log", {0: 1, 1: 2})
    files.put("b.log", {1: 3, 2: 4})
    assert rows_of(bundles, files) == files.rows()
    [kept] = Path(str(bundles.files.root)).rglob("*.bundle")
    assert kept.stem == str(FIRST + timedelta(days=1))
    files.reads.clear()
    assert rows_of(bundles, files) == files.rows()
    assert sorted(files.reads) == ["a.log", "b.log"]
    assert not day_bundles.are_worthwhile({"2026-09-01": ["a.log"], "2026-09-02": ["b.log"]})


def test_names_with_strange_characters_are_told_apart(bundles: DayBundles) -> None:
    files = Files()
    for views, name in enumerate(("a b.log", "a%20b.log", "ä/b.log", "ä/ b.log"), start=1):
        files.put(name, {0: views})
    assert rows_of(bundles, files) == files.rows()
    files.put("a b.log", {0: 9})
    files.reads.clear()
    assert rows_of(bundles, files) == files.rows()
    assert [file_of(key) for key in files.reads] == ["a b.log"]
