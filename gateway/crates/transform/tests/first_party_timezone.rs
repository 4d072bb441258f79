//! `builtin:timezone` on the host that runs it in production.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, LazyLock};

use offtake_change::{
    Batch, Cell, Column, Image, Kind, Operation, ReplicaIdentity, Row, TableSchema, ValueRef,
};
use offtake_transform::{Engine, EngineOptions, Instance, Limits, Plugin, PluginSpec, builtin};

fn visits() -> Arc<TableSchema> {
    let columns = [
        ("id", Kind::Integer, "int8"),
        ("at", Kind::Text, "timestamptz(3)"),
        ("local", Kind::Text, "timestamp"),
        ("unix", Kind::Integer, "int8"),
        ("said", Kind::Text, "text"),
    ];
    let columns = columns.map(|(name, kind, logical)| Column::new(name, kind, logical)).to_vec();
    Arc::new(TableSchema {
        replica_identity: ReplicaIdentity::Full,
        ..TableSchema::new("shop", "public", "visits", columns, &[0])
    })
}

fn instance(config: &str) -> Instance {
    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());
    let spec = PluginSpec {
        name: "times".to_owned(),
        component: builtin("timezone").unwrap().to_vec(),
        config_json: config.to_owned(),
        limits: Limits::default(),
        state: None,
    };
    Plugin::load(&ENGINE, spec).unwrap().instance().unwrap()
}

/// An update of a row with these texts, before and after.
fn update(at: &str, local: &str, said: &str) -> Batch {
    let mut batch = Batch::new();
    let schema = batch.schema_index(&visits());
    let image = |batch: &mut Batch| {
        let [at, local, said] = [at, local, said].map(|text| batch.text(text.as_bytes()));
        let begin = batch.begin_image();
        let cells = [Cell::integer(7), at, local, Cell::integer(1_720_000_000_123), said];
        cells.into_iter().for_each(|cell| batch.push_cell(cell));
        batch.end_image(begin)
    };
    let (before, after) = (image(&mut batch), image(&mut batch));
    batch.rows.push(Row { schema, ..Row::new(Operation::Update, before, after) });
    batch.rows.push(Row { schema, ..Row::new(Operation::Truncate, Image::NONE, Image::NONE) });
    batch
}

#[test]
fn every_zoned_column_is_text_in_the_zone_and_others_stay() {
    let mut plugin = instance(r#"{"zone":"Europe/Paris"}"#);
    let types = |plugin: &mut Instance| -> Vec<String> {
        let output = plugin.output_schema(&visits()).unwrap();
        output.columns.iter().map(|column| column.logical.clone()).collect()
    };
    assert_eq!(types(&mut plugin), ["int8", "text", "timestamp", "int8", "text"]);
    let mut batch = update("2024-07-01 12:00:00.5+00", "2024-07-01 12:00:00", "");
    plugin.process(&mut batch, &[0, 1]).unwrap();
    for image in [batch.rows[0].before, batch.rows[0].after] {
        let values: Vec<ValueRef<'_>> = batch.values(image).collect();
        assert_eq!(values[1], ValueRef::Text(b"2024-07-01T14:00:00.5+02:00"));
        assert_eq!(values[2], ValueRef::Text(b"2024-07-01 12:00:00"));
    }
    let mut none = instance(r#"{"zone":"Europe/Paris","exclude":["at"]}"#);
    assert_eq!(*none.output_schema(&visits()).unwrap(), *visits());
}

#[test]
fn columns_get_the_forms_that_are_named() {
    let config = r#"{"zone":"America/New_York","from_zone":"Europe/Paris","from_unix":"ms",
                     "from_format":"dd.MM.yyyy HH:mm",
                     "columns":{"at":"unix_us","local":"timestamptz","unix":"timestamp","said":"date"}}"#;
    let mut plugin = instance(config);
    let mut batch = update("2024-07-01 12:00:00.5+00", "2024-01-01 12:00:00", "01.07.2024 02:30");
    plugin.process(&mut batch, &[0]).unwrap();
    let values: Vec<ValueRef<'_>> = batch.values(batch.rows[0].after).collect();
    let expected = [
        ValueRef::Integer(7),
        ValueRef::Integer(1_719_835_200_500_000),
        ValueRef::Text(b"2024-01-01 11:00:00+00"),
        ValueRef::Text(b"2024-07-03 05:46:40.123"),
        ValueRef::Text(b"2024-06-30"),
    ];
    assert_eq!(values, expected);
}

#[test]
fn what_cannot_be_fails_its_row_or_becomes_null() {
    let bad = || update("2024-07-01 12:00:00+00", "2024-01-01 12:00:00", "yesterday");
    let mut plugin = instance(r#"{"columns":{"said":"timestamptz"}}"#);
    let fault = plugin.process(&mut bad(), &[0]).unwrap_err().to_string();
    assert!(fault.contains("public.visits.said: its value is not written as expected"), "{fault}");
    assert!(!fault.contains("yesterday"), "{fault}");
    let mut plugin = instance(r#"{"columns":{"said":"timestamptz"},"on_failure":"null"}"#);
    let mut batch = bad();
    plugin.process(&mut batch, &[0]).unwrap();
    assert_eq!(batch.values(batch.rows[0].after).nth(4), Some(ValueRef::Null));
}

#[test]
fn conversions_that_there_are_not_are_refused_with_table_and_column() {
    for (config, text) in [
        (
            r#"{"columns":{"local":"timestamptz"}}"#,
            "public.visits.local has type timestamp: it has no zone",
        ),
        (r#"{"columns":{"id":"text"}}"#, "public.visits.id has type int8: what its numbers count"),
        (r#"{"columns":{"x":"text"},"missing_columns":"error"}"#, "public.visits has no column x"),
        (
            r#"{"columns":{"id":"text"},"from_unix":"s","on_failure":"null"}"#,
            "public.visits.id has type int8: it is part of the key",
        ),
    ] {
        let fault = instance(config).output_schema(&visits()).unwrap_err();
        assert!(fault.message.contains(text), "{fault}");
    }
}
