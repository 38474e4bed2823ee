"""A JSON object that stays text until somebody looks into it: most of those that a catalog holds nobody does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any


class JsonObject(Mapping[str, Any]):
    """A mapping read from JSON, parsed at the first look."""

    __slots__ = ("_value", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._value: dict[str, Any] | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> JsonObject:
        """The mapping as an object of this kind; its keys in order, so that equal ones have equal texts."""
        return value if isinstance(value, cls) else cls(json.dumps(dict(value), sort_keys=True))

    def get(self, key: str, default: Any = None) -> Any:
        """The value of the key; an object whose text does not hold the key is not parsed."""
        return self._parsed().get(key, default) if _quoted(key) in self.text else default

    def __getitem__(self, key: str) -> Any:
        return self._parsed()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed())

    def __len__(self) -> int:
        return len(self._parsed())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, JsonObject) and other.text == self.text:
            return True
        return isinstance(other, Mapping) and self._parsed() == dict(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return self.text

    def _parsed(self) -> dict[str, Any]:
        if self._value is None:
            self._value = json.loads(self.text)
        return self._value


@cache
def _quoted(key: str) -> str:
    return json.dumps(key)
