"""The sets of logs: their names, sizes and default seed. It imports nothing large, so that what measures stays small."""

from __future__ import annotations

from pathlib import Path

FILES, SEED = 10, 20_260_901
MEGABYTE, SMALL_BYTES = 1_000_000, 100_000
LARGE_MEGABYTES = 4_000


def set_folder(folder: Path, kind: str, megabytes: int, seed: int) -> Path:
    """Where a set lies; other seeds have other folders, for what exists is not made again."""
    return folder / (f"{kind}-{megabytes}" if seed == SEED else f"{kind}-{megabytes}-seed-{seed}")
