"""Many calls at once."""

from __future__ import annotations

import threading
import time

import pytest

from resources.together import AT_ONCE, call_together


def test_results_come_in_the_order_of_the_items() -> None:
    def late_first(number: int) -> int:
        time.sleep(0.01 * (5 - number))
        return -number

    assert call_together(late_first, range(5)) == [0, -1, -2, -3, -4]
    assert call_together(late_first, []) == []


def test_some_calls_run_at_once_and_one_alone_in_the_callers_thread() -> None:
    together = threading.Barrier(AT_ONCE, timeout=10)
    call_together(lambda _: together.wait(), range(AT_ONCE))
    assert call_together(lambda _: threading.current_thread(), [1]) == [threading.current_thread()]


def test_the_first_error_is_raised_once_no_call_is_running() -> None:
    running: set[int] = set()

    def fail(number: int) -> None:
        running.add(number)
        try:
            if number == 1:
                raise ValueError("the second")
            time.sleep(0.05)
        finally:
            running.remove(number)

    with pytest.raises(ValueError, match="the second"):
        call_together(fail, range(100))
    assert not running
