"""What changed in a source, taken from two states; nothing is lost, whenever it is cut short."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from photo_popularity.detection import Changes, detect_files, difference
from photo_popularity.domain.errors import InputError
from resources.catalog import Catalog
from resources.catalog_records import Output
from resources.sources import FileSource
from tests.night_fixtures import Place

P1, P3 = "2026/10/01/p1.jpg", "2026/10/02/p3.jpg"


def test_the_difference_of_two_states_names_what_came_changed_went_and_was_touched() -> None:
    before = {
        "same": Output("1"),
        "edited": Output("1"),
        "gone": Output("1"),
        "touched": Output("1", detail={"stamp": "a"}),
    }
    now = {
        "same": Output("1"),
        "edited": Output("2"),
        "new": Output("1"),
        "touched": Output("1", detail={"stamp": "b"}),
    }
    expected = Changes(
        added=("new",), changed=("edited",), removed=("gone",), touched=("touched",), unchanged=2
    )
    assert difference(before, now) == expected
    assert str(expected) == "1 new, 1 changed, 1 gone"


def test_a_touched_file_is_no_change() -> None:
    assert not Changes(touched=("a",), unsettled=("b",))
    assert str(Changes(touched=("a",))) == "unchanged"


def test_every_file_gets_a_key_in_order_and_the_key_goes_with_the_file(new_place: Place) -> None:
    found = new_place.detect()
    assert len(found["photo_files"].added) == 8
    assert new_place.instance.get_dynamic_partitions("photo_files") == sorted(found["photo_files"].added)
    new_place.site.photo_file("p1").unlink()
    assert new_place.detect()["photo_files"].removed == (P1,)
    assert P1 not in new_place.instance.get_dynamic_partitions("photo_files")
    assert new_place.detect()["photo_files"] == Changes(unchanged=7)


def test_keys_that_a_cut_short_look_has_left_behind_go_with_the_next_look(place: Place) -> None:
    """Risk: the catalog forgot the file, and Dagster would offer its key for ever."""
    place.detect()
    place.instance.add_dynamic_partitions("photo_files", ["no/such/file.jpg"])
    place.instance.delete_dynamic_partition("photo_files", P3)
    place.detect()
    assert set(place.instance.get_dynamic_partitions("photo_files")) == set(
        place.installation.catalog.current("photo_files")
    )


def test_a_folder_that_is_gone_is_an_error_and_withdraws_nothing(place: Place) -> None:
    place.detect()
    place.site.photos.rename(place.site.folder / "moved")
    with pytest.raises(InputError, match="no such folder"):
        place.detect()
    assert len(place.installation.catalog.current("photo_content")) == 8
    assert len(place.instance.get_dynamic_partitions("photo_files")) == 8


def test_a_file_that_may_still_be_being_written_is_left_for_later(place: Place) -> None:
    place.site.write_photo("arriving.jpg", seed=1)
    changed = place.site.photo_file("p1")
    changed.write_bytes(b"half of a new pic")
    found = detect_files(place.installation, "photo_files", place.instance, quiet_seconds=60)
    assert found.unsettled == (P1, "arriving.jpg")
    assert not found
    assert P1 in place.installation.catalog.current("photo_content")
    later = detect_files(place.installation, "photo_files", place.instance, quiet_seconds=0)
    assert (later.added, later.changed) == (("arriving.jpg",), (P1,))


def test_a_row_that_is_unusable_is_told_and_the_others_are_read(place: Place) -> None:
    place.site.change("UPDATE photos SET uploaded_at = 'some day' WHERE photo_id = 'p8'")
    found = place.detect()["photo_database"]
    assert found.removed == ("2026-10-05",)
    assert len(found.warnings) == 1
    assert "p8" in found.warnings[0]


def test_a_database_that_did_not_change_is_unchanged_however_often_one_looks(place: Place) -> None:
    assert place.detect()["photo_database"] == Changes(unchanged=5)
    assert place.detect()["photo_database"] == Changes(unchanged=5)


def test_a_look_at_an_unchanged_folder_reads_no_file(place: Place) -> None:
    place.detect()
    files = [path for path in place.site.photos.rglob("*.jpg") if path.is_file()]
    before = {path: path.stat().st_atime_ns for path in files}
    time.sleep(0.01)
    installation = place.installation
    detect_files(installation, "photo_files", place.instance)
    assert installation.file_sources["photo_files"].versions_read == {}
    assert {path: path.stat().st_atime_ns for path in files} == before


def test_a_file_that_holds_something_else_than_was_seen_is_looked_at_again(new_place: Place) -> None:
    """Risk: seen by a release that hashed otherwise, or changed with its time kept, it would be made again each night."""
    new_place.detect()
    catalog = new_place.installation.catalog
    of_before = catalog.current("photo_files")[P1]._replace(content_version="of another hash")
    catalog.set_current("photo_files", {P1: of_before})
    assert new_place.detect()["photo_files"] == Changes(unchanged=8)
    new_place.settle("photo_content", "cat_dog_scores")
    assert new_place.stale()["photo_content"] == [P1]
    assert new_place.detect()["photo_files"].changed == (P1,)
    assert not {"photo_content", "cat_dog_scores"} & new_place.stale().keys()
    assert new_place.detect()["photo_files"] == Changes(unchanged=8)


def test_a_file_name_that_is_no_text_is_a_file_like_any_other(new_place: Place) -> None:
    """Risk: one name in another encoding, from an old archive, would stop every photo of its batch."""
    odd = Path(str(new_place.site.photos)) / b"caf\xe9, at night.jpg".decode("utf-8", "surrogateescape")
    odd.write_bytes(new_place.site.photo_file("p2").read_bytes())
    assert new_place.detect()["photo_files"].added[-1] == "caf%E9%2C at night.jpg"
    assert new_place.settle("photo_content", "cat_dog_scores")
    catalog = new_place.installation.catalog
    assert catalog.current("photo_content")["caf%E9%2C at night.jpg"].rows == 1
    assert catalog.current("cat_dog_scores")["caf%E9%2C at night.jpg"].rows == 1
    assert not {"photo_content", "cat_dog_scores"} & new_place.stale().keys()


def test_what_nothing_can_be_made_with_does_not_hide_what_is_gone(place: Place) -> None:
    """Risk: as long as the classifier is missing, deleted files would stay in what follows."""
    place.site.photo_file("p1").unlink()
    settings = replace(place.environment.settings, classifier="no/such/model.onnx")
    place = replace(place, environment=replace(place.environment, settings=settings))
    assert place.detect()["photo_files"].removed == (P1,)
    for asset in ("photo_files", "photo_content", "cat_dog_scores"):
        assert P1 not in place.installation.catalog.current(asset)


def test_a_file_that_cannot_be_read_is_tried_at_each_look_and_writes_nothing(place: Place) -> None:
    opened = FileSource._opened

    @contextmanager
    def closed(source: FileSource, key: str) -> Iterator[object]:
        if key != P1:
            with opened(source, key) as found:
                yield found
        source.versions_read[key] = "unreadable-7"
        raise PermissionError(13, "Permission denied")

    def set_current(*given: object) -> None:
        raise AssertionError(given)

    place.detect()
    with patch.object(FileSource, "_opened", closed):
        place.site.photo_file("p1").touch()
        assert place.detect()["photo_files"].changed == (P1,)
        with patch.object(Catalog, "set_current", set_current):
            found = place.detect()["photo_files"]
    assert not found
    assert found.warnings == (f"photo_files: {P1} cannot be read (Permission denied); check its permissions",)
    assert place.detect()["photo_files"].changed == (P1,)
