"""Python looks for garbage again once nobody is at work on very many objects, whoever was first or last."""

from __future__ import annotations

import gc
import threading

from resources.garbage import no_search_for_garbage


def test_the_search_is_off_until_the_last_one_has_ended() -> None:
    inside, may_end = threading.Event(), threading.Event()

    def longer() -> None:
        with no_search_for_garbage():
            inside.set()
            may_end.wait(timeout=60)

    other = threading.Thread(target=longer)
    with no_search_for_garbage():
        other.start()
        inside.wait(timeout=60)
        assert not gc.isenabled()
    assert not gc.isenabled()
    may_end.set()
    other.join()
    assert gc.isenabled()


def test_a_search_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with no_search_for_garbage():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
