"""Who comes to the sample site: people and robots with their addresses, agents and referrers."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from itertools import accumulate
from random import Random

OWN_HOST = "https://photos.example"
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
APPLE_WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0"
PEOPLE_AGENTS = (
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/129.0.0.0 Safari/537.36",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE_WEBKIT} Safari/605.1.15",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) {APPLE_WEBKIT} Mobile/15E148 Safari/604.1",
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/129.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    r"Mozilla/5.0 (X11; Linux x86_64; \"Cat lover\" edition) Gecko/20100101 Firefox/128.0",
)
ROBOT_AGENTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "curl/8.5.0",
    "python-requests/2.32.3",
    "-",
    "",
)
EXTERNAL_REFERRERS = (
    "https://www.google.com/",
    "https://duckduckgo.com/?q=cute+cats",
    "http://blog.example.org/2026/10/best-dogs",
    "https://forum.example.net:8443/t/42?from=https://photos.example/",
    "https://photos.example.com/looks-like-the-site",
)
# neither a page of the site nor one of another site on the web
OTHER_REFERRERS = ("android-app://com.example.mail/", "-", "-")


@dataclass(frozen=True)
class Visitor:
    """A client as a log line shows it."""

    address: str
    agent: str


class Crowd:
    """People who return, the regulars most often, and robots."""

    def __init__(self, rng: Random, people: int) -> None:
        self._people = [Visitor(_address(rng), rng.choice(PEOPLE_AGENTS)) for _ in range(people)]
        self._robots = [Visitor(_address(rng), agent) for agent in ROBOT_AGENTS for _ in range(6)]
        self._shares = list(accumulate((rank + 10) ** -0.7 for rank in range(people)))

    def person(self, rng: Random) -> Visitor:
        """Somebody; how often one comes falls with the rank."""
        return self._people[
            bisect.bisect(self._shares, rng.random() * self._shares[-1], hi=len(self._people) - 1)
        ]

    def robot(self, rng: Random) -> Visitor:
        """One of the robots."""
        return rng.choice(self._robots)


def referrer(rng: Random, photo_id: str) -> tuple[str, bool]:
    """Where a view came from, and whether that is another site on the web."""
    chance = rng.random()
    if chance < 0.62:
        return f"{OWN_HOST}/photos/{photo_id}", False
    if chance < 0.82:
        return rng.choice(EXTERNAL_REFERRERS), True
    return rng.choice(OTHER_REFERRERS), False


def _address(rng: Random) -> str:
    if rng.random() < 0.3:
        return (
            f"2001:db8:{rng.randrange(1, 65536):x}:{rng.randrange(1, 65536):x}::{rng.randrange(1, 65536):x}"
        )
    return f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
