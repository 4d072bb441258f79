//! What can be prepared once a table schema: column names as JSON, encodings, and the parts of the
//! source block that do not change.

use offtake_change::{Form, Subject, TableSchema};

use super::SOURCE_VERSION;
use super::types::{self, Encoding};
use crate::json;

/// One column, prepared.
#[derive(Clone, Debug)]
pub(super) struct ColumnPlan {
    /// `"name":`, with a comma before it where it is not the first.
    pub(super) name: Vec<u8>,
    pub(super) encoding: Encoding,
    /// What is written for an unchanged large value.
    pub(super) placeholder: Vec<u8>,
}

/// One column of the key, prepared.
#[derive(Clone, Debug)]
pub(super) struct KeyPlan {
    pub(super) ordinal: usize,
    pub(super) name: Vec<u8>,
}

/// A table schema, prepared for the encoder. Make one a schema and keep it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) columns: Vec<ColumnPlan>,
    pub(super) key: Vec<KeyPlan>,
    /// From `"source":{` to just before the commit's time.
    pub(super) source_head: Vec<u8>,
    /// From after the snapshot marker to just before the sequence.
    pub(super) source_database: Vec<u8>,
    /// From after the times to just before the transaction's id.
    pub(super) source_table: Vec<u8>,
    pub(super) subject: Subject,
    pub(super) opaque: bool,
}

impl Plan {
    /// Prepares a schema. `name` is the pipeline's name, Debezium's `topic.prefix`.
    pub fn new(name: &str, schema: &TableSchema) -> Plan {
        let columns = schema
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| ColumnPlan {
                name: member(&column.name, index == 0),
                encoding: types::encoding(column),
                placeholder: types::placeholder(column),
            })
            .collect();
        let key = schema
            .key
            .iter()
            .filter_map(|&ordinal| {
                let ordinal = usize::try_from(ordinal).ok()?;
                schema.columns.get(ordinal).map(|column| (ordinal, column))
            })
            .enumerate()
            .map(|(index, (ordinal, column))| KeyPlan {
                ordinal,
                name: member(&column.name, index == 0),
            })
            .collect();
        let mut source_head = b"\"source\":{\"version\":".to_vec();
        json::put_string(&mut source_head, SOURCE_VERSION.as_bytes());
        source_head.extend_from_slice(b",\"connector\":\"postgresql\",\"name\":");
        json::put_string(&mut source_head, name.as_bytes());
        source_head.extend_from_slice(b",\"ts_ms\":");
        let mut source_database = b",\"db\":".to_vec();
        json::put_string(&mut source_database, schema.database.as_bytes());
        source_database.extend_from_slice(b",\"sequence\":");
        let mut source_table = b",\"schema\":".to_vec();
        json::put_string(&mut source_table, schema.namespace.as_bytes());
        source_table.extend_from_slice(b",\"table\":");
        json::put_string(&mut source_table, schema.table.as_bytes());
        source_table.extend_from_slice(b",\"txId\":");
        Plan {
            columns,
            key,
            source_head,
            source_database,
            source_table,
            subject: schema.subject,
            opaque: schema.form == Form::Opaque,
        }
    }

    /// Whether the table has a key.
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }
}

fn member(name: &str, first: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 4);
    if !first {
        out.push(b',');
    }
    json::put_string(&mut out, name.as_bytes());
    out.push(b':');
    out
}
