//! One value, one row, one key as JSON.

use offtake_change::ValueRef;
use offtake_change::wire::{RowRef, WireError};

use super::plan::{ColumnPlan, Plan};
use super::types::Encoding;
use super::{decimal, structured, temporal};
use crate::json;

/// Lists deeper than this are written as null: PostgreSQL has six dimensions.
const MAX_LIST_DEPTH: u32 = 16;

/// Appends a row image as a JSON object. Values that the image does not reach are null, values
/// past the schema's columns are left out.
pub(super) fn put_row(
    out: &mut Vec<u8>,
    plan: &Plan,
    row: RowRef<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), WireError> {
    out.push(b'{');
    let mut values = row.values();
    for column in &plan.columns {
        let mut value = ValueRef::Absent;
        values.read(&mut value)?;
        out.extend_from_slice(&column.name);
        put_column(out, column, &value, scratch)?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends the key of a row image as a JSON object.
pub(super) fn put_key(
    out: &mut Vec<u8>,
    plan: &Plan,
    row: RowRef<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), WireError> {
    out.push(b'{');
    for key in &plan.key {
        let value = column(row, key.ordinal)?;
        out.extend_from_slice(&key.name);
        if let Some(column) = plan.columns.get(key.ordinal) {
            put_column(out, column, &value, scratch)?;
        }
    }
    out.push(b'}');
    Ok(())
}

/// Whether the key of the before image is there and another than the after image's.
pub(super) fn key_changed(
    plan: &Plan,
    before: RowRef<'_>,
    after: RowRef<'_>,
) -> Result<bool, WireError> {
    for key in &plan.key {
        let old = column(before, key.ordinal)?;
        let new = column(after, key.ordinal)?;
        let known = |value: ValueRef<'_>| !matches!(value, ValueRef::Absent | ValueRef::Unchanged);
        if known(old) && known(new) && !same(old, new) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn column<'a>(row: RowRef<'a>, ordinal: usize) -> Result<ValueRef<'a>, WireError> {
    let (mut values, mut value) = (row.values(), ValueRef::Absent);
    for _ in 0..=ordinal {
        if !values.read(&mut value)? {
            return Ok(ValueRef::Absent);
        }
    }
    Ok(value)
}

/// Equal by bits, so that NaN is itself.
fn same(one: ValueRef<'_>, other: ValueRef<'_>) -> bool {
    match (one, other) {
        (ValueRef::Number(one), ValueRef::Number(other)) => one.to_bits() == other.to_bits(),
        (ValueRef::Single(one), ValueRef::Single(other)) => one.to_bits() == other.to_bits(),
        _ => one == other,
    }
}

fn put_column(
    out: &mut Vec<u8>,
    column: &ColumnPlan,
    value: &ValueRef<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), WireError> {
    if let ValueRef::Unchanged = value {
        out.extend_from_slice(&column.placeholder);
        return Ok(());
    }
    put_value(out, &column.encoding, value, scratch, 0)
}

fn put_value(
    out: &mut Vec<u8>,
    encoding: &Encoding,
    value: &ValueRef<'_>,
    scratch: &mut Vec<u8>,
    depth: u32,
) -> Result<(), WireError> {
    match *value {
        ValueRef::Null | ValueRef::Absent | ValueRef::Unchanged => out.extend_from_slice(b"null"),
        ValueRef::Boolean(true) => out.extend_from_slice(b"true"),
        ValueRef::Boolean(false) => out.extend_from_slice(b"false"),
        ValueRef::Integer(value) => json::put_integer(out, value),
        ValueRef::Unsigned(value) => json::put_integer(out, value),
        ValueRef::Single(value) => json::put_single(out, value),
        ValueRef::Number(value) => json::put_double(out, value),
        ValueRef::Text(text) => {
            if !put_text(out, encoding, text, scratch) {
                json::put_string(out, text);
            }
        }
        ValueRef::Bytes(bytes) => json::put_base64(out, bytes),
        ValueRef::List(_) if depth >= MAX_LIST_DEPTH => out.extend_from_slice(b"null"),
        ValueRef::List(list) => {
            // Dimensions beyond the first are lists of the same element.
            let element = match encoding {
                Encoding::List(element) => element,
                other => other,
            };
            out.push(b'[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                put_value(out, element, &value?, scratch, depth + 1)?;
            }
            out.push(b']');
        }
    }
    Ok(())
}

/// `false`, and nothing written: the text is to be written as it is.
fn put_text(out: &mut Vec<u8>, encoding: &Encoding, text: &[u8], scratch: &mut Vec<u8>) -> bool {
    match encoding {
        Encoding::Plain | Encoding::List(_) => false,
        Encoding::Decimal { scale } => decimal::put_decimal(out, text, *scale, scratch),
        Encoding::VariableDecimal => decimal::put_variable(out, text, scratch),
        Encoding::Money => decimal::put_money(out, text, scratch),
        Encoding::Date => temporal::put_date(out, text),
        Encoding::Time { millis } => temporal::put_time(out, text, *millis),
        Encoding::ZonedTime => temporal::put_zoned_time(out, text),
        Encoding::Timestamp { millis } => temporal::put_timestamp(out, text, *millis),
        Encoding::ZonedTimestamp { digits } => temporal::put_zoned_timestamp(out, text, *digits),
        Encoding::Interval => temporal::put_interval(out, text),
        Encoding::Bit => structured::put_bit(out, text),
        Encoding::Bits => structured::put_bits(out, text, scratch),
        Encoding::Point => structured::put_point(out, text),
        Encoding::HStore => structured::put_hstore(out, text, scratch),
    }
}
