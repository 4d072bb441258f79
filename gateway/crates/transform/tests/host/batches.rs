//! Batches to run plugins over, and their comparison.

use std::sync::Arc;

use offtake_change::wire::encode_value_into_list;
use offtake_change::{
    Batch, Cell, Column, Image, Kind, Lsn, NO_TRANSACTION, Operation, ReplicaIdentity, Row,
    TableSchema, Transaction, ValueRef,
};

pub(crate) const EMAIL: u32 = 1;
pub(crate) const ALL_COLUMNS: [u32; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

/// A table with a column of every kind; `id` is the key.
pub(crate) fn schema() -> Arc<TableSchema> {
    let mut tags = Column::new("tags", Kind::List, "list<text>");
    tags.element = Some(Box::new(Column::new("", Kind::Text, "text")));
    let mut id = Column::new("id", Kind::Integer, "int8");
    id.nullable = false;
    Arc::new(TableSchema {
        replica_identity: ReplicaIdentity::Full,
        ..TableSchema::new(
            "shop",
            "public",
            "customers",
            vec![
                id,
                Column::new("email", Kind::Text, "text"),
                Column::new("active", Kind::Boolean, "bool"),
                Column::new("visits", Kind::Integer, "int4"),
                Column::new("flags", Kind::Unsigned, "oid"),
                Column::new("rating", Kind::Single, "float4"),
                Column::new("balance", Kind::Number, "float8"),
                Column::new("photo", Kind::Bytes, "bytea"),
                tags,
            ],
            &[0],
        )
    })
}

/// A value to put into a batch.
#[derive(Clone, Debug, PartialEq)]
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
    Texts(Vec<Option<String>>),
}

/// A row to put into a batch; no image where there is none.
#[derive(Clone, Debug)]
pub(crate) struct TestRow {
    pub(crate) operation: Operation,
    pub(crate) before: Option<Vec<Value>>,
    pub(crate) after: Option<Vec<Value>>,
}

pub(crate) fn batch(schema: &Arc<TableSchema>, rows: &[TestRow]) -> Batch {
    let mut batch = Batch::new();
    let schema = batch.schema_index(schema);
    let transaction = batch.push_transaction(Transaction {
        id: "771".to_owned(),
        commit: Lsn(0x9000),
        commit_unix_us: 1_700_000_000_000_000,
        ..Transaction::default()
    });
    for (at, row) in rows.iter().enumerate() {
        let before = image(&mut batch, row.before.as_deref());
        let after = image(&mut batch, row.after.as_deref());
        batch.rows.push(Row {
            schema,
            transaction: if at % 2 == 0 { transaction } else { NO_TRANSACTION },
            lsn: Lsn(0x1000 + at as u64),
            order: at as u64 + 1,
            order_in_table: at as u64 + 1,
            ..Row::new(row.operation, before, after)
        });
    }
    batch
}

fn image(batch: &mut Batch, values: Option<&[Value]>) -> Image {
    let Some(values) = values else { return Image::NONE };
    let cells: Vec<Cell> = values.iter().map(|value| cell(batch, value)).collect();
    let begin = batch.begin_image();
    cells.into_iter().for_each(|cell| batch.push_cell(cell));
    batch.end_image(begin)
}

fn cell(batch: &mut Batch, value: &Value) -> Cell {
    match value {
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
        Value::Texts(texts) => {
            let mut encoded = Vec::new();
            for text in texts {
                let value = text.as_ref().map_or(ValueRef::Null, |t| ValueRef::Text(t.as_bytes()));
                encode_value_into_list(value, &mut encoded);
            }
            batch.list(&encoded)
        }
    }
}

/// A customer with that address, every other column filled.
pub(crate) fn customer(id: i64, email: Value) -> Vec<Value> {
    vec![
        Value::Integer(id),
        email,
        Value::Boolean(id % 2 == 0),
        Value::Integer(id % 1000),
        Value::Unsigned(id.unsigned_abs()),
        Value::Single(0.5),
        Value::Number(1.25),
        Value::Bytes(vec![0, 255, id as u8]),
        Value::Texts(vec![Some("a b".to_owned()), None, Some(String::new())]),
    ]
}

/// So many created customers, with addresses of different lengths.
pub(crate) fn customers(count: usize) -> Vec<TestRow> {
    (0..count)
        .map(|at| TestRow {
            operation: Operation::Create,
            before: None,
            after: Some(customer(
                at as i64,
                Value::Text(format!("{}@example.com", "é".repeat(at % 7))),
            )),
        })
        .collect()
}

/// Indices of all rows.
pub(crate) fn all(batch: &Batch) -> Vec<u32> {
    (0..batch.rows.len() as u32).collect()
}

/// Every row in its wire form; equal batches have equal ones.
pub(crate) fn encoded(batch: &Batch) -> Vec<Option<Vec<u8>>> {
    let encode = |row: &Row| {
        let mut out = Vec::new();
        batch.encode(row, 1, 1, 1, &mut out);
        (!row.dropped).then_some(out)
    };
    batch.rows.iter().map(encode).collect()
}

/// A text of an image, as a string.
pub(crate) fn text(batch: &Batch, image: Image, ordinal: u32) -> String {
    match batch.column(image, ordinal as usize) {
        ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        other => format!("{other:?}"),
    }
}
