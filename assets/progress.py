"""Progress of long loops over partitions, as lines of the run's log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import dagster as dg

SECONDS_BETWEEN_LINES = 2.0


def followed(context: dg.AssetExecutionContext, keys: Sequence[str], what: str) -> Iterator[str]:
    """The keys one by one; now and then a line says how many are done."""
    told = time.monotonic()
    for done, key in enumerate(keys):
        if time.monotonic() - told > SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            context.log.info(f"{done} of {len(keys)} {what} done")
        yield key
    context.log.info(f"{len(keys)} of {len(keys)} {what} done")
