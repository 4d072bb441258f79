"""The configuration is taken key by key, and a mistake names its key."""

import pytest
from offtake import Config, Failure


def test_values_are_taken_by_type():
    config = Config.from_json('{"t":"x","l":["a"],"n":7,"b":true,"o":[{"k":"v"}]}')
    assert (config.required_text("t"), config.texts("l"), config.count("n")) == ("x", ["a"], 7)
    assert config.boolean("b") is True and config.text("missing") is None
    assert config.objects("o")[0].required_text("k") == "v"
    config.finish()


@pytest.mark.parametrize("text,read,message", [
    ("{}", lambda c: c.required_text("column"), "config: `column` is missing"),
    ('{"n":"7"}', lambda c: c.count("n"), "config: `n` must be a whole number, not a string"),
    ('{"n":-1}', lambda c: c.count("n"), "config: `n` must be a whole number from 0 to 4294967295"),
    ('{"n":true}', lambda c: c.count("n"), "config: `n` must be a whole number, not true or false"),
    ('{"o":[{}]}', lambda c: c.objects("o")[0].required_text("k"), "config: `o[0].k` is missing"),
    ('{"x":1}', lambda c: (c.text("t"), c.finish()), "config: unknown key `x`; known are: t"),
])
def test_a_mistake_names_its_key(text, read, message):
    with pytest.raises(Failure) as refused:
        read(Config.from_json(text))
    assert refused.value.message == message


@pytest.mark.parametrize("text,message", [
    ("[]", "config: must be an object, not an array"), ("{", "config: it is no JSON"),
])
def test_what_is_no_object_is_refused(text, message):
    with pytest.raises(Failure) as refused:
        Config.from_json(text)
    assert refused.value.message == message


def test_an_empty_configuration_has_no_keys():
    Config.from_json("").finish()
