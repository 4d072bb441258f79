"""Row by row, for plugins that would rather have dictionaries than columns.

Dictionaries cost: README.md has the figures. What is done to a whole column is done there faster.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable

from offtake.batch import Batch
from offtake.failure import Failure, described
from offtake.value import ABSENT
from offtake.verdict import IMAGES, Verdict


class Row(dict[str, Any]):
    """An image of a row: the columns that the plugin asked for and the image has, by name."""

    __slots__ = {  # with what help() says of them
        "operation": "One letter: c created, u updated, d deleted, r read by a snapshot, m logical "
                     "message.",
        "image": "``\"before\"`` or ``\"after\"``.",
        "number": "Index in the batch, for everything that a verdict can say of it.",
    }

    operation: str
    image: str
    number: int



def map_rows(
    batch: Batch,
    verdict: Verdict,
    function: Callable[[Row], Row | None],
    images: Iterable[str] = IMAGES,
) -> None:
    """Calls a function with every row of the batch, once an image that it has, and sets what the
    row that it returns has otherwise; ``None`` drops the row. Columns that the plugin added are set
    by their name.

    A function that raises fails its row alone, and the others go on.
    """
    changed: dict[tuple[str, str], dict[int, Any]] = {}
    for image in images:
        columns = batch.image(image)
        names = list(columns)
        for number, values in enumerate(zip(*(columns[name] for name in names))):
            row = Row((name, value) for name, value in zip(names, values) if value is not ABSENT)
            if not row:
                continue
            row.operation, row.image, row.number = batch.ops[number], image, number
            try:
                _keep(function(row), row, dict(zip(names, values)), verdict, changed)
            except Exception as error:
                failure = described(error)
                verdict.fail(number, failure.message, failure.permanent)
    for (image, name), given in changed.items():
        rows = sorted(given)
        verdict.set(image, name, [given[row] for row in rows], rows)


def _keep(
    result: Row | None,
    row: Row,
    old: dict[str, Any],
    verdict: Verdict,
    changed: dict[tuple[str, str], dict[int, Any]],
) -> None:
    if result is None:
        verdict.drop(row.number)
        return
    for name, value in old.items():
        if value is not ABSENT and name not in result:
            raise Failure(f"a row came back without its column {name}; `without_columns` removes one")
    for name, value in result.items():
        known = old.get(name, ABSENT)
        if value is known or (type(value) is type(known) and value == known):
            continue
        changed.setdefault((row.image, name), {})[row.number] = value
