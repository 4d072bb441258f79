"""A plugin's configuration: the ``config`` table of its TOML.

Keys are taken one after the other, and what nobody asked for is refused in the end, so that a
misspelt key is found at the start and not by its missing effect.
"""

from __future__ import annotations

import json
from typing import Any

from offtake.failure import Failure

_REQUIRED: Any = object()


def _described(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


class Config:
    """The keys of the configuration. Take what is known, then call ``finish``."""

    def __init__(self, members: dict[str, Any], place: str = "") -> None:
        self._members = dict(members)
        self._place = place
        self._asked: list[str] = []

    @staticmethod
    def from_json(text: str) -> Config:
        """Reads a JSON object; an empty text has no keys."""
        try:
            members = json.loads(text) if text else {}
        except ValueError:
            raise Failure("config: it is no JSON") from None
        if not isinstance(members, dict):
            raise Failure(f"config: must be an object, not {_described(members)}")
        return Config(members)

    def rest(self) -> list[str]:
        """The keys that nobody took."""
        return list(self._members)

    def take(self, key: str, default: Any = None) -> Any:
        """Takes the value of a key as JSON gives it."""
        self._asked.append(key)
        return self._members.pop(key, default)

    def text(self, key: str, default: str | None = None) -> str | None:
        """Takes a string."""
        return self._typed(key, default, "a string", lambda value: isinstance(value, str))

    def required_text(self, key: str) -> str:
        """Takes a string that must be there."""
        return self._typed(key, _REQUIRED, "a string", lambda value: isinstance(value, str))

    def texts(self, key: str, default: list[str] | None = None) -> list[str] | None:
        """Takes an array of strings."""
        return self._typed(key, default, "an array of strings", lambda value: isinstance(
            value, list) and all(isinstance(item, str) for item in value))

    def count(self, key: str, default: int | None = None) -> int | None:
        """Takes a whole number from 0 to 4,294,967,295."""
        value = self._typed(key, default, "a whole number", lambda value: isinstance(
            value, (int, float)) and not isinstance(value, bool))
        if value is not default and not (isinstance(value, int) and 0 <= value < 1 << 32):
            raise self.refuse(key, "must be a whole number from 0 to 4294967295")
        return value

    def boolean(self, key: str, default: bool | None = None) -> bool | None:
        """Takes true or false."""
        return self._typed(key, default, "true or false", lambda value: isinstance(value, bool))

    def objects(self, key: str) -> list[Config] | None:
        """Takes an array of objects."""
        values = self._typed(key, None, "an array of objects", lambda value: isinstance(
            value, list) and all(isinstance(item, dict) for item in value))
        if values is None:
            return None
        return [Config(item, f"{self._place}{key}[{at}].") for at, item in enumerate(values)]

    def refuse(self, key: str, reason: str) -> Failure:
        """A failure to raise that names a key."""
        return Failure(f"config: `{self._place}{key}` {reason}")

    def finish(self) -> None:
        """Ends the reading. Call it before judging values: a misspelt key is the likelier mistake."""
        for key in self.rest():
            known = ", ".join(self._asked)
            raise Failure(f"config: unknown key `{self._place}{key}`; known are: {known}")

    def _typed(self, key: str, default: Any, expected: str, fits: Any) -> Any:
        value = self.take(key, _REQUIRED)
        if value is _REQUIRED:
            if default is _REQUIRED:
                raise self.refuse(key, "is missing")
            return default
        if not fits(value):
            raise self.refuse(key, f"must be {expected}, not {_described(value)}")
        return value
