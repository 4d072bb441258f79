//! `builtin:flatten` on the host that runs it in production.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, LazyLock};

use offtake_change::{
    Batch, Cell, Column, Form, Image, Kind, Lsn, Operation, ReplicaIdentity, Row, Subject,
    TableSchema, Transaction, ValueRef,
};
use offtake_transform::{
    Emission, Engine, EngineOptions, Instance, Limits, Plugin, PluginSpec, builtin,
};

fn orders(key: &[u32]) -> Arc<TableSchema> {
    let required = |name, kind, logical: &str| Column {
        nullable: false,
        default: Some("0".to_owned()),
        ..Column::new(name, kind, logical)
    };
    let columns = vec![
        required("id", Kind::Integer, "int8"),
        required("total", Kind::Text, "decimal(12,2)"),
        Column::new("note", Kind::Text, "text"),
    ];
    Arc::new(TableSchema {
        replica_identity: ReplicaIdentity::Key,
        ..TableSchema::new("shop", "public", "orders", columns, key)
    })
}

fn instance(config: &str) -> Instance {
    static ENGINE: LazyLock<Engine> =
        LazyLock::new(|| Engine::new(EngineOptions::default()).unwrap());
    let spec = PluginSpec {
        name: "rows".to_owned(),
        component: builtin("flatten").unwrap().to_vec(),
        config_json: config.to_owned(),
        limits: Limits::default(),
        state: None,
    };
    Plugin::load(&ENGINE, spec).unwrap().instance().unwrap()
}

fn names(schema: &TableSchema) -> Vec<&str> {
    schema.columns.iter().map(|column| column.name.as_str()).collect()
}

/// An insert, an update that stays, one that moves the key, a delete and a truncate.
fn changes() -> Batch {
    let mut batch = Batch::new();
    let schema = batch.schema_index(&orders(&[0]));
    let image = |batch: &mut Batch, id: i64, rest: [Cell; 2]| -> Image {
        let begin = batch.begin_image();
        batch.push_cell(Cell::integer(id));
        rest.into_iter().for_each(|cell| batch.push_cell(cell));
        batch.end_image(begin)
    };
    let total = batch.text(b"12.50");
    let absent = [Cell::ABSENT, Cell::ABSENT];
    let full = [total, Cell::UNCHANGED];
    let images = [
        (Operation::Create, None, Some((1, [total, Cell::NULL]))),
        (Operation::Update, None, Some((1, full))),
        (Operation::Update, Some((1, absent)), Some((2, full))),
        (Operation::Delete, Some((2, absent)), None),
        (Operation::Truncate, None, None),
    ];
    let transaction = batch.push_transaction(Transaction {
        id: "771".into(),
        commit_unix_us: 1_700_000_000_123_456,
        ..Transaction::default()
    });
    for (operation, before, after) in images {
        let mut make = |given: Option<(i64, [Cell; 2])>| match given {
            Some((id, rest)) => image(&mut batch, id, rest),
            None => Image::NONE,
        };
        let (before, after) = (make(before), make(after));
        let row = Row::new(operation, before, after);
        batch.rows.push(Row { schema, transaction, lsn: Lsn(0x16_b374_d848), ..row });
    }
    batch
}

fn run(config: &str) -> (Batch, Vec<Emission>) {
    let mut batch = changes();
    let emitted = instance(config).process(&mut batch, &[0, 1, 2, 3, 4]).unwrap();
    (batch, emitted)
}

fn values(batch: &Batch, image: Image) -> Vec<ValueRef<'_>> {
    batch.values(image).collect()
}

#[test]
fn rows_leave_alone_and_nothing_is_called_where_nothing_is_added() {
    let mut plugin = instance("{}");
    let output = plugin.output_schema(&orders(&[0])).unwrap();
    assert_eq!((output.form, names(&output)), (Form::Flat, vec!["id", "total", "note"]));
    let mut batch = changes();
    plugin.process(&mut batch, &[0, 1, 2, 3, 4]).unwrap();
    assert_eq!(plugin.counters().calls, 0);
    assert!(batch.rows.iter().all(|row| !row.dropped));
    assert!(batch.rows.iter().all(|row| batch.schemas[row.schema as usize].form == Form::Flat));
}

#[test]
fn fields_and_headers_tell_what_an_envelope_told() {
    let (batch, emitted) =
        run(r#"{"add_fields":["op","table","source.lsn","source.ts_ms","txId","snapshot:snap"],
            "add_headers":["op","position"]}"#);
    assert!(emitted.is_empty());
    let schema = &batch.schemas[batch.rows[0].schema as usize];
    let expected = [
        "id",
        "total",
        "note",
        "__op",
        "__table",
        "__source_lsn",
        "__source_ts_ms",
        "__txId",
        "__snap",
    ];
    assert_eq!(names(schema), expected);
    for (row, operation) in [(0, "c"), (1, "u"), (2, "c")] {
        let values = values(&batch, batch.rows[row].after);
        let expected = [
            ValueRef::Text(operation.as_bytes()),
            ValueRef::Text(b"orders"),
            ValueRef::Integer(0x16_b374_d848),
            ValueRef::Integer(1_700_000_000_123),
            ValueRef::Integer(771),
            ValueRef::Text(b"false"),
        ];
        assert_eq!(values[3..], expected, "row {row}");
    }
    assert_eq!(values(&batch, batch.rows[1].after)[2], ValueRef::Unchanged);
    let headers: Vec<_> = batch.headers(batch.rows[3].headers).collect();
    assert_eq!(headers, [(&b"__op"[..], &b"d"[..]), (&b"__position"[..], &b"16/B374D848"[..])]);
    assert!(!batch.rows[3].dropped && batch.rows[3].operation == Operation::Delete);
}

#[test]
fn a_delete_is_dropped_or_becomes_a_row_of_the_very_same_definition() {
    let (batch, emitted) = run(r#"{"deletes":"drop"}"#);
    let dropped: Vec<bool> = batch.rows.iter().map(|row| row.dropped).collect();
    assert_eq!((dropped, emitted.len()), (vec![false, false, false, true, false], 0));

    for (config, operations) in [
        (r#"{"deletes":"rewrite","add_fields":["op"]}"#, &[Operation::Update][..]),
        (
            r#"{"deletes":"rewrite_with_tombstone","add_fields":["op"]}"#,
            &[Operation::Update, Operation::Delete],
        ),
    ] {
        let (batch, emitted) = run(config);
        assert!(batch.rows[3].dropped);
        let rows: Vec<&Row> = emitted.iter().map(|it| &batch.rows[it.row as usize]).collect();
        assert!(emitted.iter().all(|it| it.parent == 3));
        let made: Vec<Operation> = rows.iter().map(|row| row.operation).collect();
        assert_eq!(made, operations, "the row first, so that its key ends with the tombstone");
        let own = &batch.schemas[batch.rows[0].schema as usize];
        let rewritten = &batch.schemas[rows[0].schema as usize];
        assert_eq!(own, rewritten, "a registry is told one schema");
        assert_eq!(names(own), ["id", "total", "note", "__deleted", "__op"]);
        assert!(own.columns[1].nullable && !own.columns[0].nullable);
        assert_eq!(own.columns[1].default.as_deref(), Some("0"));
        let expected = [
            ValueRef::Integer(2),
            ValueRef::Null,
            ValueRef::Null,
            ValueRef::Text(b"true"),
            ValueRef::Text(b"d"),
        ];
        assert_eq!(values(&batch, rows[0].after), expected);
        assert_eq!(values(&batch, batch.rows[0].after)[3], ValueRef::Text(b"false"));
        if let Some(tombstone) = rows.get(1) {
            assert_eq!(values(&batch, tombstone.before)[0], ValueRef::Integer(2));
        }
    }
}

#[test]
fn a_tombstone_needs_a_key_and_messages_pass() {
    for deletes in ["tombstone", "rewrite_with_tombstone"] {
        let config = format!(r#"{{"deletes":"{deletes}"}}"#);
        let fault = instance(&config).output_schema(&orders(&[])).unwrap_err();
        assert!(fault.message.contains("public.orders has no key"), "{fault}");
    }
    for deletes in ["drop", "rewrite"] {
        let config = format!(r#"{{"deletes":"{deletes}"}}"#);
        let output = instance(&config).output_schema(&orders(&[])).unwrap();
        assert_eq!(output.form, Form::Flat);
    }
    let columns = vec![
        Column::new("prefix", Kind::Text, "text"),
        Column::new("content", Kind::Bytes, "bytes"),
    ];
    let messages = Arc::new(TableSchema {
        subject: Subject::Message,
        ..TableSchema::new("shop", "", "", columns, &[])
    });
    assert_eq!(instance("{}").output_schema(&messages).unwrap(), messages);
}

#[test]
fn a_field_with_the_name_of_a_column_is_refused() {
    let config = r#"{"add_fields":["op:note"],"add_fields_prefix":""}"#;
    let fault = instance(config).output_schema(&orders(&[0])).unwrap_err();
    assert!(fault.message.contains("two columns with the name \"note\""), "{fault}");
}
