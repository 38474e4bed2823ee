"""The lines of one day: ordinary traffic by the proportions of `traffic`, and every hundredth line a hard one.

Times increase through a UTC day, written by a server two hours east of it. A few lines of the neighbouring days stand
at the ends, as rotation leaves them. The kinds of hard lines come in turn.
"""

from __future__ import annotations

import random as plain_random
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain

import numpy as np

from benchmarks.logs.agents import BROWSERS, ROBOTS
from benchmarks.logs.hard_lines import HARD_CLASSES, Parts
from benchmarks.logs.traffic import (
    ADDRESSES,
    KINDS,
    PHOTOS,
    ROBOT_ADDRESSES,
    Numbers,
    Table,
    Traffic,
    weighted,
    zipf,
)

HARD_EVERY = 100
EDGE_LINES = 20
BLOCK_LINES = 100_000
ROBOT_SHARE = 0.22
SECONDS_A_DAY = 86_400
BYTES_A_LINE = 244
_FIRST_DAY = datetime(2026, 9, 1, tzinfo=UTC)
_SERVER_AHEAD = timedelta(hours=2)


def write_day(write: Callable[[bytes], object], traffic: Traffic, day: int, size: int) -> None:
    """The log of one day, of so many bytes within a percent or two."""
    lines = max(size // BYTES_A_LINE, 2 * EDGE_LINES)
    seconds = np.linspace(0, SECONDS_A_DAY - 1, lines).astype(int)
    seconds[:EDGE_LINES] = np.arange(-EDGE_LINES, 0)
    seconds[-EDGE_LINES:] = np.arange(SECONDS_A_DAY, SECONDS_A_DAY + EDGE_LINES)
    midnight = _FIRST_DAY + timedelta(days=day) + _SERVER_AHEAD
    times = _table(
        f"{midnight + timedelta(seconds=second):%d/%b/%Y:%H:%M:%S} +0200".encode()
        for second in range(-EDGE_LINES, SECONDS_A_DAY + EDGE_LINES)
    )
    for start in range(0, lines, BLOCK_LINES):
        random = np.random.default_rng([traffic.seed, 100 + day, start])
        write(
            b"".join(
                _pieces(traffic, random, times[seconds[start : start + BLOCK_LINES] + EDGE_LINES], start)
            )
        )


def _pieces(traffic: Traffic, random: np.random.Generator, times: Table, first_line: int) -> Iterator[bytes]:
    """The pieces of some lines, in their order."""
    count = len(times)
    photo, kind = zipf(random, count, PHOTOS), weighted(random, count, KINDS.values())
    address, agent = _clients(traffic, random, count)
    requests, answers = np.empty(count, dtype=object), np.empty(count, dtype=object)
    for number, name in enumerate(KINDS):
        here = np.flatnonzero(kind == number)
        table, sent = traffic.requests[name], traffic.answers[name]
        # tables that follow the photos have one, two or four requests of each
        each, about_photos = len(table) // PHOTOS, len(table) >= PHOTOS and name != "page"
        place = (
            photo[here] * each + random.integers(0, max(each, 1), len(here))
            if about_photos
            else zipf(random, len(here), len(table), 0.8)
        )
        requests[here] = table[place]
        answers[here] = sent[random.integers(0, len(sent), len(here))]
    referrers = traffic.referrers
    # the photo's own page mostly, else anything beyond those, else the last one: none
    source = np.where(
        random.random(count) < 0.65, photo, zipf(random, count, len(referrers) - PHOTOS, 0.7) + PHOTOS
    )
    source[random.random(count) < 0.15] = len(referrers) - 1
    columns = [
        traffic.addresses[address],
        times + b'] "',
        requests,
        answers,
        referrers[source],
        traffic.agents[agent],
    ]
    _put_hard_lines(traffic, random, columns, times=times, photo=photo, first_line=first_line)
    return chain.from_iterable(zip(*(column.tolist() for column in columns), strict=True))


def _clients(traffic: Traffic, random: np.random.Generator, count: int) -> tuple[Numbers, Numbers]:
    """The address and the agent of each line: a person mostly comes with the same browser, robots have their own."""
    address = zipf(random, count, ADDRESSES, 0.8)
    agent = np.where(random.random(count) < 0.8, traffic.favourites[address], zipf(random, count, BROWSERS))
    robots = np.flatnonzero(random.random(count) < ROBOT_SHARE)
    address[robots] = ADDRESSES + zipf(random, len(robots), ROBOT_ADDRESSES, 0.7)
    agent[robots] = BROWSERS + zipf(random, len(robots), ROBOTS, 0.9)
    return address, agent


def _put_hard_lines(
    traffic: Traffic,
    random: np.random.Generator,
    columns: list[Table],
    *,
    times: Table,
    photo: Numbers,
    first_line: int,
) -> None:
    """Replace every hundredth line by a hard one, the kinds in turn."""
    dice = plain_random.Random(int(random.integers(2**32)))
    for place in range(-first_line % HARD_EVERY + HARD_EVERY // 2, len(times), HARD_EVERY):
        kind = HARD_CLASSES[(first_line + place) // HARD_EVERY % len(HARD_CLASSES)]
        parts = Parts(
            address=columns[0][place].partition(b" ")[0],
            time=times[place],
            photo=traffic.photo_ids[photo[place]].encode(),
            agent=columns[-1][place][:-2],
            random=dice,
        )
        for column in columns:
            column[place] = b""
        columns[0][place] = kind.make(parts)


def _table(pieces: Iterable[bytes]) -> Table:
    found = list(pieces)
    table = np.empty(len(found), dtype=object)
    table[:] = found
    return table
