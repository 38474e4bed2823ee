"""The compiled scan: what `access_log` and `behavior_rules` say of a line, for a block of lines at a time.

numba compiles it and `object_code` keeps and loads the result. Memory comes from `memory`: an array of words with the
addresses, sizes and counters that `layout` names. Nothing here allocates, raises or checks a bound.

A block passes three times. `parse_block` finds each line's fields and writes down the lines that may count for a photo;
it touches its block alone, so blocks are parsed side by side. `find_texts` gives each distinct path, agent, referring
host and address a place. `count_block` counts, once Python has said what each new text means.
"""

from __future__ import annotations

from photo_popularity.domain.log_kernel import layout as at
from photo_popularity.domain.log_kernel.blake2b import absorb_key
from photo_popularity.domain.log_kernel.counting import (
    count_block,
    fill_photos,
    fill_rows,
    fill_texts,
    fill_visitors,
)
from photo_popularity.domain.log_kernel.finding import find_asked_photo, find_texts
from photo_popularity.domain.log_kernel.machine import Words
from photo_popularity.domain.log_kernel.parsing import parse_block


def work(operation: int, store: Words, block: Words) -> int:
    """The one function that is called from outside: one of the passes, by its number."""
    if operation == at.PARSE_BLOCK:
        parse_block(block)
    elif operation == at.FIND_TEXTS:
        find_texts(store, block)
    elif operation == at.COUNT_BLOCK:
        count_block(store, block)
    elif operation == at.FILL_TEXTS:
        fill_texts(store)
    elif operation == at.FILL_ROWS:
        fill_rows(store)
    elif operation == at.FILL_VISITORS:
        fill_visitors(store)
    elif operation == at.FILL_PHOTOS:
        fill_photos(store)
    elif operation == at.FIND_PHOTO:
        find_asked_photo(store)
    else:
        absorb_key(store)
    return 0
