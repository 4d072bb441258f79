"""The conformance plugin in Python; ../README.md says what it does."""

import re
import struct

import offtake
from offtake import ABSENT, UNCHANGED, ColumnInfo, Failure, Info, Interest, Output, is_value

ACTIONS = ("echo", "mask", "drop", "add", "fan-out", "route", "fail", "op")
STREAM = re.compile("[A-Za-z0-9._-]{1,249}")
SEEN = Output("seen", [
    ColumnInfo.new("operation", "text").required(),
    ColumnInfo.new("position", "bytes"),
    ColumnInfo.new("committed", "int8"),
    ColumnInfo.new("order", "uint8"),
    ColumnInfo.new("created", "bool"),
    ColumnInfo.new("half", "float8"),
])


class Conformance(offtake.Plugin):
    def configure(self, config):
        self.action = config.take("action")
        if self.action is None:
            raise config.refuse("action", "is missing")
        if self.action not in ACTIONS:
            raise config.refuse("action", "is none of " + ", ".join(ACTIONS))
        take = {
            "mask": lambda: (config.required_text("column"), config.count("keep_first", 0)),
            "drop": lambda: config.text("column", "id"),
            "route": lambda: {key: config.text(key) for key in ("stream", "partition", "header")},
            "fail": lambda: config.boolean("whole", False),
        }.get(self.action)
        self.options = take() if take else None
        for key in config.rest():
            raise config.refuse(key, "is unknown")
        protects = [self.options[0]] if self.action == "mask" else None
        return Info("conformance", "1.0.0", protects)

    def on_schema(self, schema):
        if self.action == "mask":
            column = schema.column(self.options[0])
            if column is None:
                return Interest.none(schema)
            if column.kind != "text":
                raise schema.refuse(column, "mask works on text columns only")
        interest = Interest.in_all_columns(schema).with_before_images().with_metadata()
        interest.with_headers()
        if self.action == "add" and not schema.is_message:
            interest.with_column(ColumnInfo.new("seen", "text"))
        if self.action == "fan-out":
            interest.with_output(SEEN)
        return interest

    def process(self, batch, verdict):
        getattr(self, self.action.replace("-", "_"))(batch, verdict)

    def echo(self, batch, verdict):
        for name in batch.after:
            verdict.after[name] = batch.after[name]
        for name in batch.before:
            verdict.before[name] = batch.before[name]

    def mask(self, batch, verdict):
        column, keep = self.options

        def masked(text):
            kept = keep if len(text) > keep else 0
            return text[:kept] + "*" * (len(text) - kept)

        verdict.map(column, masked)

    def drop(self, batch, verdict):
        column = batch.schema.column(self.options)
        if column is not None and column.kind == "int64":
            for row, value in images(batch, self.options):
                if is_value(value) and value % 2:
                    verdict.drop(row)

    def add(self, batch, verdict):
        if batch.schema.is_message:
            return
        for row, operation in enumerate(batch.ops):
            if operation == "d":
                verdict.before.set("seen", row, written_row(batch, row))
            elif operation != "t":
                verdict.after.set("seen", row, written_row(batch, row))

    def fan_out(self, batch, verdict):
        meta = batch.metadata
        for row, operation in enumerate(batch.ops):
            order = meta.transaction_order[row]
            values = {
                "operation": operation,
                "position": meta.positions[row].encode(),
                "committed": meta.commit_times[row],
                "order": order,
                "created": operation == "c",
                "half": order / 2,
            }
            if operation == "u":
                del values["position"]
            deleted = operation == "d"
            verdict.emit(
                "seen", row, "d" if deleted else "c",
                after={} if deleted else values, before=values if deleted else {},
                stream="seen.deleted" if deleted else None, partition=order % 3,
                headers={"operation": operation})

    def route(self, batch, verdict):
        def column(key, kinds):
            name = self.options[key]
            known = batch.schema.column(name) if name is not None else None
            if known is None or known.kind not in kinds:
                return []
            return [(row, value) for row, value in images(batch, name) if is_value(value)]

        for row, value in column("stream", ("text",)):
            if STREAM.fullmatch(value) and value.strip("."):
                verdict.set_stream(row, value)
        for row, value in column("partition", ("int64",)):
            verdict.set_partition(row, value & 0xFFFF_FFFF)
        for row, value in column("header", ("text", "bytes")):
            verdict.set_header(row, self.options["header"], value)
        for row, headers in batch.metadata.headers.items():
            if any(name == "remove-me" for name, _ in headers):
                verdict.remove_header(row, "remove-me")

    def fail(self, batch, verdict):
        texts = [column.name for column in batch.schema.columns if column.kind == "text"]
        for row in range(len(batch)):
            for columns in (batch.after, batch.before):
                asked = next((name for name in texts if columns[name][row] in ("fail", "retry")), None)
                if asked is not None:
                    break
            if asked is None:
                continue
            message, permanent = f"column {asked} asks for it", columns[asked][row] == "fail"
            if self.options:
                raise Failure(message, permanent)
            verdict.fail(row, message, permanent)

    def op(self, batch, verdict):
        verdict.set_operation([row for row, op in enumerate(batch.ops) if op == "u"], "d")


def images(batch, name):
    """The rows with the value in the image that stands for them."""
    for row, operation in enumerate(batch.ops):
        if operation != "t":
            yield row, (batch.before if operation == "d" else batch.after)[name][row]


def written_row(batch, row):
    meta = batch.metadata
    headers = meta.headers.get(row, [])
    words = [
        batch.ops[row], f"position={meta.positions[row]}", f"snapshot={meta.snapshot[row]}",
        f"committed={meta.commit_times[row]}", f"transaction={meta.transactions[row] or ''}",
        f"order={meta.transaction_order[row]}", f"headers={len(headers)}",
    ]
    words += [f"{name}={written('bytes', value)}" for name, value in headers]
    for image, columns in (("after", batch.after), ("before", batch.before)):
        words += [f"{image}.{column.name}={written(column.kind, columns[column.name][row])}"
                  for column in batch.schema.columns]
    return " ".join(words)


def written(kind, value):
    if value is None:
        return "null"
    if value is UNCHANGED:
        return "unchanged"
    if value is ABSENT:
        return "absent"
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "float64":
        return "f:nan" if value != value else "f:" + struct.pack(">d", value).hex()
    if kind in ("int64", "uint64"):
        return f"{kind[0]}:{value}"
    data = value.encode() if kind == "text" else value
    if len(data) > 64:
        return f"{kind[0]}#{len(data)}:{fnv1a(data):08x}"
    return f"t:{value}" if kind == "text" else f"b:{data.hex()}"


def fnv1a(data):
    hashed = 0x811C9DC5
    for byte in data:
        hashed = (hashed ^ byte) * 0x01000193 & 0xFFFF_FFFF
    return hashed


Plugin = offtake.export(Conformance)
