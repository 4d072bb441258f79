"""Write a plugin for the Offtake gateway: a class with four methods.

A plugin sees the changes of a database on their way to the gateway's log, up to 256 at a time and
only the columns that it asked for, and says what becomes of them::

    import offtake

    class Capitals(offtake.Plugin):
        def configure(self, config):
            self.column = config.required_text("column")
            config.finish()                      # refuses keys that nobody asked for
            return offtake.Info("capitals", "1.0.0")

        def on_schema(self, schema):
            return offtake.Interest.in_columns(schema, [self.column])

        def process(self, batch, verdict):
            if self.column in batch.after:
                verdict.after[self.column] = offtake.mapped(batch.after[self.column], str.upper)

    Plugin = offtake.export(Capitals)            # the name that the build looks for

What holds for every plugin:

- No file, network, clock or randomness. Equal batches give equal answers, and cutting the same
  changes into other batches changes nothing. What a plugin keeps in ``self`` is a cache: the gateway
  may start a fresh instance between two calls.
- Saying nothing passes everything. Only what the verdict names is touched.
- A value is there, or it is ``None`` (NULL), or ``UNCHANGED`` (a large value that the update left
  alone; the database does not send it), or ``ABSENT`` (not in this image). They differ.
- An exception fails the call and names its place, never its text: that might quote a row. Raise
  ``Failure`` to say something; what it says must not repeat values of rows.

What is to be kept over instances and restarts is ``offtake.state``, a module that is imported where it
is used: ``from offtake import state``.
"""

from offtake.batch import Batch, Columns, Metadata
from offtake.component import export
from offtake.config import Config
from offtake.failure import Failure
from offtake.host import Counter, Histogram, log
from offtake.interest import Info, Interest, Output
from offtake.plugin import Plugin
from offtake.rows import Row, map_rows
from offtake.schema import ColumnInfo, Schema
from offtake.value import ABSENT, UNCHANGED, decimal_text, is_value, json_text, mapped, parse_json
from offtake.verdict import Verdict

__all__ = [
    "ABSENT",
    "UNCHANGED",
    "Batch",
    "ColumnInfo",
    "Columns",
    "Config",
    "Counter",
    "Failure",
    "Histogram",
    "Info",
    "Interest",
    "Metadata",
    "Output",
    "Plugin",
    "Row",
    "Schema",
    "Verdict",
    "decimal_text",
    "export",
    "is_value",
    "json_text",
    "log",
    "map_rows",
    "mapped",
    "parse_json",
]
