"""One file as a step's function sees it: its bytes, its name only on demand, and a sentence when it cannot be had."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from blake3 import blake3

from photo_popularity.domain.errors import InputError
from resources.source_file import FileUnreadable, SourceFile
from resources.sources import FileSource

LOG = logging.getLogger("tests.source_file")


def version(data: bytes) -> str:
    return blake3(data).hexdigest()[:16]


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a, cat.jpg").write_bytes(b"bytes of a cat")
    return FileSource("photo_files", str(tmp_path), setting="photos")


def a_file(source: FileSource, key: str = "in/a%2C cat.jpg") -> SourceFile:
    return SourceFile(source, key, LOG)


def test_its_bytes_are_read_whole_in_part_or_as_a_stream(source: FileSource) -> None:
    file = a_file(source)
    assert file.read() == b"bytes of a cat"
    start = file.read_start(at_most=5)
    assert (start.data, start.size, start.content_version) == (b"bytes", 14, version(b"bytes of a cat"))
    with file.open() as stream:
        assert stream.read(5) == b"bytes"
        assert stream.read() == b" of a cat"


def test_that_its_path_was_asked_for_is_noticed_and_that_its_bytes_were_read_is_not(
    source: FileSource,
) -> None:
    file = a_file(source)
    file.read()
    file.read_start(at_most=1)
    with file.open() as stream:
        stream.read()
    file.warn("odd")
    assert not file.name_was_asked_for
    assert file.path == "in/a, cat.jpg"
    assert file.name_was_asked_for


@pytest.mark.parametrize("how", ["read", "start", "stream", "stream not read to its end"])
def test_the_version_that_was_read_is_known_to_the_source(source: FileSource, how: str) -> None:
    file = a_file(source)
    if how == "read":
        file.read()
    elif how == "start":
        file.read_start(at_most=2)
    else:
        with file.open() as stream:
            stream.read(2 if how.endswith("end") else -1)
    assert source.versions_read == {"in/a%2C cat.jpg": version(b"bytes of a cat")}


def reading(file: SourceFile) -> list[BaseException]:
    """What each way of reading the file raises."""
    raised: list[BaseException] = []
    for read in (file.read, lambda: file.read_start(at_most=3), lambda: file.open().__enter__()):
        with pytest.raises(FileUnreadable) as caught:
            read()
        raised.append(caught.value)
    return raised


def test_a_file_that_has_vanished_is_one_clear_sentence(source: FileSource) -> None:
    sentence = "the file cannot be read (No such file or directory); check that it exists and who may read it"
    errors = reading(a_file(source, "in/gone.jpg"))
    assert [str(error) for error in errors] == [sentence] * 3
    assert all(isinstance(error, InputError) for error in errors)
    assert str(source.versions_read["in/gone.jpg"]).startswith("unreadable-")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user without rights")
def test_a_file_that_is_closed_to_us_is_one_clear_sentence(source: FileSource, tmp_path: Path) -> None:
    (tmp_path / "in" / "a, cat.jpg").chmod(0)
    for place in [tmp_path / "in", tmp_path, *tmp_path.parents[:3]]:
        place.chmod(place.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        errors = reading(a_file(source))
    finally:
        os.seteuid(0)
    sentence = "the file cannot be read (Permission denied); check that it exists and who may read it"
    assert [str(error) for error in errors] == [sentence] * 3


def test_a_folder_where_a_file_was_is_one_clear_sentence(source: FileSource, tmp_path: Path) -> None:
    (tmp_path / "in" / "a, cat.jpg").unlink()
    (tmp_path / "in" / "a, cat.jpg").mkdir()
    assert "(Is a directory)" in str(reading(a_file(source))[0])


def test_the_sentence_names_no_file_so_that_its_copies_have_the_same(source: FileSource) -> None:
    [one, *_], [other, *_] = (reading(a_file(source, key)) for key in ("x/gone.jpg", "y/other.jpg"))
    assert str(one) == str(other)


def test_what_is_said_of_it_in_the_log_has_its_name_before_it(
    source: FileSource, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger=LOG.name):
        a_file(source).warn("it is no photo")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "in/a%2C cat.jpg: it is no photo")
    ]


def test_an_error_of_the_reader_itself_is_not_called_an_unreadable_file(source: FileSource) -> None:
    def read() -> None:
        with a_file(source).open():
            raise InputError("it is a zip")

    with pytest.raises(InputError, match=r"^it is a zip$") as caught:
        read()
    assert not isinstance(caught.value, FileUnreadable)
    assert source.versions_read == {"in/a%2C cat.jpg": version(b"bytes of a cat")}
