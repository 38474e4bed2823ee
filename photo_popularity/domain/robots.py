"""Which clients are robots, by what they call themselves. Behaviour (rates, paths) is not looked at here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

from photo_popularity.domain.errors import InputError

CACHED_AGENTS, CACHED_SHAPES = 65_536, 8_192
# The list takes 40 ms for an agent of 60 kB, which an attacker can send with every request.
MAX_AGENT_CHARACTERS = 1_000
GRAM = 4

_PLAIN = re.compile(r"(?:[\w /:;,@!'&=<>%~#\"-]|\\[^\w])+", re.ASCII)
_ESCAPED = re.compile(r"\\([^\w])", re.ASCII)
_ZEROS = str.maketrans("123456789", "0" * 9)
# what tells one digit from another: a digit, its name, or what stood in a group before
_DIGIT = re.compile(r"[0-9]|\\N|\(\?P=|\(\?\(")


class RobotDetector:
    """Tells robots from people with the list of crawler-user-agents and patterns of the site's own.

    The own patterns are regular expressions, found anywhere in the agent, in either case. Raises InputError
    for one that is no regular expression, or that would call everybody a robot.
    """

    def __init__(self, extra_patterns: tuple[str, ...] = ()) -> None:
        self._extra = tuple(_compiled(pattern) for pattern in extra_patterns)
        self._is_known = lru_cache(maxsize=CACHED_AGENTS)(self._matches)

    def is_robot(self, agent: str | bytes | None) -> bool:
        """Whether a user agent is a robot's.

        An empty agent, or `-`, is a robot: browsers send one. None means that the log's format has no such
        field (Common), so nothing is known and the client counts as a person.
        """
        return agent is not None and self._is_known(agent)

    def _matches(self, agent: str | bytes) -> bool:
        text = agent.decode("utf-8", "replace") if isinstance(agent, bytes) else agent
        text = text.strip()[:MAX_AGENT_CHARACTERS]
        if text in ("", "-"):
            return True
        return any(pattern.search(text) for pattern in self._extra) or _known_robots().match(text)


class KnownRobots:
    """The list of crawler-user-agents: what its `is_crawler` says, in a hundredth of the time.

    Agents of one shape, which differ in their digits alone, are looked into once: most patterns tell no digit from
    another. The texts of the others are looked for in the agents that have their shape. Nearly all patterns
    are plain text; four characters of each, that no browser has in its agent, tell which of them are worth a look.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._shapes: dict[str, list[str]] = {}
        self._numbered: dict[str, list[str]] = {}
        others = []
        for pattern in patterns:
            text = _ESCAPED.sub(r"\1", pattern)
            if len(text) < GRAM or not _PLAIN.fullmatch(pattern):
                others.append(pattern)
                continue
            shape = text.translate(_ZEROS)
            grams = _grams(shape)
            gram = min(grams - _BROWSER_GRAMS or grams)
            self._shapes.setdefault(gram, []).append(shape)
            if _DIGIT.search(text):
                self._numbered.setdefault(shape, []).append(text)
        numbered = {pattern for pattern in others if _DIGIT.search(pattern)}
        first = {pattern for pattern in others if pattern.startswith("^") and "|" not in pattern} - numbered
        self._first, self._others_numbered = _any_of(first), tuple(map(re.compile, sorted(numbered)))
        self._others = _any_of(set(others) - first - numbered)
        self._of_shape = lru_cache(maxsize=CACHED_SHAPES)(self._match_shape)

    def match(self, agent: str) -> bool:
        """Whether one of the patterns is found in the agent."""
        is_known, likely = self._of_shape(agent.translate(_ZEROS))
        return (
            is_known
            or any(text in agent for text in likely)
            or any(pattern.search(agent) for pattern in self._others_numbered)
        )

    def _match_shape(self, shape: str) -> tuple[bool, Sequence[str]]:
        """Whether every agent of a shape is a robot's, and the texts that make a robot of one that has them."""
        likely = _grams(shape) & self._shapes.keys()
        found = [its for gram in likely for its in self._shapes[gram] if its in shape]
        is_known = (
            any(its not in self._numbered for its in found)
            or self._first.match(shape) is not None
            or self._others.search(shape) is not None
        )
        return is_known, [text for its in found for text in self._numbered.get(its, [])]


@cache
def _known_robots() -> KnownRobots:
    # here, because the import reads the list from disk
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # type: ignore[import-untyped]

    return KnownRobots([robot["pattern"] for robot in CRAWLER_USER_AGENTS_DATA])


def _grams(text: str) -> set[str]:
    return {text[start : start + GRAM] for start in range(len(text) - GRAM + 1)}


_BROWSER_GRAMS = _grams(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) (Macintosh; Intel Mac OS X 10_15_7) (X11; Linux x86_64) "
    "(iPhone; CPU iPhone OS 18_5 like Mac OS X) (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Gecko/20100101 Chrome/140.0.0.0 Version/18.5 Mobile/15E148 Mobile Safari/604.1 Edg/140.0.0.0 Firefox/140.0".translate(
        _ZEROS
    )
)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """A pattern that matches where one of them does, and nowhere when there are none."""
    return re.compile("|".join(sorted(patterns)) or r"(?!)")


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise InputError(
            f"robot pattern {pattern!r} is not a regular expression ({error}); correct it in the settings"
        ) from error
    if compiled.search(""):
        raise InputError(
            f"robot pattern {pattern!r} matches every user agent; make it more specific in the settings"
        )
    return compiled
