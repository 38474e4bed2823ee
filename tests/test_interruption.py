"""Ctrl-C, wherever Python and Dagster are when it comes: nothing is begun after it, and nothing waits for itself."""

from __future__ import annotations

import gc
import io
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from rich.console import Console

from photo_popularity.interruption import interruptible
from photo_popularity.night_progress import ConsoleObserver
from photo_popularity.planning import Batch

DAYS = Batch(("photo_metadata",), ("2026-11-01", "2026-11-02"), "days")


class Garbage:
    """Refers to itself, so that only the search for garbage finds it."""

    def __init__(self) -> None:
        self.itself = self


def press(_: object = None) -> None:
    signal.raise_signal(signal.SIGINT)


def press_in_a_search_for_garbage() -> None:
    garbage = Garbage()
    # as SQLAlchemy keeps one for the listeners of each engine
    callback = weakref.ref(garbage, press)
    del garbage
    gc.collect()
    del callback


def press_where_all_is_caught() -> None:
    with suppress(BaseException):
        press()


def ends_as_interrupted(
    work: Callable[[Callable[[], bool]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, interruptible() as was_pressed:
        work(was_pressed)
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err.count("interrupted: ") == 1


def test_an_interruption_that_falls_into_the_search_for_garbage_is_raised_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Building a run leaves much garbage behind, and its search ends in callbacks of SQLAlchemy's."""
    started = time.monotonic()

    def work(_: Callable[[], bool]) -> None:
        press_in_a_search_for_garbage()
        time.sleep(30)

    ends_as_interrupted(work, capsys)
    assert time.monotonic() - started < 15


def test_no_run_is_started_after_an_interruption_that_was_caught(capsys: pytest.CaptureFixture[str]) -> None:
    shown = io.StringIO()

    def work(was_pressed: Callable[[], bool]) -> None:
        observer = ConsoleObserver(Console(file=shown), interrupted=was_pressed)
        press_where_all_is_caught()
        observer.started(DAYS)

    ends_as_interrupted(work, capsys)
    assert shown.getvalue() == ""


def test_an_interruption_stays_asked_for_however_often_it_is_caught(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def work(was_pressed: Callable[[], bool]) -> None:
        assert not was_pressed()
        press_where_all_is_caught()
        assert was_pressed()
        assert was_pressed()

    ends_as_interrupted(work, capsys)


def test_an_interruption_that_became_another_error_is_still_one(capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: Callable[[], bool]) -> None:
        press_where_all_is_caught()
        raise AssertionError

    ends_as_interrupted(work, capsys)


def test_an_error_without_an_interruption_is_raised_as_it_is() -> None:
    with pytest.raises(AssertionError, match="of its own"), interruptible():
        raise AssertionError("of its own")


def test_a_process_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.unraisablehook, signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT)
    ends_as_interrupted(lambda _: press(), capsys)
    assert before == (sys.unraisablehook, signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGINT))


INTERRUPTED_AS_A_TRANSACTION_ENDS = """
import contextlib, sys
import dagster as dg
from photo_popularity.jobs import run_here
from resources.dagster_home import open_instance
from resources.environment import read_environment
from resources.event_log import PooledSqliteEventLogStorage

@dg.asset
def made() -> None: ...

ending = contextlib._GeneratorContextManager.__exit__.__code__
writing = PooledSqliteEventLogStorage.store_event.__code__

def interrupt(frame, event, _):
    if frame.f_code is ending and frame.f_back.f_code is writing:
        sys.setprofile(None)
        raise KeyboardInterrupt

job = dg.Definitions([made], jobs=[dg.define_asset_job("job", [made])]).resolve_job_def("job")
with open_instance(read_environment()) as instance:
    sys.setprofile(interrupt)
    try:
        run_here(job, instance, assets=["made"], tags={})
    except KeyboardInterrupt:
        [run] = instance.get_runs()
        print(run.status.value)
"""


def test_a_run_is_ended_though_the_interruption_has_left_a_transaction_open(tmp_path: Path) -> None:
    """The process that ended the run waited for its own transaction, which its traceback held."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PHOTO_POPULARITY_", "DAGSTER_"))}
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AS_A_TRANSACTION_ENDS],
        env={**variables, "PHOTO_POPULARITY_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.stdout == "CANCELED\n", ended.stderr[-2000:]
