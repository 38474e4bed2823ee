"""Many calls at once, for work that waits for a disk or a store, or leaves Python alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# while one waits another works; more of those that only work would take turns, and memory
AT_ONCE = 3

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def call_together(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """The results in the order of the items; the first error is raised once no call is running."""
    workers = min(AT_ONCE, len(items))
    if workers < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
