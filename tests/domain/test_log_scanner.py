"""The compiled scanner says what the readable one says, however a file is cut, shared among threads or bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import pandas as pd
import pytest

from photo_popularity.domain import log_scan, log_scanner, tables
from photo_popularity.domain.access_log import BAD_TIME, EMPTY, FOREIGN, TOO_LONG, Rejected
from photo_popularity.domain.behavior import merge_signals
from photo_popularity.domain.behavior_rules import BehaviorRules, Meanings, visitor_hash
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.log_bytes import CORRUPT, UNREADABLE
from photo_popularity.domain.log_kernel import memory, pairs, scanner, store
from photo_popularity.domain.log_kernel.memory import BLOCK_BYTES
from photo_popularity.domain.log_kernel.object_code import NoKernel, load
from photo_popularity.domain.log_kernel.scanner import File
from photo_popularity.domain.log_scan import LogScan, scan_by_reference
from photo_popularity.domain.log_scanner import scan_days, scan_log
from tests.log_lines import PERSON, line, scan_both
from tests.mutated_lines import ALL_RULES, RULES, disagreement, mutated_lines

# small, so that what is wrong in one line cannot hide in the sums of many
BATCH = 40


@pytest.fixture(autouse=True)
def kernel() -> None:
    """Without the kernel these tests would compare the readable scanner with itself."""
    load()


def some_lines(count: int, *, seed: int = 1) -> list[bytes]:
    return list(itertools.islice(mutated_lines(seed), count))


def file_of(lines: Sequence[bytes]) -> bytes:
    return b"".join(one + b"\n" for one in lines)


def specified(data: bytes, *, salt: str = "s") -> LogScan:
    return scan_by_reference(io.BytesIO(data), rules=RULES, salt=salt, salt_version=f"v-{salt}")


def scanned(stream: Any, *, salt: str = "s") -> LogScan:
    return scan_log(stream, rules=RULES, salt=salt, salt_version=f"v-{salt}")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rules", ALL_RULES)
def test_both_scanners_agree_on_lines_of_every_kind(rules: str, seed: int) -> None:
    lines = mutated_lines(seed)
    for _ in range(3_000 // BATCH):
        assert disagreement(list(itertools.islice(lines, BATCH)), ALL_RULES[rules]) is None


def test_the_lines_to_compare_scanners_on_are_half_good_and_of_every_kind() -> None:
    """Scanners that reject everything would agree too."""
    scan = specified(file_of(some_lines(20_000)))
    signals = tables.to_frame(scan.signals)
    assert 0.45 < scan.good / scan.lines < 0.65
    assert 0.3 < signals.loc[signals["photo_id"].notna(), "lines"].sum() / scan.lines < 0.45
    assert set(scan.quarantined["reason"].to_pylist()) == {EMPTY, TOO_LONG, FOREIGN, BAD_TIME}
    assert (signals[["views", "likes", "downloads", "external_referrals", "robot_views"]].sum() > 100).all()


def test_a_hole_in_a_time_is_no_time() -> None:
    """A crash leaves NULs in files; a clock that remembers a time must not begin with one of NULs."""
    scan = scan_both(line(time="\0" * 18 + "51" + "\0" * 6), salt="a scanner of its own")
    assert scan.good == 0


def test_visitors_have_the_hash_that_is_specified_whatever_the_length_of_their_address() -> None:
    """The kernel has a BLAKE2b of its own, and what it makes is stored next to what hashlib made."""
    addresses = ["".join(chr(97 + (i * 7 + length) % 26) for i in range(length)) for length in range(1, 301)]
    scan = scan_both(b"".join(line(address=one) for one in addresses), salt="salt " * 30)
    (visitors,) = scan.signals["visitors"].to_pylist()
    assert visitors == sorted(visitor_hash(one.encode(), "salt " * 30) for one in addresses)


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        self._data, self._at = memoryview(data), 0
        self._sizes = itertools.cycle(sizes)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._data[self._at : self._at + min(next(self._sizes), len(buffer))]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def of_length(length: int, *, photo: str = "p1") -> bytes:
    """A good line of so many bytes, newline included."""
    least = len(line(f"GET /photos/{photo}.jpg HTTP/1.1"))
    return line(f"GET /photos/{photo}.jpg?{'x' * (length - least - 1)} HTTP/1.1")


def filled(length: int) -> bytes:
    """Good lines that take so many bytes."""
    many = line() * ((length - 500) // len(line()))
    return many + of_length(length - len(many), photo="last")


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize(
    "size", [BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 2 * BLOCK_BYTES - 1, 2 * BLOCK_BYTES]
)
def test_a_file_may_end_at_the_border_of_a_block_or_beside_it(size: int, end: bytes) -> None:
    data = filled(size + 1 - len(end))[:-1] + end
    assert len(data) == size
    assert scan_both(data).good == data.count(b"\n") + (not end)


@pytest.mark.parametrize("ahead", [-2, -1, 0, 1, 2, 100])
def test_a_line_across_the_border_of_blocks_is_one_line(ahead: int) -> None:
    data = filled(BLOCK_BYTES - 500) + of_length(500 + ahead, photo="across") + line() * 1_000
    assert scan_both(data).good == data.count(b"\n")


@pytest.mark.parametrize("length", [BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 7])
@pytest.mark.parametrize("before", [0, 1, 5_000])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_longer_than_a_block_is_one_quarantined_line(length: int, before: int, end: bytes) -> None:
    data = line() * before + b"y" * length + end + (line() * 10 if end else b"")
    scan = scan_both(data)
    assert (scan.lines, scan.good) == (before + 1 + 10 * len(end), before + 10 * len(end))
    assert scan.quarantined["reason"].to_pylist() == [TOO_LONG]


def test_results_do_not_depend_on_where_blocks_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that are as small as they can be have many borders, each at another place of a line."""
    monkeypatch.setattr(memory, "BLOCK_BYTES", 66_001)
    monkeypatch.setattr(scanner, "BLOCK_BYTES", 66_001)
    lines = [one for one in some_lines(22_000, seed=7) if len(one) < 60_000]
    data = file_of(lines) + b"z" * 70_000 + b"\n" + file_of(lines[:100]) + line()[:-1]
    expected = specified(data, salt="small blocks")
    assert len(data) > 60 * 66_001
    for skipped in (0, 1, 2, 3):
        assert scanned(io.BytesIO(b"\n" * skipped + data), salt="small blocks").good == expected.good
    assert scanned(io.BytesIO(data), salt="small blocks") == expected


@pytest.mark.parametrize("sizes", [[1_000_003], [4096], [60_000, 1, 1, 7]])
def test_results_do_not_depend_on_how_much_a_read_gives(sizes: list[int]) -> None:
    data = file_of(some_lines(10_000, seed=8))
    assert scanned(Trickle(data, sizes)) == specified(data)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_results_do_not_depend_on_the_number_of_threads(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later blocks are often done before earlier ones, and quarantined lines still come in order."""
    monkeypatch.setattr(scanner, "MOST_THREADS", threads)
    monkeypatch.setattr(scanner, "_cpu_count", lambda: threads)
    data = file_of(some_lines(10_000, seed=9))
    data *= 8 * BLOCK_BYTES // len(data) + 1
    assert scanned(io.BytesIO(data), salt=f"{threads} threads") == specified(data, salt=f"{threads} threads")


def test_compressed_logs_give_what_the_plain_one_gives() -> None:
    data = file_of(some_lines(10_000, seed=10))
    half = len(data) // 2
    assert scanned(io.BytesIO(gzip.compress(data[:half]) + gzip.compress(data[half:]))) == specified(data)


@pytest.mark.parametrize("size", [300, 200_000, 700_000])
def test_a_broken_log_ends_with_the_line_at_which_it_broke_in_both_scanners(size: int) -> None:
    """Also when it breaks in a later block than the first, and within a very long line."""
    data = file_of(some_lines(15_000, seed=11))
    for text in (data, data[:100_000] + b"y" * 1_000_000 + data):
        packed = bytearray(gzip.compress(text, compresslevel=1, mtime=0))
        packed[size % len(packed)] ^= 0xFF
        scan = scan_both(bytes(packed), rules=RULES)
        assert scan.quarantined["reason"].to_pylist()[-1] == CORRUPT
        assert scan.quarantined["line_number"].to_pylist()[-1] == scan.lines


def in_silence(rejected: Rejected, lines: int) -> None:
    pass


def into(kept: list[Rejected]) -> Callable[[Rejected, int], None]:
    def keep(rejected: Rejected, lines: int) -> None:
        assert lines == 1
        kept.append(rejected)

    return keep


def opened(data: bytes, tell: Callable[[Rejected, int], None] = in_silence) -> File:
    return File(lambda: nullcontext(io.BytesIO(data)), tell)


def signals_of(number: int, data: bytes) -> pd.DataFrame:
    return tables.to_frame(scanned(io.BytesIO(data), salt="").signals).assign(file=f"{number}.log")


def merged(files: Sequence[bytes]) -> pd.DataFrame:
    signals = pd.concat([signals_of(number, data) for number, data in enumerate(files)])
    return merge_signals(signals, list(signals["day"].unique()))


def days_of(files: Sequence[File]) -> pd.DataFrame:
    frame = tables.to_frame(scan_days(files, rules=RULES).read_all())
    return frame.astype({"day": "datetime64[us]", "photo_id": "str"})


def test_days_of_many_files_are_the_merged_signals_of_each() -> None:
    """A client in two files counts once a day; small files share the blocks' threads with large ones."""
    files = [file_of(some_lines(count, seed=count)) for count in (7_000, 3, 5_000, 0, 1, 6_000, 40, 2_000)]
    files += [gzip.compress(files[0][:500_000]), b"nonsense", b"\n", files[1]]
    told: list[list[Rejected]] = [[] for _ in files]
    given = [opened(data, into(its)) for data, its in zip(files, told, strict=True)]
    found = days_of(given)
    pd.testing.assert_frame_equal(found, merged(files), check_dtype=False)
    assert found["unique_visitors"].sum() < found["views"].sum()
    for file, data, rejected in zip(given, files, told, strict=True):
        alone = scanned(io.BytesIO(data))
        assert (file.lines, file.good) == (alone.lines, alone.good)
        assert log_scan.moment_of(file.first_moment) == alone.first_moment
        assert log_scan.moment_of(file.last_moment) == alone.last_moment
        assert [(one.line_number, one.reason, log_scan.printable(one.line)) for one in rejected] == [
            (row["line_number"], row["reason"], row["line"]) for row in alone.quarantined.to_pylist()
        ]


def test_days_come_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_scanner, "BATCH_ROWS", 7)
    data = file_of(some_lines(3_000, seed=31))
    batches = list(scan_days([opened(data)], rules=RULES))
    assert len(batches) > 3
    assert {len(batch) for batch in batches[:-1]} == {7}
    pd.testing.assert_frame_equal(days_of([opened(data)]), merged([data]), check_dtype=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_process_that_is_forked_scans_beside_its_parent() -> None:
    """What one of them writes must not show in the memory of the other."""
    data, others = (file_of(some_lines(9_000, seed=seed)) for seed in (32, 33))
    expected = scanned(io.BytesIO(data), salt="fork")
    child = os.fork()
    if child == 0:
        try:
            for _ in range(5):
                scanned(io.BytesIO(others), salt="fork")
        finally:
            os._exit(0)
    for _ in range(5):
        assert scanned(io.BytesIO(data), salt="fork") == expected
    assert os.waitpid(child, 0)[1] == 0


def test_days_of_files_without_a_photo_are_an_empty_table() -> None:
    for files in ([], [b""], [b"nonsense\n", line("GET / HTTP/1.1")]):
        assert scan_days([opened(data) for data in files], rules=RULES).read_all().num_rows == 0


def test_a_scanner_keeps_nothing_of_earlier_files() -> None:
    files = [file_of(some_lines(count, seed=count)) for count in (50, 6_000, 1, 300, 0, 50)]
    expected = [specified(data) for data in files]
    for _ in range(3):
        assert [scanned(io.BytesIO(data)) for data in files] == expected


class Breaking(io.BytesIO):
    """A stream that fails after so many bytes."""

    def __init__(self, data: bytes, after: int, *, seekable: bool = True) -> None:
        super().__init__(data)
        self._after, self._seekable = after, seekable

    def seekable(self) -> bool:
        return self._seekable

    def _left(self) -> int:
        if self.tell() >= self._after:
            raise OSError("the disk is gone")
        return self._after - self.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._left()
        return super().read(left if size is None or size < 0 else min(size, left))

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto(memoryview(buffer)[: self._left()])


@pytest.mark.parametrize("after", [0, 100_000, BLOCK_BYTES, 3_000_000])
def test_a_scanner_keeps_nothing_of_a_file_that_could_not_be_read(after: int) -> None:
    data = file_of(some_lines(12_000, seed=12))
    small = file_of(some_lines(200, seed=13))
    with pytest.raises(OSError, match="the disk is gone"):
        scanned(Breaking(data, after))
    assert scanned(io.BytesIO(small)) == specified(small)
    broken = File(lambda: nullcontext(Breaking(data, after)), in_silence)
    with pytest.raises(OSError, match="the disk is gone"):
        scan_days([opened(small), broken, opened(data)], rules=RULES)
    assert len(days_of([opened(small)])) == len(merged([small]))


def test_a_file_of_another_compression_fails_and_leaves_nothing_behind() -> None:
    small = file_of(some_lines(200, seed=14))
    for packed in (lzma.compress(small), bz2.compress(small)):
        with pytest.raises(InputError, match="the file is compressed with"):
            scanned(io.BytesIO(packed))
        with pytest.raises(InputError, match="the file is compressed with"):
            scan_days([opened(small), opened(packed)], rules=RULES)
        assert scanned(io.BytesIO(small)) == specified(small)


def test_every_file_is_closed_also_those_that_fail() -> None:
    streams = [io.BytesIO(line()), io.BytesIO(line() * 10_000), Breaking(line() * 10_000, 600_000)]
    files = [File(lambda stream=stream: stream, in_silence) for stream in streams]  # type: ignore[misc]
    with pytest.raises(OSError, match="the disk is gone"):
        scan_days(files, rules=RULES)
    assert [stream.closed for stream in streams] == [True, True, True]


def test_a_meaning_that_could_not_be_found_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan that is interrupted while it asks what texts mean must not leave them without meaning for the next."""
    data = b"".join(
        line(f"GET /photos/p{i}.jpg HTTP/1.1", referrer=f"http://h{i}.example/") for i in range(9)
    )
    expected = specified(data, salt="interrupted")
    interrupted, find_external = [False], Meanings._find_external

    def interrupted_once(self: Meanings, referrer: bytes | None) -> bool:
        if referrer == b"http://h4.example" and not interrupted[0]:
            interrupted[0] = True
            raise KeyboardInterrupt
        return find_external(self, referrer)

    monkeypatch.setattr(Meanings, "_find_external", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        scanned(io.BytesIO(data), salt="interrupted")
    assert scanned(io.BytesIO(data), salt="interrupted") == expected


@pytest.mark.parametrize("after", [0, 3_000_000])
def test_of_a_file_that_fails_midway_the_lines_before_count_with_and_without_the_kernel(
    monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    data, small = file_of(some_lines(12_000, seed=12)), file_of(some_lines(200, seed=13))

    reasons: list[Rejected] = []
    before = data[:after].rpartition(b"\n")[0]

    def scanned_days() -> tuple[pd.DataFrame, list[str], tuple[int, ...]]:
        problems: list[str] = []
        reasons.clear()
        failing = File(
            lambda: nullcontext(Breaking(data, after)),
            into(reasons),
            fails=lambda error: problems.append(str(error)),
        )
        whole = opened(small)
        found = days_of([failing, whole])
        assert reasons[-1].reason == UNREADABLE
        assert reasons[-1].line_number == failing.lines
        return found, problems, (whole.lines, whole.good, failing.lines, failing.good)

    with_kernel = scanned_days()
    monkeypatch.setattr(log_scanner, "KernelScanner", no_kernel)
    without = scanned_days()
    pd.testing.assert_frame_equal(with_kernel[0], without[0])
    pd.testing.assert_frame_equal(with_kernel[0], merged([small, before]), check_dtype=False)
    assert with_kernel[1:] == without[1:]
    assert with_kernel[1] == ["the disk is gone"]


@pytest.mark.parametrize("seekable", [True, False])
def test_of_a_compressed_file_or_pipe_that_fails_midway_the_lines_before_count(seekable: bool) -> None:
    data = file_of(some_lines(12_000, seed=12))
    packed = gzip.compress(data)
    problems: list[str] = []
    failing = File(
        lambda: nullcontext(Breaking(packed, len(packed) // 2, seekable=seekable)),
        in_silence,
        fails=lambda error: problems.append(str(error)),
    )
    days_of([failing])
    assert problems == ["the disk is gone"]
    assert failing.lines > 4_000


def no_kernel(*_: object) -> None:
    raise NoKernel("for a test")


def test_days_without_the_kernel_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [file_of(some_lines(count, seed=count)) for count in (2_000, 3, 0, 1_000)]
    with_kernel, without = [opened(data) for data in files], [opened(data) for data in files]
    expected = scan_days(with_kernel, rules=RULES).read_all()
    monkeypatch.setattr(log_scanner, "KernelScanner", no_kernel)
    assert scan_days(without, rules=RULES).read_all() == expected
    for one, other in zip(with_kernel, without, strict=True):
        assert (one.lines, one.good) == (other.lines, other.good)
        assert (one.first_moment, one.last_moment) == (other.first_moment, other.last_moment)


def test_two_threads_may_scan_at_once() -> None:
    files = [file_of(some_lines(count, seed=count)) for count in (3_000, 10, 4_000, 1_000)] * 3
    expected = [specified(data) for data in files[:4]] * 3
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda data: scanned(io.BytesIO(data)), files)) == expected


def counted_calls(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[str]:
    """A list that grows with every call of a method."""
    calls: list[str] = []
    original = getattr(owner, name)

    def counting(*arguments: Any) -> Any:
        calls.append(name)
        return original(*arguments)

    monkeypatch.setattr(owner, name, counting)
    return calls


def varied_file() -> bytes:
    """Some photos on a few days, each seen by many visitors again and again, in several blocks."""
    views = [
        line(
            f"GET /photos/p{i * i % 37}.jpg HTTP/1.1",
            address=f"10.0.{i % 7}.{i * 31 % 251}",
            time=f"{20 + i % 3}/Sep/2026:12:00:00 +0000",
            agent=f"{PERSON} {i % 11}",
        )
        for i in range(9_000)
    ]
    return b"".join(views) + file_of(some_lines(3_000, seed=15))


def test_texts_that_are_forgotten_are_found_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A visitor found anew is the visitor of before, also where the table of visitors grew in between."""
    monkeypatch.setattr(store, "MOST_ARENA_WORDS", 1_000)
    forgotten = counted_calls(monkeypatch, store.Store, "_forget_texts")
    count = 3 * BLOCK_BYTES // len(line())
    visits = b"".join(line(address=f"10.1.{i // 250}.{i % 250}") for i in range(count))
    data = varied_file() + visits + visits
    assert scanned(io.BytesIO(data), salt="texts") == specified(data, salt="texts")
    assert len(forgotten) > 3


def test_visitors_on_disk_are_as_distinct_as_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAIRS_AT_ONCE", 500)
    monkeypatch.setattr(pairs, "MOST_IN_MEMORY", 1_500)
    monkeypatch.setattr(pairs, "SLICE", 64)
    spilled = counted_calls(monkeypatch, pairs.PairRuns, "_spill")
    data = varied_file()
    assert scanned(io.BytesIO(data), salt="disk") == specified(data, salt="disk")
    assert spilled
    spilled.clear()
    files = [data, data[:300_000], data]
    found = days_of([opened(one) for one in files])
    assert spilled
    pd.testing.assert_frame_equal(found, merged(files), check_dtype=False)


def test_runs_of_pairs_give_each_pair_once_and_a_row_in_one_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "MOST_IN_MEMORY", 400)
    monkeypatch.setattr(pairs, "SLICE", 50)
    numbers = np.random.default_rng(1)
    runs, added = pairs.PairRuns(), []
    for size in (300, 5, 1, 250, 500, 700, 3, 90, 600, 2):
        added.append(numbers.integers(0, 40, size) << 32 | numbers.integers(0, 60, size))
        runs.add(added[-1])
    slices = list(runs.slices())
    assert np.concatenate(slices).tolist() == np.unique(np.concatenate(added)).tolist()
    rows = [set((one >> 32).tolist()) for one in slices]
    assert len(rows) > 5
    assert sum(len(one) for one in rows) == len(set().union(*rows))


def test_no_pairs_are_no_slices() -> None:
    assert list(pairs.PairRuns().slices()) == []


def test_visitors_that_are_forgotten_between_files_keep_their_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_VISITORS", 50)
    forgotten = counted_calls(monkeypatch, store.Store, "_forget_texts")
    files = [varied_file(), file_of(some_lines(300, seed=16)), line(), varied_file()]
    for data in files:
        assert scanned(io.BytesIO(data), salt="visitors") == specified(data, salt="visitors")
    assert len(forgotten) >= 3


def test_a_scanner_that_has_seen_too_many_photos_is_left_for_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_scanner, "MOST_PHOTOS", 20)
    made = counted_calls(monkeypatch, log_scanner.KernelScanner, "__init__")
    data = varied_file()
    for _ in range(4):
        assert scanned(io.BytesIO(data), salt="photos") == specified(data, salt="photos")
    assert len(made) > 1


def test_of_very_many_quarantined_lines_the_further_ones_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_scan, "MAX_QUARANTINED_ROWS", 30)
    data = file_of(some_lines(6_000, seed=17))
    scan = scan_both(data, rules=RULES)
    assert len(scan.quarantined) <= 30 + 4
    assert sum(scan.quarantined["lines"].to_pylist()) == scan.lines - scan.good > 1_000


def shortest(day: int, request: bytes) -> bytes:
    return b'a b c [%d/Sep/2026:12:00:00 +0000] "%b" 200 -\n' % (day, request)


def distinct_views() -> bytes:
    return b"".join(
        line(f"GET /photos/{i}.jpg HTTP/1.1", address=f"{i:x}", referrer=f"http://{i}", agent=f"{PERSON}{i}")
        for i in range(6_000)
    )


FULL = {
    "newlines": lambda: b"\n" * (BLOCK_BYTES + 5),
    "the shortest good lines, of alternating days": lambda: (
        (shortest(20, b"") + shortest(21, b"")) * (BLOCK_BYTES // 60)
    ),
    "the shortest good lines, the last without end": lambda: (
        shortest(20, b"") * (BLOCK_BYTES // 44) + line()[:-1]
    ),
    "the shortest lines that ask for a path": lambda: (
        (shortest(20, b"GET ?") + shortest(21, b"GET *")) * (BLOCK_BYTES // 60)
    ),
    "quotes": lambda: (b'"' * 60_000 + b"\n") * (BLOCK_BYTES // 50_000),
    "quotes without end": lambda: b'"' * (BLOCK_BYTES + 5),
    "backslashes": lambda: (b"\\" * 60_001 + b"\n") * (BLOCK_BYTES // 50_000),
    "NULs": lambda: bytes(BLOCK_BYTES * 2),
    "views of distinct photos by distinct clients": distinct_views,
}


@pytest.mark.parametrize("kind", FULL)
def test_blocks_may_be_full_of_anything(kind: str) -> None:
    """The kernel checks no bound: each of these brings the most of something that a block has room for."""
    data = FULL[kind]()
    assert scan_both(data).lines == data.count(b"\n") + (not data.endswith(b"\n"))


def test_rules_of_sites_do_not_mix() -> None:
    data = file_of(some_lines(300, seed=18))
    others = BehaviorRules(own_hosts=("other.example",), image_extensions=("png",))
    for rules, salt in ((RULES, "a"), (others, "a"), (RULES, "b"), (others, "b"), (RULES, "a")):
        scan_both(data, rules=rules, salt=salt)


def test_signals_have_the_types_that_are_specified_also_without_rows() -> None:
    for data in (b"", b"nonsense\n", line()):
        assert scanned(io.BytesIO(data)).signals.schema == log_scan.SIGNALS
    assert scan_days([], rules=RULES).schema == log_scanner.DAYS
