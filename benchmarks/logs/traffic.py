"""What is asked for: the tables of addresses, requests, answers and referrers that lines are drawn from.

A table holds the bytes of one piece of a line with what follows it, quotes and blanks included, so that a line is
six pieces in a row. Popularity follows Zipf: few photos and clients make most lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from benchmarks.logs.agents import BROWSERS, browsers, robots

Numbers: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Table: TypeAlias = np.ndarray[Any, np.dtype[np.object_]]

ADDRESSES, ROBOT_ADDRESSES, PHOTOS = 100_000, 2_000, 50_000
OWN = "https://photos.example"
# what people and robots do, with its share of the lines
KINDS = {
    "view": 0.46,
    "like": 0.02,
    "download": 0.015,
    "page": 0.22,
    "asset": 0.2,
    "junk": 0.04,
    "head": 0.015,
    "moved": 0.03,
}
# the statuses of each kind with their shares; no size is sent where nothing is
ANSWERS = {
    "view": {200: 0.84, 304: 0.12, 206: 0.02, 404: 0.015, 503: 0.005},
    "like": {201: 0.6, 204: 0.35, 401: 0.05},
    "download": {200: 0.9, 302: 0.06, 403: 0.04},
    "page": {200: 0.95, 404: 0.03, 500: 0.02},
    "asset": {200: 0.6, 304: 0.4},
    "junk": {404: 0.95, 400: 0.05},
    "head": {200: 1.0},
    "moved": {301: 0.7, 308: 0.3},
}
_EXTENSIONS = "jpg jpg jpg jpg jpeg png webp avif JPG".split()
_WORDS = "sunset lake harbour forest bridge market portrait street mountain garden winter window".split()
_FOREIGN = "www.google.com www.bing.com duckduckgo.com t.co www.reddit.com forum.example.net blog.example.org".split()
_JUNK = "/wp-login.php /.env /xmlrpc.php /.git/config /phpmyadmin/ /cgi-bin/luci /vendor/phpunit /%2e%2e/%2e%2e/etc/passwd".split()


def zipf(random: np.random.Generator, count: int, of: int, exponent: float = 0.95) -> Numbers:
    """So many numbers below `of`, small ones far more often."""
    shares = np.cumsum(np.arange(1, of + 1) ** -exponent)
    places: Numbers = np.searchsorted(shares, random.random(count) * shares[-1])
    return places


def weighted(random: np.random.Generator, count: int, shares: Iterable[float]) -> Numbers:
    """So many numbers of places, each as often as its share says."""
    edges = np.cumsum(list(shares))
    places: Numbers = np.searchsorted(edges[:-1] / edges[-1], random.random(count))
    return places


@dataclass(frozen=True)
class Traffic:
    """The site as one seed makes it: its photos, its clients, and what they send."""

    seed: int

    @cached_property
    def photo_ids(self) -> list[str]:
        """Ids as they stand in a path: words with numbers, some percent-encoded."""
        random = np.random.default_rng([self.seed, 1])
        words = [_WORDS[place] for place in random.integers(0, len(_WORDS), PHOTOS)]
        ids = [f"{word}-{number}" for number, word in enumerate(words)]
        for number in range(0, PHOTOS, 25):
            ids[number] = f"{words[number]}%20caf%C3%A9%20{number}"
        for number in range(7, PHOTOS, 3):
            ids[number] = f"IMG_{number:06d}"
        return ids

    @cached_property
    def photo_paths(self) -> list[str]:
        """The path of each photo's image."""
        return [
            f"/photos/{photo}.{_EXTENSIONS[n % len(_EXTENSIONS)]}" for n, photo in enumerate(self.photo_ids)
        ]

    @cached_property
    def addresses(self) -> Table:
        """Clients: IPv4, and a fifth IPv6; the last ones are those of robots."""
        random = np.random.default_rng([self.seed, 2])
        parts = random.integers(1, 255, (ADDRESSES + ROBOT_ADDRESSES, 4)).tolist()
        return _table(
            f"2001:db8:{a:x}{b:02x}::{c:x}:{d:x} - - [" if n % 5 == 4 else f"{a}.{b}.{c}.{d} - - ["
            for n, (a, b, c, d) in enumerate(parts)
        )

    @cached_property
    def favourites(self) -> Numbers:
        """The browser that a person at each address mostly uses."""
        return zipf(np.random.default_rng([self.seed, 5]), ADDRESSES, BROWSERS)

    @cached_property
    def requests(self) -> dict[str, Table]:
        """The requests of each kind, those for a photo in its order."""
        ids, paths = self.photo_ids, self.photo_paths
        pages = [*(f"/photos/{photo}" for photo in ids), *(f"/albums/{n}?page={n % 9}" for n in range(9_000))]
        assets = [
            f"/static/{word}.{n:08x}.{end}" for n, word in enumerate(_WORDS * 20) for end in ("css", "js")
        ]
        return {
            "view": _requests("GET", (f"{path}{query}" for path in paths for query in ("", "?w=640"))),
            "like": _requests("POST", (f"/photos/{photo}/like" for photo in ids)),
            "download": _requests("GET", (f"/photos/{photo}/download" for photo in ids)),
            "page": _requests("GET", pages),
            "asset": _requests("GET", assets),
            "junk": _requests("GET", (f"{path}?{n}" for n in range(90) for path in _JUNK)),
            "head": _requests("HEAD", paths),
            "moved": _requests("GET", (f"/p/{n}" for n in range(PHOTOS))),
        }

    @cached_property
    def answers(self) -> dict[str, Table]:
        """Statuses with sizes of each kind, each as often as it is sent."""
        random = np.random.default_rng([self.seed, 3])
        found = {}
        for kind, shares in ANSWERS.items():
            statuses = np.array(list(shares))[weighted(random, 20_000, shares.values())].tolist()
            mean = 11.5 if kind in ("view", "download") else 8.5
            sizes = random.lognormal(mean, 1.0, 20_000).astype(int).tolist()
            found[kind] = _table(
                f"{status} {0 if status in (204, 304) or kind == 'head' else size} "
                for status, size in zip(statuses, sizes, strict=True)
            )
        return found

    @cached_property
    def referrers(self) -> Table:
        """The photos' own pages in their order, then foreign ones, then own ones in another spelling, then none."""
        own = (f'"{OWN}/photos/{photo}" "' for photo in self.photo_ids)
        foreign = (
            f'"https://{_FOREIGN[n % 7]}/{_WORDS[n % 12]}/{n}" "'
            if n % 7 > 3
            else f'"https://{_FOREIGN[n % 7]}/" "'
            for n in range(3_000)
        )
        spelled = (f'"HTTPS://Photos.Example:443/albums/{n}" "' for n in range(200))
        return _table([*own, *foreign, *spelled, '"-" "'])

    @cached_property
    def agents(self) -> Table:
        """Browsers in the order of their popularity, then robots, each with the end of the line."""
        random = np.random.default_rng([self.seed, 4])
        return _table(agent.decode() + '"\n' for agent in [*browsers(random), *robots()])


def _requests(method: str, targets: Iterable[str]) -> Table:
    """Each target twice, as HTTP/2.0 and as HTTP/1.1."""
    return _table(f'{method} {target} HTTP/{version}" ' for target in targets for version in ("2.0", "1.1"))


def _table(texts: Iterable[str]) -> Table:
    encoded = [text.encode() for text in texts]
    table = np.empty(len(encoded), dtype=object)
    table[:] = encoded
    return table
