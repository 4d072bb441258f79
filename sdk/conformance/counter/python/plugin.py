"""The counter in Python; ../README.md says what it does."""

import offtake
from offtake import ColumnInfo, Info, Interest, is_value, state

# Bytes of the longest value that is counted: a key of the state may have 4096.
LONGEST_KEY = 4000


class Counter(offtake.Plugin):
    def configure(self, config):
        self.by, self.into = config.required_text("by"), config.required_text("into")
        self.last, self.seconds = config.count("last", 0), config.count("seconds")
        config.finish()
        return Info("counter", "1.0.0", keeps_state=True)

    def on_schema(self, schema):
        column = schema.column(self.by)
        if column is None:
            return Interest.none(schema)
        if column.kind != "text":
            raise schema.refuse(column, "texts are counted only")
        return Interest.in_columns(schema, [self.by]).with_column(ColumnInfo.new(self.into, "int8"))

    def process(self, batch, verdict):
        keys = [value.encode() if is_value(value) else None for value in batch.after[self.by]]
        for row, key in enumerate(keys):
            if key is not None and len(key) > LONGEST_KEY:
                verdict.fail(row, f"a value of column {self.by} is too long to be a key")
                keys[row] = None
        asked = [key for key in dict.fromkeys(keys) if key is not None]
        kept = zip(asked, state.get_many(asked))
        counts = {key: int.from_bytes(value or b"", "little") for key, value in kept}
        for row, key in enumerate(keys):
            if key is not None:
                counts[key] += 1
                verdict.after.set(self.into, row, counts[key])
                if counts[key] == self.last:
                    counts[key] = 0
        going_on = {key: count.to_bytes(8, "little") for key, count in counts.items() if count}
        state.put_many(going_on, self.seconds)
        state.delete_many([key for key, count in counts.items() if not count])


Plugin = offtake.export(Counter)
