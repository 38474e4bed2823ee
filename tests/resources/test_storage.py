"""The storage contract: every backend runs the same tests."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from photo_popularity.domain.errors import InputError
from resources.storage import FileStorage

NAMES = [
    "photo_content/2026/10/01/a.jpg/0123.parquet",
    "photo_content/cat, sleeping 100%2C.jpg/0123.parquet",
    "photo_content/Ünï 猫 #1?&=+;[x]*.jpg/0123.parquet",
    "photo_content/quote'\"\\.jpg/0123.parquet",
]


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> FileStorage:
    if request.param == "local":
        return FileStorage(str(tmp_path / "root"))
    return FileStorage(f"s3://{request.getfixturevalue('s3_bucket')}/storage/local")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_written_is_read_back_whatever_the_name(storage: FileStorage, name: str) -> None:
    storage.write(name, b"first")
    storage.write("photo_content/other.jpg/0123.parquet", b"other")
    assert storage.read(name) == b"first"
    assert storage.url(name).endswith(f"root/{name}") or storage.url(name).endswith(f"local/{name}")


def test_writing_the_same_again_leaves_the_file_alone(storage: FileStorage) -> None:
    storage.write("a/1.parquet", b"first")
    before = (storage.root / "a/1.parquet").stat()
    storage.write("a/1.parquet", b"first")
    after = (storage.root / "a/1.parquet").stat()
    assert (before.st_mtime, before.st_ino) == (after.st_mtime, after.st_ino)


@pytest.mark.parametrize("damage", [b"", b"fi", b"worst"])
def test_a_damaged_file_is_healed_by_writing_it_again(storage: FileStorage, damage: bytes) -> None:
    storage.write("a/1.parquet", b"first")
    (storage.root / "a/1.parquet").write_bytes(damage)
    storage.write("a/1.parquet", b"first")
    assert storage.read("a/1.parquet") == b"first"


def test_a_missing_file_is_named_with_its_whole_path(storage: FileStorage) -> None:
    with pytest.raises(FileNotFoundError) as error:
        storage.read("a/1.parquet")
    assert str(error.value) == f"{storage.root}/a/1.parquet: no such file"


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/etc/outside"])
def test_a_path_that_leads_out_is_refused(storage: FileStorage, name: str) -> None:
    with pytest.raises(InputError, match="leads out of"):
        storage.write(name, b"")


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    storage = FileStorage(str(tmp_path))
    (tmp_path / "a" / "1.parquet").mkdir(parents=True)
    with pytest.raises(OSError, match=r"1\.parquet"):
        storage.write("a/1.parquet", b"first")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["1.parquet"]


def test_readers_see_a_whole_file_or_none_while_writers_race(tmp_path: Path) -> None:
    storage, versions = FileStorage(str(tmp_path)), [bytes([letter]) * 2_000_000 for letter in b"abcd"]
    storage.write("1", versions[0])

    def write(data: bytes) -> None:
        for _ in range(5):
            storage.write("1", data)

    writers = [threading.Thread(target=write, args=[data]) for data in versions]
    for writer in writers:
        writer.start()
    seen = [storage.read("1") for _ in range(50)]
    for writer in writers:
        writer.join()
    assert all(data in versions for data in seen)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
