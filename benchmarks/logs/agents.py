"""Who calls: user agents of browsers and of robots, in the proportions of a photo site.

Every agent is put together from templates, so that thousands differ as they do in a real log: by version, system and
model. No text is copied from a log.
"""

from __future__ import annotations

from itertools import product

import numpy as np

BROWSERS, ROBOTS = 3_000, 150

_DESKTOPS = (
    "Windows NT 10.0; Win64; x64",
    "Windows NT 6.1; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "X11; CrOS x86_64 14541.0.0",
)
_PHONES = (
    *(f"SM-{letter}{number}" for letter in "AGS" for number in range(515, 1_000, 11)),
    *(f"Pixel {number}{suffix}" for number in range(4, 11) for suffix in ("", "a", " Pro")),
    *(f"Redmi Note {number}" for number in range(8, 15)),
    *(f"moto g{number}" for number in range(10, 90, 7)),
)
_CHROME = "Mozilla/5.0 ({system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.{build}.{patch} Safari/537.36"
_MOBILE_CHROME = "Mozilla/5.0 (Linux; Android {android}; {model}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Mobile Safari/537.36"
_IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS {major}_{minor} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/{major}.{minor} Mobile/15E{build} Safari/604.1"
)
_FIREFOX = "Mozilla/5.0 ({system}; rv:{major}.0) Gecko/20100101 Firefox/{major}.0"

_WEB_ROBOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.{n}; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.{n}; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.{n}; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; SemrushBot/{n}~bl; +http://www.semrush.com/bot.html)",
    "Mozilla/5.0 (compatible; YandexBot/3.{n}; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; MJ12bot/v1.4.{n}; http://mj12bot.com/)",
    "Mozilla/5.0 (compatible; PetalBot/{n}; +https://webmaster.petalsearch.com/site/petalbot)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.{n}; +https://openai.com/gptbot)",
    "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.{n} (KHTML, like Gecko; Applebot/0.1; +http://www.apple.com/go/applebot)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/{n}.0.0.0 Safari/537.36",
    "facebookexternalhit/1.{n} (+http://www.facebook.com/externalhit_uatext.php)",
    "Googlebot-Image/1.{n}",
    "python-requests/2.{n}.0",
    "curl/8.{n}.0",
    "Go-http-client/1.{n}",
    "Wget/1.{n} (linux-gnu)",
    "okhttp/4.{n}.0",
)


def browsers(random: np.random.Generator) -> list[bytes]:
    """So many browsers, in a random order."""
    desktop = [
        _CHROME.format(system=system, major=major, build=5_000 + 31 * major, patch=patch)
        for system, major, patch in product(_DESKTOPS, range(110, 146), (0, 87, 142))
    ]
    edge = [f"{agent} Edg/{agent.split('Chrome/')[1].split('.')[0]}.0.0.0" for agent in desktop[::3]]
    mobile = [
        _MOBILE_CHROME.format(android=android, model=model, major=major)
        for android, model, major in product(range(10, 17), _PHONES, (131, 138, 143))
    ]
    iphone = [
        _IPHONE.format(major=major, minor=minor, build=build)
        for major, minor, build in product(range(14, 20), range(7), (148, 301, 5_027))
    ]
    firefox = [
        _FIREFOX.format(system=system, major=major) for system, major in product(_DESKTOPS, range(100, 146))
    ]
    # mobile models are most of what differs, but not most of the visits
    rare = random.permutation(len(mobile))[: BROWSERS - len(desktop) - len(edge) - len(iphone) - len(firefox)]
    every = [*desktop, *edge, *iphone, *firefox, *(mobile[place] for place in rare)]
    return [every[place].encode() for place in random.permutation(len(every))]


def robots() -> list[bytes]:
    """So many robots, the usual ones first; the last one does not say who it is."""
    versions = range(-(-ROBOTS // len(_WEB_ROBOTS)))
    return [*[robot.format(n=n).encode() for n in versions for robot in _WEB_ROBOTS][: ROBOTS - 1], b"-"]
