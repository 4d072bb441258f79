"""A plugin's own unit tests, without WebAssembly: a table, some changes, and what was said of them.

What a gateway would make of it is for ``offtake plugin test``; this shows a mistake at its line.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from offtake.batch import Batch, Metadata, RawColumn
from offtake.plugin import Plugin
from offtake.schema import ColumnInfo, Schema
from offtake.value import MISSING, packed
from offtake.verdict import Verdict


def table(name: str, columns: Mapping[str, str], key: Sequence[str] = ()) -> Schema:
    """A definition: ``table("public.people", {"id": "int8", "email": "text"}, key=["id"])``."""
    namespace, _, plain = name.rpartition(".")
    names = list(columns)
    ordinals = tuple(names.index(column) for column in key)
    infos = tuple(ColumnInfo.new(column, logical) for column, logical in columns.items())
    return Schema(1, "shop", namespace or "public", plain, infos, ordinals, ordinals)


def process(
    plugin: Plugin,
    schema: Schema,
    ops: str,
    after: Mapping[str, Sequence[Any]],
    before: Mapping[str, Sequence[Any]] | None = None,
    metadata: Metadata | None = None,
) -> Verdict:
    """Tells a configured plugin the table and runs it over changes: one letter each in ``ops``, one
    value each in the columns that are given.
    """
    def raw(columns: Mapping[str, Sequence[Any]]) -> dict[str, RawColumn]:
        kinds = {column.name: column.kind for column in schema.columns}
        return {name: RawColumn(kinds[name], *packed(kinds[name], values, name))
                for name, values in columns.items()}

    interest = plugin.on_schema(schema)
    batch = Batch(schema, ops, raw(before or {}), raw(after), metadata)
    verdict = Verdict(batch, interest)
    plugin.process(batch, verdict)
    return verdict


def values(verdict: Verdict, image: str, name: str) -> dict[int, Any]:
    """The values that were set in a column of an image, by row."""
    found: dict[int, Any] = {}
    ordinal, kind = verdict.column(name)
    for patch in verdict.patches:
        if (patch.image, patch.ordinal) == (image, ordinal):
            data = list(map(bool, patch.data)) if kind == "boolean" else patch.data
            for at, row in enumerate(patch.rows or range(len(data))):
                code = patch.presence[at] if patch.presence else 0
                found[row] = MISSING[code] if code else data[at]
    return found


def forget_state() -> None:
    """Empties ``offtake.state``, which the tests of a process share."""
    # Imported here: a component must not import it by way of its tests.
    from offtake import state

    state.gateway.entries.clear()
