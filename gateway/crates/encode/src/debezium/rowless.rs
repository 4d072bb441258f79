//! Formats without Debezium's envelope, behind the same entry point: flat JSON and payloads.

use offtake_change::wire::{ChangeView, RowRef};
use offtake_change::{Form, Operation, Subject, TableSchema, ValueRef};

use super::envelope::Envelope;
use super::plan::Writer;
use super::value::Scratch;
use crate::{EncodeError, flat};

/// Flat JSON of a table.
#[derive(Clone, Debug)]
pub(super) struct FlatTable(flat::Plan);

impl FlatTable {
    pub(super) fn new(schema: &TableSchema, key: &[usize]) -> Result<FlatTable, EncodeError> {
        // A logical message is keyed by its prefix, as in every format.
        let key: Vec<u32> = match schema.subject {
            Subject::Message => vec![0],
            Subject::Table => key.iter().filter_map(|&at| u32::try_from(at).ok()).collect(),
        };
        flat::Plan::new(schema, &key).map(FlatTable)
    }
}

impl Writer for FlatTable {
    fn put_value(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        envelope: &Envelope<'_>,
        _: &mut Scratch,
    ) -> Result<(), EncodeError> {
        let row = match envelope.operation {
            Operation::Delete => envelope.before,
            _ => envelope.after,
        };
        flat::put_value_of(out, &self.0, change, envelope.operation, row)
    }

    fn put_key(
        &self,
        out: &mut Vec<u8>,
        _: &ChangeView<'_>,
        image: Option<RowRef<'_>>,
        _: &mut Scratch,
    ) -> Result<bool, EncodeError> {
        image.map_or(Ok(false), |row| flat::put_key(out, &self.0, row))
    }
}

/// Payloads as they are. A key of one column is its value as text or bytes, a longer one is flat
/// JSON.
#[derive(Clone, Debug)]
pub(super) struct PayloadTable {
    key: PayloadKey,
}

#[derive(Clone, Debug)]
enum PayloadKey {
    None,
    Column(usize),
    Columns(FlatTable),
}

impl PayloadTable {
    pub(super) fn new(schema: &TableSchema, key: &[usize]) -> Result<PayloadTable, EncodeError> {
        if schema.form != Form::Opaque {
            return Err(EncodeError::Schema {
                format: "payload",
                reason: format!("changes of {} are rows, not payloads", schema.qualified_name()),
            });
        }
        let key = match key {
            [] => PayloadKey::None,
            [column] => PayloadKey::Column(*column),
            key => PayloadKey::Columns(FlatTable::new(schema, key)?),
        };
        Ok(PayloadTable { key })
    }
}

impl Writer for PayloadTable {
    fn put_value(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        _: &Envelope<'_>,
        _: &mut Scratch,
    ) -> Result<(), EncodeError> {
        out.extend_from_slice(change.payload);
        Ok(())
    }

    fn put_key(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        image: Option<RowRef<'_>>,
        scratch: &mut Scratch,
    ) -> Result<bool, EncodeError> {
        let (Some(row), PayloadKey::Column(ordinal)) = (image, &self.key) else {
            return match &self.key {
                PayloadKey::Columns(table) => table.put_key(out, change, image, scratch),
                _ => Ok(false),
            };
        };
        match row.values().nth(*ordinal).transpose()? {
            Some(ValueRef::Text(bytes) | ValueRef::Bytes(bytes)) => out.extend_from_slice(bytes),
            Some(ValueRef::Integer(value)) => crate::json::put_int64(out, value),
            Some(ValueRef::Boolean(value)) => {
                out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            None | Some(ValueRef::Null | ValueRef::Absent | ValueRef::Unchanged) => {
                return Ok(false);
            }
            Some(_) => {
                let reason = "a key of one column is text, bytes, an integer or a boolean";
                return Err(EncodeError::Value { format: "payload", reason });
            }
        }
        Ok(true)
    }
}
