"""Each file has a fate of its own: one that cannot be made is quarantined, the others are not touched by it."""

from __future__ import annotations

import errno
import io
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from assets import cat_dog_scores as cat_dog_scores_module
from assets import log_signals as log_signals_module
from assets import photo_content as photo_content_module
from partitions.files import file_of
from photo_popularity.domain.classification import score_photo
from photo_popularity.domain.log_scanner import scan_log
from photo_popularity.domain.photos import read_photo
from photo_popularity.planning import next_batch
from resources.catalog import Catalog
from resources.io_managers import ONLY_OUT_OF_DATE_TAG, PARTITION_TAG
from resources.output_parts import Part
from resources.previews import ROWS_SHOWN
from resources.storage import FileStorage
from resources.table_storage import TableStorage
from tests.night_fixtures import Place
from tests.photo_site import LAST_DAY, drawing

POISON = b"poison"
FILE_STEPS = ("photo_content", "cat_dog_scores")


def photo(number: int) -> bytes:
    """A photo that the site has not seen before: what was made of the same bytes is not made again."""
    return drawing(1_000 + number)


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """A reader of photos that has a bug: it fails on some bytes. What it was asked to read."""
    read: list[bytes] = []

    def read_or_fail(data: bytes, **given: Any) -> dict[str, Any]:
        read.append(data)
        if data.startswith(POISON):
            raise ZeroDivisionError("division by zero")
        return read_photo(data, **given)

    monkeypatch.setattr(photo_content_module, "read_photo", read_or_fail)
    return read


def put(place: Place, name: str, data: bytes) -> None:
    path = place.site.photos / name
    path.write_bytes(data)
    os.utime(path, (1_700_000_000, 1_700_000_000 + len(data)))


def settle(place: Place) -> dict[str, dict[str, str]]:
    """Run the steps of photo files until nothing is out of date: for each asset, what became of what was tried."""
    before = {execution.id for execution in place.installation.catalog.executions()}
    place.settle(*FILE_STEPS)
    found: dict[str, dict[str, str]] = {}
    for execution in place.installation.catalog.executions():
        if execution.id not in before:
            found.setdefault(execution.asset, {}).setdefault(execution.partition, execution.status)
    return found


def test_one_poisoned_file_is_quarantined_and_the_others_are_made_in_the_same_run(
    place: Place, fragile: list[bytes]
) -> None:
    for number in (1, 2, 3):
        put(place, f"good{number}.jpg", photo(number))
    put(place, "poisoned.jpg", POISON)
    runs = place.instance.get_runs_count()
    catalog = place.installation.catalog
    assert settle(place) == {
        "photo_content": {
            **dict.fromkeys(("good1.jpg", "good2.jpg", "good3.jpg"), "succeeded"),
            "poisoned.jpg": "quarantined",
        },
        "cat_dog_scores": dict.fromkeys(("good1.jpg", "good2.jpg", "good3.jpg"), "succeeded"),
    }
    assert place.instance.get_runs_count() == runs + 1
    assert [run.status for run in place.instance.get_runs(limit=1)] == [dg.DagsterRunStatus.SUCCESS]
    reason = "ZeroDivisionError: division by zero"
    assert catalog.current("photo_content")["poisoned.jpg"].quarantined == reason
    assert "poisoned.jpg" not in catalog.current("cat_dog_scores")
    event = place.instance.get_latest_data_version_record(
        dg.AssetKey("photo_content"), partition_key="poisoned.jpg"
    )
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["quarantined"].value == reason


def test_it_is_tried_again_when_its_bytes_change_and_not_before(place: Place, fragile: list[bytes]) -> None:
    put(place, "poisoned.jpg", POISON)
    put(place, "good.jpg", photo(1))
    settle(place)
    assert settle(place) == {}
    fragile.clear()
    put(place, "poisoned.jpg", photo(2))
    assert settle(place) == {
        "photo_content": {"poisoned.jpg": "succeeded"},
        "cat_dog_scores": {"poisoned.jpg": "succeeded"},
    }
    assert fragile == [photo(2)]


def test_a_file_that_turns_bad_takes_what_was_made_of_it_along(place: Place, fragile: list[bytes]) -> None:
    put(place, "turning.jpg", photo(1))
    settle(place)
    assert "turning.jpg" in place.installation.catalog.current("cat_dog_scores")
    put(place, "turning.jpg", POISON)
    assert settle(place) == {"photo_content": {"turning.jpg": "quarantined"}}
    assert "turning.jpg" not in place.installation.catalog.current("cat_dog_scores")
    assert place.installation.catalog.current("photo_content")["turning.jpg"].rows == 0


def test_what_fails_on_every_file_alike_is_a_failed_run_and_no_fault_of_the_files(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(data: bytes, **given: Any) -> dict[str, Any]:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(photo_content_module, "read_photo", broken)
    put(place, "one.jpg", b"1")
    put(place, "two.jpg", b"22")
    assert settle(place) == {"photo_content": {"one.jpg": "failed", "two.jpg": "failed"}}
    assert "one.jpg" not in place.installation.catalog.current("photo_content")


def test_the_days_are_made_without_a_quarantined_log_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:

    def scan_or_fail(stream: Any, **given: Any) -> Any:
        data = stream.read()
        if data.startswith(POISON):
            raise ZeroDivisionError("division by zero")
        return scan_log(io.BytesIO(data), **given)

    monkeypatch.setattr(log_signals_module, "scan_log", scan_or_fail)
    before = place.installation.catalog.current("behavior_signals")
    for name, data in (("bad.log", POISON), ("empty.log", b"")):
        (place.site.logs / name).write_bytes(data)
        os.utime(place.site.logs / name, (1_700_000_000, 1_700_000_000))
    night = place.run_night()
    assert not night.failed_runs
    catalog = place.installation.catalog
    assert catalog.current("log_signals")["bad.log"].quarantined
    assert catalog.current("behavior_signals") == before
    place.materialize("behavior_signals", **{PARTITION_TAG: str(LAST_DAY)})
    shown = place.instance.get_latest_data_version_record(
        dg.AssetKey("behavior_signals"), partition_key=str(LAST_DAY)
    )
    assert shown is not None
    assert shown.asset_materialization is not None
    there = len(catalog.current("log_signals"))
    assert shown.asset_materialization.metadata["built_on"].value == f"log_signals: {there - 1} of {there}"
    assert next_batch(place.installation, LAST_DAY) is None


def test_a_run_goes_on_where_it_was_cut_short(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handful has committed before the failure is not made again when the step is tried once more."""
    monkeypatch.setattr("assets.making.HANDFUL", 1)
    monkeypatch.setattr("resources.io_managers.FIRST_PAUSE_SECONDS", 0.0)
    files = {f"{letter}.jpg": photo(number) for number, letter in enumerate("abc")}
    name_of = {data: name for name, data in files.items()}
    read: list[str] = []

    def read_or_break(data: bytes, **given: Any) -> Mapping[str, Any]:
        read.append(name_of[data])
        if read == ["a.jpg", "b.jpg"]:
            raise ConnectionResetError("the disk server is away")
        return read_photo(data, **given)

    monkeypatch.setattr(photo_content_module, "read_photo", read_or_break)
    for name, data in files.items():
        put(place, name, data)
    settle(place)
    assert read == ["a.jpg", "b.jpg", "b.jpg", "c.jpg"]
    assert {Path(key).name for key in place.installation.catalog.current("cat_dog_scores")} >= set(read)


def test_a_file_that_goes_back_to_earlier_bytes_is_not_made_again(place: Place) -> None:
    first, other = photo(1), photo(2)
    put(place, "back.jpg", first)
    settle(place)
    before = place.installation.catalog.current("cat_dog_scores")["back.jpg"]
    put(place, "back.jpg", other)
    assert set(settle(place)) == set(FILE_STEPS)
    put(place, "back.jpg", first)
    assert settle(place) == {}
    assert place.installation.catalog.current("cat_dog_scores")["back.jpg"] == before
    assert place.stale() == {}


def test_what_was_made_before_is_made_once_more_when_its_file_is_gone_or_a_check_has_refused_it(
    place: Place,
) -> None:
    first, other = photo(1), photo(2)
    for data in (first, other):
        put(place, "back.jpg", data)
        settle(place)
        path = place.installation.catalog.current("photo_content")["back.jpg"].path
        (Path(place.environment.storage_root) / path).unlink()
    put(place, "back.jpg", first)
    assert settle(place)["photo_content"] == {"back.jpg": "succeeded"}
    place.reject("photo_content", "back.jpg")
    assert settle(place)["photo_content"] == {"back.jpg": "succeeded"}


def made_of(place: Place, name: str) -> dict[str, dict[str, Any]]:
    """The rows of a photo file, by asset, without its name."""
    storage, found = place.installation.storage, {}
    for asset in FILE_STEPS:
        table = storage.read_table(asset, {name: place.installation.catalog.current(asset)[name]})
        assert isinstance(table, pd.DataFrame)
        [row] = table.to_dict("records")
        assert row.pop("file") == file_of(name)
        found[asset] = {str(column): value for column, value in row.items() if not pd.isna(value)}
    return found


def test_a_file_that_gets_another_name_is_not_made_again(place: Place, fragile: list[bytes]) -> None:
    put(place, "old.jpg", photo(1))
    settle(place)
    before = made_of(place, "old.jpg")
    fragile.clear()
    (place.site.photos / "old.jpg").rename(place.site.photos / "new, of tom.jpg")
    assert settle(place) == {}
    assert fragile == []
    assert made_of(place, "new%2C of tom.jpg") == before
    for asset in FILE_STEPS:
        assert "old.jpg" not in place.installation.catalog.current(asset)
        shown = place.instance.get_latest_data_version_record(
            dg.AssetKey(asset), partition_key="new%2C of tom.jpg"
        )
        assert shown is not None
    assert place.stale() == {}


def test_of_copies_that_arrive_together_one_is_made(
    place: Place, monkeypatch: pytest.MonkeyPatch, fragile: list[bytes]
) -> None:
    scored: list[bytes] = []

    def score(data: bytes, *given: Any) -> Any:
        scored.append(data)
        return score_photo(data, *given)

    monkeypatch.setattr(cat_dog_scores_module, "score_photo", score)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        put(place, name, photo(1))
    put(place, "other.jpg", photo(2))
    assert settle(place) == {step: {"a.jpg": "succeeded", "other.jpg": "succeeded"} for step in FILE_STEPS}
    assert fragile == scored == [photo(1), photo(2)]
    assert made_of(place, "a.jpg") == made_of(place, "b.jpg") == made_of(place, "c.jpg")
    assert made_of(place, "a.jpg") != made_of(place, "other.jpg")
    assert place.stale() == {}


def test_a_copy_of_a_poisoned_file_is_quarantined_with_it_and_tried_no_more_than_it(
    place: Place, fragile: list[bytes]
) -> None:
    put(place, "good.jpg", photo(1))
    put(place, "y.jpg", POISON)
    put(place, "z.jpg", POISON)
    assert settle(place)["photo_content"] == {"good.jpg": "succeeded", "y.jpg": "quarantined"}
    put(place, "later.jpg", POISON)
    assert settle(place) == {}
    catalog = place.installation.catalog
    for name in ("y.jpg", "z.jpg", "later.jpg"):
        assert catalog.current("photo_content")[name].quarantined == "ZeroDivisionError: division by zero"
        assert name not in catalog.current("cat_dog_scores")
    assert fragile.count(POISON) == 1
    assert place.stale() == {}


def test_a_file_that_takes_the_bytes_of_a_poisoned_one_loses_what_was_made_of_it(
    place: Place, fragile: list[bytes]
) -> None:
    put(place, "bad.jpg", POISON)
    put(place, "turning.jpg", photo(1))
    settle(place)
    put(place, "turning.jpg", POISON)
    assert settle(place) == {}
    assert place.installation.catalog.current("photo_content")["turning.jpg"].quarantined
    assert "turning.jpg" not in place.installation.catalog.current("cat_dog_scores")


def test_a_classifier_that_is_broken_is_no_fault_of_the_photos_though_one_of_them_is_broken_too(
    place: Place,
) -> None:
    put(place, "broken.jpg", b"no image")
    settle(place)
    (place.site.folder / "classifier.skops").write_bytes(b"no model")
    tried = settle(place)["cat_dog_scores"]
    assert {status for name, status in tried.items() if name != "broken.jpg"} == {"failed"}
    scores = place.installation.catalog.current("cat_dog_scores")
    assert len(scores) == 9
    assert not any(output.quarantined for output in scores.values())


def test_what_a_person_launches_is_made_again_though_nothing_has_changed(place: Place) -> None:
    place.detect()
    result = place.materialize("photo_content", **{PARTITION_TAG: "2026/10/01/p1.jpg"})
    [execution] = place.installation.catalog.executions(run_id=result.run_id)
    assert (execution.partition, execution.status) == ("2026/10/01/p1.jpg", "succeeded")


def test_what_ails_the_place_is_no_fault_of_the_files(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage that may not be written fails the run; once it may, everything is made."""

    def refuse(storage: FileStorage, path: str, data: bytes) -> None:
        raise PermissionError(13, "Permission denied", path)

    for number, name in enumerate(("a.jpg", "b.jpg")):
        put(place, name, photo(number))
    with monkeypatch.context() as broken:
        broken.setattr(FileStorage, "write", refuse)
        assert settle(place)["photo_content"] == {"a.jpg": "failed", "b.jpg": "failed"}
    assert settle(place)["photo_content"] == {"a.jpg": "succeeded", "b.jpg": "succeeded"}


def test_poisoned_files_keep_no_other_file_waiting_wherever_they_stand(
    place: Place, monkeypatch: pytest.MonkeyPatch, fragile: list[bytes]
) -> None:
    monkeypatch.setattr("assets.making.HANDFUL", 3)
    good = ("a.jpg", "b.jpg", "c.jpg")
    for number, name in enumerate(good):
        put(place, name, photo(number))
    for name in ("y.jpg", "z.jpg"):
        put(place, name, POISON + name.encode())
    assert settle(place) == {
        "photo_content": {**dict.fromkeys(good, "succeeded"), "y.jpg": "quarantined", "z.jpg": "quarantined"},
        "cat_dog_scores": dict.fromkeys(good, "succeeded"),
    }


def test_files_whose_content_could_not_be_read_keep_no_other_file_from_its_scores(
    place: Place, fragile: list[bytes]
) -> None:
    for name in ("y.jpg", "z.jpg"):
        put(place, name, POISON + name.encode())
    # all alike: it may be the step
    assert settle(place) == {"photo_content": {"y.jpg": "failed", "z.jpg": "failed"}}
    put(place, "a.jpg", photo(1))
    assert settle(place)["cat_dog_scores"] == {"a.jpg": "succeeded"}


def test_what_was_committed_before_a_step_fails_is_told_to_dagster(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assets.making.HANDFUL", 1)

    def read_or_break(data: bytes, **given: Any) -> dict[str, Any]:
        if data == photo(1):
            raise MemoryError
        return read_photo(data, **given)

    monkeypatch.setattr(photo_content_module, "read_photo", read_or_break)
    for number, name in enumerate(("a.jpg", "b.jpg")):
        put(place, name, photo(number))
    assert settle(place)["photo_content"] == {"a.jpg": "succeeded", "b.jpg": "failed"}
    assert place.instance.get_latest_data_version_record(dg.AssetKey("photo_content"), partition_key="a.jpg")


def test_what_is_left_alone_keeps_what_its_page_shows(place: Place) -> None:
    place.detect()
    tags = {PARTITION_TAG: str(LAST_DAY)}
    place.materialize("popularity_predictions", **tags)
    result = place.materialize("popularity_predictions", **tags, **{ONLY_OUT_OF_DATE_TAG: "yes"})
    assert result.success
    assert not place.installation.catalog.executions(run_id=result.run_id)
    shown = place.instance.get_latest_data_version_record(
        dg.AssetKey("popularity_predictions"), partition_key=str(LAST_DAY)
    )
    assert shown is not None
    assert shown.run_id == result.run_id
    assert shown.asset_materialization is not None
    assert {"most_popular", "preview"} <= shown.asset_materialization.metadata.keys()


def test_a_run_that_a_person_has_executed_again_makes_all_again(place: Place) -> None:
    place.detect()
    tags = {PARTITION_TAG: str(LAST_DAY), ONLY_OUT_OF_DATE_TAG: "yes", "dagster/parent_run_id": "r"}
    result = place.materialize("behavior_signals", **tags)
    assert len(place.installation.catalog.executions(run_id=result.run_id)) == 1


def test_an_outage_of_the_catalog_is_tried_again_and_leaves_nothing_begun(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.io_managers.FIRST_PAUSE_SECONDS", 0.0)
    put(place, "a.jpg", photo(1))
    place.detect()
    answered = Counter[str]()
    for name in ("commit", "fail"):
        whole = getattr(Catalog, name)

        def away(catalog: Catalog, *given: Any, name: str = name, whole: Any = whole) -> Any:
            answered[name] += 1
            if answered[name] == 1:
                raise sa.exc.OperationalError(name, {}, Exception("the server is restarting"))
            return whole(catalog, *given)

        monkeypatch.setattr(Catalog, name, away)
    found = settle(place)
    assert found["photo_content"] == {"a.jpg": "succeeded"}
    assert {e.status for e in place.installation.catalog.executions(assets=["photo_content"])} <= {
        "succeeded",
        "failed",
    }


def test_tables_leave_memory_as_their_files_are_done_with(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handful of logs would hold gigabytes; what a page shows of each stays."""
    for number in range(2):
        path = place.site.logs / f"more-{number}.log"
        path.write_bytes(place.site.log_file(LAST_DAY).read_bytes() + b"\n" * (number + 1))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    rows_held: list[tuple[int, int]] = []
    commit = TableStorage.commit

    def looked_at(
        self: TableStorage, parts: Mapping[str, Mapping[str, Part]], *given: Any, **more: Any
    ) -> Any:
        for part in parts["log_signals"].values():
            assert isinstance(part.made, pa.Table)
            rows_held.append((part.rows, len(part.made)))
        return commit(self, parts, *given, **more)

    monkeypatch.setattr(TableStorage, "commit", looked_at)
    place.settle("log_signals")
    assert [held for _, held in rows_held] == [ROWS_SHOWN] * 2
    current = place.installation.catalog.current("log_signals")
    assert [current[f"more-{number}.log"].rows for number in range(2)] == [rows for rows, _ in rows_held]
    assert all(rows > ROWS_SHOWN for rows, _ in rows_held)


def test_a_result_that_cannot_be_stored_fails_the_run_and_blames_no_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: FileStorage, path: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    put(place, "one.jpg", photo(1))
    put(place, "two.jpg", photo(2))
    with monkeypatch.context() as broken:
        broken.setattr(FileStorage, "write", full)
        assert settle(place) == {"photo_content": {"one.jpg": "failed", "two.jpg": "failed"}}
    assert settle(place)["photo_content"] == {"one.jpg": "succeeded", "two.jpg": "succeeded"}
