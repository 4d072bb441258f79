"""What becomes of a batch. Saying nothing of a row lets it pass."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from offtake.batch import Batch
from offtake.emission import Emitter
from offtake.failure import Failure
from offtake.interest import Interest
from offtake.value import ABSENT, UNCHANGED, packed

Rows = int | Iterable[int]
IMAGES = ("before", "after")


class Patch(NamedTuple):
    """Values set in a column of an image; no rows: all of them."""

    image: str
    ordinal: int
    kind: str
    presence: bytes
    data: Any
    rows: list[int]


class Route(NamedTuple):
    """Where rows go and which headers they get; no rows: all of them."""

    rows: list[int]
    stream: str | None = None
    partitions: Sequence[int] = ()
    add_headers: Sequence[tuple[str, bytes]] = ()
    remove_headers: Sequence[str] = ()


class Setter:
    """Sets columns of one image: ``verdict.after["email"] = values``, with a value for every row.

    ``None``, ``UNCHANGED`` and ``ABSENT`` say what they say in a batch. A row that lacks the image
    takes ``ABSENT`` only, and ``UNCHANGED`` is for values that are.
    """

    def __init__(self, verdict: Verdict, image: str) -> None:
        self._verdict = verdict
        self._image = image

    def __setitem__(self, name: str, values: Sequence[Any]) -> None:
        self._verdict.set(self._image, name, values)

    def set(self, name: str, row: int, value: Any) -> None:
        """Sets the value of one row."""
        self._verdict.set_row(self._image, name, row, value)


class Verdict:
    """What becomes of a batch, filled in by the plugin. Columns are named as they leave."""

    def __init__(self, batch: Batch, interest: Interest) -> None:
        self._batch = batch
        self._interest = interest
        self._columns = {column.name: (ordinal, column.kind)
                         for ordinal, column in enumerate(interest.wide_columns())}
        self._patches: list[Patch] = []
        # Values set row by row, put together so that a column is one patch.
        self._single: dict[tuple[str, str], dict[int, Any]] = {}
        self.dropped: set[int] = set()
        self.operations: dict[int, str] = {}
        self.failures: dict[int, Failure] = {}
        self._streams: dict[int, str] = {}
        self._partitions: dict[int, int] = {}
        self._headers: list[Route] = []
        self._emitters = [Emitter(output) for output in interest.outputs]

    @property
    def before(self) -> Setter:
        """Sets columns of the before images."""
        # Made anew: one that is kept would be a cycle, and a batch's memory wait for a collection.
        return Setter(self, "before")

    @property
    def after(self) -> Setter:
        """Sets columns of the after images."""
        return Setter(self, "after")

    def set(
        self, image: str, name: str, values: Sequence[Any], rows: Sequence[int] | None = None
    ) -> None:
        """Sets a column of the image ``"before"`` or ``"after"``: in ``rows``, which are ascending
        and have one value each, or in all. Of two values for the same place the last one counts.
        """
        ordinal, kind = self.column(name)
        expected = len(self._batch) if rows is None else len(rows)
        if len(values) != expected:
            raise Failure(f"column {name} was set to {len(values)} values for {expected} rows")
        if not values:
            return
        self._gather(image, name)
        presence, data = packed(kind, values, name)
        self._patches.append(Patch(image, ordinal, kind, presence, data, self._rows(rows)))

    def set_row(self, image: str, name: str, row: int, value: Any) -> None:
        """Sets the value of one row in the image ``"before"`` or ``"after"``."""
        self.column(name)
        [row] = self._each(row)
        self._single.setdefault((image, name), {})[row] = value

    def map(self, name: str, function: Callable[[Any], Any]) -> None:
        """Applies a function to the values of a column in both images, as far as the plugin asked
        for them. What is ``None``, unchanged or absent stays, and so does a table that has no such
        column. The cheapest way to change a column.
        """
        sent = self._sent(name)
        if sent is None:
            return
        for image in IMAGES:
            column = self._batch.image(image).raw.get(sent)
            if column is None:
                continue
            kind = self.column(name)[1]
            if kind == "boolean" or kind != column.kind:
                values = self._batch.image(image)[sent]
                mapped = [value if value is None or value is UNCHANGED or value is ABSENT
                          else function(value) for value in values]
                self.set(image, name, mapped)
            elif not column.presence:
                self.set(image, name, list(map(function, column.data)))
            else:
                rows = [row for row, code in enumerate(column.presence) if not code]
                self.set(image, name, [function(column.data[row]) for row in rows], rows)

    def drop(self, rows: Rows) -> None:
        """Leaves rows out. Wins over everything else that is said of them."""
        self.dropped.update(self._each(rows))

    def set_operation(self, rows: Rows, operation: str) -> None:
        """Makes changes of another kind of rows, for example an update that leaves a filter a
        delete: ``"c"``, ``"u"``, ``"d"``.
        """
        if len(operation) != 1 or not operation.isascii():
            raise Failure("an operation is one of the letters c, u and d")
        for row in self._each(rows):
            self.operations[row] = operation

    def set_stream(self, rows: Rows, stream: str) -> None:
        """Sends rows to another stream."""
        for row in self._each(rows):
            self._streams[row] = stream

    def set_partition(self, rows: Rows, partition: int) -> None:
        """Chooses the partition of rows' messages in Kafka, modulo the partitions of the topic."""
        if not 0 <= partition < 1 << 32:
            raise Failure("a partition is a number from 0 to 4294967295")
        for row in self._each(rows):
            self._partitions[row] = partition

    def set_header(self, rows: Rows, name: str, value: bytes | str) -> None:
        """Adds a header to rows; one of the same name is replaced."""
        data = value.encode() if isinstance(value, str) else bytes(value)
        self._headers.append(Route(self._each(rows), add_headers=[(name, data)]))

    def remove_header(self, rows: Rows, name: str) -> None:
        """Removes a header from rows."""
        self._headers.append(Route(self._each(rows), remove_headers=[name]))

    def fail(self, row: int, message: str, permanent: bool = True) -> None:
        """Fails one row; what happens to it is the operator's choice (``on_error``). The message
        must not repeat values of rows. The first word counts.
        """
        [row] = self._each(row)
        self.failures.setdefault(row, Failure(message, permanent))

    def emit(
        self,
        output: str,
        parent: int,
        operation: str = "c",
        after: Mapping[str, Any] | None = None,
        before: Mapping[str, Any] | None = None,
        stream: str | None = None,
        partition: int | None = None,
        headers: Mapping[str, bytes | str] | None = None,
    ) -> None:
        """Emits a row of an output, beside the change of the row ``parent``. Columns that are not
        given are NULL in an after image and absent in a before image; created and read rows have
        the one, deleted rows the other alone. Of one parent, the rows of the first output come
        first. Choose a partition for every row of an output in a call, or for none.
        """
        for emitter in self._emitters:
            if emitter.output.name == output:
                [parent] = self._each(parent)
                emitter.emit(parent, operation, after or {}, before or {}, stream, partition,
                             headers or {})
                return
        raise Failure(f"a row was emitted on the output {output}, which was not declared")

    @property
    def patches(self) -> list[Patch]:
        """The values that were set, in the order in which they count."""
        for image, name in list(self._single):
            self._gather(image, name)
        return self._patches

    @property
    def routes(self) -> list[Route]:
        """Headers, partitions and streams as the contract wants them."""
        routes = [route for route in self._headers if route.rows]
        if self._partitions:
            rows = sorted(self._partitions)
            routes.append(Route(rows, partitions=[self._partitions[row] for row in rows]))
        for stream in sorted(set(self._streams.values())):
            rows = sorted(row for row, chosen in self._streams.items() if chosen == stream)
            routes.append(Route(rows, stream=stream))
        return routes

    @property
    def emitters(self) -> list[tuple[int, Emitter]]:
        """The outputs that have rows, with their numbers."""
        return [(at, emitter) for at, emitter in enumerate(self._emitters) if emitter.rows]

    def _gather(self, image: str, name: str) -> None:
        values = self._single.pop((image, name), None)
        if values is not None:
            rows = sorted(values)
            self.set(image, name, [values[row] for row in rows], rows)

    def column(self, name: str) -> tuple[int, str]:
        """Ordinal and kind of a column by its name as it leaves."""
        found = self._columns.get(name)
        if found is None:
            table = self._batch.schema.qualified_name
            raise Failure(f"column {name} was set, and {table} leaves without one of that name")
        return found

    def _sent(self, name: str) -> str | None:
        """The name by which the column that leaves as this one came; ``None``: it was added."""
        if name not in self._columns:
            return name
        ordinal, came = self._columns[name][0], self._batch.schema.columns
        return came[ordinal].name if ordinal < len(came) else None

    def _rows(self, rows: Sequence[int] | None) -> list[int]:
        if rows is None:
            return []
        listed = list(rows)
        if listed != self._each(listed):
            raise Failure("a column was set in rows that are not ascending")
        return listed

    def _each(self, rows: Rows) -> list[int]:
        listed = [rows] if isinstance(rows, int) else sorted(set(rows))
        if listed and not 0 <= listed[0] <= listed[-1] < len(self._batch):
            raise Failure(f"a row was named that the {len(self._batch)} of the batch do not have")
        return listed
