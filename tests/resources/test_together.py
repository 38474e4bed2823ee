"""Many calls at once."""

from __future__ import annotations

import threading
import time

import pytest

from resources import together as module
from resources.together import AT_ONCE, Behind, call_together, calls_behind


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


def test_a_call_behind_goes_on_while_its_caller_does_and_gives_its_result_later() -> None:
    may_end = threading.Event()
    with calls_behind() as behind:
        late = behind.call(may_end.wait, 10)
        may_end.set()
        assert late()


def test_calls_behind_come_to_their_end_before_their_caller_goes_on_and_tell_their_errors_when_asked() -> (
    None
):
    done: list[int] = []

    def slow(number: int) -> int:
        time.sleep(0.02)
        done.append(number)
        return 1 // number

    with calls_behind() as behind:
        results = [behind.call(slow, number) for number in (1, 0)]
    assert sorted(done) == [0, 1]
    assert results[0]() == 1
    with pytest.raises(ZeroDivisionError):
        results[1]()


def test_few_calls_wait_behind_as_what_they_hold_takes_memory() -> None:
    held, most = 0, 0

    def hold() -> None:
        nonlocal held
        time.sleep(0.005)
        held -= 1

    with calls_behind() as behind:
        for _ in range(50):
            held += 1
            most = max(most, held)
            behind.call(hold)
    assert most <= 2 * AT_ONCE + 1


def test_after_an_error_of_the_caller_nothing_is_begun_behind() -> None:
    begun: list[int] = []

    def begin(number: int) -> None:
        begun.append(number)
        time.sleep(0.05)

    def fail_midway() -> None:
        with calls_behind() as behind:
            for number in range(2 * AT_ONCE):
                behind.call(begin, number)
            raise KeyError

    with pytest.raises(KeyError):
        fail_midway()
    assert len(begun) < 2 * AT_ONCE


def test_an_error_behind_ends_its_callers_work_before_long() -> None:
    called: list[int] = []

    def call_many() -> None:
        with calls_behind() as behind:
            for number in range(100):
                called.append(number)
                behind.call(divmod, 1, number)

    with pytest.raises(ZeroDivisionError):
        call_many()
    assert len(called) == 2 * AT_ONCE + 1


def test_an_interruption_at_the_end_leaves_out_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(behind: Behind) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Behind, "wait", interrupted)
    begun: list[int] = []

    def begin(number: int) -> None:
        begun.append(number)
        time.sleep(0.05)

    def call_some() -> None:
        with calls_behind() as behind:
            for number in range(2 * AT_ONCE):
                behind.call(begin, number)

    with pytest.raises(KeyboardInterrupt):
        call_some()
    assert len(begun) < 2 * AT_ONCE


def test_where_one_works_at_once_it_is_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1)
    with calls_behind() as behind:
        assert behind.call(threading.current_thread)() is threading.current_thread()
