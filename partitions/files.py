"""The keys of files: the codec between them and paths. No Dagster here, so that a query need not wait for it."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from photo_popularity.domain.errors import InputError

# a comma splits keys in the UI, "..." is the range separator, control characters break the CLI
_UNSAFE = re.compile(r"[%,\x00-\x1f\x7f\ud800-\udfff]|\.(?=\.\.)|(?<=\.\.)\.|^\s|\s$")


def key_of(path: str) -> str:
    """The partition key of a file: its path below the source's root, unsafe characters percent-encoded.

    >>> key_of("2026/09/cat, sleeping.jpg")
    '2026/09/cat%2C sleeping.jpg'
    """

    if _UNSAFE.search(path) is None:
        return path

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
