"""Values reach the contract's kinds and come back without loss; what does not fit is refused."""

import math
from decimal import Decimal

import pytest
from offtake import ABSENT, UNCHANGED, Failure, decimal_text, json_text, mapped, parse_json
from offtake.value import packed


@pytest.mark.parametrize("kind,values", [
    ("int64", [2**63 - 1, -(2**63), 2**53 + 1]),
    ("uint64", [2**64 - 1, 0]),
    ("float64", [5e-324, -0.0, math.inf]),
    ("text", ["", "a\0b", "😀"]),
    ("bytes", [b"", b"\0\xff"]),
])
def test_every_value_of_a_kind_is_carried_as_it_is(kind, values):
    presence, data = packed(kind, values, "c")
    assert (presence, data) == (b"", values)
    assert [str(value) for value in data] == [str(value) for value in values]


def test_null_unchanged_and_absent_are_told_apart():
    assert packed("text", ["x", None, UNCHANGED, ABSENT], "c") == (b"\0\1\2\3", ["x", "", "", ""])
    assert packed("boolean", [True, None, False], "c") == (b"\0\1\0", b"\1\0\0")


@pytest.mark.parametrize("kind,value", [
    ("int64", 2**63), ("int64", 1.0), ("uint64", -1), ("float64", "1"), ("text", b"x"),
    ("text", "\ud800"), ("bytes", "x"), ("bytes", 5), ("boolean", 1), ("text", 5),
])
def test_a_value_of_another_kind_is_refused_without_being_quoted(kind, value):
    for values in ([value], [None, value]):
        with pytest.raises(Failure) as refused:
            packed(kind, values, "email")
        assert refused.value.message.startswith("column email was set to something that is not ")
        assert refused.value.__cause__ is None and refused.value.__suppress_context__


@pytest.mark.parametrize("text", [
    "99999999999999999999.999999999999999999", "0.10", "-0.000000000000000001", "NaN", "Infinity",
    "-Infinity", "12345678901234567890123456789012345678",
])
def test_decimals_keep_every_digit(text):
    assert decimal_text(Decimal(text)) == text
    assert packed("text", [Decimal(text), None], "c")[1] == [text, ""]


def test_a_decimal_is_written_without_an_exponent():
    assert decimal_text(Decimal("1E+3")) == "1000"


def test_json_keeps_every_digit():
    text = '{"a": [12345678901234567890, 0.10, 1E+400, "é\\"", true, null]}'
    assert json_text(parse_json(text)) == text
    with pytest.raises(ValueError):
        json_text(math.nan)


def test_a_function_is_applied_to_values_alone():
    assert mapped(["a", None, UNCHANGED, ABSENT], str.upper) == ["A", None, UNCHANGED, ABSENT]
