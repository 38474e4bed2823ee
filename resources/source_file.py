"""One file of a file set as a step's function sees it: its bytes, and its name only when it asks for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from partitions.files import path_of
from photo_popularity.domain.errors import InputError
from resources.sources import FileSource, FileStart, is_of_the_system


class FileUnreadable(InputError):
    """A file whose bytes cannot be had: it is gone since it was listed, or closed to us."""


class SourceFile:
    """A file to work on. What is made of it belongs to its bytes: another file with the same bytes is not worked on again.

    A function that asks for `path` has a result that belongs to the name too, and is called again after a rename.
    """

    def __init__(self, source: FileSource, key: str, log: logging.Logger) -> None:
        self._source, self._key, self._log = source, key, log
        self.name_was_asked_for = False

    @property
    def path(self) -> str:
        """Path below the folder of the set."""
        self.name_was_asked_for = True
        return path_of(self._key)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file as a stream; raises FileUnreadable."""
        try:
            with self._source.open(self._key) as stream:
                yield stream
        except OSError as error:
            if not is_of_the_system(error):
                raise  # what a decoder says of the content: gzip and Pillow derive their errors from OSError
            raise _unreadable(error) from error

    def read(self) -> bytes:
        """All bytes of the file; raises FileUnreadable."""
        return self.read_start(at_most=-1).data

    def read_start(self, *, at_most: int) -> FileStart:
        """The first bytes of a file of any size; raises FileUnreadable."""
        try:
            return self._source.read_start(self._key, at_most=at_most)
        except OSError as error:
            raise _unreadable(error) from error

    def warn(self, message: str) -> None:
        """Say something about the file in the run's log, where its name stands before it."""
        self._log.warning(f"{self._key}: {message}")


def _unreadable(error: OSError) -> FileUnreadable:
    cause = error.strerror or type(error).__name__
    return FileUnreadable(f"the file cannot be read ({cause}); check that it exists and who may read it")
