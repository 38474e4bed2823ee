"""Which partition a file belongs to: itself, its folder, or one of so many buckets."""

from __future__ import annotations

from collections import Counter

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partitions.file_sets import LOG_FILES, PHOTO_FILES, TOP, Grain, buckets, by_file, by_folder

files = st.text(min_size=1)


@given(files)
def test_by_file_each_file_is_a_partition_of_its_own(file: str) -> None:
    assert by_file(file) == file


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("2026/10/01/p42.jpg", "2026/10/01"),
        ("2026/p42.jpg", "2026"),
        ("p42.jpg", TOP),
        ("a%2C b/p42.jpg", "a%2C b"),
        ("a/p42", "a"),  # without a suffix
    ],
)
def test_by_folder_the_files_directly_in_a_folder_share_a_partition(file: str, folder: str) -> None:
    assert by_folder(file) == folder


def test_a_folder_inside_another_is_a_partition_of_its_own() -> None:
    assert len({by_folder(file) for file in ("a/1.jpg", "a/2.jpg", "a/b/3.jpg", "4.jpg")}) == 3


def test_buckets_hold_about_the_same_number_of_files_each() -> None:
    bucket = buckets(16)
    names = [f"2026/{day:02}/p{number}.jpg" for day in range(1, 29) for number in range(300)]
    sizes = Counter(bucket(name) for name in names)
    assert len(sizes) == 16
    expected = len(names) / 16
    assert all(0.8 * expected < size < 1.2 * expected for size in sizes.values())


@pytest.mark.parametrize(
    ("count", "file", "bucket"),
    [
        (16, "2026/10/01/p42.jpg", "bucket-00"),
        (1_000, "2026/10/01/p42.jpg", "bucket-080"),
        (16, "猫.jpg", "bucket-05"),
    ],
)
def test_a_file_stays_in_its_bucket_over_processes_and_releases(count: int, file: str, bucket: str) -> None:
    """What is in a bucket is on record in Dagster, so it may not move."""
    assert buckets(count)(file) == bucket


@given(st.integers(1, 2_000), files)
def test_there_are_only_so_many_buckets_and_their_names_sort_as_their_numbers(count: int, file: str) -> None:
    prefix, number = buckets(count)(file).split("-")
    assert prefix == "bucket"
    assert 0 <= int(number) < count
    assert len(number) == len(str(count - 1))


@given(files)
def test_one_bucket_holds_everything(file: str) -> None:
    assert buckets(1)(file) == "bucket-0"


@pytest.mark.parametrize("count", [0, -3])
def test_less_than_one_bucket_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"over 1 bucket or more, not {count}"):
        buckets(count)


@pytest.mark.parametrize("grain", [by_file, by_folder, buckets(7)])
def test_equal_files_are_in_equal_partitions(grain: Grain) -> None:
    assert grain("a/b.jpg") == grain("".join(["a/", "b.jpg"]))


def test_a_set_is_known_to_dagster_under_its_name_and_has_a_job_of_its_own() -> None:
    assert isinstance(PHOTO_FILES.partitions, dg.DynamicPartitionsDefinition)
    assert [files.partitions.name for files in (PHOTO_FILES, LOG_FILES)] == ["photo_files", "log_files"]
    assert [files.job for files in (PHOTO_FILES, LOG_FILES)] == ["photo_files_job", "log_files_job"]
