"""The state beside the classes that componentize-py generates, and outside a gateway."""

import importlib
import sys

import pytest
from offtake import Failure, state
from offtake.testing import forget_state
from wit_world.imports import state as generated


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.setattr(state, "gateway", state.Memory())


@pytest.fixture
def calls(monkeypatch):
    made = []
    monkeypatch.setattr(generated, "get_many", lambda keys: made.append(keys) or [None] * len(keys))
    monkeypatch.setattr(generated, "put_many", lambda entries, end: made.append((entries, end)))
    monkeypatch.setattr(generated, "delete_many", lambda keys: made.append(keys))
    return made


def test_the_gateway_is_given_bytes_one_call_a_function(calls):
    state.put_many({"é": bytearray(b"1"), b"b": "2"}, ttl_seconds=(1 << 32) - 1)
    state.put(b"a", memoryview(b"3"))
    assert state.get_many(key for key in ("é", b"b")) == [None, None]
    assert state.get("a") is None
    state.delete("a")
    state.delete_many([b"b"])
    assert calls == [
        ([(b"\xc3\xa9", b"1"), (b"b", b"2")], 0xFFFF_FFFF), ([(b"a", b"3")], None),
        [b"\xc3\xa9", b"b"], [b"a"], [b"a"], [b"b"]]


@pytest.mark.parametrize("use", [
    lambda: state.get(5),
    lambda: state.put("a", None),
    lambda: state.get_many("ab"),
    lambda: state.delete_many(b"ab"),
    lambda: state.put("a", "", -1),
    lambda: state.put("a", "", 1 << 32),
    lambda: state.put("a", "", 0.5),
])
def test_what_the_gateway_cannot_take_is_refused_before_it_is_called(calls, use):
    with pytest.raises(Failure, match="state|seconds"):
        use()
    assert calls == []


def test_outside_a_gateway_it_is_a_dictionary(memory):
    state.put("a", "1")
    state.put_many([("b", "2"), ("b", "3")], 5)
    assert state.get_many(["b", "c"]) == [b"3", None]
    state.delete("a")
    state.delete("a")
    assert state.get("a") is None
    forget_state()
    assert state.get("b") is None


def test_a_component_without_state_says_how_it_is_built_with_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "wit_world.imports.state", None)
    monkeypatch.delattr("wit_world.imports.state")
    monkeypatch.delitem(sys.modules, "offtake.state")
    with pytest.raises(ImportError, match="build it with sdk/python/bin/build.py"):
        importlib.import_module("offtake.state")
