"""File sets: each is a directory of files that is one data entity. A new one is one line here."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

Grain = Callable[[str], str]
"""Gives the partition key that a file belongs to, from the file's own key."""

TOP = "(top)"


def by_file(file: str) -> str:
    """A partition a file: what to take up to about 100,000 files, which Dagster's pages can still show."""
    return file


def by_folder(file: str) -> str:
    """A partition a folder: the files directly in it."""
    return file.rpartition("/")[0] or TOP


def buckets(count: int) -> Grain:
    """A given number of partitions, over which the files are spread evenly by their names, wherever they lie."""
    if count < 1:
        raise ValueError(f"files are spread over 1 bucket or more, not {count}")
    digits = len(str(count - 1))

    def bucket(file: str) -> str:
        return f"bucket-{zlib.crc32(file.encode()) % count:0{digits}d}"

    return bucket


@dataclass(frozen=True)
class FileSet:
    """A directory of files as one data entity: each file is made, kept, quarantined or withdrawn by itself.

    `setting` names the setting that says where the folder is. `grain` says which files share a partition in Dagster:
    what is made and remembered stays a matter of single files, so another grain makes nothing out of date.
    """

    name: str
    setting: str
    grain: Grain = by_file
    noun: str = "file"
    group: str = "files"
    description: str = ""

    @cached_property
    def partitions(self) -> dg.DynamicPartitionsDefinition:
        """Dagster's partitions of the set."""
        return dg.DynamicPartitionsDefinition(name=self.name)

    @property
    def job(self) -> str:
        """The name of the job that makes what is made of these files."""
        return f"{self.name}_job"


PHOTO_FILES = FileSet(
    "photo_files",
    setting="photos",
    noun="photo file",
    group="photos",
    description="The folder of photo files. It grows all day; files may change or disappear.",
)
LOG_FILES = FileSet(
    "log_files",
    setting="logs",
    noun="log file",
    group="logs",
    description="The folder of web access logs. A rotated file may hold lines of two UTC days.",
)
