//! An event's attributes as headers of a Kafka message, for binary mode: `ce_` and the attribute's
//! name, the value as text. Headers lie one after the other in a buffer that is used again.
//!
//! CloudEvents has lower-case names only, and readers make them so. Debezium's `iodebeziumtxId`
//! (the source's) and `iodebeziumtxid` (the transaction block's) would then be one; the second says
//! nothing that the source's id and position do not say, and is left out.

use std::io::Write as _;

use super::attributes::attribute;
use crate::connect::{Format, Mark, Node, Place, Schema};

/// Appends a header.
pub(super) fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    put_with(out, name, |out| out.extend_from_slice(value));
}

/// Appends a header whose value `write` appends.
pub(super) fn put_with(out: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    put_length(out, name.len());
    out.extend_from_slice(name.as_bytes());
    let at = out.len();
    put_length(out, 0);
    let begin = out.len();
    write(out);
    let length = u32::try_from(out.len() - begin).unwrap_or(u32::MAX).to_le_bytes();
    out[at..begin].copy_from_slice(&length);
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// Reads headers: names, which are UTF-8, and values.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Reads what [`super::Plan::put_headers`] and [`HeaderAttributes`] wrote.
    pub fn new(encoded: &'a [u8]) -> Headers<'a> {
        Headers { rest: encoded }
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(part)
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<(&'a str, &'a [u8])> {
        let name = std::str::from_utf8(self.part()?).ok()?;
        Some((name, self.part()?))
    }
}

/// Extension attributes as headers, see the module. A null is no header. Structs vanish, their
/// fields stand beside each other; arrays and maps, which those blocks do not have, are left out.
#[derive(Clone, Copy, Debug)]
pub struct HeaderAttributes;

/// A place, prepared.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// `ce_…`; empty: the place becomes no header.
    name: Box<str>,
    /// The header of the default, where there is one.
    null: Box<[u8]>,
}

fn number(out: &mut Vec<u8>, at: &Prepared, value: impl std::fmt::Display) {
    if !at.name.is_empty() {
        put_with(out, &at.name, |out| {
            // Writing to a vector cannot fail.
            let _ = write!(out, "{value}");
        });
    }
}

impl Format for HeaderAttributes {
    type Prepared = Prepared;

    fn prepare(place: Place<'_>, schema: &Schema, parent: Option<&Schema>) -> Prepared {
        let name = match place {
            Place::Field(name, _) if schema.fields().is_empty() => attribute(name, parent),
            _ => String::new(),
        };
        let name = match name.as_str() {
            // The transaction block's id.
            "" | "iodebeziumtxid" => String::new(),
            name => format!("ce_{}", name.to_ascii_lowercase()),
        };
        let mut prepared = Prepared { name: name.into(), null: Box::default() };
        if let Some(default) = &schema.default {
            let plain = Schema { default: None, ..schema.clone() };
            let node = Node::<HeaderAttributes> {
                schema: plain.into(),
                prepared: prepared.clone(),
                children: Vec::new(),
            };
            let mut null = Vec::new();
            node.put(&mut null, default);
            prepared.null = null.into();
        }
        prepared
    }

    fn null(out: &mut Vec<u8>, at: &Prepared) {
        out.extend_from_slice(&at.null);
    }

    fn boolean(out: &mut Vec<u8>, at: &Prepared, value: bool) {
        number(out, at, value);
    }

    fn integer(out: &mut Vec<u8>, at: &Prepared, value: i64) {
        number(out, at, value);
    }

    fn single(out: &mut Vec<u8>, at: &Prepared, value: f32) {
        number(out, at, value);
    }

    fn double(out: &mut Vec<u8>, at: &Prepared, value: f64) {
        number(out, at, value);
    }

    fn text(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        if !at.name.is_empty() {
            put(out, &at.name, value);
        }
    }

    fn bytes(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        HeaderAttributes::text(out, at, value);
    }

    fn begin_struct(out: &mut Vec<u8>, _at: &Prepared) -> Mark {
        Mark(out.len())
    }

    fn end_struct(_out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {}

    fn begin_array(out: &mut Vec<u8>, _at: &Prepared, _length: usize) -> Mark {
        Mark(out.len())
    }

    fn element(_out: &mut Vec<u8>, _at: &Prepared, _index: usize) {}

    fn end_array(_out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {}

    fn begin_map(out: &mut Vec<u8>, _at: &Prepared, _length: usize) -> Mark {
        Mark(out.len())
    }

    fn begin_entry(out: &mut Vec<u8>, _at: &Prepared, _index: usize) -> Mark {
        Mark(out.len())
    }

    fn between_entry(_out: &mut Vec<u8>, _at: &Prepared) {}

    fn end_entry(_out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {}

    fn end_map(_out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {}
}
