//! JSON as Kafka Connect's `JsonConverter` writes values: the payload.
//!
//! A field's name is prepared with its comma, quotes and colon. Bytes are base64, decimals too; a
//! map is an object where its keys are text, else a list of pairs; a null in a field with a default
//! shows the default.

use super::{Stretch, put_base64, put_byte_string, put_double, put_int64, put_single};
use crate::connect::{Format, Kind, Mark, Node, Place, Schema};

/// JSON, see the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json;

/// What JSON remembers of a place.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    /// What stands before a value: a field's name with what separates it.
    before: Stretch,
    /// The whole of a null.
    null: Stretch,
    /// A map whose keys are text.
    object: bool,
}

impl Format for Json {
    type Prepared = Prepared;

    fn prepare(place: Place<'_>, schema: &Schema, _parent: Option<&Schema>) -> Prepared {
        let mut before = Vec::new();
        if let Place::Field(name, index) = place {
            if index > 0 {
                before.push(b',');
            }
            put_byte_string(&mut before, name.as_bytes());
            before.push(b':');
        }
        let mut null = before.clone();
        match &schema.default {
            Some(default) => {
                // The default's own place: without the name, and without the default again.
                let bare = Schema { default: None, ..schema.clone() };
                Node::<Json>::root(&bare.into()).put(&mut null, default);
            }
            None => null.extend_from_slice(b"null"),
        }
        let object =
            matches!(&schema.kind, Kind::Map(key, _) if key.kind == Kind::String && !key.optional);
        Prepared { before: Stretch::new(&before), null: Stretch::new(&null), object }
    }

    #[inline]
    fn null(out: &mut Vec<u8>, at: &Prepared) {
        at.null.put(out);
    }

    #[inline]
    fn boolean(out: &mut Vec<u8>, at: &Prepared, value: bool) {
        at.before.put(out);
        out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    #[inline]
    fn integer(out: &mut Vec<u8>, at: &Prepared, value: i64) {
        at.before.put(out);
        put_int64(out, value);
    }

    fn single(out: &mut Vec<u8>, at: &Prepared, value: f32) {
        at.before.put(out);
        put_single(out, value);
    }

    fn double(out: &mut Vec<u8>, at: &Prepared, value: f64) {
        at.before.put(out);
        put_double(out, value);
    }

    #[inline]
    fn text(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        at.before.put(out);
        put_byte_string(out, value);
    }

    #[inline]
    fn bytes(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        at.before.put(out);
        put_base64(out, value);
    }

    #[inline]
    fn begin_struct(out: &mut Vec<u8>, at: &Prepared) -> Mark {
        at.before.put(out);
        out.push(b'{');
        Mark(0)
    }

    #[inline]
    fn end_struct(out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {
        out.push(b'}');
    }

    fn begin_array(out: &mut Vec<u8>, at: &Prepared, _length: usize) -> Mark {
        at.before.put(out);
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
        at.before.put(out);
        out.push(if at.object { b'{' } else { b'[' });
        Mark(0)
    }

    fn begin_entry(out: &mut Vec<u8>, at: &Prepared, index: usize) -> Mark {
        if index > 0 {
            out.push(b',');
        }
        if !at.object {
            out.push(b'[');
        }
        Mark(0)
    }

    fn between_entry(out: &mut Vec<u8>, at: &Prepared) {
        out.push(if at.object { b':' } else { b',' });
    }

    fn end_entry(out: &mut Vec<u8>, at: &Prepared, _mark: Mark) {
        if !at.object {
            out.push(b']');
        }
    }

    fn end_map(out: &mut Vec<u8>, at: &Prepared, _mark: Mark) {
        out.push(if at.object { b'}' } else { b']' });
    }
}
