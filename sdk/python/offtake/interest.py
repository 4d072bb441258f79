"""What a plugin says of itself and wants of a table, and how the table's changes leave it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, Sequence

from offtake.failure import Failure
from offtake.schema import ColumnInfo, Schema


@dataclass
class Info:
    """Name and version, for log lines and records.

    ``protects`` names columns that the plugin keeps from being seen. The gateway then fails closed:
    both images are always sent, no failure lets a change pass, and the pipeline stops when one of
    the columns is in none of the plugin's tables, or when a table loses one. An empty list protects
    what the plugin asks for.

    ``keeps_state``: it uses ``offtake.state``, and the gateway's configuration grants it.
    """

    name: str
    version: str
    protects: Sequence[str] | None = None
    keeps_state: bool = False


@dataclass
class Shape:
    """How what leaves on the table's own stream differs from what came."""

    remove: list[int] = field(default_factory=list)
    retype: list[tuple[int, ColumnInfo]] = field(default_factory=list)
    add: list[ColumnInfo] = field(default_factory=list)
    key: list[int] | None = None
    stream: str | None = None
    name: tuple[str, str] | None = None


# None: as it comes; a tuple: ordinal of the payload, and its content type.
Form = None | str | tuple[int, str]


def _ordinals(columns: Sequence[ColumnInfo], names: Iterable[str], owner: str) -> list[int]:
    known = {column.name: at for at, column in enumerate(columns)}
    found: list[int] = []
    for name in names:
        if name not in known:
            raise Failure(f"{owner} has no column {name}")
        if known[name] not in found:
            found.append(known[name])
    return found


class Output:
    """Rows beside the table's own: a definition, and where they go.

    Without ``stream`` they leave on the table's own. ``opaque`` names a column that leaves as it is
    in place of the row, and its content type.
    """

    def __init__(
        self,
        name: str,
        columns: Iterable[ColumnInfo],
        key: Iterable[str] = (),
        stream: str | None = None,
        opaque: tuple[str, str] | None = None,
        flat: bool = False,
    ) -> None:
        self.name = name
        self.columns = list(columns)
        self.stream = stream
        owner = f"the output {name}"
        self.key = _ordinals(self.columns, key, owner)
        self.form: Form = "flat" if flat else "envelope"
        if opaque is not None:
            self.form = (_ordinals(self.columns, [opaque[0]], owner)[0], opaque[1])


class Interest:
    """What a plugin wants to see of a table. The methods change it and give it back."""

    def __init__(self, schema: Schema, subscribe: bool, columns: list[int]) -> None:
        self.schema = schema
        self.subscribe = subscribe
        self.columns = columns
        self.wants: set[str] = set()
        self.shape: Shape | None = None
        self.form: Form = None
        self.outputs: list[Output] = []

    @staticmethod
    def none(schema: Schema) -> Interest:
        """Nothing: the plugin is not called for this table."""
        return Interest(schema, False, [])

    @staticmethod
    def in_columns(schema: Schema, names: Iterable[str]) -> Interest:
        """The after images of those of the named columns that the table has. Where it has none of
        them, the same as ``none``.
        """
        found = (schema.ordinal(name) for name in dict.fromkeys(names))
        ordinals = [ordinal for ordinal in found if ordinal is not None]
        return Interest(schema, bool(ordinals), ordinals)

    @staticmethod
    def in_all_columns(schema: Schema) -> Interest:
        """The after images of every column."""
        return Interest(schema, True, list(range(len(schema.columns))))

    @staticmethod
    def in_operations(schema: Schema) -> Interest:
        """Every change without any column, for plugins that look at operations only."""
        return Interest(schema, True, [])

    def with_before_images(self) -> Interest:
        """The before images as well. A plugin that protects gets them unasked."""
        self.wants.add("before_image")
        return self

    def with_positions(self) -> Interest:
        """Positions and snapshot markers as well, see ``Batch.metadata``."""
        self.wants.add("positions")
        return self

    def with_commit_times(self) -> Interest:
        """Commit times as well."""
        self.wants.add("commit_times")
        return self

    def with_transactions(self) -> Interest:
        """Transactions as well."""
        self.wants.add("transactions")
        return self

    def with_metadata(self) -> Interest:
        """Positions, commit times and transactions as well."""
        return self.with_positions().with_commit_times().with_transactions()

    def with_headers(self) -> Interest:
        """Headers that earlier plugins of the chain added as well."""
        self.wants.add("headers")
        return self

    def keyed_by(self, names: Iterable[str]) -> Interest:
        """From here on the table's key is these columns, in this order; none: no key. They are
        named as they leave, so say this last. Choose columns that the replica identity has.
        """
        self._shape().key = _ordinals(self.wide_columns(), names, self.schema.qualified_name)
        return self

    def without_columns(self, names: Iterable[str]) -> Interest:
        """Those of the columns that the table has do not leave."""
        shape = self._shape()
        for name in names:
            ordinal = self.schema.ordinal(name)
            if ordinal is not None and ordinal not in shape.remove:
                shape.remove.append(ordinal)
        return self

    def with_column_as(self, name: str, column: ColumnInfo) -> Interest:
        """A column of the table is from now on what is said here. Where its type is another one,
        the plugin sets every value of it.
        """
        [ordinal] = _ordinals(self.schema.columns, [name], self.schema.qualified_name)
        self._shape().retype.append((ordinal, column))
        return self

    def with_column_renamed(self, name: str, new: str) -> Interest:
        """A column of the table leaves under another name."""
        column = self.schema.column(name) or ColumnInfo.new(name, "text")
        return self.with_column_as(name, column.named(new))

    def with_column(self, column: ColumnInfo) -> Interest:
        """A further column, behind those of the table. Where it is not set it is NULL."""
        self._shape().add.append(column)
        return self

    def on_stream(self, stream: str) -> Interest:
        """The table's changes leave on this stream instead of the route's."""
        self._shape().stream = stream
        return self

    def named(self, namespace: str, table: str) -> Interest:
        """Sinks name the table's rows so, instead of by the table's own name."""
        self._shape().name = (namespace, table)
        return self

    def flat(self) -> Interest:
        """The row alone leaves instead of before and after images."""
        self.form = "flat"
        return self

    def opaque(self, column: str, content_type: str) -> Interest:
        """The value of one column leaves as it is, with its content type."""
        [payload] = _ordinals(self.wide_columns(), [column], self.schema.qualified_name)
        self.form = (payload, content_type)
        return self

    def with_output(self, output: Output) -> Interest:
        """Rows may be emitted on this output, see ``Verdict.emit``."""
        self.outputs.append(output)
        return self

    def wide_columns(self) -> list[ColumnInfo]:
        """Columns as a verdict counts them: the table's as they are now defined, then those added."""
        columns = list(self.schema.columns)
        if self.shape is not None:
            for ordinal, column in self.shape.retype:
                columns[ordinal] = column
            columns.extend(self.shape.add)
        return columns

    def _shape(self) -> Shape:
        if self.shape is None:
            self.shape = Shape()
        return self.shape
