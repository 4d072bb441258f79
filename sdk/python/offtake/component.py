"""The plugin as a component: between the contract's records and this package's classes.

This is the one module that knows what componentize-py generates. It makes a new object of the
exported class for every call, so what lives longer is kept here; and since an exception that leaves
an exported function ends the instance without a word, none does.
"""

from __future__ import annotations

from typing import Any, Callable

from offtake.batch import Batch, Metadata, RawColumn
from offtake.config import Config
from offtake.failure import Failure, described
from offtake.host import log
from offtake.interest import Info, Interest
from offtake.plugin import Plugin
from offtake.schema import ColumnInfo, Schema
from offtake.verdict import Verdict

try:
    from componentize_py_types import Err
    from wit_world.exports import plugin as wire_plugin
    from wit_world.imports import types
except ImportError:  # no component: a developer's machine
    types = None

# Definitions that are remembered. The gateway remembers no more, and tells forgotten ones again.
_SCHEMAS = 16_384


def export(plugin: type[Plugin]) -> type:
    """Makes a plugin the one of this component: ``Plugin = offtake.export(Mask)``, once a module."""
    made: list[Plugin] = []
    told: dict[int, Interest] = {}

    def configured() -> Plugin:
        if not made:
            raise Failure("called before it was configured")
        return made[0]

    class Component:
        """The exported functions."""

        plugin_class = plugin

        def configure(self, config_json: str) -> Any:
            return _guarded(lambda: self._configure(config_json))

        def on_schema(self, s: Any) -> Any:
            return _guarded(lambda: self._on_schema(_schema(s)))

        def process(self, b: Any) -> Any:
            return _guarded(lambda: self._process(b))

        def _configure(self, config_json: str) -> Any:
            made[:] = [plugin()]
            return _wire_info(made[0].configure(Config.from_json(config_json)))

        def _on_schema(self, schema: Schema) -> Any:
            interest = configured().on_schema(schema)
            wire = _wire_interest(interest)
            while len(told) >= _SCHEMAS:
                del told[next(iter(told))]
            told[schema.id] = interest
            return wire

        def _process(self, wire: Any) -> Any:
            interest = told.get(wire.schema)
            if interest is None:
                raise Failure("called with a schema that was never told")
            batch = _batch(wire, interest.schema)
            verdict = Verdict(batch, interest)
            configured().process(batch, verdict)
            return _wire_verdict(verdict)

    return Component


def _guarded(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except BaseException as error:  # also SystemExit, which would end the instance
        failure = described(error)
        if failure is not error:
            log("error", failure.message)
    message = failure.message.encode("utf-8", "replace").decode()
    raise Err(types.Failure(message, failure.permanent))


def _schema(wire: Any) -> Schema:
    columns = tuple(
        ColumnInfo(column.name, column.kind.name.lower(), column.logical, column.native,
                   column.nullable, tuple(column.labels))
        for column in wire.columns)
    return Schema(wire.id, wire.database, wire.namespace, wire.table, columns, tuple(wire.key),
                  tuple(wire.before_columns), wire.version, wire.subject == types.Subject.MESSAGE)


def _packed_texts(packed: Any) -> list[str]:
    data, offsets = packed.data, packed.offsets
    return [data[begin:end].decode() for begin, end in zip(offsets, offsets[1:])]


def _metadata(wire: Any) -> Metadata | None:
    if wire is None:
        return None
    return Metadata(
        _packed_texts(wire.positions), wire.snapshot, wire.commit_times,
        [name or None for name in _packed_texts(wire.transactions)], wire.transaction_order,
        {given.row: [(header.name, header.value) for header in given.headers]
         for given in wire.headers})


def _batch(wire: Any, schema: Schema) -> Batch:
    def columns(given: Any) -> dict[str, RawColumn]:
        return {schema.columns[column.ordinal].name:
                RawColumn(_KINDS[type(column.data)], column.presence, column.data.value)
                for column in given}

    return Batch(schema, wire.ops.decode("ascii"), columns(wire.before), columns(wire.after),
                 _metadata(wire.meta))


def _wire_column(ordinal: int, kind: str, presence: bytes, data: Any) -> Any:
    return types.Column(ordinal, presence, _DATA[kind](data))


def _wire_info(info: Info) -> Any:
    if not isinstance(info, Info):
        raise Failure("`configure` must return an offtake.Info")
    required = [] if info.protects is None else list(info.protects)
    return wire_plugin.Info(info.name, info.version, info.protects is not None, required,
                            info.keeps_state, [])


def _wire_column_info(column: ColumnInfo) -> Any:
    return types.ColumnInfo(column.name, types.Kind[column.kind.upper()], column.logical,
                            column.native, column.nullable, list(column.labels))


def _wire_form(form: Any) -> Any:
    if form is None:
        return None
    if isinstance(form, tuple):
        return types.Form_Opaque(types.Opaque(*form))
    return types.Form_Flat() if form == "flat" else types.Form_Envelope()


def _wire_interest(interest: Interest) -> Any:
    if not isinstance(interest, Interest):
        raise Failure("`on_schema` must return an offtake.Interest")
    wants = types.Wants(0)
    for name in interest.wants:
        wants |= types.Wants[name.upper()]
    shape = interest.shape
    if shape is not None:
        retype = [(ordinal, _wire_column_info(column)) for ordinal, column in shape.retype]
        shape = types.Shape(shape.remove, retype, list(map(_wire_column_info, shape.add)),
                            shape.key, shape.stream, shape.name)
    outputs = [
        types.Output(output.name, list(map(_wire_column_info, output.columns)), output.key,
                     _wire_form(output.form), output.stream)
        for output in interest.outputs]
    return types.Interest(interest.subscribe, interest.columns, wants, shape,
                          _wire_form(interest.form), outputs, [])


def _wire_headers(headers: Any) -> list[Any]:
    return [types.Header(name, value) for name, value in headers]


def _wire_emitted(output: int, emitter: Any) -> Any:
    emitter.finish()
    rows = emitter.rows
    headers = [types.RowHeaders(at, _wire_headers(row.headers))
               for at, row in enumerate(rows) if row.headers]
    return types.Emitted(
        output, [row.parent for row in rows],
        "".join(row.operation for row in rows).encode("ascii"),
        [_wire_column(*column) for column in emitter.columns("before")],
        [_wire_column(*column) for column in emitter.columns("after")],
        emitter.streams(), emitter.partitions(), headers)


def _wire_verdict(verdict: Verdict) -> Any:
    patches = [
        types.Patch(types.Image[patch.image.upper()],
                    _wire_column(patch.ordinal, patch.kind, patch.presence, patch.data), patch.rows)
        for patch in verdict.patches]
    routes = [
        types.Route(route.rows, route.stream, list(route.partitions),
                    _wire_headers(route.add_headers), list(route.remove_headers))
        for route in verdict.routes]
    return types.Verdict(
        sorted(verdict.dropped), patches,
        [types.OpChange(row, ord(operation)) for row, operation in verdict.operations.items()],
        routes, [_wire_emitted(at, emitter) for at, emitter in verdict.emitters],
        [types.RowFailure(row, types.Failure(failure.message, failure.permanent))
         for row, failure in verdict.failures.items()], [])


if types is not None:
    _DATA = {
        "boolean": types.ColumnData_Boolean, "int64": types.ColumnData_Int64,
        "uint64": types.ColumnData_Uint64, "float64": types.ColumnData_Float64,
        "text": types.ColumnData_Text, "bytes": types.ColumnData_Bytes,
    }
    _KINDS = {data: kind for kind, data in _DATA.items()}
