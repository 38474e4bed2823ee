"""Other people's files, in a folder and in a bucket: what is there, what changed, and what cannot be had."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from blake3 import blake3

from photo_popularity.domain.errors import InputError
from resources.catalog_records import Output
from resources.errors import SourceUnavailable
from resources.json_object import JsonObject
from resources.sources import FileSource
from tests.services.s3 import S3Server

Place = tuple[FileSource, Callable[[str, bytes], None], Callable[[str], None]]


def version(data: bytes) -> str:
    return blake3(data).hexdigest()[:16]


def seen(outputs: Mapping[str, Output]) -> dict[str, str]:
    """The details of a state, as the catalog gives them at the next look."""
    return {key: JsonObject.of(output.detail).text for key, output in outputs.items()}


def local(folder: Path) -> FileSource:
    return FileSource("log_files", str(folder), setting="logs")


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A source, and how to put and remove a file there."""
    if request.param == "local":

        def put(path: str, data: bytes) -> None:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)

        return local(tmp_path), put, lambda path: (tmp_path / path).unlink()
    bucket, server = request.getfixturevalue("s3_bucket"), request.getfixturevalue("s3_server")
    client = server.client()
    return (
        FileSource("log_files", f"s3://{bucket}/in", setting="logs"),
        lambda path, data: client.put_object(Bucket=bucket, Key=f"in/{path}", Body=data) and None,
        lambda path: client.delete_object(Bucket=bucket, Key=f"in/{path}") and None,
    )


@pytest.mark.parametrize(
    "name", ["2026/10/a.log", "a, b.log", "100%.log", "猫 #1?x=[y]*.log", "a...b", "%2C"]
)
def test_a_file_is_found_and_read_whatever_its_name(place: Place, name: str) -> None:
    source, put, _ = place
    put(name, b"a line\n")
    [(key, seen, _)] = source.listing()
    assert "," not in key
    assert "..." not in key
    assert json.loads(seen)["size"] == 7
    assert source.read(key) == b"a line\n"
    assert source.versions_read == {key: version(b"a line\n")}


def test_hidden_files_and_folders_are_not_part_of_it(place: Place) -> None:
    source, put, _ = place
    for name in ("a.log", ".b.log", ".c/d.log", "e/.f/g.log", "e/h.log"):
        put(name, b"x")
    assert sorted(key for key, *_ in source.listing()) == ["a.log", "e/h.log"]


def test_only_what_moved_is_read_again(place: Place) -> None:
    source, put, remove = place
    for name in ("same", "edited", "gone"):
        put(name, b"first")
    before = source.state({}).moved
    assert {key: output.content_version for key, output in before.items()} == dict.fromkeys(
        ("same", "edited", "gone"), version(b"first")
    )
    put("edited", b"second")
    remove("gone")
    source.versions_read.clear()
    after = source.state(seen(before))
    assert source.versions_read == {"edited": version(b"second")}
    assert after.files == {"edited", "same"}
    assert {key: output.content_version for key, output in after.moved.items()} == {
        "edited": version(b"second")
    }


def test_reading_the_start_gives_the_version_and_size_of_all_of_it(place: Place) -> None:
    source, put, _ = place
    data = os.urandom(3_000_000)
    put("a", data)
    start = source.read_start("a", at_most=10)
    assert (start.data, start.size, start.content_version) == (data[:10], len(data), version(data))
    with source.open("a") as stream:
        stream.readline()
    assert source.versions_read["a"] == version(data)


def test_a_reader_that_gives_up_on_the_content_leaves_its_version(place: Place) -> None:
    source, put, _ = place
    put("a", b"PK\x03\x04" * 1000)

    def give_up() -> None:
        with source.open("a") as stream:
            stream.read(4)
            raise InputError("a zip")

    with pytest.raises(InputError, match="a zip"):
        give_up()
    assert source.versions_read["a"] == version(b"PK\x03\x04" * 1000)


def test_a_file_that_is_gone_is_an_error_of_that_file_alone(place: Place) -> None:
    source, put, _ = place
    put("other", b"x")
    with pytest.raises(FileNotFoundError):
        source.read("gone")
    assert str(source.versions_read["gone"]).startswith("unreadable-")


def test_a_missing_folder_is_an_error_that_names_the_option(place: Place) -> None:
    source, _, _ = place
    missing = FileSource("log_files", f"{source.root}/missing", setting="logs")
    with pytest.raises(InputError, match=r"missing: no such folder \(log_files\); correct --logs"):
        missing.state({})


def test_a_folder_that_suddenly_holds_nothing_is_an_unmounted_disk_until_somebody_says_otherwise(
    tmp_path: Path,
) -> None:
    source, folder = local(tmp_path), tmp_path
    (folder / "a").write_bytes(b"x")
    before = seen(source.state({}).moved)
    (folder / "a").unlink()
    with pytest.raises(InputError, match="empty, and 1 files had been there: is the disk mounted"):
        source.state(before)
    (folder / ".empty").touch()
    assert source.state(before).files == set()


def test_no_folder_at_all_is_an_error_that_names_the_option() -> None:
    with pytest.raises(InputError, match="no folder is set for log_files; give --logs FOLDER"):
        list(FileSource("log_files", "", setting="logs").listing())


@pytest.mark.s3
def test_a_store_that_does_not_answer_is_never_an_empty_listing(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    source = FileSource("log_files", f"s3://{s3_bucket}/in", setting="logs")
    with pytest.raises(SourceUnavailable, match="cannot be listed"):
        list(source.listing())
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        source.read("a")


@pytest.mark.s3
def test_objects_whose_names_are_no_paths_stop_no_other(s3_server: S3Server, s3_bucket: str) -> None:
    client = s3_server.client()
    for key in ("in/a.log", "in/folder/", "in/x/../y.log"):
        client.put_object(Bucket=s3_bucket, Key=key, Body=b"x")
    state = FileSource("log_files", f"s3://{s3_bucket}/in", setting="logs").state({})
    assert sorted(state.files) == ["a.log"]
    assert list(state.unreadable) == ["x/../y.log"]


def test_a_touched_file_keeps_its_version_and_an_edit_that_keeps_the_size_does_not(tmp_path: Path) -> None:
    source, file = local(tmp_path), tmp_path / "a"
    file.write_bytes(b"first")
    before = source.state({}).moved
    os.utime(file, (1, 1))
    touched = source.state(seen(before)).moved
    assert touched["a"].content_version == before["a"].content_version
    file.write_bytes(b"FIRST")
    assert source.state(seen(touched)).moved["a"].content_version == version(b"FIRST")


def test_a_young_file_waits_and_keeps_its_state(tmp_path: Path) -> None:
    source = local(tmp_path)
    (tmp_path / "known").write_bytes(b"first")
    before = seen(source.state({}).moved)
    for name in ("known", "new"):
        (tmp_path / name).write_bytes(b"half a li")
    state = source.state(before, quiet_seconds=60)
    assert state.unsettled == ("known", "new")
    assert state.files == {"known"}
    assert state.moved == {}


def test_a_file_from_the_future_does_not_wait_for_ever(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    os.utime(tmp_path / "a", (4_000_000_000, 4_000_000_000))
    assert local(tmp_path).state({}, quiet_seconds=60).unsettled == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user without rights")
def test_a_closed_file_is_told_and_read_once_it_opens(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name in ("open", "closed"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "closed").chmod(0)
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        state = local(tmp_path).state({})
    finally:
        os.seteuid(0)
    assert state.unreadable == {"closed": "Permission denied"}
    assert sorted(state.files) == ["closed", "open"]
    (tmp_path / "closed").chmod(0o644)
    assert local(tmp_path).state(seen(state.moved)).moved["closed"].content_version == version(b"x")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user without rights")
def test_a_closed_subfolder_stops_the_listing_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "in" / "closed").mkdir(parents=True)
    (tmp_path / "in" / "closed").chmod(0)
    for folder in [tmp_path, *tmp_path.parents[:3]]:
        folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        with pytest.raises(InputError, match="in/closed: Permission denied; give this user read access"):
            list(local(tmp_path / "in").listing())
    finally:
        os.seteuid(0)


def test_a_link_to_nothing_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    assert local(tmp_path).state({}).files == set()


def test_links_are_followed_once_and_never_in_circles(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    (root / "2026").mkdir(parents=True)
    elsewhere.mkdir()
    (root / "2026" / "a").write_bytes(b"x")
    (elsewhere / "b").write_bytes(b"x")
    (root / "latest").symlink_to("2026")
    (root / "circle").symlink_to(".")
    (root / "other_disk").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    (root / "c").symlink_to(elsewhere / "b")
    assert sorted(key for key, *_ in local(root).listing()) == ["2026/a", "c", "other_disk/b"]


def test_a_pipe_is_no_file_and_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").write_bytes(b"x")
    assert sorted(local(tmp_path).state({}).files) == ["a"]


def test_a_name_that_is_no_utf8_is_read_like_any_other(tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/\xff.log")).write_bytes(b"x")
    assert local(tmp_path).state({}).moved["%FF.log"].content_version == version(b"x")
