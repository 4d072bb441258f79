//! Payloads: what a plugin put out as bytes with a content type (an outbox's, say), verbatim.
//!
//! The value is the payload, the key is text or bytes as the schema's key column is, and a header
//! tells the content type. Nothing is wrapped around it, and nothing within it is looked at.

use offtake_change::wire::{ChangeView, RowRef};
use offtake_change::{Form, TableSchema, ValueRef};

use crate::json::put_integer;
use crate::{EncodeError, flat};

/// The header that tells the payload's content type.
pub const CONTENT_TYPE_HEADER: &str = "content-type";

/// The format's name in error texts.
const FORMAT: &str = "payload";

/// A schema, prepared.
#[derive(Clone, Debug)]
pub struct Plan {
    key: Key,
    content_type: String,
}

#[derive(Clone, Debug)]
enum Key {
    None,
    /// One column: its value as it is.
    Column(usize),
    /// Several: as flat JSON has them.
    Object(Box<flat::Plan>),
}

impl Plan {
    /// Prepares a schema whose messages are keyed by the columns of those ordinals; none: without
    /// key.
    ///
    /// # Errors
    /// A schema of rows, which have no payload.
    pub fn new(schema: &TableSchema, key: &[u32]) -> Result<Plan, EncodeError> {
        if schema.form != Form::Opaque {
            let reason =
                format!("`{}` has rows, and payloads come from plugins", schema.qualified_name());
            return Err(EncodeError::Schema { format: FORMAT, reason });
        }
        let key = match *key {
            [] => Key::None,
            [ordinal] => Key::Column(ordinal as usize),
            _ => Key::Object(Box::new(flat::Plan::new(schema, key)?)),
        };
        Ok(Plan { key, content_type: schema.content_type.clone() })
    }

    /// The payload's content type, for the header; `None`: the plugin did not say.
    pub fn content_type(&self) -> Option<&str> {
        (!self.content_type.is_empty()).then_some(self.content_type.as_str())
    }

    /// Appends a change's key: text and bytes verbatim, a number's digits. `false`, and nothing
    /// appended, where it has none.
    ///
    /// # Errors
    /// A damaged change.
    pub fn put_key(&self, out: &mut Vec<u8>, row: RowRef<'_>) -> Result<bool, EncodeError> {
        let ordinal = match &self.key {
            Key::None => return Ok(false),
            Key::Object(plan) => return flat::put_key(out, plan, row),
            Key::Column(ordinal) => *ordinal,
        };
        let (mut values, mut value) = (row.values(), ValueRef::Absent);
        for _ in 0..=ordinal {
            value = ValueRef::Absent;
            values.read(&mut value)?;
        }
        match value {
            ValueRef::Null | ValueRef::Unchanged | ValueRef::Absent => return Ok(false),
            ValueRef::Text(bytes) | ValueRef::Bytes(bytes) => out.extend_from_slice(bytes),
            ValueRef::Integer(value) => put_integer(out, value),
            ValueRef::Unsigned(value) => put_integer(out, value),
            ValueRef::Boolean(value) => {
                out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            ValueRef::Single(_) | ValueRef::Number(_) | ValueRef::List(_) => {
                let reason = "a key is text, bytes or a number without fraction";
                return Err(EncodeError::Value { format: FORMAT, reason });
            }
        }
        Ok(true)
    }
}

/// A change's value.
pub fn value<'a>(change: &ChangeView<'a>) -> &'a [u8] {
    change.payload
}
