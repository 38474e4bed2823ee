"""The file partitions: one dynamic key a file, named after its path, and the codec between the two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

import dagster as dg

from photo_popularity.domain.errors import InputError

PHOTO_FILES = dg.DynamicPartitionsDefinition(name="photo_files")
LOG_FILES = dg.DynamicPartitionsDefinition(name="log_files")
FILE_PARTITIONS = {"photo_files": PHOTO_FILES, "log_files": LOG_FILES}

# a comma splits keys in the UI, "..." is the range separator, control characters break the CLI
_UNSAFE = re.compile(r"[%,\x00-\x1f\x7f\ud800-\udfff]|\.(?=\.\.)|(?<=\.\.)\.|^\s|\s$")
KEYS_PER_CALL = 10_000


@lru_cache(maxsize=100_000)
def key_of(path: str) -> str:
    """The partition key of a file: its path below the source's root, unsafe characters percent-encoded.

    >>> key_of("2026/09/cat, sleeping.jpg")
    '2026/09/cat%2C sleeping.jpg'
    """

    def encode(match: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))

    return _UNSAFE.sub(encode, path)


def path_of(key: str) -> str:
    """The path of the file that `key` stands for; the inverse of `key_of`."""
    path = unquote_to_bytes(key).decode("utf-8", "surrogateescape")
    if path.startswith("/") or ".." in path.split("/"):
        raise InputError(
            f"partition key {key!r} leads out of the folder; a key is the path of a file below it"
        )
    return path


def file_of(key: str) -> str:
    """How tables name the file that `key` stands for: its path, or the key itself where the path is no valid text."""
    path = path_of(key)
    return key if any("\ud800" <= character <= "\udfff" for character in path) else path


def add_keys(
    instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, keys: Sequence[str]
) -> None:
    """Add those of the keys that are not known yet, in order."""
    name = _name_of(partitions)
    present = set(instance.get_dynamic_partitions(name))
    new = [key for key in keys if key not in present]
    for start in range(0, len(new), KEYS_PER_CALL):
        instance.add_dynamic_partitions(name, new[start : start + KEYS_PER_CALL])


def place_together(
    instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, keys: Sequence[str]
) -> tuple[str, str]:
    """Make the keys one contiguous range of the partitions, moving them to the end unless they are one already.

    Dagster runs a contiguous range of keys in insertion order, never an arbitrary list. What happened to a key
    belongs to its name and is not touched by the move. Returns the first and the last key of the range.
    """
    name = _name_of(partitions)
    present, wanted = instance.get_dynamic_partitions(name), set(keys)
    places = [place for place, key in enumerate(present) if key in wanted]
    if len(places) == len(wanted) and places[-1] - places[0] + 1 == len(places):
        return present[places[0]], present[places[-1]]
    for key in wanted.intersection(present):
        instance.delete_dynamic_partition(name, key)
    add_keys(instance, partitions, keys)
    return keys[0], keys[-1]


def _name_of(partitions: dg.DynamicPartitionsDefinition) -> str:
    if partitions.name is None:
        raise ValueError("file partitions carry a name")
    return partitions.name
