"""What a plugin says of its rows becomes what the contract has for it."""

import pydoc

import offtake
import pytest
from offtake import ABSENT, UNCHANGED, ColumnInfo, Failure, Info, Interest, Output, Plugin, map_rows
from offtake.testing import process, table, values

PEOPLE = table("public.people", {"id": "int8", "email": "text", "vip": "bool"}, key=["id"])


class Scripted(Plugin):
    """Says what a test wants it to."""

    def __init__(self, work, interest=Interest.in_all_columns):
        self.work, self.interest = work, interest

    def configure(self, config):
        return Info("scripted", "1")

    def on_schema(self, schema):
        return self.interest(schema)

    def process(self, batch, verdict):
        self.work(batch, verdict)


def verdict_of(work, ops="ccc", after=None, before=None, interest=Interest.in_all_columns):
    after = after if after is not None else {"id": [1, 2, 3], "email": ["a", "b", "c"]}
    return process(Scripted(work, interest), PEOPLE, ops, after, before)


def test_a_column_is_a_list_and_is_set_as_one():
    def work(batch, verdict):
        assert batch.after["email"] == ["a", None, UNCHANGED]
        assert len(batch) == 3 and list(batch.after) == ["email", "vip"]
        assert batch.after["vip"] == [True, False, None]
        verdict.after["email"] = ["x", None, UNCHANGED]
        verdict.after.set("email", 2, "z")

    after = {"email": ["a", None, UNCHANGED], "vip": [True, False, None]}
    verdict = verdict_of(work, "uuu", after)
    assert values(verdict, "after", "email") == {0: "x", 1: None, 2: "z"}


def test_the_last_of_two_values_counts():
    def work(_, verdict):
        verdict.after.set("email", 0, "first")
        verdict.after["email"] = ["second"] * 3

    assert values(verdict_of(work), "after", "email")[0] == "second"


def test_map_reaches_both_images_and_values_alone():
    before = {"email": ["q", ABSENT, ABSENT]}
    verdict = verdict_of(lambda _, verdict: verdict.map("email", str.upper), "uuc", before=before)
    assert values(verdict, "before", "email") == {0: "Q"}
    assert values(verdict, "after", "email") == {0: "A", 1: "B", 2: "C"}


def test_map_passes_by_a_table_that_lacks_the_column():
    verdict = verdict_of(lambda _, verdict: verdict.map("phone", str.upper))
    assert verdict.patches == []


def test_map_reaches_a_column_by_the_name_with_which_it_leaves():
    def renamed(schema):
        return Interest.in_columns(schema, ["email"]).with_column_renamed("email", "mail")

    verdict = verdict_of(lambda _, verdict: verdict.map("mail", str.upper), interest=renamed)
    assert values(verdict, "after", "mail") == {0: "A", 1: "B", 2: "C"}
    with pytest.raises(Failure, match="leaves without one of that name"):
        verdict_of(lambda _, verdict: verdict.map("email", str.upper), interest=renamed)


def test_help_tells_what_a_batch_and_a_row_have():
    told = pydoc.render_doc(offtake, renderer=pydoc.plaintext)
    for words in ["``before``, ``after``", "What the interest asked for, a ``Metadata``",
                  "Index in the batch, for everything"]:
        assert words in told


def test_map_sees_booleans_as_such():
    verdict = verdict_of(
        lambda _, verdict: verdict.map("vip", lambda vip: not vip), "cc", {"vip": [True, None]})
    assert values(verdict, "after", "vip") == {0: False, 1: None}


def test_rows_are_routed_dropped_and_failed():
    def work(_, verdict):
        verdict.drop([2, 0])
        verdict.set_operation(1, "d")
        verdict.set_stream([2, 1], "b")
        verdict.set_stream(2, "a")
        verdict.set_partition(2, 2**32 - 1)
        verdict.set_header(0, "h", "é")
        verdict.remove_header([0, 1], "old")
        verdict.fail(1, "no", permanent=False)
        verdict.fail(1, "later")

    verdict = verdict_of(work)
    assert verdict.dropped == {0, 2} and verdict.operations == {1: "d"}
    assert (verdict.failures[1].message, verdict.failures[1].permanent) == ("no", False)
    routes = [tuple(route) for route in verdict.routes]
    assert routes == [
        ([0], None, (), [("h", "é".encode())], ()), ([0, 1], None, (), (), ["old"]),
        ([2], None, [2**32 - 1], (), ()), ([2], "a", (), (), ()), ([1], "b", (), (), ()),
    ]


@pytest.mark.parametrize("work,message", [
    (lambda _, verdict: verdict.drop(3), "a row was named that the 3 of the batch do not have"),
    (lambda _, verdict: verdict.set_partition(0, 2**32), "a partition is a number from 0"),
    (lambda _, verdict: verdict.set("after", "nope", ["x"] * 3), "column nope was set"),
    (lambda _, verdict: verdict.set("after", "email", ["x"]), "1 values for 3 rows"),
    (lambda _, verdict: verdict.set("after", "email", ["x", "y"], [1, 0]), "not ascending"),
    (lambda batch, _: batch.before["email"], "email of public.people was not asked for"),
    (lambda _, verdict: verdict.emit("seen", 0), "output seen, which was not declared"),
])
def test_a_mistake_is_named(work, message):
    with pytest.raises(Failure) as refused:
        verdict_of(work)
    assert message in refused.value.message


def test_columns_count_on_behind_those_of_the_table():
    def interest(schema):
        return (Interest.in_columns(schema, ["email", "nothing", "email"])
                .with_column_renamed("email", "mail").with_column(ColumnInfo.new("slug", "text"))
                .without_columns(["vip", "nothing"]).keyed_by(["slug", "id"]))

    verdict = verdict_of(lambda _, verdict: verdict.after.set("slug", 1, "s"),
                         after={"email": ["a", "b", "c"]}, interest=interest)
    told = interest(PEOPLE)
    assert (told.columns, told.shape.remove, told.shape.key) == ([1], [2], [3, 0])
    assert values(verdict, "after", "slug") == {1: "s"}
    with pytest.raises(Failure, match="public.people has no column emial"):
        Interest.none(PEOPLE).keyed_by(["emial"])


def test_emitted_rows_stand_in_the_order_of_their_parents():
    columns = [ColumnInfo.new("id", "int8"), ColumnInfo.new("what", "text")]

    def work(_, verdict):
        verdict.emit("seen", 2, after={"id": 3}, partition=1)
        verdict.emit("seen", 0, "d", before={"id": 1}, partition=0, headers={"h": b"x"})
        verdict.emit("seen", 2, after={"id": 4, "what": "w"}, stream="s", partition=1)

    verdict = verdict_of(
        work, interest=lambda schema: Interest.none(schema).with_output(Output("seen", columns)))
    [(number, emitter)] = verdict.emitters
    emitter.finish()
    assert number == 0 and [row.parent for row in emitter.rows] == [0, 2, 2]
    assert [tuple(column) for column in emitter.columns("after")] == [
        (0, "int64", b"\1\0\0", [0, 3, 4]), (1, "text", b"\1\1\0", ["", "", "w"])]
    assert [tuple(column) for column in emitter.columns("before")] == [
        (0, "int64", b"\0\3\3", [1, 0, 0])]
    assert (emitter.streams(), emitter.partitions()) == (["", "", "s"], [0, 1, 1])


def test_rows_are_mapped_one_by_one_and_fail_alone():
    def change(row):
        if row["email"] == "b":
            raise ValueError(f"a secret: {row['email']}")
        if row["email"] == "c":
            return None
        row["email"] += f"{row.image[0]}{row.operation}{row.number}"
        return row

    before = {"id": [ABSENT] * 3, "email": ["q", ABSENT, ABSENT]}
    verdict = verdict_of(lambda batch, verdict: map_rows(batch, verdict, change), "uuu",
                         before=before)
    assert values(verdict, "before", "email") == {0: "qbu0"}
    assert values(verdict, "after", "email") == {0: "aau0"}
    assert values(verdict, "after", "id") == {}, "what is as it was is not set"
    assert verdict.dropped == {2}
    message = verdict.failures[1].message
    assert message.startswith("ValueError at test_verdict.py:") and "secret" not in message
