"""The content version of bytes: the first digits of their BLAKE3 hash, which `b3sum` prints too.

A log is scanned faster than SHA-256 could tell whether it has changed; BLAKE3 takes a tenth of the scan.
"""

from __future__ import annotations

from blake3 import blake3

VERSION_DIGITS = 16


class ContentHash:
    """Hashes bytes as they pass."""

    def __init__(self) -> None:
        self._digest = blake3()

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._digest.update(data)

    @property
    def version(self) -> str:
        """The version of all bytes until now."""
        return self._digest.hexdigest(VERSION_DIGITS // 2)


def version_of(data: bytes) -> str:
    """The content version of these bytes."""
    return blake3(data).hexdigest(VERSION_DIGITS // 2)
