"""The benchmark's plugin in Python; ../README.md says what its shapes do."""

import json

import offtake
from offtake import ColumnInfo, Info, Interest, Output

READS = {
    "empty": ["email"], "mask3": ["email", "phone", "name"], "filter": ["amount"],
    "add": ["email"], "fan_out": ["id", "email"], "json": ["record"],
}
CONTACTS = Output("contacts", [ColumnInfo.new("id", "int8"), ColumnInfo.new("email", "text")])


class Bench(offtake.Plugin):
    def configure(self, config):
        self.shape = config.required_text("shape")
        self.both_images = config.boolean("both_images", False)
        one = config.text("column", "email")
        self.columns = READS.get(self.shape, [one])
        config.finish()
        self.process = getattr(self, "mask" if self.shape.startswith("mask") else self.shape)
        return Info("bench", "1.0.0")

    def on_schema(self, schema):
        interest = Interest.in_columns(schema, self.columns)
        if self.both_images:
            interest.with_before_images()
        if self.shape == "add":
            interest.with_column(ColumnInfo.new("domain", "text"))
        if self.shape == "fan_out":
            interest.with_output(CONTACTS)
        return interest

    def empty(self, batch, verdict):
        pass

    def mask(self, batch, verdict):
        for column in self.columns:
            verdict.map(column, covered)

    def filter(self, batch, verdict):
        amounts = batch.after["amount"]
        verdict.drop([row for row, amount in enumerate(amounts) if amount < 1000])

    def add(self, batch, verdict):
        verdict.after["domain"] = [email.partition("@")[2] for email in batch.after["email"]]

    def fan_out(self, batch, verdict):
        rows = zip(batch.after["id"], batch.after["email"])
        for row, (id, email) in enumerate(rows):
            verdict.emit("contacts", row, "c", after={"id": id, "email": email})

    def json(self, batch, verdict):
        verdict.map("record", rewritten)


def covered(text):
    return text[:1] + "*" * (len(text) - 1)


def rewritten(text):
    record = json.loads(text)
    record["email"] = covered(record["email"])
    return json.dumps(record)


Plugin = offtake.export(Bench)
