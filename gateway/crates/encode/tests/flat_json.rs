//! Flat JSON: what `FORMATS.md` promises, on whole changes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;

use build::{Value, change, change_with, column, list, schema, text};
use offtake_change::wire::ChangeView;
use offtake_change::{Column, Kind, Operation, Snapshot, TableSchema};
use offtake_encode::flat::{self, Plan};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn value(schema: &TableSchema, encoded: &[u8]) -> String {
    let mut out = Vec::new();
    let plan = Plan::new(schema, &schema.key).unwrap();
    flat::put_value(&mut out, &plan, &ChangeView::parse(encoded).unwrap()).unwrap();
    String::from_utf8(out).unwrap()
}

fn key(schema: &TableSchema, encoded: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    let plan = Plan::new(schema, &schema.key).unwrap();
    let change = ChangeView::parse(encoded).unwrap();
    let row = change.after.or(change.before).unwrap();
    flat::put_key(&mut out, &plan, row).unwrap().then(|| String::from_utf8(out).unwrap())
}

fn named(name: &str, kind: Kind, logical: &str) -> Column {
    column(name, kind, logical, 0, -1)
}

const METADATA: &str = concat!(
    r#""_table":"public.cash_table","_position":"0/17CE6F8","#,
    r#""_committed":"2026-11-20T23:23:48.924622Z","_sequence":42,"_transaction":"758","#,
    r#""_snapshot":false"#
);

#[test]
fn a_row_is_its_columns_then_what_is_known_of_the_change() {
    let schema =
        schema(vec![named("id", Kind::Integer, "int4"), named("note", Kind::Text, "text")], &[0]);
    let after = [Value::Integer(7), text("a \"b\"")];
    let create = change(Operation::Create, None, Some(&after));
    assert_eq!(
        value(&schema, &create),
        format!(r#"{{"id":7,"note":"a \"b\"","_op":"c",{METADATA}}}"#)
    );
    assert_eq!(key(&schema, &create).as_deref(), Some(r#"{"id":7}"#));
    // A delete is the row before it, as far as the database sent it.
    let before = [Value::Integer(7), Value::Absent];
    let delete = change(Operation::Delete, Some(&before), None);
    assert_eq!(value(&schema, &delete), format!(r#"{{"id":7,"_op":"d",{METADATA}}}"#));
    assert_eq!(key(&schema, &delete).as_deref(), Some(r#"{"id":7}"#));
    let truncate = change(Operation::Truncate, None, None);
    assert_eq!(value(&schema, &truncate), format!(r#"{{"_op":"t",{METADATA}}}"#));
}

#[test]
fn a_large_value_that_an_update_left_alone_is_named_and_not_made_up() {
    let schema = schema(
        vec![
            named("body", Kind::Text, "text"),
            named("id", Kind::Integer, "int4"),
            named("more", Kind::Text, "text"),
        ],
        &[],
    );
    let after = [Value::Unchanged, Value::Integer(7), Value::Unchanged];
    let update = change(Operation::Update, None, Some(&after));
    assert_eq!(
        value(&schema, &update),
        format!(r#"{{"id":7,"_op":"u",{METADATA},"_unchanged":["body","more"]}}"#)
    );
    assert_eq!(key(&schema, &update), None);
}

#[test]
fn a_snapshot_row_has_no_transaction() {
    let schema = schema(vec![named("id", Kind::Integer, "int4")], &[0]);
    let read = change_with(Operation::Read, None, Some(&[Value::Integer(1)]), |row, _| {
        row.snapshot = Snapshot::Row;
        row.transaction = offtake_change::NO_TRANSACTION;
    });
    let read: Json = serde_json::from_str(&value(&schema, &read)).unwrap();
    assert_eq!(read["_snapshot"], json!(true));
    assert_eq!(read["_transaction"], Json::Null);
    assert_eq!(read["_committed"], Json::Null);
}

#[test]
fn every_type_has_the_form_that_the_reference_names() {
    let cases = [
        (named("c", Kind::Boolean, "bool"), Value::Boolean(true), json!(true)),
        (
            named("c", Kind::Integer, "int8"),
            Value::Integer(1 << 53),
            json!(9_007_199_254_740_992i64),
        ),
        (
            named("c", Kind::Integer, "int8"),
            Value::Integer(-(1 << 53)),
            json!(-9_007_199_254_740_992i64),
        ),
        (
            named("c", Kind::Integer, "int8"),
            Value::Integer((1 << 53) + 1),
            json!("9007199254740993"),
        ),
        (
            named("c", Kind::Integer, "int8"),
            Value::Integer(i64::MIN),
            json!("-9223372036854775808"),
        ),
        (
            named("c", Kind::Unsigned, "xid8"),
            Value::Unsigned(u64::MAX),
            json!("18446744073709551615"),
        ),
        (named("c", Kind::Single, "float4"), Value::Single(1.5), json!(1.5)),
        (named("c", Kind::Number, "float8"), Value::Number(f64::NAN), json!("NaN")),
        (named("c", Kind::Number, "float8"), Value::Number(f64::NEG_INFINITY), json!("-Infinity")),
        (named("c", Kind::Text, "decimal(12,2)"), text("12.50"), json!("12.50")),
        (named("c", Kind::Text, "decimal"), text("NaN"), json!("NaN")),
        (named("c", Kind::Text, "money"), text("-$1,234.11"), json!("-1234.11")),
        (named("c", Kind::Text, "date"), text("2026-11-21"), json!("2026-11-21")),
        (named("c", Kind::Text, "date"), text("infinity"), json!("infinity")),
        (
            named("c", Kind::Text, "timestamp(3)"),
            text("2026-11-21 18:00:00.123"),
            json!("2026-11-21T18:00:00.123"),
        ),
        (
            named("c", Kind::Text, "timestamptz"),
            text("2026-11-21 18:00:00+00"),
            json!("2026-11-21T18:00:00Z"),
        ),
        (named("c", Kind::Text, "time"), text("18:00:00.5"), json!("18:00:00.5")),
        (named("c", Kind::Text, "timetz"), text("18:00:00+02"), json!("18:00:00+02:00")),
        (named("c", Kind::Text, "interval"), text("P1Y2M3DT4H5M6.5S"), json!("P1Y2M3DT4H5M6.5S")),
        (named("c", Kind::Bytes, "bytes"), Value::Bytes(vec![0, 255]), json!("AP8=")),
        (named("c", Kind::Text, "jsonb"), text(r#"{"a": [1, null]}"#), json!({"a": [1, null]})),
        (named("c", Kind::Text, "json"), text("not json"), json!("not json")),
        (
            named("c", Kind::Text, "hstore"),
            text(r#""a"=>"1", "b"=>NULL"#),
            json!({"a": "1", "b": null}),
        ),
        (named("c", Kind::Text, "vector"), text("[1,2.5]"), json!([1, 2.5])),
        (
            named("c", Kind::Text, "uuid"),
            text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ),
        (named("c", Kind::Text, "bit(3)"), text("101"), json!("101")),
        (
            list("c", named("", Kind::Text, "timestamptz")),
            Value::List(vec![text("2026-11-21 18:00:00+00"), Value::Null]),
            json!(["2026-11-21T18:00:00Z", null]),
        ),
        (
            list("c", list("", named("", Kind::Integer, "int4"))),
            Value::List(vec![Value::List(vec![Value::Integer(1)]), Value::List(vec![])]),
            json!([[1], []]),
        ),
        (named("c", Kind::Text, "text"), Value::Null, Json::Null),
    ];
    for (column, cell, expected) in cases {
        let logical = column.logical.clone();
        let schema = schema(vec![column], &[]);
        let written = value(&schema, &change(Operation::Create, None, Some(&[cell])));
        let written: Json = serde_json::from_str(&written).unwrap();
        assert_eq!(written["c"], expected, "{logical}");
    }
}

#[test]
fn a_column_with_the_name_of_a_field_of_the_change_is_refused() {
    let schema = schema(vec![named("_op", Kind::Text, "text")], &[]);
    let error = Plan::new(&schema, &[]).unwrap_err();
    assert_eq!(error.code(), "ENCODE_SCHEMA");
    assert_eq!(
        error.to_string(),
        "a schema cannot be written as flat JSON: column `_op` has the name of a field of its own"
    );
}

proptest! {
    #[test]
    fn whatever_text_a_column_holds_the_message_parses(
        cells in prop::collection::vec(
            (
                prop::sample::select(vec![
                    "text", "json", "jsonb", "hstore", "vector", "money", "date", "timestamp",
                    "timestamptz", "time", "timetz", "decimal",
                ]),
                "\\PC{0,12}|[-0-9.:+ BC]{0,24}|[\\[\\]{}\",:=> a1]{0,16}|[\\x00-\\x7f]{0,8}",
                "\\PC{0,6}|[\\x00-\\x7f]{0,6}",
            ),
            0..8,
        ),
    ) {
        let columns: Vec<Column> = cells
            .iter()
            .enumerate()
            .map(|(index, (logical, _, name))| {
                named(&format!("{name}{index}"), Kind::Text, logical)
            })
            .collect();
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let key: Vec<u32> = (0..columns.len() as u32).step_by(2).collect();
        let schema = schema(columns, &key);
        let values: Vec<Value> = cells.into_iter().map(|(_, value, _)| text(&value)).collect();
        let encoded = change(Operation::Create, None, Some(&values));
        let parsed: Json = serde_json::from_str(&value(&schema, &encoded)).unwrap();
        prop_assert_eq!(parsed.as_object().unwrap().len(), names.len() + 7);
        for name in &names {
            prop_assert!(parsed.get(name).is_some());
        }
        let key_text = key_or_nothing(&schema, &encoded);
        prop_assert_eq!(key_text.map_or(0, |key| key.as_object().unwrap().len()), key.len());
    }
}

fn key_or_nothing(schema: &TableSchema, encoded: &[u8]) -> Option<Json> {
    key(schema, encoded).map(|key| serde_json::from_str(&key).unwrap())
}
