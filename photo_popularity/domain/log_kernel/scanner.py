"""Logs through the kernel: blocks are read one after the other, parsed side by side, and counted by one thread."""

from __future__ import annotations

import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from math import inf
from queue import Empty, SimpleQueue
from typing import BinaryIO

import numpy as np

from photo_popularity.domain.access_log import BAD_TIME, EMPTY, FOREIGN, MAX_LINE_BYTES, TOO_LONG, Rejected
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.log_bytes import BrokenStream, LogBytes, up_to_error
from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.memory import BLOCK_BYTES, Block, Rules
from photo_popularity.domain.log_kernel.object_code import Work
from photo_popularity.domain.log_kernel.store import Meaning, Rows, Store

# one reads and one counts at a time, so more threads would only wait
MOST_THREADS = 4
SWITCH_SECONDS, PATIENCE_SECONDS = 0.0005, 0.5
REASONS = {at.EMPTY: EMPTY, at.TOO_LONG: TOO_LONG, at.FOREIGN: FOREIGN, at.BAD_TIME: BAD_TIME}

Tell = Callable[[Rejected, int], None]


@dataclass
class File:
    """A log file to scan; afterwards, what was found in it. Moments are seconds since 1970, None without a good line.

    `tell` gets the first `most_told` lines that are in no known format, each with a 1; of all further ones of a block the
    first with each reason, and how many it stands for. `fails` takes an error of opening or reading the file: the lines
    before it count, and the scan goes on with the next one. Without `fails` the scan ends with the error.
    """

    open: Callable[[], AbstractContextManager[BinaryIO]]
    tell: Tell
    fails: Callable[[Exception], None] | None = None
    most_told: float = inf
    lines: int = 0
    good: int = 0
    first_moment: int | None = None
    last_moment: int | None = None
    _told: int = 0

    def add(self, block: Block, text_bytes: int) -> None:
        """Take what was found in the next block; of a line told no more than `text_bytes`."""
        words, rejects = block.words, block.rejects
        lines = words[at.LINES]
        if good := lines - len(rejects):
            first, last = words[at.FIRST_MOMENT], words[at.LAST_MOMENT]
            self.first_moment = min(first, first if self.first_moment is None else self.first_moment)
            self.last_moment = max(last, last if self.last_moment is None else self.last_moment)
        self.good += good
        apart = int(min(len(rejects), self.most_told - self._told))
        for reject in rejects[:apart]:
            self._tell(block, reject.tolist(), text_bytes, 1)
        self._told += apart
        if apart < len(rejects):
            further = rejects[apart:]
            reasons = further[:, 1]
            for reason, count in enumerate(np.bincount(reasons).tolist()):
                if count:
                    first = further[int((reasons == reason).argmax())]
                    self._tell(block, first.tolist(), text_bytes, count)
        self.lines += lines

    def _tell(self, block: Block, reject: Sequence[int], text_bytes: int, lines: int) -> None:
        line, reason, start, end = reject
        text = bytes(block.view[start : min(end, start + text_bytes)])
        self.tell(Rejected(self.lines + line + 1, REASONS[reason], text), lines)

    def end(self, blocks: Blocks) -> None:
        """Take how the file ended, after all its blocks."""
        if blocks.broken:
            self.lines += 1
            self.tell(Rejected(self.lines, blocks.broken, blocks.tail), 1)


class Blocks:
    """A log in blocks of whole lines; what is left of a last line without newline counts as one.

    `tail` is the line at which a compressed stream broke off, and `broken` the reason.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._bytes = LogBytes(stream)
        self._rest = b""
        self.at_end = False
        self.broken = ""
        self.tail = b""

    def read(self, block: Block) -> bool:
        """Fill the block with the next lines; False when there are no more."""
        view, length = block.view, len(self._rest)
        view[:length] = self._rest
        while not self.at_end:
            count = self._read_into(view[length:BLOCK_BYTES])
            length += count
            self.at_end = count == 0
            if length == BLOCK_BYTES:
                if block.bytes.rfind(b"\n", 0, length) >= 0:
                    break
                length = MAX_LINE_BYTES + 1  # enough of a line without end to know that it is too long
        if self.at_end and not self.broken and length and view[length - 1] != ord("\n"):
            view[length] = ord("\n")
            length += 1
        whole = block.bytes.rfind(b"\n", 0, length) + 1
        self._rest = bytes(view[whole:length])
        if self.at_end:
            self.tail, self._rest = self._rest, b""
        block.start(whole)
        return whole > 0

    def _read_into(self, view: memoryview) -> int:
        try:
            return self._bytes.readinto(view)
        except BrokenStream as broken:
            self.broken = str(broken)
            return 0


class Scanner:
    """Scans logs, one or many at a time; what it learns of paths, agents and addresses it keeps for the next."""

    def __init__(self, work: Work, *, key: bytes, meaning: Meaning, rules: Rules, text_bytes: int) -> None:
        seed = secrets.randbits(62)
        self._work, self._rules, self._text_bytes = work, rules, text_bytes
        self._store = Store(work, seed=seed, key=key, meaning=meaning)
        self._threads = max(min(MOST_THREADS, _cpu_count()) - 1, 1)
        # one is counted or parsed by the thread that counts, one waits to be counted, and one is at hand
        self._blocks = [Block(seed, self._rules) for _ in range(self._threads + 3)]

    @property
    def photo_count(self) -> int:
        """How many photos have been met."""
        return self._store.photo_count

    @property
    def is_whole(self) -> bool:
        """Whether it can be used again: no error or interruption has left its memory half written."""
        return self._store.is_whole

    def scan(self, files: Iterable[File]) -> Rows:
        """Scan the files to their ends; raises what opening and reading them does, and InputError."""
        scan = _Scan(self._work, self._store, files, self._text_bytes)
        try:
            scan.work_through(self._blocks, self._threads)
        finally:
            # also after an error: what was counted until then is nobody's
            rows = self._store.take_rows()
        return rows


class _Reader:
    """The blocks of some files, one file after the other, numbered through."""

    def __init__(self, files: Iterable[File]) -> None:
        self._files = iter(files)
        self._open = ExitStack()
        self._file: tuple[File, Blocks] | None = None
        self._number = 0
        self.broken: list[tuple[File, Blocks]] = []

    def read(self, block: Block) -> tuple[File, int] | None:
        """Fill the block; returns whose it is and its number, None when no file has more."""
        while (file := self._file[0] if self._file else next(self._files, None)) is not None:
            try:
                if self._read_of(file, block):
                    self._number += 1
                    return file, self._number - 1
            except (OSError, InputError) as error:
                self.close()
                if file.fails is None:
                    raise
                file.fails(error)
        return None

    def close(self) -> None:
        """Close the file that is open."""
        self._file = None
        self._open.close()

    def _read_of(self, file: File, block: Block) -> bool:
        if self._file is None:
            stream = self._open.enter_context(file.open())
            self._file = file, Blocks(up_to_error(stream, file.fails))
        _, blocks = self._file
        found = blocks.read(block)
        if blocks.at_end:
            if blocks.broken:
                self.broken.append(self._file)
            self.close()
        return found


@dataclass(frozen=True)
class _Parsed:
    """A block, whose it is, and its number."""

    block: Block
    file: File
    number: int


class _Scan:
    """Threads at work on some files: one counts, so that the store stays in its core's cache, the others read and parse."""

    def __init__(self, work: Work, store: Store, files: Iterable[File], text_bytes: int) -> None:
        self._work, self._store, self._text_bytes = work, store, text_bytes
        self._reading, self._reader = threading.Lock(), _Reader(files)
        self._free: SimpleQueue[Block] = SimpleQueue()
        self._done: SimpleQueue[_Parsed | BaseException | None] = SimpleQueue()
        self._stopped = False

    def work_through(self, blocks: list[Block], threads: int) -> None:
        """Read, parse and count until the files end; other threads come in when one block is not all."""
        first, *others = blocks
        try:
            if (parsed := self._parse(first)) is not None:
                self._count(parsed)
                if (parsed := self._parse(first)) is not None:
                    self._work_together(parsed, others, threads)
        finally:
            if not self._reading.locked():
                self._reader.close()
        for file, its in self._reader.broken:
            file.end(its)

    def _work_together(self, parsed: _Parsed, others: list[Block], threads: int) -> None:
        parsers = [threading.Thread(target=self._keep_parsing, daemon=True) for _ in range(threads)]
        for block in others:
            self._free.put(block)
        interval = sys.getswitchinterval()
        # whoever comes back from the kernel would wait five milliseconds for another's Python, the time of some blocks
        sys.setswitchinterval(SWITCH_SECONDS)
        for parser in parsers:
            parser.start()
        try:
            self._count_all(parsed, threads)
        except BaseException:
            self._store.is_whole = False
            raise
        finally:
            self._stopped = True
            sys.setswitchinterval(interval)
            # a parser may wait for a block, and finds that it is not wanted
            for block in others:
                self._free.put(block)
            for parser in parsers:
                # after an interruption one may still wait for a pipe, whose block nobody uses again
                parser.join(None if self._store.is_whole else PATIENCE_SECONDS)

    def _count_all(self, parsed: _Parsed, at_work: int) -> None:
        """Count the blocks in their order, as the parsers hand them over."""
        waiting = {parsed.number: parsed}
        number = parsed.number
        while waiting or at_work:
            if (its := waiting.pop(number, None)) is not None:
                self._count(its)
                self._free.put(its.block)
                number += 1
            elif self._done.empty() and (mine := self._parse_too()) is not None:
                waiting[mine.number] = mine
            elif (found := self._done.get()) is None:
                at_work -= 1
            elif isinstance(found, BaseException):
                raise found
            else:
                waiting[found.number] = found

    def _keep_parsing(self) -> None:
        try:
            while not self._stopped and (parsed := self._parse(self._free.get())) is not None:
                self._done.put(parsed)
            self._done.put(None)
        except BaseException as error:  # noqa: BLE001 -- raised anew in the thread that counts
            self._done.put(error)

    def _parse_too(self) -> _Parsed | None:
        """A block that the thread that counts has parsed itself, when one is free and no other reads."""
        try:
            block = self._free.get_nowait()
        except Empty:
            return None
        if (parsed := self._parse(block, wait=False)) is None:
            self._free.put(block)
        return parsed

    def _parse(self, block: Block, *, wait: bool = True) -> _Parsed | None:
        """Read and parse the next block; None when there is none, or another reads and is not to be waited for."""
        if not self._reading.acquire(blocking=wait):
            return None
        try:
            found = None if self._stopped else self._reader.read(block)
        finally:
            self._reading.release()
        if found is None or self._stopped:
            return None
        self._work(at.PARSE_BLOCK, 0, block.address)
        return _Parsed(block, *found)

    def _count(self, parsed: _Parsed) -> None:
        self._store.add(parsed.block)
        parsed.file.add(parsed.block, self._text_bytes)


def _cpu_count() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
