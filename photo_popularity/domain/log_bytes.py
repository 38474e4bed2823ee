"""The bytes of a log file: decompressed by what its first bytes say, in bounded memory, up to where they break off."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import BinaryIO, Protocol, TypeVar, cast

from photo_popularity.domain.errors import InputError

TRUNCATED = "compressed stream is truncated: this line and what followed is lost"
UNREADABLE = "file cannot be read on: this line and what followed is lost"
CORRUPT = "compressed stream is corrupt: this line and what followed is lost"
# a hostile frame may ask for gigabytes of memory; `zstd --ultra -22` asks for this much
MAX_ZSTD_WINDOW_LOG = 27

_FED_BYTES = 64 * 1024
_PIECE_BYTES = 256 * 1024
_LONGEST_MAGIC = 10
_LONGEST_HEADER = 1 << 20
_FOREIGN = {
    "xz": re.compile(rb"\xfd7zXZ\x00"),
    "bzip2": re.compile(rb"BZh[1-9]1AY&SY"),
    "zip": re.compile(rb"PK\x03\x04"),
}

_Given = TypeVar("_Given")
_Got = TypeVar("_Got")


class BrokenStream(Exception):
    """A compressed stream ends too early or fails; the message is the reason to report."""


class LogBytes:
    """The bytes of a log: plain, gzip or zstd; members and frames follow each other."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._pieces: Iterator[bytes] | None = None
        self._ahead = memoryview(b"")
        self._is_open = False

    def _open(self) -> None:
        """Find out how the stream is compressed."""
        self._is_open = True
        stream, start = self._stream, b""
        while len(start) < _LONGEST_MAGIC and (more := stream.read(_FED_BYTES)):
            start += more
        for kind, magic in _FOREIGN.items():
            if magic.match(start):
                raise InputError(
                    f"the file is compressed with {kind}; unpack it, or compress it with gzip or zstd instead"
                )
        self._ahead = memoryview(start)
        for compression in (_Gzip, _Zstd):
            if compression.magic.match(start):
                self._pieces, self._ahead = _inflated(stream, start, compression()), memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer or a part of it; 0 at the end. Raises BrokenStream after the last byte that can be had.

        Raises InputError at once when the file is compressed in another way.
        """
        if not self._is_open:
            self._open()
        if self._pieces is not None and not self._ahead:
            self._ahead = memoryview(next(self._pieces, b""))
        if self._ahead or self._pieces is not None:
            count = min(len(buffer), len(self._ahead))
            buffer[:count] = self._ahead[:count]
            self._ahead = self._ahead[count:]
            return count
        return self._stream.readinto(buffer)  # type: ignore[attr-defined,no-any-return]


class _Member(Protocol):
    """What decompresses one gzip member or one zstd frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Compression(Protocol):
    """A way of compressing: how its members begin, what may stand between them, and its errors."""

    magic: re.Pattern[bytes]
    padding: bytes
    errors: tuple[type[Exception], ...]

    def has_header(self, start: bytes) -> bool:
        """Whether the header of a member is all there."""

    def start(self) -> _Member: ...
    def start_slowly(self) -> _Member:
        """One that gives every byte before an error when it is fed one at a time."""


class _Gzip:
    magic, padding = re.compile(rb"\x1f\x8b"), b"\0"
    _EXTRA, _NAME, _COMMENT, _CHECKSUM = 4, 8, 16, 2

    def __init__(self) -> None:
        # isal inflates several times as fast as zlib
        from isal import igzip_lib

        self.errors: tuple[type[Exception], ...] = (igzip_lib.IsalError, zlib.error)  # type: ignore[assignment]
        self._library = igzip_lib

    def has_header(self, start: bytes) -> bool:
        """isal misreads some headers that come in two parts."""
        end, flags = 10, start[3] if len(start) > 3 else 0
        if flags & self._EXTRA:
            end += 2 + int.from_bytes(start[end : end + 2], "little")
        for _ in range(bool(flags & self._NAME) + bool(flags & self._COMMENT)):
            if not (end := start.find(b"\0", end) + 1):
                return False
        return len(start) >= end + (2 if flags & self._CHECKSUM else 0)

    def start(self) -> _Member:
        return self._library.IgzipDecompressor(flag=self._library.DECOMP_GZIP)

    def start_slowly(self) -> _Member:
        return _ZlibMember()


class _ZlibMember:
    """zlib with the manners of isal."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


class _Zstd:
    # a frame of data, or one to be skipped, with which parallel compressors begin
    magic, padding = re.compile(rb"(?s)\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), b""

    def __init__(self) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        self.errors: tuple[type[Exception], ...] = (zstd.ZstdError,)
        self._library = zstd

    def start(self) -> _Member:
        limit: dict[int, int] = {self._library.DecompressionParameter.window_log_max: MAX_ZSTD_WINDOW_LOG}
        return self._library.ZstdDecompressor(options=limit)

    def has_header(self, start: bytes) -> bool:
        return len(start) >= 4

    def start_slowly(self) -> _Member:
        return self.start()


def _inflated(stream: BinaryIO, fed: bytes, compression: _Compression) -> Iterator[bytes]:
    """The contents of all members in pieces of bounded size, `fed` being the bytes read so far."""
    if not stream.seekable():
        stream = cast(BinaryIO, _Copy(stream, fed))
    at = 0  # where `fed` begins in the stream
    while fed:
        while (
            not compression.has_header(fed)
            and len(fed) < _LONGEST_HEADER
            and (more := stream.read(_FED_BYTES))
        ):
            fed += more
        if not compression.magic.match(fed):
            raise BrokenStream(CORRUPT)
        member, member_at, delivered = compression.start(), at, 0
        while not member.eof:
            if not fed:
                raise BrokenStream(TRUNCATED)
            try:
                for piece in _drained(member, fed):
                    delivered += len(piece)
                    yield piece
            except compression.errors:
                stream.seek(member_at)
                before = at - member_at
                yield from _up_to_the_error(stream, compression, before, fed=fed, delivered=delivered)
                raise BrokenStream(CORRUPT) from None
            at += len(fed)
            fed = b"" if member.eof else stream.read(_FED_BYTES)
        at -= len(member.unused_data)
        fed, skipped = _without_padding(stream, member.unused_data, compression.padding)
        at += skipped


def _without_padding(stream: BinaryIO, fed: bytes, padding: bytes) -> tuple[bytes, int]:
    """What follows the padding after a member, empty at the end of the stream, and how many bytes that was."""
    skipped = 0
    while True:
        rest = fed.lstrip(padding)
        skipped += len(fed) - len(rest)
        if rest or not (fed := stream.read(_FED_BYTES)):
            return rest, skipped


def _drained(member: _Member, fed: bytes) -> Iterator[bytes]:
    """All that a member gives for what it is fed."""
    while not member.eof:
        if piece := member.decompress(fed, _PIECE_BYTES):
            yield piece
        fed = b""
        if member.needs_input or not piece:
            return


def _up_to_the_error(
    stream: BinaryIO, compression: _Compression, before: int, *, fed: bytes, delivered: int
) -> Iterator[bytes]:
    """What can still be had of a member that failed on `fed`, as a decompressor withholds the whole piece with an error.

    The stream stands at the member's beginning, `before` bytes before `fed`.
    """
    member, given = compression.start_slowly(), 0
    pieces = (stream.read(min(_FED_BYTES, before - at)) for at in range(0, before, _FED_BYTES))
    try:
        for one in chain(pieces, (fed[i : i + 1] for i in range(len(fed)))):
            for piece in _drained(member, one):
                given += len(piece)
                if given > delivered:
                    yield piece[-(given - delivered) :]
                    delivered = given
    except compression.errors:
        return


def up_to_error(stream: BinaryIO, fails: Callable[[Exception], None] | None) -> BinaryIO:
    """The stream as a broken one from where it cannot be read on, `fails` being told why; the same without `fails`."""
    return stream if fails is None else cast(BinaryIO, _UpToError(stream, fails))


class _UpToError:
    def __init__(self, stream: BinaryIO, fails: Callable[[Exception], None]) -> None:
        self._stream, self._fails = stream, fails

    def read(self, size: int) -> bytes:
        return self._tried(self._stream.read, size)

    def readinto(self, buffer: memoryview) -> int:
        return self._tried(self._stream.readinto, buffer)  # type: ignore[attr-defined,no-any-return]

    def seekable(self) -> bool:
        return self._stream.seekable()

    def seek(self, position: int) -> int:
        return self._tried(self._stream.seek, position)

    def _tried(self, call: Callable[[_Given], _Got], given: _Given) -> _Got:
        try:
            return call(given)
        except OSError as error:
            self._fails(error)
            raise BrokenStream(UNREADABLE) from error


class _Copy:
    """A pipe as a file in which one can go back; where the pipe broke, so does the file."""

    def __init__(self, pipe: BinaryIO, start: bytes) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 -- it lives as long as this does
        self._file.write(start)
        self._broken: BrokenStream | None = None
        try:
            shutil.copyfileobj(pipe, self._file)
        except BrokenStream as broken:
            self._broken = broken
        self._file.seek(len(start))

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        if self._broken and not data:
            raise self._broken
        return data

    def seek(self, position: int) -> int:
        return self._file.seek(position)
