//! `builtin:project` on the host that runs it in production.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use offtake_change::{Column, Kind, Operation, TableSchema};
use offtake_transform::Instance;

use support::{V, change, filled, table, texts};

fn customers() -> Arc<TableSchema> {
    let columns = ["id", "name", "note", "secret"];
    table("customers", columns.map(|name| Column::new(name, Kind::Text, "text")).to_vec())
}

fn instance(config: &str) -> Instance {
    support::load("project", config).unwrap().instance().unwrap()
}

fn names(schema: &TableSchema) -> Vec<&str> {
    schema.columns.iter().map(|column| column.name.as_str()).collect()
}

#[test]
fn what_is_kept_removed_and_renamed_is_the_definitions_and_the_key_stays() {
    for (config, expected) in [
        (r#"{"remove":["secret","nothing"]}"#, &["id", "name", "note"][..]),
        (r#"{"keep":["note"]}"#, &["id", "note"]),
        (r#"{"rename":{"id":"number","note":"remark"}}"#, &["number", "name", "remark", "secret"]),
        (r#"{"keep":["name"],"rename":{"name":"called"}}"#, &["id", "called"]),
        (r#"{"remove":["name"],"rename":{"note":"name"}}"#, &["id", "name", "secret"]),
    ] {
        let output = instance(config).output_schema(&customers()).unwrap();
        assert_eq!(names(&output), expected, "{config}");
        assert_eq!(output.key, [0]);
    }
}

#[test]
fn both_images_lose_what_is_removed_and_keep_the_rest_without_a_call() {
    let row = |last| Some(vec![V::Text("7"), V::Text("ada"), V::Unchanged, last]);
    let changes = [
        change(Operation::Update, row(V::Null), row(V::Text("hidden"))),
        change(Operation::Truncate, None, None),
    ];
    let mut batch = filled(&customers(), &changes);
    let mut plugin = instance(r#"{"remove":["secret"],"rename":{"note":"remark"}}"#);
    plugin.process(&mut batch, &[0, 1]).unwrap();
    assert_eq!(plugin.counters().calls, 0);
    let head = batch.rows[0];
    for image in [head.before, head.after] {
        assert_eq!(texts(&batch, image).unwrap(), ["7", "ada", "unchanged"]);
    }
    for row in &batch.rows {
        assert_eq!(names(&batch.schemas[row.schema as usize]), ["id", "name", "remark"]);
        let mut encoded = Vec::new();
        batch.encode(row, 1, 1, 1, &mut encoded);
        assert!(!encoded.windows(6).any(|window| window == b"hidden"));
    }
}

#[test]
fn what_cannot_be_is_refused_with_table_and_column() {
    for (config, text) in [
        (r#"{"remove":["id"]}"#, "public.customers.id has type text: it is part of the key"),
        (r#"{"remove":["none"],"missing_columns":"error"}"#, "public.customers has no column none"),
        (r#"{"rename":{"x":"y"},"missing_columns":"error"}"#, "has no column x"),
        (r#"{"keep":[],"rename":{"note":"n"}}"#, "column note is renamed and does not stay"),
        (r#"{"rename":{"note":"name"}}"#, "two columns with the name \"name\""),
    ] {
        let fault = instance(config).output_schema(&customers()).unwrap_err();
        assert!(fault.message.contains(text), "{fault}");
    }
}
