"""How a plugin fails: with words of its own, or with the place of an exception.

The text of an exception is never repeated, for it may quote a value: ``int("secret")`` does.
"""

from __future__ import annotations

import os


class Failure(Exception):
    """A call, the configuration or a change failed. The message must not repeat values of rows.

    Not ``permanent``: another attempt on a fresh instance may succeed.
    """

    def __init__(self, message: str, permanent: bool = True) -> None:
        super().__init__(message)
        self.message = message
        self.permanent = permanent


def described(error: BaseException) -> Failure:
    """The failure that an exception means: itself, or its class with its place in the source."""
    if isinstance(error, Failure):
        return error
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{os.path.basename(code.co_filename)}:{trace.tb_lineno} in {code.co_name}")
        trace = trace.tb_next
    # The innermost places say most; the outermost are the SDK's own.
    place = " < ".join(reversed(places[-4:])) or "an unknown place"
    # What an exception left behind may be at fault, and so may a lack of memory.
    return Failure(f"{type(error).__name__} at {place}", permanent=False)
