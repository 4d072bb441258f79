"""Values: those that are none, numbers and JSON that travel as text, and the check of what leaves.

A value that its column cannot carry has to be found here: past this point the interpreter's bindings
would end the whole instance without a word.
"""

from __future__ import annotations

import json
from array import array
from decimal import Decimal
from typing import Any, Callable, Iterable, Sequence

from offtake.failure import Failure


class _Missing:
    """One of the ways to have no value beside ``None``; false in a condition, as that is."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __bool__(self) -> bool:
        return False


UNCHANGED = _Missing("UNCHANGED")
"""A large value that the update left alone; the database does not send it."""
ABSENT = _Missing("ABSENT")
"""Not part of this image, or there is no such image."""

# Presence codes of the contract.
MISSING = {1: None, 2: UNCHANGED, 3: ABSENT}


def is_value(value: Any) -> bool:
    """Whether it is a value, and not ``None``, ``UNCHANGED`` or ``ABSENT``."""
    return value is not None and value is not UNCHANGED and value is not ABSENT


def mapped(values: Iterable[Any], function: Callable[[Any], Any]) -> list[Any]:
    """A column with a function applied to its values; what is none stays as it is."""
    return [function(value) if is_value(value) else value for value in values]


def decimal_text(value: Decimal) -> str:
    """A decimal as its column takes it: all digits, no exponent, ``NaN`` and ``Infinity``."""
    if value.is_nan():
        return "NaN"
    if value.is_infinite():
        return "-Infinity" if value < 0 else "Infinity"
    return format(value, "f")


def parse_json(text: str) -> Any:
    """Reads JSON without losing digits: numbers with a point or exponent become ``Decimal``."""
    return json.loads(text, parse_float=Decimal)


def json_text(value: Any) -> str:
    """Writes JSON, ``Decimal`` with all its digits. NaN and infinities are refused."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise Failure("JSON has no number that is not finite")
        return str(value)
    if isinstance(value, dict):
        members = (f"{json.dumps(str(key), ensure_ascii=False)}: {json_text(member)}"
                   for key, member in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _texts(values: Sequence[Any]) -> list[str]:
    # Fails for what is no text, and for half of a surrogate pair, at the speed of C.
    "".join(values).encode()
    return list(values)


def _bytes(values: Sequence[Any]) -> list[bytes]:
    b"".join(values)
    return list(map(bytes, values))


def _booleans(values: Sequence[Any]) -> bytes:
    if not all(value is True or value is False for value in values):
        raise TypeError
    return bytes(values)


_CHECKS: dict[str, tuple[str, Any, Callable[[Sequence[Any]], Any]]] = {
    "boolean": ("True or False", False, _booleans),
    "int64": ("an integer of 64 bits", 0, lambda values: array("q", values).tolist()),
    "uint64": ("an integer from 0 to 2**64-1", 0, lambda values: array("Q", values).tolist()),
    "float64": ("a float", 0.0, lambda values: array("d", values).tolist()),
    "text": ("a str", "", _texts),
    "bytes": ("bytes", b"", _bytes),
}
_CODES = {None: 1, UNCHANGED: 2, ABSENT: 3}


def packed(kind: str, values: Sequence[Any], name: str) -> tuple[bytes, Any]:
    """Presence codes and data of a column's values as the contract wants them."""
    expected, zero, check = _CHECKS[kind]
    try:
        return b"", check(values)
    except (TypeError, ValueError, OverflowError):
        pass
    data = list(values)
    presence = bytearray(len(data))
    for at, value in enumerate(data):
        if not is_value(value):
            presence[at] = _CODES[value]
            data[at] = zero
        elif kind == "text" and type(value) is Decimal:
            data[at] = decimal_text(value)
    try:
        return bytes(presence) if any(presence) else b"", check(data)
    except (TypeError, ValueError, OverflowError):
        # The cause is left out: it quotes the value.
        raise Failure(f"column {name} was set to something that is not {expected}") from None
