"""Working with very many objects without Python looking through them for garbage, again and again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock


@dataclass
class _Search:
    """Python's search for garbage, which is off while anybody wants it so, in whatever thread."""

    lock: Lock = field(default_factory=Lock)
    held_off: int = 0
    was_on: bool = True

    def hold_off(self) -> None:
        with self.lock:
            if not self.held_off:
                self.was_on = gc.isenabled()
                gc.disable()
            self.held_off += 1

    def let_go(self) -> None:
        with self.lock:
            self.held_off -= 1
            if not self.held_off and self.was_on:
                gc.enable()


_SEARCH = _Search()


@contextmanager
def no_search_for_garbage() -> Iterator[None]:
    """While very many objects are made that all stay: the search takes as long as making them."""
    _SEARCH.hold_off()
    try:
        yield
    finally:
        _SEARCH.let_go()
