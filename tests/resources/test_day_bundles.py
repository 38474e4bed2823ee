"""Rows of a day in many files, kept together: always what reading each file would give, and never more reads than changes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from partitions.files import file_of, key_of
from photo_popularity.domain import tables
from photo_popularity.domain.schemas import LOG_SIGNALS
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
def bundles(tmp_path: Path) -> DayBundles:
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


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_bundle_that_cannot_be_read_is_made_anew(bundles: DayBundles, damage: bytes | None) -> None:
    files = Files()
    files.put("a.log", {0: 1})
    rows_of(bundles, files)
    [kept] = Path(str(bundles.files.root)).rglob("*.arrow")
    if damage is None:
        # of another release, with other columns
        table = pa.table({"file": ["a.log"]}).replace_schema_metadata(
            pa.ipc.open_file(pa.OSFile(str(kept))).schema.metadata
        )
        with pa.ipc.new_file(str(kept), table.schema) as stream:
            stream.write_table(table)
    else:
        kept.write_bytes(damage)
    files.reads.clear()
    assert rows_of(bundles, files) == files.rows()
    assert files.reads == [key_of("a.log")]
    files.reads.clear()
    assert rows_of(bundles, files) == files.rows()
    assert not files.reads


def test_names_with_strange_characters_are_told_apart(bundles: DayBundles) -> None:
    files = Files()
    for views, name in enumerate(("a b.log", "a%20b.log", "ä/b.log", "ä/ b.log"), start=1):
        files.put(name, {0: views})
    assert rows_of(bundles, files) == files.rows()
    files.put("a b.log", {0: 9})
    files.reads.clear()
    assert rows_of(bundles, files) == files.rows()
    assert [file_of(key) for key in files.reads] == ["a b.log"]
