"""Rows that a plugin emits, given one by one and handed over column by column."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple

from offtake.failure import Failure
from offtake.interest import Output
from offtake.value import ABSENT, packed

_OPERATIONS = frozenset("cudr")


class EmittedRow(NamedTuple):
    """One row."""

    parent: int
    operation: str
    after: Mapping[str, Any]
    before: Mapping[str, Any]
    stream: str
    partition: int | None
    headers: list[tuple[str, bytes]]


class EmittedColumn(NamedTuple):
    """A column over the rows."""

    ordinal: int
    kind: str
    presence: bytes
    data: Any


class Emitter:
    """Rows emitted on one output."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.rows: list[EmittedRow] = []
        self._names = {column.name for column in output.columns}

    def emit(
        self,
        parent: int,
        operation: str,
        after: Mapping[str, Any],
        before: Mapping[str, Any],
        stream: str | None,
        partition: int | None,
        headers: Mapping[str, bytes | str],
    ) -> None:
        """Adds a row."""
        for name in (*after, *before):
            if name not in self._names:
                raise Failure(f"the output {self.output.name} has no column {name}")
        if operation not in _OPERATIONS:
            raise Failure("an emitted row's operation is one of the letters c, u, d and r")
        if partition is not None and not 0 <= partition < 1 << 32:
            raise Failure("a partition is a number from 0 to 4294967295")
        data = [(name, value.encode() if isinstance(value, str) else bytes(value))
                for name, value in headers.items()]
        self.rows.append(
            EmittedRow(parent, operation, after, before, stream or "", partition, data))

    def finish(self) -> None:
        """Puts the rows into the order of their parents; those of one parent keep theirs."""
        self.rows.sort(key=lambda row: row.parent)
        chosen = [row.partition is not None for row in self.rows]
        if any(chosen) and not all(chosen):
            raise Failure(f"only some rows of the output {self.output.name} have a partition")

    def columns(self, image: str) -> list[EmittedColumn]:
        """The columns that one of the rows gives a value in the image."""
        missing = None if image == "after" else ABSENT
        images = [row.after if image == "after" else row.before for row in self.rows]
        columns = []
        for ordinal, column in enumerate(self.output.columns):
            if any(column.name in given for given in images):
                values = [given.get(column.name, missing) for given in images]
                presence, data = packed(column.kind, values, column.name)
                columns.append(EmittedColumn(ordinal, column.kind, presence, data))
        return columns

    def streams(self) -> list[str]:
        """None, or one a row."""
        streams = [row.stream for row in self.rows]
        return streams if any(streams) else []

    def partitions(self) -> list[int]:
        """None, or one a row."""
        return [row.partition for row in self.rows if row.partition is not None]
