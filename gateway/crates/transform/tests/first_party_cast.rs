//! `builtin:cast` on the host that runs it in production.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, LazyLock};

use offtake_change::{
    Batch, Cell, Column, Image, Kind, Operation, ReplicaIdentity, Row, TableSchema, ValueRef,
};
use offtake_transform::{Engine, EngineOptions, Instance, Limits, Plugin, PluginSpec, builtin};

fn column(name: &str, kind: Kind, logical: &str) -> Column {
    Column { nullable: false, ..Column::new(name, kind, logical) }
}

fn payments() -> Arc<TableSchema> {
    let columns = vec![
        column("id", Kind::Text, "text"),
        column("amount", Kind::Text, "decimal(38,18)"),
        Column { nullable: true, ..column("rate", Kind::Single, "float4") },
        Column { nullable: true, ..column("at", Kind::Text, "timestamptz") },
    ];
    Arc::new(TableSchema {
        replica_identity: ReplicaIdentity::Full,
        ..TableSchema::new("shop", "public", "payments", columns, &[0])
    })
}

fn instance(config: &str) -> Instance {
    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());
    let spec = PluginSpec {
        name: "types".to_owned(),
        component: builtin("cast").unwrap().to_vec(),
        config_json: config.to_owned(),
        limits: Limits::default(),
        state: None,
    };
    Plugin::load(&ENGINE, spec).unwrap().instance().unwrap()
}

/// An image of the table: id and amount as texts, the others as they are.
fn image(batch: &mut Batch, id: &str, amount: &str, rate: Cell, at: Cell) -> Image {
    let cells = [batch.text(id.as_bytes()), batch.text(amount.as_bytes()), rate, at];
    let begin = batch.begin_image();
    cells.into_iter().for_each(|cell| batch.push_cell(cell));
    batch.end_image(begin)
}

const CONFIG: &str = r#"{"columns":{"id":"int8","amount":"text","rate":"float8","at":"text"}}"#;

#[test]
fn the_definition_has_the_new_types_and_keeps_key_and_nullability() {
    let output = instance(CONFIG).output_schema(&payments()).unwrap();
    let types: Vec<(&str, Kind, &str, bool)> = output
        .columns
        .iter()
        .map(|it| (it.name.as_str(), it.kind, it.logical.as_str(), it.nullable))
        .collect();
    let expected = [
        ("id", Kind::Integer, "int8", false),
        ("amount", Kind::Text, "text", false),
        ("rate", Kind::Number, "float8", true),
        ("at", Kind::Text, "text", true),
    ];
    assert_eq!(types, expected);
    assert_eq!(
        (output.key.as_slice(), output.changed_by.as_slice()),
        (&[0][..], &["types".to_owned()][..])
    );
    // What a table lacks or has already changes nothing.
    let same = instance(r#"{"columns":{"id":"text","nothing":"int4"}}"#);
    assert_eq!(*{ same }.output_schema(&payments()).unwrap(), *payments());
}

#[test]
fn both_images_and_the_key_are_converted_to_their_last_digit() {
    let mut batch = Batch::new();
    let schema = batch.schema_index(&payments());
    let at = batch.text(b"2024-02-29 12:00:00.5+00");
    let most = i64::MAX.to_string();
    let digits = "-12345678901234567890.123456789012345678";
    let before = image(&mut batch, "-9223372036854775808", "NaN", Cell::single(0.5), at);
    let after = image(&mut batch, &most, digits, Cell::NULL, Cell::UNCHANGED);
    let deleted = image(&mut batch, "7", "0.100000000000000000", Cell::single(0.1), Cell::NULL);
    batch.rows.push(Row { schema, ..Row::new(Operation::Update, before, after) });
    batch.rows.push(Row { schema, ..Row::new(Operation::Delete, deleted, Image::NONE) });
    batch.rows.push(Row { schema, ..Row::new(Operation::Truncate, Image::NONE, Image::NONE) });
    instance(CONFIG).process(&mut batch, &[0, 1, 2]).unwrap();
    let values = |image| -> Vec<ValueRef<'_>> { batch.values(image).collect() };
    assert_eq!(
        values(batch.rows[0].before),
        [
            ValueRef::Integer(i64::MIN),
            ValueRef::Text(b"NaN"),
            ValueRef::Number(0.5),
            ValueRef::Text(b"2024-02-29 12:00:00.5+00"),
        ]
    );
    assert_eq!(
        values(batch.rows[0].after),
        [
            ValueRef::Integer(i64::MAX),
            ValueRef::Text(digits.as_bytes()),
            ValueRef::Null,
            ValueRef::Unchanged,
        ]
    );
    assert_eq!(
        values(batch.rows[1].before)[2],
        ValueRef::Number(f64::from(0.1_f32)),
        "a wider float is the same number"
    );
}

#[test]
fn what_does_not_fit_fails_its_row_alone_and_tells_no_value() {
    let mut batch = Batch::new();
    let schema = batch.schema_index(&payments());
    for id in ["1", "12x", "2"] {
        let after = image(&mut batch, id, "1.000000000000000000", Cell::NULL, Cell::NULL);
        batch.rows.push(Row { schema, ..Row::new(Operation::Create, Image::NONE, after) });
    }
    let mut plugin = instance(CONFIG);
    let failure = plugin.process(&mut batch, &[0, 1, 2]).unwrap_err().to_string();
    let expected = "public.payments.id: its value is not written as those of the type int8";
    assert!(failure.contains(expected) && !failure.contains("12x"), "{failure}");
    let first = batch.values(batch.rows[0].after).next();
    let last = batch.values(batch.rows[2].after).next();
    assert_eq!((first, last), (Some(ValueRef::Integer(1)), Some(ValueRef::Integer(2))));
}

#[test]
fn what_does_not_fit_becomes_null_where_that_was_chosen_and_not_in_a_key() {
    let config = r#"{"columns":{"amount":"int4"},"on_failure":"null"}"#;
    let mut plugin = instance(config);
    assert!(plugin.output_schema(&payments()).unwrap().columns[1].nullable);
    let mut batch = Batch::new();
    let schema = batch.schema_index(&payments());
    for amount in ["3.000000000000000000", "3.500000000000000000"] {
        let after = image(&mut batch, "1", amount, Cell::NULL, Cell::NULL);
        batch.rows.push(Row { schema, ..Row::new(Operation::Create, Image::NONE, after) });
    }
    plugin.process(&mut batch, &[0, 1]).unwrap();
    let amounts: Vec<ValueRef<'_>> =
        batch.rows.iter().map(|row| batch.values(row.after).nth(1).unwrap()).collect();
    assert_eq!(amounts, [ValueRef::Integer(3), ValueRef::Null]);
    let config = r#"{"columns":{"id":"int8"},"on_failure":"null"}"#;
    let fault = instance(config).output_schema(&payments()).unwrap_err();
    assert!(fault.message.contains("public.payments.id has type text: it is part of the key"));
}

#[test]
fn pairs_that_there_are_not_are_refused_with_table_and_column() {
    for (config, text) in [
        (
            r#"{"columns":{"at":"timestamp"}}"#,
            "public.payments.at has type timestamptz: there is no cast of it to timestamp",
        ),
        (
            r#"{"columns":{"rate":"bool"}}"#,
            "public.payments.rate has type float4: there is no cast of it to bool",
        ),
        (
            r#"{"columns":{"x":"text"},"missing_columns":"error"}"#,
            "public.payments has no column x",
        ),
    ] {
        let fault = instance(config).output_schema(&payments()).unwrap_err();
        assert!(fault.message.contains(text), "{fault}");
    }
}
