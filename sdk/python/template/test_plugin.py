"""`python -m pytest`, without WebAssembly."""

import pytest
from offtake import ABSENT, UNCHANGED, Config, Failure
from offtake.testing import process, table, values
from plugin import Mask

PEOPLE = table("public.people", {"id": "int8", "email": "text"}, key=["id"])


def mask(config):
    plugin = Mask()
    plugin.configure(Config.from_json(config))
    return plugin


def test_all_but_the_first_character_is_covered_in_both_images():
    plugin = mask('{"column": "email", "keep_first": 1}')
    verdict = process(plugin, PEOPLE, "u", after={"email": ["zoé😀"]}, before={"email": ["ann"]})
    assert values(verdict, "after", "email") == {0: "z***"}
    assert values(verdict, "before", "email") == {0: "a**"}


def test_what_is_no_value_stays_and_a_short_text_is_covered_whole():
    plugin = mask('{"column": "email", "keep_first": 1}')
    emails = [None, UNCHANGED, ABSENT, "a", ""]
    verdict = process(plugin, PEOPLE, "uuucc", after={"email": emails})
    assert values(verdict, "after", "email") == {3: "*", 4: ""}


def test_a_misspelt_key_is_refused():
    with pytest.raises(Failure, match="unknown key `colum`"):
        mask('{"column": "email", "colum": "x"}')
