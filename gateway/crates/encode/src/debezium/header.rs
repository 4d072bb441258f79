//! Keys in headers, as Connect's `SimpleHeaderConverter` writes a struct: nearly JSON.
//!
//! A decimal is a number there, a null is null whatever the default, dates and times of Connect's
//! own types are ISO 8601 without quotes, and only quotes and backslashes are escaped. Every format
//! has its headers so, for the converter of headers is another than that of keys and values.
//! Source: `org.apache.kafka.connect.data.Values`.

use super::decimal;
use super::temporal;
use crate::connect::{Format, Mark, Place, Schema};
use crate::json;

/// The text of a struct in a header, see the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderText;

/// What of a value is written otherwise than its kind says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logical {
    Plain,
    Decimal(i32),
    Days,
    Millis,
}

#[derive(Clone, Debug)]
pub(super) struct Prepared {
    before: Box<[u8]>,
    logical: Logical,
}

impl Format for HeaderText {
    type Prepared = Prepared;

    fn prepare(place: Place<'_>, schema: &Schema, _parent: Option<&Schema>) -> Prepared {
        let mut before = Vec::new();
        if let Place::Field(name, index) = place {
            if index > 0 {
                before.push(b',');
            }
            put_text(&mut before, name.as_bytes());
            before.push(b':');
        }
        let scale = || {
            let parameter = schema.parameters.iter().find(|(name, _)| name == "scale");
            parameter.and_then(|(_, scale)| scale.parse().ok()).unwrap_or(0)
        };
        let logical = match schema.name.as_deref() {
            Some("org.apache.kafka.connect.data.Decimal") => Logical::Decimal(scale()),
            Some("org.apache.kafka.connect.data.Date") => Logical::Days,
            Some(
                "org.apache.kafka.connect.data.Time" | "org.apache.kafka.connect.data.Timestamp",
            ) => Logical::Millis,
            _ => Logical::Plain,
        };
        Prepared { before: before.into(), logical }
    }

    fn null(out: &mut Vec<u8>, at: &Prepared) {
        out.extend_from_slice(&at.before);
        out.extend_from_slice(b"null");
    }

    fn boolean(out: &mut Vec<u8>, at: &Prepared, value: bool) {
        out.extend_from_slice(&at.before);
        out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn integer(out: &mut Vec<u8>, at: &Prepared, value: i64) {
        out.extend_from_slice(&at.before);
        match at.logical {
            Logical::Days => temporal::put_header_moment(out, value.saturating_mul(86_400_000)),
            Logical::Millis => temporal::put_header_moment(out, value),
            _ => json::put_int64(out, value),
        }
    }

    fn single(out: &mut Vec<u8>, at: &Prepared, value: f32) {
        out.extend_from_slice(&at.before);
        let start = out.len();
        json::put_single(out, value);
        unquote(out, start);
    }

    fn double(out: &mut Vec<u8>, at: &Prepared, value: f64) {
        out.extend_from_slice(&at.before);
        let start = out.len();
        json::put_double(out, value);
        unquote(out, start);
    }

    fn text(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        out.extend_from_slice(&at.before);
        put_text(out, value);
    }

    fn bytes(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        out.extend_from_slice(&at.before);
        match at.logical {
            Logical::Decimal(scale) => decimal::put_java_text(out, value, scale),
            _ => json::put_base64(out, value),
        }
    }

    fn begin_struct(out: &mut Vec<u8>, at: &Prepared) -> Mark {
        out.extend_from_slice(&at.before);
        out.push(b'{');
        Mark(0)
    }

    fn end_struct(out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {
        out.push(b'}');
    }

    fn begin_array(out: &mut Vec<u8>, at: &Prepared, _length: usize) -> Mark {
        out.extend_from_slice(&at.before);
        out.push(b'[');
        Mark(0)
    }

    fn element(out: &mut Vec<u8>, _at: &Prepared, index: usize) {
        if index > 0 {
            out.push(b',');
        }
    }

    fn end_array(out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {
        out.push(b']');
    }

    fn begin_map(out: &mut Vec<u8>, at: &Prepared, _length: usize) -> Mark {
        out.extend_from_slice(&at.before);
        out.push(b'{');
        Mark(0)
    }

    fn begin_entry(out: &mut Vec<u8>, at: &Prepared, index: usize) -> Mark {
        HeaderText::element(out, at, index);
        Mark(0)
    }

    fn between_entry(out: &mut Vec<u8>, _at: &Prepared) {
        out.push(b':');
    }

    fn end_entry(_out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {}

    fn end_map(out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {
        out.push(b'}');
    }
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Takes the quotes off NaN and the infinities.
fn unquote(out: &mut Vec<u8>, start: usize) {
    if out.get(start) == Some(&b'"') {
        out.pop();
        out.remove(start);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connect::{Field, Kind, Node, Value};

    #[test]
    fn a_struct_is_written_as_the_peer_writes_it() {
        let field =
            |name: &str, schema: Schema| Field { name: name.to_owned(), schema: Arc::new(schema) };
        let decimal = Schema::new(Kind::Bytes)
            .named("org.apache.kafka.connect.data.Decimal", 1)
            .parameter("scale", "2");
        let date = Schema::new(Kind::Int32).named("org.apache.kafka.connect.data.Date", 1);
        let stamp = Schema::new(Kind::Int64).named("org.apache.kafka.connect.data.Timestamp", 1);
        let schema = Schema::new(Kind::Struct(vec![
            field("at", Schema::new(Kind::String)),
            field("day", date),
            field("stamp", stamp.clone()),
            field("early", stamp),
            field("amount", decimal),
            field("raw", Schema::new(Kind::Bytes)),
        ]));
        let value = Value::Struct(vec![
            Value::Text("a \"b\" \\".to_owned()),
            Value::Integer(18_628),
            Value::Integer(1_609_459_200_123),
            Value::Integer(3_600_000),
            Value::Bytes(vec![0, 200]),
            Value::Bytes(vec![0, 255]),
        ]);
        let mut out = Vec::new();
        Node::<HeaderText>::root(&Arc::new(schema)).put(&mut out, &value);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"at\":\"a \\\"b\\\" \\\\\",\"day\":2021-01-01,\"stamp\":2021-01-01T00:00:00.123Z,\
             \"early\":01:00:00.000Z,\"amount\":2.00,\"raw\":\"AP8=\"}"
        );
    }
}
