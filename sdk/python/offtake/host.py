"""What the gateway offers a plugin besides its changes: log lines and metrics.

Outside a gateway, in a plugin's own unit tests, they do nothing.
"""

from __future__ import annotations

from offtake.failure import Failure

try:
    from wit_world.imports import host as _host
except ImportError:  # no component: a developer's machine
    _host = None


def log(level: str, message: str) -> None:
    """Writes a line to the gateway's log: ``"trace"``, ``"debug"``, ``"info"``, ``"warn"`` or
    ``"error"``. The gateway cuts long lines and limits their rate. Never put a row's value in one.
    """
    if _host is not None:
        # Half of a surrogate pair is no text outside Python.
        _host.log(_host.Level[level.upper()], message.encode("utf-8", "replace").decode())


class Counter:
    """A counter in the gateway's metrics. Make it in ``configure``, add to it once a batch."""

    def __init__(self, name: str) -> None:
        self._id = _host.counter(name) if _host is not None else 0

    def add(self, delta: int) -> None:
        """Adds a number that is not negative."""
        if delta < 0:
            raise Failure("a counter only grows")
        while _host is not None and delta > 0:
            step = min(delta, 0xFFFF_FFFF)
            _host.add(self._id, step)
            delta -= step


class Histogram:
    """Observed values in the gateway's metrics. Make it in ``configure``."""

    def __init__(self, name: str) -> None:
        self._id = _host.histogram(name) if _host is not None else 0

    def observe(self, value: float) -> None:
        """Adds an observation."""
        if _host is not None:
            _host.observe(self._id, float(value))
