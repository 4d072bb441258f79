//! A struct's fields as extension attributes of an event in structured mode, with the names and
//! types that Debezium's converter gives them: `,"iodebeziumtsms":"1795217028924"`.

use crate::connect::{Format, Kind, Mark, Node, Place, Schema};
use crate::json;

/// Before every name.
const PREFIX: &str = "iodebezium";
/// The transaction block's schema; its names have `tx` before them.
const TRANSACTION: &str = "event.block";

/// A field's name as an attribute's: letters and digits of it, behind the prefix.
pub(super) fn attribute(name: &str, parent: Option<&Schema>) -> String {
    let transaction = parent.is_some_and(|parent| parent.name.as_deref() == Some(TRANSACTION));
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    PREFIX.chars().chain(if transaction { "tx" } else { "" }.chars()).chain(letters).collect()
}

/// Extension attributes as members of a JSON object that has members already. Structs vanish, their
/// fields stand beside each other: meant for the source and the transaction block.
#[derive(Clone, Copy, Debug)]
pub struct Attributes;

/// A place, prepared.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// A field's `,"name":`.
    name: Box<[u8]>,
    /// The whole of a null: of each attribute, where it is a struct.
    null: Box<[u8]>,
    /// 64-bit integers are no type of CloudEvents, and become text.
    quoted: bool,
}

impl Format for Attributes {
    type Prepared = Prepared;

    fn prepare(place: Place<'_>, schema: &Schema, parent: Option<&Schema>) -> Prepared {
        let mut name = Vec::new();
        if let Place::Field(field, _) = place {
            name.push(b',');
            json::put_byte_string(&mut name, attribute(field, parent).as_bytes());
            name.push(b':');
        }
        let mut null = Vec::new();
        match (&schema.kind, &schema.default) {
            (Kind::Struct(fields), _) => {
                name.clear();
                for (index, field) in fields.iter().enumerate() {
                    let place = Place::Field(&field.name, index);
                    let prepared = Attributes::prepare(place, &field.schema, Some(schema));
                    null.extend_from_slice(&prepared.null);
                }
            }
            // Connect gives a field's default where it has no value.
            (_, Some(default)) => {
                null.extend_from_slice(&name);
                let plain = Schema { default: None, ..schema.clone() };
                Node::<Attributes>::root(&plain.into()).put(&mut null, default);
            }
            _ => {
                null.extend_from_slice(&name);
                null.extend_from_slice(b"null");
            }
        }
        Prepared { name: name.into(), null: null.into(), quoted: schema.kind == Kind::Int64 }
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
        if at.quoted {
            out.push(b'"');
            json::put_integer(out, value);
            out.push(b'"');
        } else {
            json::put_integer(out, value);
        }
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

    fn begin_struct(out: &mut Vec<u8>, _at: &Prepared) -> Mark {
        Mark(out.len())
    }

    fn end_struct(_out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {}

    fn begin_array(out: &mut Vec<u8>, at: &Prepared, _length: usize) -> Mark {
        out.extend_from_slice(&at.name);
        out.push(b'[');
        Mark(out.len())
    }

    fn element(out: &mut Vec<u8>, _at: &Prepared, index: usize) {
        if index > 0 {
            out.push(b',');
        }
    }

    fn end_array(out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {
        out.push(b']');
    }

    fn begin_map(out: &mut Vec<u8>, at: &Prepared, length: usize) -> Mark {
        Attributes::begin_array(out, at, length)
    }

    fn begin_entry(out: &mut Vec<u8>, at: &Prepared, index: usize) -> Mark {
        Attributes::element(out, at, index);
        out.push(b'[');
        Mark(out.len())
    }

    fn between_entry(out: &mut Vec<u8>, _at: &Prepared) {
        out.push(b',');
    }

    fn end_entry(out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {
        out.push(b']');
    }

    fn end_map(out: &mut Vec<u8>, at: &Prepared, mark: Mark) {
        Attributes::end_array(out, at, mark);
    }
}
