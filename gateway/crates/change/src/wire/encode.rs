//! Writes changes and values.

use super::varint::{put_varint, varint_len, zigzag};
use crate::batch::{Batch, Image, NO_TRANSACTION, Row, Transaction};
use crate::value::ValueRef;
use crate::{Form, Lsn, Snapshot};

const CHANGE_SEQUENCE: u8 = 1 << 3;
const CHANGE_STREAM: u8 = 2 << 3;
const CHANGE_SCHEMA: u8 = 3 << 3;
const CHANGE_OPERATION: u8 = 4 << 3;
const CHANGE_BEFORE: u8 = 5 << 3 | 2;
const CHANGE_AFTER: u8 = 6 << 3 | 2;
const CHANGE_TRANSACTION: u8 = 7 << 3 | 2;
const CHANGE_ORDER: u8 = 8 << 3;
const CHANGE_ORDER_IN_TABLE: u8 = 9 << 3;
const CHANGE_POSITION: u8 = 10 << 3 | 2;
const CHANGE_SNAPSHOT: u8 = 11 << 3;
const CHANGE_PROCESSED: u8 = 12 << 3;
const CHANGE_HEADERS: u8 = 13 << 3 | 2;
const CHANGE_PAYLOAD: u8 = 14 << 3 | 2;
const CHANGE_PARTITION: u8 = 15 << 3;

/// Appends the `Change` message of a row.
pub fn encode_change(
    batch: &Batch,
    row: &Row,
    sequence: u64,
    stream: u32,
    schema: u32,
    out: &mut Vec<u8>,
) {
    put_uint(out, CHANGE_SEQUENCE, sequence);
    put_uint(out, CHANGE_STREAM, stream.into());
    put_uint(out, CHANGE_SCHEMA, schema.into());
    put_uint(out, CHANGE_OPERATION, row.operation as u64);
    let schema_of_row = batch.schemas.get(row.schema as usize);
    let opaque = schema_of_row.filter(|schema| schema.form == Form::Opaque);
    // The payload is written once, by itself; what is left of the row has the key.
    let without = opaque.map(|schema| schema.payload as usize);
    put_image(out, CHANGE_BEFORE, batch, row.before, without);
    put_image(out, CHANGE_AFTER, batch, row.after, without);
    if row.transaction != NO_TRANSACTION
        && let Some(transaction) = batch.transactions.get(row.transaction as usize)
    {
        put_transaction(out, transaction);
    }
    put_uint(out, CHANGE_ORDER, row.order);
    put_uint(out, CHANGE_ORDER_IN_TABLE, row.order_in_table);
    put_position(out, CHANGE_POSITION, row.lsn);
    if row.snapshot != Snapshot::None {
        put_uint(out, CHANGE_SNAPSHOT, row.snapshot as u64);
    }
    put_uint(out, CHANGE_PROCESSED, batch.processed_unix_ns.cast_unsigned());
    for (name, value) in batch.headers(row.headers) {
        let len = bytes_field_len(name.len()) + bytes_field_len(value.len());
        out.push(CHANGE_HEADERS);
        put_varint(out, len as u64);
        put_bytes(out, 1 << 3 | 2, name);
        put_bytes(out, 2 << 3 | 2, value);
    }
    if let Some(schema) = opaque {
        let image = if row.after.is_some() { row.after } else { row.before };
        let payload = batch.column(image, schema.payload as usize);
        put_bytes(out, CHANGE_PAYLOAD, payload.as_bytes().unwrap_or_default());
    }
    if let Some(partition) = row.headers.partition() {
        // Optional, so that zero is a choice too.
        out.push(CHANGE_PARTITION);
        put_varint(out, partition.into());
    }
}

/// Appends the body of a `Value` message.
pub fn encode_value(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        // The members of a oneof are written even where they are zero.
        ValueRef::Null => out.extend_from_slice(&[0x08, 0]),
        ValueRef::Unchanged => out.extend_from_slice(&[0x08, 1]),
        ValueRef::Absent => out.extend_from_slice(&[0x08, 2]),
        ValueRef::Boolean(value) => out.extend_from_slice(&[0x10, value.into()]),
        ValueRef::Integer(value) => {
            out.push(0x18);
            put_varint(out, zigzag(value));
        }
        ValueRef::Unsigned(value) => {
            out.push(0x20);
            put_varint(out, value);
        }
        ValueRef::Single(value) => {
            out.push(0x2d);
            out.extend_from_slice(&value.to_le_bytes());
        }
        ValueRef::Number(value) => {
            out.push(0x31);
            out.extend_from_slice(&value.to_le_bytes());
        }
        ValueRef::Text(text) => put_delimited(out, 0x3a, text),
        ValueRef::Bytes(bytes) => put_delimited(out, 0x42, bytes),
        ValueRef::List(list) => put_delimited(out, 0x4a, list.0),
    }
}

/// Appends one element to the body of a `List` (or `Row`) message.
pub fn encode_value_into_list(value: ValueRef<'_>, out: &mut Vec<u8>) {
    out.push(1 << 3 | 2);
    put_varint(out, value_len(value) as u64);
    encode_value(value, out);
}

fn value_len(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null | ValueRef::Unchanged | ValueRef::Absent | ValueRef::Boolean(_) => 2,
        ValueRef::Integer(value) => 1 + varint_len(zigzag(value)),
        ValueRef::Unsigned(value) => 1 + varint_len(value),
        ValueRef::Single(_) => 5,
        ValueRef::Number(_) => 9,
        ValueRef::Text(bytes) | ValueRef::Bytes(bytes) => delimited_len(bytes.len()),
        ValueRef::List(list) => delimited_len(list.0.len()),
    }
}

/// `without`: ordinal of a column that is written elsewhere, and absent here.
fn put_image(out: &mut Vec<u8>, tag: u8, batch: &Batch, image: Image, without: Option<usize>) {
    if !image.is_some() {
        return;
    }
    let values = || {
        let values = batch.values(image).enumerate();
        values.map(|(at, value)| if Some(at) == without { ValueRef::Absent } else { value })
    };
    let len: usize = values().map(|value| delimited_len(value_len(value))).sum();
    out.push(tag);
    put_varint(out, len as u64);
    out.reserve(len);
    for value in values() {
        encode_value_into_list(value, out);
    }
}

fn put_transaction(out: &mut Vec<u8>, transaction: &Transaction) {
    let len = bytes_field_len(transaction.id.len())
        + position_field_len(transaction.commit)
        + position_field_len(transaction.previous_commit)
        + uint_field_len(transaction.commit_unix_us.cast_unsigned())
        + bytes_field_len(transaction.origin.len())
        + position_field_len(transaction.begin);
    out.push(CHANGE_TRANSACTION);
    put_varint(out, len as u64);
    put_bytes(out, 1 << 3 | 2, transaction.id.as_bytes());
    put_position(out, 2 << 3 | 2, transaction.commit);
    put_position(out, 3 << 3 | 2, transaction.previous_commit);
    put_uint(out, 4 << 3, transaction.commit_unix_us.cast_unsigned());
    put_bytes(out, 5 << 3 | 2, transaction.origin.as_bytes());
    put_position(out, 6 << 3 | 2, transaction.begin);
}

/// A position at zero is no position and is left out.
fn put_position(out: &mut Vec<u8>, tag: u8, lsn: Lsn) {
    if lsn != Lsn::ZERO {
        out.push(tag);
        out.push((1 + varint_len(lsn.0)) as u8);
        out.push(1 << 3);
        put_varint(out, lsn.0);
    }
}

fn position_field_len(lsn: Lsn) -> usize {
    if lsn == Lsn::ZERO { 0 } else { 3 + varint_len(lsn.0) }
}

fn put_uint(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        out.push(tag);
        put_varint(out, value);
    }
}

fn uint_field_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_delimited(out, tag, bytes);
    }
}

fn bytes_field_len(len: usize) -> usize {
    if len == 0 { 0 } else { delimited_len(len) }
}

fn put_delimited(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn delimited_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}
