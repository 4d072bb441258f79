//! JSON with a JSON Schema, as Confluent's `JsonSchemaConverter` 7.0.16 writes Connect data: the
//! payload ([`JsonSchema`]) and the schema that goes with it ([`schema_text`]).
//!
//! With the converter's defaults: decimals are base64 of their bytes. Neither the registry's frame
//! nor its number for the schema is written here. Source: `JsonSchemaData` by comparison.

mod schema;

use std::sync::Arc;

pub use schema::schema_text;

use crate::connect::{Format, Kind, Mark, Node, Place, Schema};
use crate::json;

/// The payload.
#[derive(Clone, Copy, Debug)]
pub struct JsonSchema;

/// What is written around a value.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Comma and name before a field's value; empty elsewhere.
    name: Arc<[u8]>,
    /// What stands for a null: the schema's default, where it has one.
    null: Arc<[u8]>,
    /// A map whose keys are no text, so that it is an array of entries.
    entries: bool,
}

impl Format for JsonSchema {
    type Prepared = Prepared;

    fn prepare(place: Place<'_>, schema: &Schema, _: Option<&Schema>) -> Prepared {
        let mut name = Vec::new();
        if let Place::Field(field, index) = place {
            if index > 0 {
                name.push(b',');
            }
            json::put_byte_string(&mut name, field.as_bytes());
            name.push(b':');
        }
        let mut null = name.clone();
        match &schema.default {
            Some(default) => {
                let plain = Arc::new(Schema { default: None, ..schema.clone() });
                Node::<JsonSchema>::root(&plain).put(&mut null, default);
            }
            None => null.extend_from_slice(b"null"),
        }
        Prepared { name: name.into(), null: null.into(), entries: has_entries(schema) }
    }

    fn null(out: &mut Vec<u8>, at: &Prepared) {
        out.extend_from_slice(&at.null);
    }

    fn boolean(out: &mut Vec<u8>, at: &Prepared, value: bool) {
        out.extend_from_slice(&at.name);
        out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn integer(out: &mut Vec<u8>, at: &Prepared, value: i64) {
        out.extend_from_slice(&at.name);
        json::put_integer(out, value);
    }

    fn single(out: &mut Vec<u8>, at: &Prepared, value: f32) {
        out.extend_from_slice(&at.name);
        json::put_single(out, value);
    }

    fn double(out: &mut Vec<u8>, at: &Prepared, value: f64) {
        out.extend_from_slice(&at.name);
        json::put_double(out, value);
    }

    fn text(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        out.extend_from_slice(&at.name);
        json::put_byte_string(out, value);
    }

    fn bytes(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        out.extend_from_slice(&at.name);
        json::put_base64(out, value);
    }

    fn begin_struct(out: &mut Vec<u8>, at: &Prepared) -> Mark {
        out.extend_from_slice(&at.name);
        out.push(b'{');
        Mark(0)
    }

    fn end_struct(out: &mut Vec<u8>, _: &Prepared, _: Mark) {
        out.push(b'}');
    }

    fn begin_array(out: &mut Vec<u8>, at: &Prepared, _: usize) -> Mark {
        out.extend_from_slice(&at.name);
        out.push(b'[');
        Mark(0)
    }

    fn element(out: &mut Vec<u8>, _: &Prepared, index: usize) {
        if index > 0 {
            out.push(b',');
        }
    }

    fn end_array(out: &mut Vec<u8>, _: &Prepared, _: Mark) {
        out.push(b']');
    }

    fn begin_map(out: &mut Vec<u8>, at: &Prepared, _: usize) -> Mark {
        out.extend_from_slice(&at.name);
        out.push(if at.entries { b'[' } else { b'{' });
        Mark(0)
    }

    fn begin_entry(out: &mut Vec<u8>, at: &Prepared, index: usize) -> Mark {
        if index > 0 {
            out.push(b',');
        }
        if at.entries {
            out.extend_from_slice(b"{\"key\":");
        }
        Mark(0)
    }

    fn between_entry(out: &mut Vec<u8>, at: &Prepared) {
        out.extend_from_slice(if at.entries { b",\"value\":" } else { b":" });
    }

    fn end_entry(out: &mut Vec<u8>, at: &Prepared, _: Mark) {
        if at.entries {
            out.push(b'}');
        }
    }

    fn end_map(out: &mut Vec<u8>, at: &Prepared, _: Mark) {
        out.push(if at.entries { b']' } else { b'}' });
    }
}

/// Whether a map is an array of entries, as it is where its keys are no text that is always there.
fn has_entries(schema: &Schema) -> bool {
    match &schema.kind {
        Kind::Map(key, _) => key.kind != Kind::String || key.optional,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::{Field, Value};

    #[test]
    fn a_null_is_the_default_in_every_place() {
        let with_default = Schema {
            default: Some(Value::Text("a\"b".to_owned())),
            ..Schema::new(Kind::String).optional()
        };
        let plain = Schema::new(Kind::Boolean).optional();
        let field =
            |name: &str, schema: Schema| Field { name: name.to_owned(), schema: Arc::new(schema) };
        let schema = Schema::new(Kind::Struct(vec![
            field("one", with_default.clone()),
            field("two", Schema::new(Kind::Array(Arc::new(with_default)))),
            field("three", plain),
        ]));
        let value = Value::Struct(vec![Value::Null, Value::Array(vec![Value::Null]), Value::Null]);
        let mut out = Vec::new();
        Node::<JsonSchema>::root(&Arc::new(schema)).put(&mut out, &value);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"one":"a\"b","two":["a\"b"],"three":null}"#
        );
    }
}
