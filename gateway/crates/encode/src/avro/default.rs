//! Default values in an Avro schema, as JSON: once for Avro's readers, once for Connect's.

use crate::connect::{Kind, Schema, Value};
use crate::json;

/// How 32-bit floats are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// With their own digits: in the property `connect.default`.
    AsTheyAre,
    /// As the 64-bit float of the same value: in a field's `default`, which Avro's library reads
    /// into doubles on its way.
    Doubles,
}

/// Appends a default.
pub(super) fn put(out: &mut Vec<u8>, schema: &Schema, value: &Value, numbers: Numbers) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Integer(value) => json::put_integer(out, *value),
        Value::Single(value) if numbers == Numbers::Doubles => {
            json::put_double(out, f64::from(*value));
        }
        Value::Single(value) => json::put_single(out, *value),
        Value::Double(value) => json::put_double(out, *value),
        Value::Text(text) => json::put_string(out, text.as_bytes()),
        Value::Bytes(bytes) => {
            // A character a byte: ISO 8859-1.
            let text: String = bytes.iter().copied().map(char::from).collect();
            json::put_string(out, text.as_bytes());
        }
        Value::Array(values) => {
            let Kind::Array(element) = &schema.kind else { return };
            list(out, b'[', b']', values, |out, value| put(out, element, value, numbers));
        }
        Value::Map(entries) => {
            let Kind::Map(key_schema, value_schema) = &schema.kind else { return };
            if key_schema.kind == Kind::String && !key_schema.optional {
                list(out, b'{', b'}', entries, |out, (key, value)| {
                    put(out, key_schema, key, numbers);
                    out.push(b':');
                    put(out, value_schema, value, numbers);
                });
            } else {
                list(out, b'[', b']', entries, |out, (key, value)| {
                    out.push(b'[');
                    put(out, key_schema, key, numbers);
                    out.push(b',');
                    put(out, value_schema, value, numbers);
                    out.push(b']');
                });
            }
        }
        Value::Struct(values) => {
            let fields: Vec<_> = schema.fields().iter().zip(values).collect();
            list(out, b'{', b'}', &fields, |out, (field, value)| {
                json::put_string(out, field.name.as_bytes());
                out.push(b':');
                let value = match (value, &field.schema.default) {
                    (Value::Null, Some(default)) => default,
                    (value, _) => value,
                };
                put(out, &field.schema, value, numbers);
            });
        }
    }
}

/// Whether Avro's library takes the default: in a union only the first branch's values are. The
/// converter leaves a field's default out otherwise.
pub(super) fn is_allowed(schema: &Schema, value: &Value) -> bool {
    if schema.optional && super::null_is_first(schema) != (*value == Value::Null) {
        return false;
    }
    match (&schema.kind, value) {
        (Kind::Array(element), Value::Array(values)) => {
            values.iter().all(|value| is_allowed(element, value))
        }
        (Kind::Map(key, element), Value::Map(entries)) => {
            if key.kind == Kind::String && !key.optional {
                entries.iter().all(|(_, value)| is_allowed(element, value))
            } else {
                // Entries are records, but their defaults are written as pairs.
                entries.is_empty()
            }
        }
        (Kind::Struct(fields), Value::Struct(values)) => {
            fields.iter().zip(values).all(|(field, value)| is_allowed(&field.schema, value))
        }
        _ => true,
    }
}

fn list<T>(
    out: &mut Vec<u8>,
    open: u8,
    close: u8,
    items: &[T],
    mut put_item: impl FnMut(&mut Vec<u8>, &T),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        put_item(out, item);
    }
    out.push(close);
}
