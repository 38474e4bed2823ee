"""The scan of log files alone, without catalog and assets: the same signals per (day, photo), for people and scripts."""

from __future__ import annotations

import csv
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from photo_popularity.domain.access_log import Rejected
from photo_popularity.domain.behavior_rules import BehaviorRules
from photo_popularity.domain.errors import InputError
from photo_popularity.domain.log_kernel.scanner import File
from photo_popularity.domain.log_scan import printable
from photo_popularity.domain.log_scanner import scan_days, why_no_kernel
from photo_popularity.text import counted

STANDARD_INPUT = "-"
FORMATS = ("csv", "parquet")
QUARANTINE_COLUMNS = ("file", "line_number", "reason", "line")


@dataclass
class ScannedLogs:
    """The counts of some log files, one row a day and photo, to be written once; and what is to be told of the files.

    `problems` has a sentence for each file that could not be read to its end.
    """

    days: pa.RecordBatchReader
    files: Sequence[File]
    reasons: Counter[str]
    problems: Sequence[str]
    started: float
    _rows: int = 0
    _days: set[int] = field(default_factory=set)
    _seconds: float = 0.0

    def write(self, form: str, stream: BinaryIO) -> None:
        """Write the counts in one of FORMATS."""
        if form == "csv":
            from pyarrow import csv as arrow_csv

            options = arrow_csv.WriteOptions(quoting_header="none")
            with arrow_csv.CSVWriter(stream, self.days.schema, write_options=options) as writer:
                for batch in self.days:
                    writer.write_batch(batch)
                    self._count(batch)
        else:
            from pyarrow import parquet

            # nothing is written before all is there, as a Parquet file that was cut short would look whole
            table = self.days.read_all()
            parquet.write_table(table, stream, compression="zstd")
            self._count(table)
        self._seconds = time.monotonic() - self.started

    def _count(self, written: pa.RecordBatch | pa.Table) -> None:
        self._rows += len(written)
        self._days.update(written["day"].unique().cast("int32").to_pylist())

    def summary(self) -> Iterator[str]:
        """What a person wants to know once the counts are written, line by line."""
        lines, good = sum(file.lines for file in self.files), sum(file.good for file in self.files)
        yield (
            f"{counted(len(self.files), 'file')}, {counted(lines, 'line')}: {good:,} good, {lines - good:,} quarantined; "
            f"{counted(self._rows, 'row')} for {counted(len(self._days), 'day')}, {self._seconds:.2f} s"
        )
        for reason, count in self.reasons.most_common():
            yield f"  {counted(count, 'line')}: {reason}"
        if missing := why_no_kernel():
            yield f"  scanned without the compiled kernel, some thirty times slower: {missing}"


def scan_files(names: Sequence[str], *, rules: BehaviorRules, quarantine: Path | None) -> ScannedLogs:
    """Scan the files, `-` being standard input; the lines in no known format are written to `quarantine` as CSV."""
    started = time.monotonic()
    reasons: Counter[str] = Counter()
    problems: list[str] = []
    with ExitStack() as stack:
        write = _quarantine_writer(quarantine, stack, beside=names)

        def file_of(name: str) -> File:
            def tell(rejected: Rejected, lines: int) -> None:
                reasons[rejected.reason] += lines
                write(name, rejected)

            return File(
                open=partial(_opened, name),
                tell=tell,
                fails=lambda error: problems.append(f"{name}: {_cause(error)}"),
                most_told=0 if quarantine is None else inf,
            )

        files = [file_of(name) for name in names]
        days = scan_days(files, rules=rules)
    return ScannedLogs(days, files, reasons, problems, started)


def _opened(name: str) -> AbstractContextManager[BinaryIO]:
    if name == STANDARD_INPUT:
        # unbuffered, as a thread that waits for it must not hold a lock when the program ends
        return nullcontext(sys.stdin.buffer.raw)  # type: ignore[union-attr]
    # with thousands of small files, what a Path takes to be made shows
    return open(name, "rb", buffering=0)  # noqa: PTH123 -- closed by whoever opens it


def _cause(error: Exception) -> str:
    cause = error.strerror if isinstance(error, OSError) else None
    return cause or str(error)


def _quarantine_writer(
    path: Path | None, stack: ExitStack, *, beside: Sequence[str]
) -> Callable[[str, Rejected], object]:
    if path is None:
        return lambda name, rejected: None
    if path.exists() and any(Path(name).exists() and path.samefile(name) for name in beside):
        raise InputError(f"--quarantine {path}: is one of the logs; name another file")
    try:
        # names of files need be no text
        stream = stack.enter_context(path.open("w", encoding="utf-8", errors="backslashreplace", newline=""))
    except OSError as error:
        raise InputError(f"--quarantine {path}: {error.strerror}; name a file that can be written") from error
    rows = csv.writer(stream, lineterminator="\n")
    rows.writerow(QUARANTINE_COLUMNS)
    return lambda name, one: rows.writerow((name, one.line_number, one.reason, printable(one.line)))
