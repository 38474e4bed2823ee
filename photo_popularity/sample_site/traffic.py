"""What happens on the sample site: requests of people and robots with the true counts behind them.

How requests become lines and files belongs to log_files.py; how many views are expected to law.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from random import Random

import numpy as np

from photo_popularity.sample_site.visitors import OWN_HOST, Crowd, Visitor, referrer

SECONDS_PER_DAY = 86_400
# relative traffic of the hours of a UTC day: quiet at night, most in the European evening
HOUR_WEIGHTS = (3, 2, 1, 1, 1, 2, 3, 5, 6, 6, 6, 7, 7, 7, 6, 6, 7, 8, 10, 11, 11, 9, 7, 5)
OTHER_PATHS = ("/", "/", "/new", "/css/site.css", "/favicon.ico", "/robots.txt", "/about", "/js/app.js?v=3")
MISSING_PATHS = ("/wp-login.php", "/.env", "/photos/none99.jpg", "/photos/a%2Fb.jpg", "/photos/../etc/passwd")


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server logged it; `size` 0 is written as `-`."""

    epoch_seconds: int
    visitor: Visitor
    method: str
    path: str
    status: int
    size: int
    referrer: str


@dataclass(slots=True)
class TrueCounts:
    """What really happened to one photo on one UTC day."""

    views: int = 0
    likes: int = 0
    downloads: int = 0
    bytes: int = 0
    external_referrals: int = 0
    robot_views: int = 0
    addresses: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class SeenPhoto:
    """A photo on the web: its path below /photos/, the size of its file, and its expected views on a day."""

    photo_id: str
    extension: str
    bytes: int
    expected_views: Callable[[date], float]
    deleted_at: datetime | None = None


Truth = dict[tuple[date, str], TrueCounts]


def requests_of_day(
    seed: int, day: date, photos: list[SeenPhoto], crowd: Crowd, truth: Truth
) -> Iterator[Request]:
    """The requests of a UTC day in no order; adds to `truth` what they mean."""
    rng = Random(f"{seed}/traffic/{day}")
    poisson = np.random.default_rng(rng.getrandbits(64)).poisson
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    clock = _Clock(rng, midnight)
    total = 0
    for photo in photos:
        views = int(poisson(photo.expected_views(day)))
        total += views
        gone = photo.deleted_at is not None and photo.deleted_at.date() < day
        if gone and rng.random() < 0.3:
            yield _view(photo, clock(), crowd.person(rng), "-", status=404, size=512)
        if not views:
            continue
        counts = truth.setdefault((day, photo.photo_id), TrueCounts())
        yield from _views(photo, views, crowd, counts, clock, rng)
        for _ in range(int(poisson(0.35 * views**0.9))):
            counts.robot_views += 1
            yield _view(photo, clock(), crowd.robot(rng), "-", status=200, size=photo.bytes)
    for _ in range(20 + total // 3):
        yield _other(clock(), crowd, rng)


class _Clock:
    """Draws moments of one UTC day."""

    def __init__(self, rng: Random, midnight: int) -> None:
        self._rng, self._midnight = rng, midnight

    def __call__(self) -> int:
        hour = self._rng.choices(range(24), weights=HOUR_WEIGHTS)[0]
        return self._midnight + hour * 3600 + int(self._rng.random() * 3600)

    def soon_after(self, moment: int, seconds: int) -> int:
        """Up to some seconds later, on the same day: truth is counted by day."""
        return min(moment + int(self._rng.random() * seconds), self._midnight + SECONDS_PER_DAY - 1)


def _views(
    photo: SeenPhoto, count: int, crowd: Crowd, counts: TrueCounts, clock: _Clock, rng: Random
) -> Iterator[Request]:
    """Views by people with the page before, the like or download after; some come back to the photo."""
    visitor = crowd.person(rng)
    for _ in range(count):
        returns = counts.views > 0 and rng.random() < 0.12
        visitor = visitor if returns else crowd.person(rng)
        moment, (source, is_external) = clock(), referrer(rng, photo.photo_id)
        status = (
            304 if returns and rng.random() < 0.7 else rng.choices((200, 206, 304), weights=(90, 4, 6))[0]
        )
        small = rng.random() < 0.4
        full = photo.bytes * 2 // 5 if small else photo.bytes
        size = {200: full, 206: full // 2, 304: 0}[status]
        counts.views += 1
        counts.bytes += size
        counts.external_referrals += is_external
        counts.addresses.add(visitor.address)
        yield _view(photo, moment, visitor, source, status=status, size=size, query="?w=640" if small else "")
        page = f"/photos/{photo.photo_id}"
        if rng.random() < 0.12:
            yield Request(moment, visitor, "GET", page, 200, rng.randrange(3000, 9000), source)
        if rng.random() < 0.07:
            counts.likes += 1
            yield Request(
                clock.soon_after(moment, 60), visitor, "POST", f"{page}/like", 204, 0, OWN_HOST + page
            )
        if rng.random() < 0.03:
            counts.downloads += 1
            later = clock.soon_after(moment, 90)
            yield Request(later, visitor, "GET", f"{page}/download", 200, photo.bytes, OWN_HOST + page)


def _view(
    photo: SeenPhoto, moment: int, visitor: Visitor, source: str, *, status: int, size: int, query: str = ""
) -> Request:
    path = f"/photos/{photo.photo_id}.{photo.extension}{query}"
    return Request(moment, visitor, "GET", path, status, size, source)


def _other(moment: int, crowd: Crowd, rng: Random) -> Request:
    """A request that counts for no photo: pages, probes, HEAD, and requests that are no HTTP."""
    visitor = crowd.robot(rng) if rng.random() < 0.35 else crowd.person(rng)
    chance = rng.random()
    if chance < 0.85:
        return Request(moment, visitor, "GET", rng.choice(OTHER_PATHS), 200, rng.randrange(200, 20_000), "-")
    if chance < 0.95:
        return Request(moment, visitor, "GET", rng.choice(MISSING_PATHS), 404, 512, "-")
    if chance < 0.99:
        return Request(moment, visitor, "HEAD", "/photos/bcdfgh.jpg", 200, 0, "-")
    return Request(moment, visitor, "", rng.choice(("-", r"\x16\x03\x01\x02", "SSH-2.0-Go")), 400, 226, "-")
