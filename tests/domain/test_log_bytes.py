"""The bytes of compressed logs, whole and broken, against decompressors that are fed one byte at a time."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import struct
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import pytest

from photo_popularity.domain.errors import InputError
from photo_popularity.domain.log_bytes import CORRUPT, MAX_ZSTD_WINDOW_LOG, TRUNCATED, BrokenStream, LogBytes
from tests.log_lines import line

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FED_AT_ONCE = 64 * 1024
TEXT = b"".join(
    line(f"GET /photos/p{i * 7 % 13}.jpg HTTP/1.1", address=f"10.0.0.{i}", size=f"{i * i * 37}", agent="A")
    for i in range(14)
)
FNAME, FEXTRA, FCOMMENT, FHCRC = 8, 4, 16, 2
CHECKSUM: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}


def gzipped(text: bytes, *, flags: int = 0) -> bytes:
    """A gzip member whose header has the fields that the flags ask for."""
    header = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\x03"
    header += struct.pack("<H", 30) + b"e" * 30 if flags & FEXTRA else b""
    header += b"access.log\0" if flags & FNAME else b""
    header += b"a comment of some length\0" if flags & FCOMMENT else b""
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF) if flags & FHCRC else b""
    member = zlib.compressobj(9, zlib.DEFLATED, -15)
    return header + member.compress(text) + member.flush() + struct.pack("<II", zlib.crc32(text), len(text))


def zstandard(text: bytes) -> bytes:
    return zstd.compress(text, options=CHECKSUM)


def skippable(content: bytes, kind: int = 0) -> bytes:
    return bytes([0x50 + kind]) + b"\x2a\x4d\x18" + struct.pack("<I", len(content)) + content


COMPRESS = {"gzip": gzipped, "zstd": zstandard}
BOTH = pytest.mark.parametrize("kind", COMPRESS)


def read(stream: BinaryIO, size: int = 100_000) -> tuple[bytes, str]:
    """All that can be had, and the reason why that is not all."""
    log, found, buffer = LogBytes(stream), bytearray(), memoryview(bytearray(size))
    try:
        while count := log.readinto(buffer):
            found += buffer[:count]
    except BrokenStream as broken:
        return bytes(found), str(broken)
    return bytes(found), ""


def read_bytes(data: bytes) -> tuple[bytes, str]:
    return read(io.BytesIO(data))


def gzip_by_bytes(data: bytes) -> tuple[bytes, str]:
    """What zlib gives before it ends or fails; another decompressor than the one in use."""
    return _by_bytes(data, lambda: zlib.decompressobj(wbits=31), zlib.error, padding=0)


def zstd_by_bytes(data: bytes) -> tuple[bytes, str]:
    limit: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MAX_ZSTD_WINDOW_LOG}
    return _by_bytes(data, lambda: zstd.ZstdDecompressor(options=limit), zstd.ZstdError, padding=-1)


def _by_bytes(
    data: bytes, start: Callable[[], Any], error: type[Exception], *, padding: int
) -> tuple[bytes, str]:
    found, member = bytearray(), None
    for place, byte in enumerate(data):
        if member is None and place and byte == padding:
            continue
        member = member or start()
        try:
            found += member.decompress(data[place : place + 1])
        except error:
            return bytes(found), CORRUPT
        if member.eof:
            member = None
    return bytes(found), TRUNCATED if member else ""


BY_BYTES = {"gzip": gzip_by_bytes, "zstd": zstd_by_bytes}


def two_members(kind: str) -> bytes:
    if kind == "gzip":
        return gzipped(TEXT[:600], flags=FNAME) + gzipped(TEXT[600:])
    return zstandard(TEXT[:600]) + zstandard(TEXT[600:])


@pytest.mark.parametrize("length", [0, 1, 300_000, 262_144, 524_289])
@BOTH
def test_members_and_frames_follow_each_other(kind: str, length: int) -> None:
    """Also where a member's content just fills a piece, and where a member holds nothing."""
    compress = COMPRESS[kind]
    for text in (bytes(length), random.Random(length).randbytes(length)):
        assert read_bytes(compress(text)) == (text, "")
        several = compress(text) + compress(b"") + compress(TEXT) + compress(text)
        assert read_bytes(several) == (text + TEXT + text, "")


@BOTH
def test_a_member_for_every_line_is_read_to_the_end(kind: str) -> None:
    assert read_bytes(COMPRESS[kind](b"ab\n") * 20_000) == (b"ab\n" * 20_000, "")


def test_skippable_frames_of_zstd_hold_nothing() -> None:
    """Parallel compressors begin with one."""
    frame = zstandard(TEXT)
    assert read_bytes(skippable(b"") + frame) == (TEXT, "")
    assert read_bytes(
        skippable(b"size", 15) + frame + skippable(b"s" * 100_000) + frame + skippable(b"s")
    ) == (
        TEXT * 2,
        "",
    )
    assert read_bytes(skippable(b"nothing else")) == (b"", "")
    assert read_bytes(frame + skippable(b"long")[:-1]) == (TEXT, TRUNCATED)


@pytest.mark.parametrize("zeros", [1, 3, 512, FED_AT_ONCE - 1, 3 * FED_AT_ONCE])
def test_zeros_after_gzip_members_are_padding(zeros: int) -> None:
    """Tapes and block devices fill up with them."""
    member = gzipped(TEXT)
    assert read_bytes(member + bytes(zeros) + member + bytes(zeros)) == (TEXT * 2, "")
    assert read_bytes(member + bytes(zeros) + b"x") == (TEXT, CORRUPT)
    # a checksum is wrong several reads after the padding
    noise = random.Random(1).randbytes(3 * FED_AT_ONCE)
    damaged = bytearray(gzipped(noise))
    damaged[-6] ^= 1
    assert read_bytes(member + bytes(zeros) + damaged) == (TEXT + noise, CORRUPT)
    assert read_bytes(zstandard(TEXT) + bytes(zeros)) == (TEXT, CORRUPT)


@BOTH
def test_a_file_cut_at_any_byte_gives_what_came_before_the_cut(kind: str) -> None:
    whole, member = two_members(kind), len(COMPRESS[kind](b""))
    border = len(gzipped(TEXT[:600], flags=FNAME) if kind == "gzip" else zstandard(TEXT[:600]))
    assert member < border < len(whole)
    for cut in range(4, len(whole)):
        found, reason = read_bytes(whole[:cut])
        expected, _ = BY_BYTES[kind](whole[:cut])
        # a decompressor may hold a byte or two back
        assert expected.startswith(found), cut
        assert len(expected) - len(found) <= 2, cut
        few = border < cut < border + 4  # of a beginning like this nobody knows what it is
        assert reason == ("" if cut == border else reason if few and reason else TRUNCATED), cut


@BOTH
def test_a_file_damaged_at_any_byte_gives_all_that_came_before_the_damage(kind: str) -> None:
    """isal notices some damage later than zlib: what it gives beyond is none of the file's, and ends with the reason."""
    whole = two_members(kind)
    for place in range(4, len(whole)):
        for change in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            damaged = bytearray(whole)
            damaged[place] ^= change
            found, reason = read_bytes(bytes(damaged))
            expected, why = BY_BYTES[kind](bytes(damaged))
            assert reason in ("", TRUNCATED, CORRUPT)
            if why or reason:
                assert found.startswith(expected), (place, change)
            else:
                assert found == expected, (place, change)
            # flags that no version of gzip knows are passed by
            assert bool(reason) == bool(why) or found == TEXT, (place, change)


@pytest.mark.parametrize("flags", range(0, 32, 2))
def test_the_fields_of_gzip_headers_are_passed_by(flags: int) -> None:
    """Also where a header lies across two reads, and where the member is read again for the lines before its damage."""
    member = gzipped(TEXT, flags=flags)
    assert read_bytes(member + member) == (TEXT * 2, "")
    damaged = bytearray(member)
    damaged[-6] ^= 1  # the checksum
    assert read_bytes(bytes(damaged)) == (TEXT, CORRUPT)
    noise = random.Random(1).randbytes(FED_AT_ONCE)
    for header_at in range(FED_AT_ONCE - 90, FED_AT_ONCE):
        before = header_at - 23  # a member of bytes that are only stored has 23 of its own
        first = gzip.compress(noise[:before], compresslevel=0)
        assert len(first) == header_at
        assert read_bytes(first + member) == (noise[:before] + TEXT, ""), header_at


@pytest.mark.parametrize(
    "place",
    [*range(FED_AT_ONCE - 2, FED_AT_ONCE + 3), 2 * FED_AT_ONCE - 1, 2 * FED_AT_ONCE, 200_000, 299_000],
)
@BOTH
def test_damage_far_into_a_file_costs_no_line_before_it(kind: str, place: int) -> None:
    """A decompressor withholds all that it made of a read in which it finds damage."""
    chance = random.Random(place)
    text = b"".join(line(agent=chance.randbytes(40).hex()) for _ in range(9_000))
    first = COMPRESS[kind](text[:10_000])
    whole = first + COMPRESS[kind](text[10_000:])
    assert len(whole) > 300_000
    damaged = bytearray(whole)
    damaged[place : place + 8] = bytes(8)
    found, reason = read_bytes(bytes(damaged))
    expected, _ = BY_BYTES[kind](bytes(damaged))
    assert reason == CORRUPT
    # isal notices some damage later than zlib, and may hold a byte or two back
    assert found.startswith(expected[:-2])
    assert len(expected) > (10_000 if place < 100_000 else 200_000)


@BOTH
def test_damage_after_very_much_text_gives_that_text_once(kind: str) -> None:
    """One read of a file that compresses well becomes many pieces, of which some were delivered before the damage."""
    whole = bytearray(COMPRESS[kind](b"".join(TEXT.replace(b"p1", b"p%d" % i) for i in range(3_000))))
    assert len(whole) < 2 * FED_AT_ONCE
    damage = len(whole) * 9 // 10
    whole[damage : damage + 50] = b"\xff" * 50
    expected, _ = BY_BYTES[kind](bytes(whole))
    found, reason = read_bytes(bytes(whole))
    assert len(expected) > 1_000_000
    assert (found[: len(expected) - 2], reason) == (expected[:-2], CORRUPT)


@pytest.mark.parametrize("start", range(FED_AT_ONCE - 5, FED_AT_ONCE + 2))
def test_a_member_may_start_anywhere_in_a_read(start: int) -> None:
    """Also where one read ends within the few bytes that say what follows."""
    stored = bytes(start - 23)
    first = gzip.compress(stored, compresslevel=0)
    assert len(first) == start
    assert read_bytes(first + gzipped(TEXT)) == (stored + TEXT, "")
    assert read_bytes(skippable(bytes(start - 8)) + zstandard(TEXT)) == (TEXT, "")


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time, as a pipe does whose writer is slow."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self._most = most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._most if size is None or size < 0 else min(size, self._most))


@pytest.mark.parametrize("most", [1, 2, 3, 5, 1_000])
@BOTH
def test_a_read_may_give_as_little_as_a_byte(kind: str, most: int) -> None:
    """A compressed file that is not known as one is quarantined line by line."""
    assert read(Trickle(two_members(kind), most)) == (TEXT, "")
    with pytest.raises(InputError, match="compressed with bzip2"):
        LogBytes(Trickle(bz2.compress(TEXT), most)).readinto(memoryview(bytearray(9)))


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@BOTH
def test_the_size_of_the_buffer_changes_nothing(kind: str, size: int) -> None:
    text = TEXT * 30
    for data in (text, COMPRESS[kind](text), COMPRESS[kind](text) + COMPRESS[kind](text)):
        assert read(io.BytesIO(data), size) == read_bytes(data)
    broken = COMPRESS[kind](text)[:-9]
    assert read(io.BytesIO(broken), size) == read_bytes(broken)


@pytest.mark.parametrize("damage", [None, 40, 150_000])
@BOTH
def test_a_pipe_gives_what_a_file_gives(kind: str, damage: int | None) -> None:
    """Nobody can go back in a pipe, and the lines before the damage are there all the same."""
    chance = random.Random(3)
    text = TEXT + b"".join(line(agent=chance.randbytes(60).hex()) for _ in range(5_000))
    data = bytearray(COMPRESS[kind](text))
    assert len(data) > 200_000
    if damage:
        data[damage : damage + 8] = bytes(8)
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as stream:
        assert not stream.seekable()
        found = read(stream)
    writer.join()
    assert found == read_bytes(bytes(data))
    assert found[1] == (CORRUPT if damage else "")


_PEAK = """
import io, sys
from photo_popularity.domain.log_bytes import LogBytes
from tests.domain.test_log_bytes import COMPRESS, read_bytes

def peak():
    # not ru_maxrss, with which a process starts at the peak of its parent
    return int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])

data = sys.stdin.buffer.read()
for compress in COMPRESS.values():
    read_bytes(compress(b"x" * 1_000_000))
before, count, log, buffer = peak(), 0, LogBytes(io.BytesIO(data)), memoryview(bytearray(100_000))
while here := log.readinto(buffer):
    count += here
print(count, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak stands in Linux's /proc")
@BOTH
def test_a_small_file_that_becomes_very_large_takes_little_memory(kind: str) -> None:
    bomb = COMPRESS[kind](bytes(100_000_000))
    assert len(bomb) < 200_000
    done = subprocess.run([sys.executable, "-c", _PEAK], input=bomb, capture_output=True, check=True)
    count, kilobytes = map(int, done.stdout.split())
    assert count == 100_000_000
    assert kilobytes < 20_000


def frame_of_window(log: int) -> bytes:
    """A zstd frame of the one byte `x` that asks for a window of so many bytes, as a power of two."""
    return b"\x28\xb5\x2f\xfd\0" + bytes([log - 10 << 3]) + b"\x09\0\0x"


def test_a_frame_that_asks_for_gigabytes_of_memory_is_refused() -> None:
    assert read_bytes(frame_of_window(MAX_ZSTD_WINDOW_LOG)) == (b"x", "")
    for log in (MAX_ZSTD_WINDOW_LOG + 1, 31):
        assert read_bytes(zstandard(TEXT) + frame_of_window(log) + zstandard(TEXT)) == (TEXT, CORRUPT)


def zipped(text: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("access.log", text)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "compress"), [("xz", lzma.compress), ("bzip2", bz2.compress), ("zip", zipped)]
)
def test_another_compression_is_named_with_what_to_do(kind: str, compress: Callable[[bytes], bytes]) -> None:
    message = f"^the file is compressed with {kind}; unpack it, or compress it with gzip or zstd instead$"
    with pytest.raises(InputError, match=message):
        LogBytes(io.BytesIO(compress(TEXT))).readinto(memoryview(bytearray(9)))


def test_a_log_that_begins_like_a_compressed_file_is_a_log() -> None:
    for text in (b"PK\x03 x\n", b"BZh9 x\n", b"\x1f\n", b"\x28\xb5\x2f\n", b"\xfd7zX\n", b"P*M\x17\n", b""):
        assert read_bytes(text) == (text, "")
