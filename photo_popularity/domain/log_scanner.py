"""Access logs scanned: by the compiled kernel where it can be had, else as `scan_by_reference` says, with the same results.

One file gives its signals, which merge exactly with those of other files; many files at once give the counts of days.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from photo_popularity.domain import log_scan
from photo_popularity.domain.behavior_rules import COUNTS, BehaviorRules, Meanings, visitor_key
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.log_bytes import up_to_error
from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.memory import Rules
from photo_popularity.domain.log_kernel.object_code import NoKernel, load
from photo_popularity.domain.log_scan import (
    MAX_QUARANTINED_CHARACTERS,
    SIGNALS,
    LogScan,
    Quarantine,
    moment_of,
    scan_by_reference,
)

if TYPE_CHECKING:
    from photo_popularity.domain.log_kernel.scanner import File
    from photo_popularity.domain.log_kernel.store import PhotoNumber, Rows

# a scanner that has seen more photos is left for a new one
MOST_PHOTOS = 1 << 21
# so few that what belongs to them stays in the cache, and memory is used again
BATCH_ROWS = 1 << 13
_VISITOR = 0xFFFF_FFFF
DAYS = pa.schema(
    [
        ("day", pa.date32()),
        ("photo_id", pa.string()),
        *((name, pa.int64()) for name in (COUNTS[0], "unique_visitors", *COUNTS[1:])),
    ]
)
_PLAIN_PATTERN = re.compile(r"([\w/-]*)\(\?P<photo_id>\[\^/\]\+\)([\w/-]*)", re.ASCII)
DEEDS = {"": at.NO_DEED, "view": at.VIEW, "like": at.LIKE, "download": at.DOWNLOAD}


def scan_log(stream: BinaryIO, *, rules: BehaviorRules, salt: str, salt_version: str) -> LogScan:
    """The signals and the quarantined lines of one log file: plain, gzip or zstd; raises InputError for another kind."""
    try:
        scanner = _scanner(rules, salt)
    except NoKernel:
        return scan_by_reference(stream, rules=rules, salt=salt, salt_version=salt_version)
    from photo_popularity.domain.log_kernel.scanner import File

    quarantine = Quarantine()
    file = File(lambda: nullcontext(stream), quarantine.add, most_told=log_scan.MAX_QUARANTINED_ROWS)
    signals = scanner.signals(file, salt_version)
    return LogScan(
        signals=signals,
        quarantined=quarantine.table(),
        lines=file.lines,
        good=file.good,
        first_moment=moment_of(file.first_moment),
        last_moment=moment_of(file.last_moment),
    )


def scan_days(files: Iterable[File], *, rules: BehaviorRules) -> pa.RecordBatchReader:
    """The counts of each day and photo in many files, as `merge_signals` has them of the files' signals.

    All files have been scanned when it returns, and what was found in each stands in its record; the counts are put in
    order as they are read.
    """
    try:
        # a scanner of its own, since the counts stay in its memory until they are read
        scanner = KernelScanner(rules, "")
    except NoKernel:
        return _days_by_reference(files, rules).to_reader()
    return scanner.days(files)


def why_no_kernel() -> str:
    """Why scans take some thirty times as long as they could; empty when they do not."""
    try:
        load()
    except NoKernel as missing:
        return str(missing)
    return ""


class KernelScanner:
    """Scans logs by the rules of a site; what it learns of paths, agents and addresses it keeps for the next file.

    Raises NoKernel where the kernel can be neither loaded nor compiled.
    """

    def __init__(self, rules: BehaviorRules, salt: str) -> None:
        work = load()
        from photo_popularity.domain.log_kernel.scanner import Scanner

        # glibc keeps no more of what is freed than twice the largest block that ever was: none of this one is touched, and
        # without it some megabytes would be asked of the system anew for each file
        np.empty(31 << 20, dtype=np.uint8)
        self._scanner = Scanner(
            work,
            key=visitor_key(salt),
            # no method: the scanner would be kept alive by itself, with all its memory, until the next search for garbage
            meaning=partial(_meaning, Meanings(rules)),
            rules=_kernel_rules(rules),
            text_bytes=MAX_QUARANTINED_CHARACTERS,
        )
        self._lock = threading.Lock()

    @property
    def is_spent(self) -> bool:
        """Whether a new one should take its place: it has seen very much, or was interrupted."""
        return self._scanner.photo_count > MOST_PHOTOS or not self._scanner.is_whole

    def signals(self, file: File, salt_version: str) -> pa.Table:
        """Scan one file: its signals, as SIGNALS."""
        with self._lock:
            rows = self._scanner.scan([file])
            arranged = _arranged(rows, with_other_lines=True)
            columns = arranged.columns(arranged.order)
            visitors = _visitors(rows, arranged.order)
        salt = pa.repeat(pa.scalar(salt_version), len(arranged.order))
        return pa.Table.from_arrays([*columns, visitors, salt], schema=SIGNALS)

    def days(self, files: Iterable[File]) -> pa.RecordBatchReader:
        """Scan many files: the counts of each day and photo, to be read before the next scan."""
        with self._lock:
            rows = self._scanner.scan(files)
        return pa.RecordBatchReader.from_batches(DAYS, _day_batches(rows))


def _day_batches(rows: Rows) -> Iterator[pa.RecordBatch]:
    arranged, visitors = _arranged(rows), _visitors_of_rows(rows)
    for start in range(0, len(arranged.order), BATCH_ROWS):
        part = arranged.order[start : start + BATCH_ROWS]
        days, photo_ids, _, views, *others = arranged.columns(part)
        columns = [days, photo_ids, views, _column(visitors[part], pa.int64()), *others]
        yield pa.RecordBatch.from_arrays(columns, schema=DAYS)


def _meaning(meanings: Meanings, kind: int, text: bytes, photo_number: PhotoNumber) -> int:
    """What a text means, as the kernel's `layout` writes it."""
    if kind == at.PATH_TEXT:
        method, _, path = text.partition(b" ")
        deed, photo_id = meanings.deed(method, path)
        return (photo_number(photo_id.encode()) << at.DEED_BITS | DEEDS[deed]) if deed else at.NO_DEED
    if kind == at.AGENT_TEXT:
        return int(meanings.is_robot(text))
    return int(meanings.is_external(text))


def _kernel_rules(rules: BehaviorRules) -> Rules:
    """The rules for the kernel, when each pattern is plain text around a name without slash, as those by default are."""
    patterns = []
    for pattern in (rules.view_pattern, rules.like_pattern, rules.download_pattern):
        if (match := _PLAIN_PATTERN.fullmatch(pattern)) is None:
            return Rules([], [])
        patterns.append((match[1].encode(), match[2].encode()))
    extensions = [extension.lower().encode() for extension in rules.image_extensions]
    return Rules(patterns, extensions) if max(map(len, extensions)) <= 8 else Rules([], [])


@lru_cache(maxsize=1)
def _kept_scanner(rules: BehaviorRules, salt: str) -> KernelScanner:
    return KernelScanner(rules, salt)


def _scanner(rules: BehaviorRules, salt: str) -> KernelScanner:
    scanner = _kept_scanner(rules, salt)
    if not scanner.is_spent:
        return scanner
    _kept_scanner.cache_clear()
    return _kept_scanner(rules, salt)


def _days_by_reference(files: Iterable[File], rules: BehaviorRules) -> pa.Table:
    from photo_popularity.domain import tables
    from photo_popularity.domain.behavior import merge_signals

    signals = [SIGNALS.empty_table()]
    for file in files:
        try:
            with file.open() as stream:
                readable = up_to_error(stream, file.fails)
                scan = scan_by_reference(readable, rules=rules, salt="", salt_version="", tell=file.tell)
        except (OSError, InputError) as error:
            if file.fails is None:
                raise
            file.fails(error)
            continue
        file.lines, file.good = scan.lines, scan.good
        if scan.first_moment and scan.last_moment:
            file.first_moment = int(scan.first_moment.timestamp())
            file.last_moment = int(scan.last_moment.timestamp())
        signals.append(scan.signals)
    frame = tables.to_frame(pa.concat_tables(signals))
    merged = merge_signals(frame, list(frame["day"].unique()))
    return pa.Table.from_pandas(merged, preserve_index=False).cast(DAYS)


@dataclass(frozen=True)
class _Arranged:
    """Rows as the kernel has them, and the `order` of day and photo, the lines about no photo last.

    `photos` are places in `names`.
    """

    days: np.ndarray
    photos: np.ndarray
    names: pa.Array
    counts: np.ndarray
    order: np.ndarray

    def columns(self, rows: np.ndarray) -> list[pa.Array]:
        """Days, photos and counts of some rows."""
        return [
            _column(self.days[rows].astype(np.int32), pa.date32()),
            self.names.take(_column(self.photos[rows], pa.int64())),
            *(_column(column[rows], pa.int64()) for column in self.counts.T),
        ]


def _arranged(rows: Rows, *, with_other_lines: bool = False) -> _Arranged:
    days, photos, counts = rows.days, rows.photos, rows.counts
    nobody = len(rows.name_offsets) - 1
    if with_other_lines:
        # they stand under the number after the last photo's, whose name is null and whose rank the highest
        other_days, other_lines = _lines_about_no_photo(rows)
        days = np.concatenate([days, other_days])
        photos = np.concatenate([photos, np.full(len(other_days), nobody)])
        others = np.zeros((len(other_days), counts.shape[1]), dtype=np.int64)
        others[:, at.LINES_COUNT] = other_lines
        counts = np.concatenate([counts, others])
    used = np.flatnonzero(np.bincount(photos, minlength=nobody + 1))
    names = _names(rows)
    by_name = pc.sort_indices(names.take(_column(used, pa.int64()))).buffers()[1]
    ranks = np.zeros(nobody + 1, dtype=np.int64)
    ranks[used[np.frombuffer(by_name, np.uint64, len(used))]] = np.arange(len(used))
    order = np.argsort(days * (len(used) + 1) + ranks[photos])
    return _Arranged(days, photos, names, counts, order)


def _column(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    """The values as they lie in memory: `pa.array` and `to_numpy` import pandas first, which costs as much as many logs."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _names(rows: Rows) -> pa.Array:
    """The names of all photos by their numbers, and a null after them."""
    count = len(rows.name_offsets) - 1
    offsets = np.append(rows.name_offsets, rows.name_offsets[-1]).astype(np.int32)
    valid = np.packbits(np.arange(count + 1) < count, bitorder="little")
    buffers = [pa.py_buffer(valid), pa.py_buffer(offsets), pa.py_buffer(rows.names)]
    return pa.Array.from_buffers(pa.string(), count + 1, buffers)


def _lines_about_no_photo(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    days = np.array(sorted(rows.lines_of_day), dtype=np.int64)
    lines = np.array([rows.lines_of_day[day] for day in days.tolist()], dtype=np.int64)
    np.subtract.at(lines, np.searchsorted(days, rows.days), rows.counts[:, at.LINES_COUNT])
    return days[lines > 0], lines[lines > 0]


def _visitors_of_rows(rows: Rows) -> np.ndarray:
    """How many visitors each row has."""
    found = np.zeros(len(rows.days), dtype=np.int64)
    for pairs in rows.pairs.slices():
        owners = pairs >> 32
        first, last = int(owners[0]), int(owners[-1]) + 1
        found[first:last] += np.bincount(owners - first)
    return found


def _visitors(rows: Rows, order: np.ndarray) -> pa.Array:
    """The hashes of each row's visitors, sorted; beside the result a part of the pairs at a time is in memory."""
    place, is_met = np.empty_like(order), np.zeros(len(rows.visitors), dtype=bool)
    place[order] = np.arange(len(order))
    for pairs in rows.pairs.slices():
        is_met[pairs & _VISITOR] = True
    offsets = np.zeros(len(order) + 1, dtype=np.int64)
    lengths = _visitors_of_rows(rows)
    # lines about no photo, which come after the kernel's rows, have no visitors
    np.cumsum(np.append(lengths, np.zeros(len(order) - len(lengths), dtype=np.int64))[order], out=offsets[1:])
    met = np.flatnonzero(is_met)
    met = met[np.argsort(rows.visitors[met])]
    ranks, hashes = np.empty(len(rows.visitors), dtype=np.int64), rows.visitors[met]
    ranks[met] = np.arange(len(met))
    found = np.empty(offsets[-1], dtype=np.uint64)
    for pairs in rows.pairs.slices():
        # a row's place and a visitor's rank by its hash share one word, which sorts many times as fast as a pair
        ordered = place[pairs >> 32] << 32 | ranks[pairs & _VISITOR]
        ordered.sort()
        owners = ordered >> 32
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        shifts = np.repeat(offsets[owners[starts]] - starts, np.diff(starts, append=len(owners)))
        found[np.arange(len(owners)) + shifts] = hashes[ordered & _VISITOR]
    return pa.ListArray.from_arrays(
        _column(offsets.astype(np.int32), pa.int32()), _column(found, pa.uint64())
    )
