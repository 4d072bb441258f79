//! One value as flat JSON, by its column's type.
//!
//! The rule behind every choice: what a reader of JSON gets is the exact value, even where it
//! reads every number as a double.

use offtake_change::wire::WireError;
use offtake_change::{Column, Kind, ValueRef};

use super::{embedded, text};
use crate::json;

/// Lists deeper than this are written as null: PostgreSQL has six dimensions.
const MAX_LIST_DEPTH: u32 = 16;
/// Every integer up to this one is a double.
const LARGEST_EXACT: u64 = 1 << 53;

/// How a column's text is written. Values of other kinds say by their kind how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    /// JSON, written as what it is.
    Json,
    /// `hstore`, as an object.
    Pairs,
    Money,
    Date,
    Timestamp,
    ZonedTimestamp,
    ZonedTime,
    List(Box<Shape>),
}

/// The shape of a column.
pub(super) fn shape(column: &Column) -> Shape {
    match column.kind {
        Kind::List => {
            let element = column.element.as_deref().map_or(Shape::Text, shape);
            Shape::List(Box::new(element))
        }
        Kind::Text => of_text(&column.logical),
        _ => Shape::Text,
    }
}

/// By the logical type, modifiers apart; a domain has its base's.
fn of_text(logical: &str) -> Shape {
    let base = logical.split_once('(').map_or(logical, |(base, _)| base).trim_end();
    match base {
        // pgvector prints its vectors as JSON does arrays.
        "json" | "jsonb" | "vector" | "halfvec" => Shape::Json,
        "hstore" => Shape::Pairs,
        "money" => Shape::Money,
        "date" => Shape::Date,
        "timestamp" => Shape::Timestamp,
        "timestamptz" => Shape::ZonedTimestamp,
        "timetz" => Shape::ZonedTime,
        _ => Shape::Text,
    }
}

/// Appends a value. A text that is not of its type's grammar is written as a string.
pub(super) fn put(
    out: &mut Vec<u8>,
    shape: &Shape,
    value: &ValueRef<'_>,
    depth: u32,
) -> Result<(), WireError> {
    match *value {
        ValueRef::Null | ValueRef::Absent | ValueRef::Unchanged => out.extend_from_slice(b"null"),
        ValueRef::Boolean(true) => out.extend_from_slice(b"true"),
        ValueRef::Boolean(false) => out.extend_from_slice(b"false"),
        ValueRef::Integer(value) => put_integer(out, value, value.unsigned_abs()),
        ValueRef::Unsigned(value) => put_integer(out, value, value),
        ValueRef::Single(value) => json::put_single(out, value),
        ValueRef::Number(value) => json::put_double(out, value),
        ValueRef::Bytes(bytes) => json::put_base64(out, bytes),
        ValueRef::Text(text) => {
            if !put_text(out, shape, text) {
                json::put_string(out, text);
            }
        }
        ValueRef::List(_) if depth >= MAX_LIST_DEPTH => out.extend_from_slice(b"null"),
        ValueRef::List(list) => {
            // Dimensions beyond the first are lists of the same element.
            let element = match shape {
                Shape::List(element) => element,
                other => other,
            };
            out.push(b'[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                put(out, element, &value?, depth + 1)?;
            }
            out.push(b']');
        }
    }
    Ok(())
}

/// A number where every reader gets it exactly, else a string.
fn put_integer(out: &mut Vec<u8>, value: impl itoa::Integer, magnitude: u64) {
    if magnitude <= LARGEST_EXACT {
        json::put_integer(out, value);
    } else {
        out.push(b'"');
        json::put_integer(out, value);
        out.push(b'"');
    }
}

/// `false`, and nothing written: the text is to be written as a string.
fn put_text(out: &mut Vec<u8>, shape: &Shape, text: &[u8]) -> bool {
    match shape {
        Shape::Text | Shape::List(_) => false,
        Shape::Json => embedded::put_json(out, text),
        Shape::Pairs => embedded::put_pairs(out, text),
        Shape::Money => text::put_money(out, text),
        Shape::Date => text::put_date(out, text),
        Shape::Timestamp => text::put_timestamp(out, text, false),
        Shape::ZonedTimestamp => text::put_timestamp(out, text, true),
        Shape::ZonedTime => text::put_zoned_time(out, text),
    }
}
