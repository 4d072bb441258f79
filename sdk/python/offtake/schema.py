"""A table's definition, as the gateway tells it before the table's changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from offtake.failure import Failure

# Logical types whose values have a kind of their own; all others travel as text.
_KINDS = {
    "bool": "boolean",
    "int1": "int64", "int2": "int64", "int4": "int64", "int8": "int64", "oid": "int64",
    "uint1": "uint64", "uint2": "uint64", "uint4": "uint64", "uint8": "uint64",
    "float4": "float64", "float8": "float64",
    "bytes": "bytes",
}
# Logical types whose values are any text.
_FREE_TEXT = {"text", "string", "varchar", "char", "bpchar", "character", "citext", "name"}


@dataclass(frozen=True)
class ColumnInfo:
    """A column. ``kind`` says how its values travel: ``boolean`` (``bool``), ``int64`` and
    ``uint64`` (``int``), ``float64`` (``float``), ``bytes``, and ``text`` (``str``) for all else.
    """

    name: str
    kind: str
    logical: str
    """The type in terms that do not depend on the database: ``decimal(12,2)``, ``uuid``."""
    native: str = ""
    """The database's own name of the type."""
    nullable: bool = True
    labels: tuple[str, ...] = ()
    """An enum's labels."""

    @staticmethod
    def new(name: str, logical: str) -> ColumnInfo:
        """A column that may be NULL, of a logical type: ``text``, ``int4``, ``int8``, ``float8``,
        ``bool``, ``bytes``, ``decimal(12,2)``, ``timestamptz``, ``uuid``, ``json``.
        """
        return ColumnInfo(name, _KINDS.get(logical, "text"), logical)

    def required(self) -> ColumnInfo:
        """The same, but never NULL."""
        return replace(self, nullable=False)

    def named(self, name: str) -> ColumnInfo:
        """The same under another name."""
        return replace(self, name=name)

    def is_free_text(self) -> bool:
        """Whether any text is a proper value. Numbers, times, JSON and lists travel as text too,
        but only some texts are their values.
        """
        return self.kind == "text" and self.logical.partition("(")[0] in _FREE_TEXT


@dataclass(frozen=True)
class Schema:
    """A table's definition, or that of logical messages (columns ``prefix`` and ``content``)."""

    id: int
    database: str
    namespace: str
    table: str
    columns: tuple[ColumnInfo, ...]
    key: tuple[int, ...] = ()
    """Ordinals of the key's columns in key order; empty: no key."""
    before_columns: tuple[int, ...] = ()
    """Ordinals of the columns that before images of updates and deletes are known to have."""
    version: int = 1
    """Counts definitions of the same table."""
    is_message: bool = False
    _ordinals: dict[str, int] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._ordinals.update((column.name, at) for at, column in enumerate(self.columns))

    @property
    def qualified_name(self) -> str:
        """The table as a person writes it: ``public.orders``."""
        return f"{self.namespace}.{self.table}"

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self.columns]

    def ordinal(self, name: str) -> int | None:
        """Where the column of that name stands; ``None``: there is none."""
        return self._ordinals.get(name)

    def column(self, name: str) -> ColumnInfo | None:
        """The column of that name; ``None``: there is none."""
        at = self._ordinals.get(name)
        return None if at is None else self.columns[at]

    def refuse(self, column: ColumnInfo, reason: str) -> Failure:
        """A failure to raise that names the table, a column and its type."""
        place = f"{self.qualified_name}.{column.name}"
        return Failure(f"{place} has type {column.native}: {reason}")
