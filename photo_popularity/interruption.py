"""Ctrl-C ends a command with one sentence and status 130, wherever Python and Dagster are just then."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

SECONDS_UNTIL_AGAIN = 0.02
# Dagster has whoever ends a process by SIGTERM interrupt it
INTERRUPTIONS = {signal.SIGINT, signal.SIGTERM}


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """End with one sentence on Ctrl-C; yields a question whether it was pressed, to be asked where nothing is half done.

    Python raises an interruption wherever it is just then. In a finalizer, also one that the search for garbage calls, it
    is ignored, and so is raised again a moment later. Dagster drops one that comes too late for its run, SQLAlchemy makes
    an AssertionError of one that falls into a commit: whatever has become of it, a command that was to end has ended so.
    """
    listening, told = socket.socketpair()
    listening.setblocking(False)
    told.setblocking(False)
    wakeup_before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    alarm_before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    tell_of_ignored = sys.unraisablehook

    def was_pressed() -> bool:
        try:
            # stays to be read, so that the answer stays the same
            return not INTERRUPTIONS.isdisjoint(listening.recv(4096, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    def tell_or_raise_again(ignored: Any) -> None:
        if issubclass(ignored.exc_type, Exception):
            tell_of_ignored(ignored)
        elif was_pressed():
            signal.setitimer(signal.ITIMER_REAL, SECONDS_UNTIL_AGAIN)

    sys.unraisablehook = tell_or_raise_again
    try:
        yield was_pressed
        if was_pressed():
            raise KeyboardInterrupt
    except BaseException as error:
        if not (isinstance(error, KeyboardInterrupt) or was_pressed()):
            raise
        typer.echo("interrupted: what was made stays, and the same command goes on with the rest", err=True)
        raise typer.Exit(130) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = tell_of_ignored
        signal.signal(signal.SIGALRM, alarm_before)
        signal.set_wakeup_fd(wakeup_before)
        listening.close()
        told.close()
