"""Reading a stream and knowing the content version of what was read."""

from __future__ import annotations

import hashlib
import io
from typing import Any, BinaryIO


class HashingReader(io.RawIOBase):
    """Reads from a stream, and counts and hashes all that passes."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw, self._digest = raw, hashlib.sha256()
        self.size = 0

    @property
    def content_version(self) -> str:
        """The version of what has passed."""
        return self._digest.hexdigest()[:16]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._raw.readinto(buffer)  # type: ignore[attr-defined]
        self._digest.update(memoryview(buffer)[:count])
        self.size += count
        return int(count)
