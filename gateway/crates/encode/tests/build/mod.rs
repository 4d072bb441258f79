//! Builds schemas and encoded changes for the tests of this crate.

use std::sync::Arc;

use offtake_change::wire;
use offtake_change::{
    Batch, Cell, Column, Image, Kind, ListRef, Lsn, Operation, Row, TableSchema, Transaction,
    ValueRef,
};

/// A column of a native type with its OID and modifier.
pub(crate) fn column(
    name: &str,
    kind: Kind,
    native: &str,
    type_id: u32,
    type_modifier: i32,
) -> Column {
    let mut column = Column::new(name, kind, native);
    column.type_id = type_id;
    column.type_modifier = type_modifier;
    column
}

/// A list column of an element.
#[allow(dead_code, reason = "each test file uses some of them")]
pub(crate) fn list(name: &str, element: Column) -> Column {
    let mut column = Column::new(name, Kind::List, format!("list<{}>", element.logical));
    column.native = format!("{}[]", element.native);
    column.element = Some(Box::new(element));
    column
}

pub(crate) fn schema(columns: Vec<Column>, key: &[u32]) -> TableSchema {
    TableSchema::new("postgres", "public", "cash_table", columns, key)
}

/// A value as the tests write it down.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "each test file uses some of them")]
pub(crate) enum Value {
    Null,
    Unchanged,
    Absent,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Single(f32),
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
}

#[allow(dead_code, reason = "each test file uses some of them")]
pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn encode_list(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        let nested;
        let value = match value {
            Value::Null => ValueRef::Null,
            Value::Unchanged => ValueRef::Unchanged,
            Value::Absent => ValueRef::Absent,
            Value::Boolean(value) => ValueRef::Boolean(*value),
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Unsigned(value) => ValueRef::Unsigned(*value),
            Value::Single(value) => ValueRef::Single(*value),
            Value::Number(value) => ValueRef::Number(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Bytes(bytes),
            Value::List(values) => {
                nested = encode_list(values);
                ValueRef::List(ListRef::from_encoded(&nested))
            }
        };
        wire::encode_value_into_list(value, &mut out);
    }
    out
}

fn image(batch: &mut Batch, values: Option<&[Value]>) -> Image {
    let Some(values) = values else { return Image::NONE };
    let begin = batch.begin_image();
    for value in values {
        let cell = match value {
            Value::Null => Cell::NULL,
            Value::Unchanged => Cell::UNCHANGED,
            Value::Absent => Cell::ABSENT,
            Value::Boolean(value) => Cell::boolean(*value),
            Value::Integer(value) => Cell::integer(*value),
            Value::Unsigned(value) => Cell::unsigned(*value),
            Value::Single(value) => Cell::single(*value),
            Value::Number(value) => Cell::number(*value),
            Value::Text(text) => batch.text(text.as_bytes()),
            Value::Bytes(bytes) => batch.bytes(bytes),
            Value::List(values) => batch.list(&encode_list(values)),
        };
        batch.push_cell(cell);
    }
    batch.end_image(begin)
}

/// An encoded change of the transaction of the dossier's example.
pub(crate) fn change(
    operation: Operation,
    before: Option<&[Value]>,
    after: Option<&[Value]>,
) -> Vec<u8> {
    change_with(operation, before, after, |_, _| {})
}

/// As [`change`], with the last word on the row and its transaction.
pub(crate) fn change_with(
    operation: Operation,
    before: Option<&[Value]>,
    after: Option<&[Value]>,
    adjust: impl FnOnce(&mut Row, &mut Transaction),
) -> Vec<u8> {
    let mut batch = Batch::new();
    let index = batch.schema_index(&Arc::new(schema(Vec::new(), &[])));
    let mut transaction = Transaction {
        id: "758".to_owned(),
        commit: Lsn(24_962_900),
        previous_commit: Lsn::ZERO,
        commit_unix_us: 1_795_217_028_924_622,
        origin: String::new(),
        begin: Lsn::ZERO,
    };
    batch.processed_unix_ns = 1_795_217_029_351_282_175;
    let mut row = Row {
        schema: index,
        transaction: 0,
        lsn: Lsn(24_962_808),
        ..Row::new(operation, Image::NONE, Image::NONE)
    };
    row.before = image(&mut batch, before);
    row.after = image(&mut batch, after);
    adjust(&mut row, &mut transaction);
    batch.push_transaction(transaction);
    let mut out = Vec::new();
    batch.encode(&row, 42, 3, 5, &mut out);
    out
}
