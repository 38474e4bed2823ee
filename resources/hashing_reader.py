"""Reading a stream and knowing the content version of what was read."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from photo_popularity.domain.content import ContentHash


class HashingReader(io.RawIOBase):
    """Reads from a stream, and counts and hashes all that passes, each byte once however often it is read."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw, self._hash = raw, ContentHash()
        self._position = self.size = 0

    @property
    def content_version(self) -> str:
        """The version of what has passed."""
        return self._hash.version

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._raw.readinto(buffer))  # type: ignore[attr-defined]
        self._position += count
        new = max(self._position - self.size, 0)
        self._hash.update(memoryview(buffer)[count - new : count])
        self.size += new
        return count

    def seekable(self) -> bool:
        return self._raw.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go back, or forward to where it has been; what was never read would be missing in the version."""
        target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or not 0 <= target <= self.size:
            raise io.UnsupportedOperation("only what was read before can be read again")
        self._position = self._raw.seek(target)
        return self._position
