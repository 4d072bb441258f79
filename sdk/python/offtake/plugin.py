"""What a plugin's author writes: a class with these methods."""

from __future__ import annotations

from offtake.batch import Batch
from offtake.config import Config
from offtake.interest import Info, Interest
from offtake.schema import Schema
from offtake.verdict import Verdict


class Plugin:
    """A plugin. One object of it lives as long as an instance does; calls come one at a time."""

    def configure(self, config: Config) -> Info:
        """Takes the ``config`` table of the plugin's TOML, and gives name, version and promises.

        Called once, first. A ``Failure`` refuses the configuration: the gateway shows its message
        and does not start.
        """
        raise NotImplementedError

    def on_schema(self, schema: Schema) -> Interest:
        """Says what the plugin wants to see of a table.

        Called once a table, and again when its definition changed. A ``Failure`` stops the
        pipeline: the plugin cannot work on such a table.
        """
        raise NotImplementedError

    def process(self, batch: Batch, verdict: Verdict) -> None:
        """Looks at changes of one table and fills in the verdict.

        A ``Failure``, or any other exception, fails the whole call and nothing of the verdict is
        used. To fail one change, call ``verdict.fail``.
        """
        raise NotImplementedError
