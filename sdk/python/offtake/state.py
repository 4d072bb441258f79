"""What a plugin keeps from one change to the next, over fresh instances and restarts::

    from offtake import state

    last, = state.get_many([b"last"])           # bytes, or None
    state.put(b"last", b"7", ttl_seconds=3600)

Keys and values are bytes; a ``str`` becomes its UTF-8. The gateway keeps them with the position:
after a crash both are as of the same change, and a call that fails leaves nothing of what it wrote.
What a call wrote it reads back at once. Ask for all keys of a batch in one go: each function is one
call of the gateway.

Importing this module makes the build one with state, and a plugin built so says ``Info(…,
keeps_state=True)`` and is granted it (``state = {}`` under ``[plugin.NAME]``). It may be used in
``process`` and nowhere else. Limits: 4 KiB a key, 1 MiB a value, 16 MiB read and 16 MiB written a
call, and the quota.

Outside a gateway, in a plugin's own unit tests, it is a dictionary in which nothing ends;
``offtake.testing.forget_state`` empties it.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from offtake.failure import Failure

Data = bytes | str


class Memory:
    """What stands for the gateway in a plugin's own tests."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        return [self.entries.get(key) for key in keys]

    def put_many(self, entries: list[tuple[bytes, bytes]], ttl_seconds: int | None) -> None:
        self.entries.update(entries)

    def delete_many(self, keys: list[bytes]) -> None:
        for key in keys:
            self.entries.pop(key, None)


gateway: Any
try:
    import wit_world  # noqa: F401
except ImportError:  # no component: a developer's machine
    gateway = Memory()
else:
    try:
        from wit_world.imports import state as gateway
    except ImportError:
        raise ImportError(
            "this component is built without state: build it with sdk/python/bin/build.py, or for "
            "the world stateful-transform") from None


def get(key: Data) -> bytes | None:
    """The value of a key; ``None``: there is none."""
    return get_many([key])[0]


def get_many(keys: Iterable[Data]) -> list[bytes | None]:
    """The values of keys, in their order."""
    return gateway.get_many(_listed(keys))


def put(key: Data, value: Data, ttl_seconds: int | None = None) -> None:
    """Sets a value. With ``ttl_seconds`` it is gone once so many seconds have passed, by commit
    times.
    """
    put_many([(key, value)], ttl_seconds)


def put_many(
    entries: Mapping[Data, Data] | Iterable[tuple[Data, Data]], ttl_seconds: int | None = None
) -> None:
    """Sets values, as ``put`` does: of a dictionary, or of pairs."""
    pairs = entries.items() if isinstance(entries, Mapping) else entries
    if ttl_seconds is not None and not (
        isinstance(ttl_seconds, int) and 0 <= ttl_seconds < 1 << 32
    ):
        raise Failure("what is kept ends after a whole number of seconds from 0 to 4294967295")
    gateway.put_many([(_data(key), _data(value)) for key, value in pairs], ttl_seconds)


def delete(key: Data) -> None:
    """Deletes an entry, if there is one."""
    delete_many([key])


def delete_many(keys: Iterable[Data]) -> None:
    """Deletes entries."""
    gateway.delete_many(_listed(keys))


def _listed(keys: Iterable[Data]) -> list[bytes]:
    # A text is iterable too: its letters would be the keys.
    if isinstance(keys, (str, bytes)):
        raise Failure("keys of the state come as a list; for one there is a function of its own")
    return [_data(key) for key in keys]


def _data(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise Failure("a key or a value of the state is bytes or a str")
