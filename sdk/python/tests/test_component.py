"""The exported functions, with the classes that componentize-py generates: build.sh puts these on
the path.
"""

import pytest
from componentize_py_types import Err
from offtake import Failure, Info, Interest, Plugin, export
from wit_world.imports import host, types


@pytest.fixture(autouse=True)
def lines(monkeypatch):
    written = []
    monkeypatch.setattr(host, "log", lambda level, message: written.append((level, message)))
    return written


class Careless(Plugin):
    """Raises in whichever call it is told to."""

    def configure(self, config):
        self.at = config.text("at")
        return Info("careless", "1")

    def on_schema(self, schema):
        self.fall("schema")
        return Interest.in_all_columns(schema)

    def process(self, batch, verdict):
        self.fall("process")
        verdict.after["email"] = [f"<{batch.after['email'][0]}>"]

    def fall(self, place):
        if self.at == place:
            int("a secret")
        if self.at == "failure":
            raise Failure("\ud800 in its own words", permanent=True)
        if self.at == "exit":
            raise SystemExit(1)


def schema():
    column = types.ColumnInfo("email", types.Kind.TEXT, "text", "text", True, [])
    return types.Schema(7, types.Subject.TABLE, "d", "public", "t", 1, [column], [], [], [])


def batch(number=7):
    column = types.Column(0, b"", types.ColumnData_Text(["x"]))
    return types.Batch(number, 1, b"c", [], [column], None, [])


def refused(call):
    with pytest.raises(Err) as error:
        call()
    return error.value.value


def test_every_call_may_meet_a_new_object():
    plugin = export(Careless)
    assert plugin().configure("{}").name == "careless"
    assert plugin().on_schema(schema()).columns == [0]
    [patch] = plugin().process(batch()).set
    assert patch.column.data == types.ColumnData_Text(["<x>"])


def test_an_exception_becomes_a_failure_with_its_place_and_without_its_text(lines):
    plugin = export(Careless)
    plugin().configure('{"at":"process"}')
    plugin().on_schema(schema())
    failure = refused(lambda: plugin().process(batch()))
    assert failure.message.startswith("ValueError at test_component.py:")
    assert "in fall" in failure.message and "secret" not in failure.message
    assert not failure.permanent
    assert lines == [(host.Level.ERROR, failure.message)]


def test_a_failure_keeps_its_words_and_becomes_text(lines):
    plugin = export(Careless)
    plugin().configure('{"at":"failure"}')
    failure = refused(lambda: plugin().on_schema(schema()))
    assert failure == types.Failure("? in its own words", True)
    assert lines == []


def test_leaving_the_interpreter_is_a_failure_too():
    plugin = export(Careless)
    plugin().configure('{"at":"exit"}')
    assert refused(lambda: plugin().on_schema(schema())).message.startswith("SystemExit at ")


def test_calls_out_of_order_are_refused():
    plugin = export(Careless)
    assert refused(lambda: plugin().on_schema(schema())).message == "called before it was configured"
    plugin().configure("{}")
    failure = refused(lambda: plugin().process(batch(8)))
    assert failure.message == "called with a schema that was never told"
