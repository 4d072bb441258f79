//! Images, `is changed` and metadata: what an expression asks of a change.

use offtake_expression::Truth::{False, Null, True, Unknown};
use offtake_expression::{Expression, Field, Image, Missing, Program, Reads, Table, Value};

use crate::row::{Change, TABLE, compile, integer, run, run_image, text, truth};

fn update() -> Change {
    Change::new(b'u')
        .before("status", text("new"))
        .after("status", text("paid"))
        .before("id", integer(1))
        .after("id", integer(1))
}

#[test]
fn a_bare_name_is_of_the_image_that_the_row_has() {
    assert_eq!(truth("status = 'paid'", &update()), True);
    let delete = Change::new(b'd').before("status", text("new"));
    assert_eq!(truth("status = 'new'", &delete), True);
    let program = compile("status = 'new'").expect("it is right");
    assert!(program.is_of_row());
    assert_eq!(run_image(&program, Image::Before, &update()), True);
    assert_eq!(run_image(&program, Image::After, &update()), False);
}

#[test]
fn images_can_be_named() {
    assert_eq!(truth("before.status = 'new' and after.status = 'paid'", &update()), True);
    assert_eq!(truth("BEFORE.\"status\" = After.status", &update()), False);
    let without = Change::new(b'u').after("status", text("paid"));
    assert_eq!(truth("before.status = 'new'", &without), Unknown);
}

#[test]
fn the_row_that_a_change_does_not_have_is_null() {
    for operation in [b'c', b'r'] {
        let change = Change::new(operation).after("status", text("new"));
        assert_eq!(truth("before.status is null", &change), True);
        assert_eq!(truth("before.status = 'new'", &change), Null);
        assert_eq!(truth("after.status = 'new'", &change), True);
    }
    let delete = Change::new(b'd').before("status", text("new"));
    assert_eq!(truth("after.status is null", &delete), True);
    assert_eq!(truth("before.status = 'new'", &delete), True);
}

#[test]
fn an_unchanged_value_is_the_one_before() {
    let change = update().after("status", Field::Unchanged);
    assert_eq!(truth("status = 'new'", &change), True);
    assert_eq!(truth("after.status = 'new'", &change), True);
    let without = change.before("status", Field::Absent);
    assert_eq!(truth("status = 'new'", &without), Unknown);
}

#[test]
fn changed_is_known_where_both_images_are() {
    assert_eq!(truth("status is changed", &update()), True);
    assert_eq!(truth("id is changed", &update()), False);
    assert_eq!(truth("id is not changed", &update()), True);
    let null = update().before("status", Field::Null);
    assert_eq!(truth("status is changed", &null), True);
    assert_eq!(truth("status is changed", &null.after("status", Field::Null)), False);
    assert_eq!(truth("status is changed", &update().after("status", Field::Unchanged)), False);
    let without = Change::new(b'u').after("status", Field::Unchanged);
    assert_eq!(truth("status is changed", &without), False);
    assert_eq!(truth("mood is changed", &update()), Unknown);
    assert_eq!(truth("mood is not changed", &update()), Unknown);
    let nan = Field::Value(Value::Float(f64::NAN));
    let same = update().before("score", nan).after("score", nan);
    assert_eq!(truth("score is changed", &same), False);
    for operation in [b'c', b'r', b'd'] {
        assert_eq!(truth("status is changed", &Change::new(operation)), False);
    }
}

#[test]
fn metadata_is_what_the_change_says() {
    let change = Change {
        commit_time: Field::Value(Value::Microseconds(1_700_000_000_500_000)),
        transaction: text("742"),
        headers: vec![("tenant", "acme"), ("empty", "")],
        ..update()
    };
    for source in [
        "$op = 'u' and $op in ('c', 'u')",
        "$table = 'orders' and $schema = 'public' and $database = 'shop'",
        "$commit_time = '2023-11-14 22:13:20.5+00' and $commit_time > '2023-11-14'",
        "$transaction = '742'",
        "not $snapshot and $snapshot = false",
        "$header('tenant') = 'acme' and $header('none') is null and $header('empty') = ''",
    ] {
        assert_eq!(truth(source, &change), True, "{source}");
    }
    let read = Change { snapshot: true, ..Change::new(b'r') };
    assert_eq!(truth("$snapshot and $op = 'r'", &read), True);
    assert_eq!(truth("$commit_time > '2023-01-01'", &read), Null);
    assert_eq!(truth("$transaction is null", &read), True);
}

#[test]
fn a_program_says_what_it_reads() {
    let program = compile("status = 'a' and before.id > 1 and status <> code").expect("right");
    assert_eq!(program.columns(), [6, 1, 7]);
    assert_eq!(program.reads(), Reads::default());
    assert!(!program.is_of_row());
    let program = compile("$table = 'orders' and status is null").expect("right");
    assert!(program.is_of_row());
    let program = compile(
        "$commit_time is null and $transaction is null and $snapshot and $header('a') = $header('b')
         and $header('a') = 'x'",
    )
    .expect("right");
    let all = Reads { commit_time: true, transaction: true, snapshot: true, headers: true };
    assert_eq!(program.reads(), all);
    assert_eq!(program.headers(), ["a", "b"]);
    assert!(program.columns().is_empty() && !program.is_of_row());
    for source in ["$op = 'c'", "id is changed", "after.id = 1"] {
        assert!(!compile(source).expect("right").is_of_row(), "{source}");
    }
}

#[test]
fn a_missing_column_is_not_known_where_that_is_allowed() {
    let expression = Expression::parse("tenant = 5 or tenant in ('a') or id = 1").expect("right");
    let table = Table { ..TABLE };
    let program = Program::compile(&expression, &table, Missing::Unknown).expect("allowed");
    assert_eq!(run(&program, &Change::new(b'c').after("id", integer(1))), True);
    assert_eq!(run(&program, &Change::new(b'c').after("id", integer(2))), Unknown);
}
