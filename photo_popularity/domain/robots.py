"""Which clients are robots, by what they call themselves. Behaviour (rates, paths) is not looked at here."""

from __future__ import annotations

import re
from functools import lru_cache

from photo_popularity.domain.errors import InputError

CACHED_AGENTS = 65_536
# The list takes 40 ms for an agent of 60 kB, which an attacker can send with every request.
MAX_AGENT_CHARACTERS = 1_000


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
        # here, because the import reads the list from disk
        from crawleruseragents import is_crawler  # type: ignore[import-untyped]

        text = agent.decode("utf-8", "replace") if isinstance(agent, bytes) else agent
        text = text.strip()[:MAX_AGENT_CHARACTERS]
        if text in ("", "-"):
            return True
        return any(pattern.search(text) for pattern in self._extra) or is_crawler(text)


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
