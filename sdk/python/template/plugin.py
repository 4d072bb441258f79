"""A plugin to begin with: covers all but the first characters of one text column with ``*``.

Configuration: ``{ column = "email", keep_first = 1 }``.
"""

import offtake


class Mask(offtake.Plugin):
    def configure(self, config):
        """Once, at the start. What is refused here is shown by `offtake check`."""
        self.column = config.required_text("column")
        self.keep_first = config.count("keep_first", 0)
        config.finish()  # refuses keys that nobody asked for
        return offtake.Info("mask", "1.0.0", protects=[self.column])

    def on_schema(self, schema):
        """Once a table: which columns the plugin wants to see."""
        column = schema.column(self.column)
        if column is not None and not column.is_free_text():
            raise schema.refuse(column, "mask works on text columns only")
        return offtake.Interest.in_columns(schema, [self.column]).with_before_images()

    def process(self, batch, verdict):
        """For up to 256 changes at a time: what becomes of them. What is not mentioned passes."""
        verdict.map(self.column, self.mask)

    def mask(self, text):
        # A text of no more characters than are kept is covered whole.
        kept = self.keep_first if len(text) > self.keep_first else 0
        return text[:kept] + "*" * (len(text) - kept)


Plugin = offtake.export(Mask)
