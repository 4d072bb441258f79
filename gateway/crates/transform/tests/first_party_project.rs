//! `builtin:project` on the host that runs it in production.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, LazyLock};

use offtake_change::{
    Batch, Cell, Column, Image, Kind, Operation, ReplicaIdentity, Row, TableSchema, ValueRef,
};
use offtake_transform::{Engine, EngineOptions, Instance, Limits, Plugin, PluginSpec, builtin};

fn customers() -> Arc<TableSchema> {
    let columns = ["id", "name", "note", "secret"];
    Arc::new(TableSchema {
        replica_identity: ReplicaIdentity::Full,
        ..TableSchema::new(
            "shop",
            "public",
            "customers",
            columns.map(|name| Column::new(name, Kind::Text, "text")).to_vec(),
            &[0],
        )
    })
}

fn instance(config: &str) -> Instance {
    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());
    let spec = PluginSpec {
        name: "view".to_owned(),
        component: builtin("project").unwrap().to_vec(),
        config_json: config.to_owned(),
        limits: Limits::default(),
        state: None,
    };
    Plugin::load(&ENGINE, spec).unwrap().instance().unwrap()
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
    let mut batch = Batch::new();
    let schema = batch.schema_index(&customers());
    let image = |last: Cell, batch: &mut Batch| -> Image {
        let cells = ["7", "ada"].map(|text| batch.text(text.as_bytes()));
        let begin = batch.begin_image();
        cells.into_iter().chain([Cell::UNCHANGED, last]).for_each(|cell| batch.push_cell(cell));
        batch.end_image(begin)
    };
    let hidden = batch.text(b"hidden");
    let (before, after) = (image(Cell::NULL, &mut batch), image(hidden, &mut batch));
    batch.rows.push(Row { schema, ..Row::new(Operation::Update, before, after) });
    batch.rows.push(Row { schema, ..Row::new(Operation::Truncate, Image::NONE, Image::NONE) });
    let mut plugin = instance(r#"{"remove":["secret"],"rename":{"note":"remark"}}"#);
    plugin.process(&mut batch, &[0, 1]).unwrap();
    assert_eq!(plugin.counters().calls, 0);
    let head = batch.rows[0];
    for image in [head.before, head.after] {
        let values: Vec<ValueRef<'_>> = batch.values(image).collect();
        assert_eq!(values, [ValueRef::Text(b"7"), ValueRef::Text(b"ada"), ValueRef::Unchanged]);
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
