"""Many calls at once, for work that waits for a disk or a store, or leaves Python alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

# while one waits another works; more of those that only work would take turns, and memory
AT_ONCE = 3

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Arguments = ParamSpec("_Arguments")


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


class Behind:
    """Calls that are done while their caller goes on; one that would have to wait for long makes the caller wait."""

    def __init__(self, pool: ThreadPoolExecutor | None) -> None:
        self._pool = pool
        self._waiting: deque[Future[Any]] = deque(maxlen=2 * AT_ONCE)

    def call(
        self,
        function: Callable[_Arguments, _Result],
        *arguments: _Arguments.args,
        **options: _Arguments.kwargs,
    ) -> Callable[[], _Result]:
        """Have the call done; what comes back gives its result, or raises its error, once it is done."""
        if self._pool is None:
            result = function(*arguments, **options)
            return lambda: result
        if len(self._waiting) == self._waiting.maxlen:
            # its error ends the caller's work, which would come to nothing
            self._waiting[0].result()
        future = self._pool.submit(function, *arguments, **options)
        self._waiting.append(future)
        return future.result

    def wait(self) -> None:
        """Wait until every call is done."""
        wait(self._waiting)


@contextmanager
def calls_behind() -> Iterator[Behind]:
    """Calls to be done behind this thread; at the end none is left."""
    if AT_ONCE < 2:
        yield Behind(None)
        return
    with ThreadPoolExecutor(max_workers=AT_ONCE - 1) as pool:
        behind = Behind(pool)
        try:
            yield behind
            # here, where an interruption still leaves out what has not begun
            behind.wait()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
