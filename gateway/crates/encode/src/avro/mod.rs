//! Avro, as Confluent's `AvroConverter` 7.0.16 writes Connect data: the bytes ([`Avro`]) and the
//! schema that goes with them ([`schema_text`]).
//!
//! Neither the registry's frame nor its number for the schema is written here. What Debezium never
//! makes is left out: unions of several types, fixed, and Avro's own enums (Debezium's are text).
//! Source: Avro 1.11 specification, "Binary Encoding"; `AvroData` and `GenericDatumWriter` by
//! comparison.

mod default;
mod names;
mod schema;

use std::sync::Arc;

pub use schema::schema_text;

use crate::connect::{Format, Kind, Mark, Node, Place, Schema};

/// The binary encoding.
///
/// A struct is its fields, one after the other, so parts can be written apart and joined.
#[derive(Clone, Copy, Debug)]
pub struct Avro;

/// What is written around a value.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The union's branch before a value that is there; none where the schema is no union.
    branch: Option<u8>,
    /// What stands for a null.
    null: Arc<[u8]>,
    /// Bytes that are the whole value: the converter writes them without their length.
    whole: bool,
}

/// First branch of a union, zigzag.
const FIRST: u8 = 0;
/// Second branch of a union, zigzag.
const SECOND: u8 = 2;
/// Ends an array or a map.
const END: u8 = 0;

impl Prepared {
    fn start(&self, out: &mut Vec<u8>) {
        if let Some(branch) = self.branch {
            out.push(branch);
        }
    }
}

impl Format for Avro {
    type Prepared = Prepared;

    fn prepare(place: Place<'_>, schema: &Schema, _: Option<&Schema>) -> Prepared {
        let (present, absent) = branches(schema);
        let null = match &schema.default {
            // A Connect struct gives a field's default where the field has no value.
            Some(default) if matches!(place, Place::Field(..)) => {
                let mut bytes = Vec::new();
                let plain = Schema { default: None, ..schema.clone() };
                let mut node = Node::<Avro>::root(&Arc::new(plain));
                node.prepared.branch = present;
                node.prepared.whole = false;
                node.put(&mut bytes, default);
                bytes.into()
            }
            _ => absent.map_or_else(|| Arc::from([]), |branch| Arc::from([branch])),
        };
        let whole = place == Place::Root && schema.kind == Kind::Bytes && !schema.optional;
        Prepared { branch: present, null, whole }
    }

    fn null(out: &mut Vec<u8>, at: &Prepared) {
        out.extend_from_slice(&at.null);
    }

    fn boolean(out: &mut Vec<u8>, at: &Prepared, value: bool) {
        at.start(out);
        out.push(u8::from(value));
    }

    fn integer(out: &mut Vec<u8>, at: &Prepared, value: i64) {
        at.start(out);
        put_long(out, value);
    }

    fn single(out: &mut Vec<u8>, at: &Prepared, value: f32) {
        at.start(out);
        out.extend_from_slice(&value.to_le_bytes());
    }

    fn double(out: &mut Vec<u8>, at: &Prepared, value: f64) {
        at.start(out);
        out.extend_from_slice(&value.to_le_bytes());
    }

    fn text(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        Avro::bytes(out, at, value);
    }

    fn bytes(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        at.start(out);
        if !at.whole {
            put_length(out, value.len());
        }
        out.extend_from_slice(value);
    }

    fn begin_struct(out: &mut Vec<u8>, at: &Prepared) -> Mark {
        at.start(out);
        Mark(0)
    }

    fn end_struct(_: &mut Vec<u8>, _: &Prepared, _: Mark) {}

    fn begin_array(out: &mut Vec<u8>, at: &Prepared, length: usize) -> Mark {
        at.start(out);
        // One block with everything, as Java's encoder writes it; none where there is nothing.
        if length > 0 {
            put_length(out, length);
        }
        Mark(0)
    }

    fn element(_: &mut Vec<u8>, _: &Prepared, _: usize) {}

    fn end_array(out: &mut Vec<u8>, _: &Prepared, _: Mark) {
        out.push(END);
    }

    // A map with keys of text is Avro's map, any other an array of entries; the bytes are the same.
    fn begin_map(out: &mut Vec<u8>, at: &Prepared, length: usize) -> Mark {
        Avro::begin_array(out, at, length)
    }

    fn begin_entry(_: &mut Vec<u8>, _: &Prepared, _: usize) -> Mark {
        Mark(0)
    }

    fn between_entry(_: &mut Vec<u8>, _: &Prepared) {}

    fn end_entry(_: &mut Vec<u8>, _: &Prepared, _: Mark) {}

    fn end_map(out: &mut Vec<u8>, _: &Prepared, _: Mark) {
        out.push(END);
    }
}

/// The branches of a value and of a null. A default's type comes first, as Avro wants it, but for
/// structs, where the converter always begins with null.
fn branches(schema: &Schema) -> (Option<u8>, Option<u8>) {
    match (schema.optional, null_is_first(schema)) {
        (false, _) => (None, None),
        (true, true) => (Some(SECOND), Some(FIRST)),
        (true, false) => (Some(FIRST), Some(SECOND)),
    }
}

/// Whether the union of an optional schema begins with null.
fn null_is_first(schema: &Schema) -> bool {
    schema.default.is_none() || matches!(schema.kind, Kind::Struct(_))
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    // No buffer is longer than isize::MAX, which fits.
    put_long(out, length as i64);
}

/// Appends a zigzag integer of variable length.
fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    if rest < 0x80 {
        out.push(rest as u8);
        return;
    }
    let mut bytes = [0; 10];
    let mut length = 0;
    for byte in &mut bytes {
        length += 1;
        if rest < 0x80 {
            *byte = rest as u8;
            break;
        }
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    out.extend_from_slice(bytes.get(..length).unwrap_or(&bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::{Field, Value};

    fn written(schema: Schema, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        Node::<Avro>::root(&Arc::new(schema)).put(&mut out, value);
        out
    }

    fn field(name: &str, schema: Schema) -> Field {
        Field { name: name.to_owned(), schema: Arc::new(schema) }
    }

    #[test]
    fn integers_are_zigzag_of_variable_length() {
        for (value, expected) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ] {
            assert_eq!(written(Schema::new(Kind::Int64), &Value::Integer(value)), expected);
        }
    }

    #[test]
    fn a_field_without_a_value_has_its_default() {
        let with_default =
            Schema { default: Some(Value::Integer(7)), ..Schema::new(Kind::Int32).optional() };
        let schema = Kind::Struct(vec![
            field("plain", Schema::new(Kind::Int32).optional()),
            field("default", with_default.clone()),
        ]);
        let nulls = Value::Struct(vec![Value::Null, Value::Null]);
        assert_eq!(written(Schema::new(schema), &nulls), [FIRST, FIRST, 14]);
        // Not so an element: only structs know defaults.
        let array = Schema::new(Kind::Array(Arc::new(with_default)));
        assert_eq!(written(array, &Value::Array(vec![Value::Null])), [2, SECOND, END]);
    }
}
