"""Keys of files: the codec, and placing keys together for one run, on a real instance."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitions.file_sets import LOG_FILES, PHOTO_FILES
from partitions.files import file_of, key_of, path_of
from partitions.placing import align_keys, place_together
from photo_popularity.domain.errors import InputError
from resources.io_managers import RANGE_END_TAG, RANGE_START_TAG, partitions_of_run

# what a file system can hold: any bytes but NUL and the slash between names
names = st.binary(min_size=1, max_size=20).map(
    lambda data: os.fsdecode(data.replace(b"\0", b"0").replace(b"/", b"-"))
)
paths = st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map("/".join)
texts = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1)


@given(st.one_of(paths, texts.filter(lambda text: text not in (".", ".."))))
def test_a_key_leads_back_to_its_path_and_breaks_nothing(path: str) -> None:
    key = key_of(path)
    assert path_of(key) == path
    assert "," not in key
    assert "..." not in key
    assert key == key.strip()
    assert not any(character < " " or character == "\x7f" for character in key)
    key.encode()


@given(paths, paths)
def test_two_files_never_share_a_key(one: str, other: str) -> None:
    assert (key_of(one) == key_of(other)) == (one == other)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("2026/10/01/p42.jpg", "2026/10/01/p42.jpg"),
        ("cat, sleeping.jpg", "cat%2C sleeping.jpg"),
        ("100%.jpg", "100%25.jpg"),
        ("a...b", "a%2E.%2Eb"),
        (" a\n", "%20a%0A"),
        ("\udcff.jpg", "%FF.jpg"),
        ("猫.jpg", "猫.jpg"),
    ],
)
def test_only_what_breaks_a_key_is_encoded(path: str, key: str) -> None:
    assert key_of(path) == key


@pytest.mark.parametrize("key", ["../a", "a/../../b", "%2E%2E/a", "/etc/passwd", "%2Fetc/passwd", ".."])
def test_a_key_that_leads_out_of_the_folder_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="leads out of the folder"):
        path_of(key)


def test_tables_name_a_file_by_its_path_and_by_its_key_where_the_path_is_no_text() -> None:
    assert file_of("cat%2C sleeping.jpg") == "cat, sleeping.jpg"
    assert file_of("%FF.jpg") == "%FF.jpg"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def aligned(instance: dg.DagsterInstance, file_set: str, wanted: Iterable[str]) -> list[str]:
    """Which keys are new once these are the keys of the set."""
    return align_keys(instance, file_set, set(wanted), present=instance.get_dynamic_partitions(file_set))


def keys(instance: dg.DagsterInstance) -> list[str]:
    return list(instance.get_dynamic_partitions("photo_files"))


def test_keys_are_added_once_and_in_order(instance: dg.DagsterInstance) -> None:
    assert aligned(instance, "photo_files", ["b", "a", "b"]) == ["a", "b"]
    assert aligned(instance, "photo_files", ["a", "d", "c", "b"]) == ["c", "d"]
    assert keys(instance) == ["a", "b", "c", "d"]
    assert aligned(instance, "photo_files", ["a", "b", "c", "d"]) == []
    assert instance.get_dynamic_partitions("log_files") == []


def test_keys_that_are_not_wanted_any_more_go_and_the_others_keep_their_places(
    instance: dg.DagsterInstance,
) -> None:
    instance.add_dynamic_partitions("photo_files", ["d", "gone", "a"])
    instance.add_dynamic_partitions("log_files", ["gone"])
    assert aligned(instance, "photo_files", ["a", "b", "d"]) == ["b"]
    assert keys(instance) == ["d", "a", "b"]
    assert instance.get_dynamic_partitions("log_files") == ["gone"]
    assert aligned(instance, "photo_files", []) == []
    assert keys(instance) == []


def test_more_keys_than_go_in_one_call_are_all_added(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("partitions.placing.KEYS_PER_CALL", 3)
    wanted = [f"{number:02}.jpg" for number in range(10)]
    assert aligned(instance, "photo_files", wanted) == wanted
    assert keys(instance) == wanted


@pytest.mark.parametrize(
    ("wanted", "placed", "ends"),
    [
        (["b", "c"], ["a", "b", "c", "d", "e"], ("b", "c")),  # together already: not moved
        (["c", "b"], ["a", "b", "c", "d", "e"], ("b", "c")),  # in the order in which they stand
        (["e"], ["a", "b", "c", "d", "e"], ("e", "e")),
        (["a", "c"], ["b", "d", "e", "a", "c"], ("a", "c")),  # scattered: moved to the end
        (["b", "new"], ["a", "c", "d", "e", "b", "new"], ("b", "new")),
        (["x", "y"], ["a", "b", "c", "d", "e", "x", "y"], ("x", "y")),
    ],
)
def test_keys_are_placed_together(
    instance: dg.DagsterInstance, wanted: list[str], placed: list[str], ends: tuple[str, str]
) -> None:
    aligned(instance, PHOTO_FILES.name, ["a", "b", "c", "d", "e"])
    assert place_together(instance, PHOTO_FILES.name, wanted) == ends
    assert keys(instance) == placed
    tags = {RANGE_START_TAG: ends[0], RANGE_END_TAG: ends[1]}
    assert sorted(partitions_of_run(tags, PHOTO_FILES.partitions, instance)) == sorted(wanted)


def test_what_happened_to_a_key_survives_the_move(instance: dg.DagsterInstance) -> None:
    @dg.asset(partitions_def=LOG_FILES.partitions)
    def signals() -> None:
        pass

    aligned(instance, LOG_FILES.name, ["a", "b", "c"])
    dg.materialize([signals], instance=instance, partition_key="a")
    place_together(instance, LOG_FILES.name, ["a", "c"])
    assert instance.get_dynamic_partitions("log_files") == ["b", "a", "c"]
    assert instance.get_materialized_partitions(signals.key) == {"a"}
    [event] = instance.fetch_materializations(signals.key, limit=10).records
    assert event.partition_key == "a"
