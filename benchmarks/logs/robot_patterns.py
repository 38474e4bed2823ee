"""The patterns that tell robots, in the shapes that other engines are fast with."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ESCAPED = re.compile(r"\\([^\w\s])")


def literals() -> list[str]:
    """The patterns that are plain text, without their backslashes: looking for text is faster than matching."""
    return [_unescaped(pattern) for pattern in _known() if not _is_expression(pattern)]


def expression() -> str:
    """The few other patterns, as one."""
    return "|".join(f"({pattern})" for pattern in _known() if _is_expression(pattern))


def awk_pattern() -> str:
    r"""All of them as one pattern for mawk, which knows neither `\d` nor `[\s\S]`; an agent is one line, so a dot is as good."""
    adapted = (
        pattern.replace(r"[\s\S]", ".").replace(r"\d", "[0-9]").replace(r"\/", "/").replace(r"\!", "!")
        for pattern in _known()
    )
    found = "|".join(adapted)
    if strange := re.search(r"\\[A-Za-z]|\(\?|\{", found):
        raise ValueError(f"the pattern at {found[strange.start() :][:40]!r} has to be adapted for mawk")
    return found


def _is_expression(pattern: str) -> bool:
    return bool(re.search(r"[][\\(){}|^$*+?.]", _ESCAPED.sub("", pattern)))


def _unescaped(pattern: str) -> str:
    return _ESCAPED.sub(r"\1", pattern)


def _known() -> Iterable[str]:
    from crawleruseragents import CRAWLER_USER_AGENTS_DATA  # type: ignore[import-untyped]

    return [str(robot["pattern"]) for robot in CRAWLER_USER_AGENTS_DATA]
