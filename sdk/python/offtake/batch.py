"""The changes of one call: columns of one table, as lists with one value a row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from offtake.failure import Failure
from offtake.schema import Schema
from offtake.value import MISSING, mapped, parse_json


class RawColumn(NamedTuple):
    """A column as it was sent: rows without a value have a zero in ``data`` and a code in
    ``presence``, which is empty where every row has one.
    """

    kind: str
    presence: bytes
    data: Sequence[Any]


class Columns(Mapping[str, list[Any]]):
    """The columns of an image that the plugin asked for, by name: ``batch.after["email"]``.

    A column is a list with one value a row, or ``None`` (NULL), ``UNCHANGED`` or ``ABSENT``. Where
    the plugin did not ask for before images there are none in ``batch.before``.
    """

    def __init__(self, schema: Schema, raw: dict[str, RawColumn]) -> None:
        self.raw = raw
        self._schema = schema
        self._lists: dict[str, list[Any]] = {}

    def __getitem__(self, name: str) -> list[Any]:
        values = self._lists.get(name)
        if values is None:
            column = self.raw.get(name)
            if column is None:
                table = self._schema.qualified_name
                raise Failure(f"column {name} of {table} was not asked for")
            values = list(map(bool, column.data)) if column.kind == "boolean" else list(column.data)
            if any(column.presence):
                for at, code in enumerate(column.presence):
                    if code:
                        values[at] = MISSING[code]
            self._lists[name] = values
        return values

    def __contains__(self, name: object) -> bool:
        return name in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def decimals(self, name: str) -> list[Any]:
        """A column of decimals as ``decimal.Decimal``, with all its digits."""
        return mapped(self[name], Decimal)

    def json(self, name: str) -> list[Any]:
        """A column of JSON, read by ``parse_json``."""
        return mapped(self[name], parse_json)


class Metadata(NamedTuple):
    """What the interest asked for, one element a row; the other lists are empty."""

    positions: list[str]
    """Where a change stands in the database's log, as opaque text."""
    snapshot: bytes
    """0 no snapshot, 1 first row of all, 2 a row, 3 last of its table, 4 last of all, 5 first of
    its table."""
    commit_times: list[int]
    """Microseconds since 1970-01-01 UTC; 0 for rows of a snapshot."""
    transactions: list[str | None]
    """The database's own name of the transaction; ``None`` for rows of a snapshot."""
    transaction_order: list[int]
    """Place in the transaction, or of a snapshot's row in its table, from 1."""
    headers: dict[int, list[tuple[str, bytes]]]
    """Headers of the rows that have some."""


class Batch:
    """Changes of one table in source order, at least one; ``len(batch)`` is how many.

    ``schema``
        The table, a ``Schema``.
    ``ops``
        One letter a row: c created, u updated, d deleted, r read by a snapshot, t table truncated,
        m logical message.
    ``before``, ``after``
        The rows before and after the change, ``Columns``: ``batch.after["email"]`` is a list.
    ``metadata``
        What the interest asked for, a ``Metadata``; ``None``: nothing.
    """

    def __init__(
        self,
        schema: Schema,
        ops: str,
        before: dict[str, RawColumn],
        after: dict[str, RawColumn],
        metadata: Metadata | None = None,
    ) -> None:
        self.schema = schema
        self.ops = ops
        self.before = Columns(schema, before)
        self.after = Columns(schema, after)
        self.metadata = metadata

    def __len__(self) -> int:
        return len(self.ops)

    def image(self, name: str) -> Columns:
        """The columns of ``"before"`` or ``"after"``."""
        return self.before if name == "before" else self.after
