//! Flat JSON: the row itself, for consumers that have never heard of an envelope. Columns at the
//! top level in the table's order, then a few fields about the change whose names begin with `_`.
//! `FORMATS.md` beside this crate is the reference.
//!
//! Written straight from the encoded change; a [`Plan`] holds what is the same for all changes of
//! a table schema. Which messages a change becomes (tombstones, moved keys) is the caller's matter.

mod embedded;
mod text;
mod value;

use offtake_change::wire::{ChangeView, RowRef};
use offtake_change::{Operation, Snapshot, TableSchema, ValueRef};

use crate::json::{put_integer, put_string};
use crate::{EncodeError, calendar};
use value::Shape;

/// The format's name in error texts.
const FORMAT: &str = "flat JSON";

/// The fields about the change, in the order in which they are written.
pub const METADATA: [&str; 8] = [
    "_op",
    "_table",
    "_position",
    "_committed",
    "_sequence",
    "_transaction",
    "_snapshot",
    "_unchanged",
];

/// One column, prepared.
#[derive(Clone, Debug)]
struct ColumnPlan {
    /// `,"name":`
    name: Vec<u8>,
    shape: Shape,
}

/// A table schema, prepared. Make one a schema and keep it.
#[derive(Clone, Debug)]
pub struct Plan {
    columns: Vec<ColumnPlan>,
    key: Vec<usize>,
    /// `,"_table":"public.orders","_position":`
    table: Vec<u8>,
}

impl Plan {
    /// Prepares a schema whose messages are keyed by the columns of those ordinals; none: without
    /// key.
    ///
    /// # Errors
    /// A column with the name of one of the fields about the change.
    pub fn new(schema: &TableSchema, key: &[u32]) -> Result<Plan, EncodeError> {
        if let Some(column) =
            schema.columns.iter().find(|column| METADATA.contains(&column.name.as_str()))
        {
            let reason = format!("column `{}` has the name of a field of its own", column.name);
            return Err(EncodeError::Schema { format: FORMAT, reason });
        }
        let columns = schema.columns.iter().map(|column| {
            let mut name = b",".to_vec();
            put_string(&mut name, column.name.as_bytes());
            name.push(b':');
            ColumnPlan { name, shape: value::shape(column) }
        });
        let mut table = b",\"_table\":".to_vec();
        put_string(&mut table, qualified_name(schema).as_bytes());
        table.extend_from_slice(b",\"_position\":");
        let known = |&ordinal: &usize| ordinal < schema.columns.len();
        Ok(Plan {
            columns: columns.collect(),
            key: key.iter().map(|&ordinal| ordinal as usize).filter(known).collect(),
            table,
        })
    }

    /// Whether messages have a key.
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }
}

/// Logical messages have no table.
fn qualified_name(schema: &TableSchema) -> String {
    if schema.namespace.is_empty() { schema.table.clone() } else { schema.qualified_name() }
}

/// Appends a change's value: the row after it, before it for a delete, no row for a truncate.
///
/// # Errors
/// A damaged change.
pub fn put_value(
    out: &mut Vec<u8>,
    plan: &Plan,
    change: &ChangeView<'_>,
) -> Result<(), EncodeError> {
    let row = match change.operation {
        Operation::Delete => change.before,
        _ => change.after,
    };
    put_value_of(out, plan, change, change.operation, row)
}

/// Appends the value of one of the halves that an update of a key falls into: the deletion of the
/// row before it or the creation of the row after it.
///
/// # Errors
/// A damaged change.
pub fn put_value_of(
    out: &mut Vec<u8>,
    plan: &Plan,
    change: &ChangeView<'_>,
    operation: Operation,
    row: Option<RowRef<'_>>,
) -> Result<(), EncodeError> {
    let begin = out.len();
    let mut unchanged = false;
    if let Some(row) = row {
        let mut values = row.values();
        for column in &plan.columns {
            let mut value = ValueRef::Absent;
            values.read(&mut value)?;
            match value {
                ValueRef::Absent => {}
                ValueRef::Unchanged => unchanged = true,
                value => put_member(out, column, &value)?,
            }
        }
    }
    put_metadata(out, plan, change, operation);
    if unchanged && let Some(row) = row {
        put_unchanged(out, plan, row)?;
    }
    out.push(b'}');
    // The first member came with a comma.
    if let Some(first) = out.get_mut(begin) {
        *first = b'{';
    }
    Ok(())
}

/// Appends a row's key, an object of the key's columns; `false`, and nothing appended, where the
/// messages have none.
///
/// # Errors
/// A damaged change.
pub fn put_key(out: &mut Vec<u8>, plan: &Plan, row: RowRef<'_>) -> Result<bool, EncodeError> {
    if !plan.has_key() {
        return Ok(false);
    }
    let begin = out.len();
    for &ordinal in &plan.key {
        let (mut values, mut value) = (row.values(), ValueRef::Absent);
        for _ in 0..=ordinal {
            value = ValueRef::Absent;
            values.read(&mut value)?;
        }
        if let Some(column) = plan.columns.get(ordinal) {
            put_member(out, column, &value)?;
        }
    }
    out.push(b'}');
    if let Some(first) = out.get_mut(begin) {
        *first = b'{';
    }
    Ok(true)
}

fn put_member(
    out: &mut Vec<u8>,
    column: &ColumnPlan,
    value: &ValueRef<'_>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(&column.name);
    value::put(out, &column.shape, value, 0)?;
    Ok(())
}

fn put_metadata(out: &mut Vec<u8>, plan: &Plan, change: &ChangeView<'_>, operation: Operation) {
    out.extend_from_slice(b",\"_op\":\"");
    out.push(operation.letter());
    out.push(b'"');
    out.extend_from_slice(&plan.table);
    if change.lsn.0 == 0 {
        out.extend_from_slice(b"null");
    } else {
        out.push(b'"');
        put_hexadecimal(out, change.lsn.0 >> 32);
        out.push(b'/');
        put_hexadecimal(out, change.lsn.0 & 0xffff_ffff);
        out.push(b'"');
    }
    out.extend_from_slice(b",\"_committed\":");
    match change.transaction {
        Some(transaction) => {
            out.push(b'"');
            calendar::put_moment(out, transaction.commit_unix_us, 6);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"_sequence\":");
    put_integer(out, change.sequence);
    out.extend_from_slice(b",\"_transaction\":");
    match change.transaction {
        Some(transaction) if !transaction.id.is_empty() => put_string(out, transaction.id),
        _ => out.extend_from_slice(b"null"),
    }
    let snapshot = change.snapshot != Snapshot::None;
    out.extend_from_slice(if snapshot { b",\"_snapshot\":true" } else { b",\"_snapshot\":false" });
}

fn put_unchanged(out: &mut Vec<u8>, plan: &Plan, row: RowRef<'_>) -> Result<(), EncodeError> {
    out.extend_from_slice(b",\"_unchanged\":");
    let begin = out.len();
    let mut values = row.values();
    for column in &plan.columns {
        let mut value = ValueRef::Absent;
        values.read(&mut value)?;
        if let ValueRef::Unchanged = value {
            // With the comma before and without the colon after it.
            out.extend_from_slice(column.name.split_last().map_or(&[], |(_, name)| name));
        }
    }
    out.push(b']');
    if let Some(first) = out.get_mut(begin) {
        *first = b'[';
    }
    Ok(())
}

/// Without zeros before it, as PostgreSQL writes each half of a position.
fn put_hexadecimal(out: &mut Vec<u8>, value: u64) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let width = (64 - (value | 1).leading_zeros()).div_ceil(4);
    out.extend((0..width).rev().map(|digit| DIGITS[(value >> (digit * 4) & 15) as usize]));
}
