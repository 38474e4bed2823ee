"""`python -m benchmarks.logs.generate`: access logs as a photo site writes them, the same bytes for the same seed.

A set is ten files, one UTC day each; the same bytes are also packed with gzip, and cut into small files. A set is
written under another name and renamed when it is whole, so that one that exists can be used again.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.logs.lines import BYTES_A_LINE, write_day
from benchmarks.logs.sets import FILES, LARGE_MEGABYTES, MEGABYTE, SEED, SMALL_BYTES, set_folder
from benchmarks.logs.traffic import Traffic

GZIP_LEVEL = 6
STANDARD = [100, 1_000]


def write_plain(folder: Path, megabytes: int, seed: int = SEED) -> list[Path]:
    """Ten files of together so many megabytes."""

    def fill(target: Path) -> None:
        traffic = Traffic(seed)
        for day in range(FILES):
            with (target / f"access-{day:02d}.log").open("wb") as file:
                write_day(file.write, traffic, day, megabytes * MEGABYTE // FILES)

    return _whole(folder, fill)


def write_small(folder: Path, plain: Sequence[Path]) -> list[Path]:
    """The same bytes in files of about 100 kB, cut at line ends."""

    def fill(target: Path) -> None:
        number = 0
        for path in plain:
            content, start = path.read_bytes(), 0
            while start < len(content):
                end = content.find(b"\n", start + SMALL_BYTES - BYTES_A_LINE // 2) + 1 or len(content)
                (target / f"access-{number:06d}.log").write_bytes(content[start:end])
                start, number = end, number + 1

    return _whole(folder, fill)


def write_gzip(folder: Path, plain: Sequence[Path]) -> list[Path]:
    """The same files, compressed as logrotate does it."""

    def fill(target: Path) -> None:
        for path in plain:
            with (
                path.open("rb") as source,
                (target / f"{path.name}.gz").open("wb") as file,
                gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as packed,
            ):
                shutil.copyfileobj(source, packed, 1_000_000)

    return _whole(folder, fill)


def write_large(folder: Path, megabytes: int = LARGE_MEGABYTES, seed: int = SEED) -> list[Path]:
    """One file of a single day, as a site without rotation has it."""

    def fill(target: Path) -> None:
        with (target / "access.log").open("wb") as file:
            write_day(file.write, Traffic(seed), 0, megabytes * MEGABYTE)

    return _whole(folder, fill)


def _whole(folder: Path, fill: Callable[[Path], None]) -> list[Path]:
    """The files of a set, which is made unless it exists."""
    if not folder.exists():
        begun = folder.with_name(f"{folder.name}.begun")
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        fill(begun)
        begun.rename(folder)
    return sorted(folder.iterdir())


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the asked sets: plain, gzip and small files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logs.generate", description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[], metavar="N")
    parser.add_argument("--folder", type=Path, required=True, help="where the sets are written")
    parser.add_argument("--large", action="store_true", help=f"a single file of {LARGE_MEGABYTES} MB too")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args(arguments)
    for megabytes in asked.megabytes or ([] if asked.large else STANDARD):
        plain = write_plain(set_folder(asked.folder, "plain", megabytes, asked.seed), megabytes, asked.seed)
        write_small(set_folder(asked.folder, "small", megabytes, asked.seed), plain)
        write_gzip(set_folder(asked.folder, "gz", megabytes, asked.seed), plain)
    if asked.large:
        write_large(set_folder(asked.folder, "large", LARGE_MEGABYTES, asked.seed), seed=asked.seed)


if __name__ == "__main__":
    main()
