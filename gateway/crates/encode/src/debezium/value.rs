//! One value through any format: what the log has, in the peer's encoding, without a tree between.

use offtake_change::wire::WireError;
use offtake_change::{ListRef, ValueRef};

use super::bounded::put_bounded;
use super::convert::{Encoding, Unit};
use super::hstore::Entries;
use super::options::BinaryHandling;
use super::{decimal, interval, structured, temporal};
use crate::connect::{Format, Node};
use crate::{java_map, json};

/// Lists deeper than this are refused: PostgreSQL has six dimensions.
const MAX_LIST_DEPTH: u32 = 16;

/// Why a value was not written. What was written of it is to be taken back.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The log's bytes are damaged.
    Damaged(WireError),
    /// The value is not of its type's grammar, or its schema cannot hold it.
    Unfit,
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Fault {
        Fault::Damaged(error)
    }
}

/// Buffers that are used again, and what holds for a whole plan.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: Entries,
}

/// Appends a value at its place.
#[inline]
pub(super) fn put_value<F: Format>(
    out: &mut Vec<u8>,
    node: &Node<F>,
    encoding: &Encoding,
    value: &ValueRef<'_>,
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    match (encoding, *value) {
        (Encoding::Text, ValueRef::Text(text)) => F::text(out, &node.prepared, text),
        (Encoding::Scalar, ValueRef::Integer(value)) => return put_integer(out, node, value),
        (Encoding::Never, _) => return Err(Fault::Unfit),
        (Encoding::Scalar, _) => return put_scalar(out, node, value),
        (Encoding::Bytes(mode), ValueRef::Bytes(bytes)) => {
            put_bytes(out, node, *mode, bytes, scratch);
        }
        (Encoding::List(element), ValueRef::List(list)) => {
            return put_list(out, node, element, list, scratch);
        }
        (Encoding::List(element), ValueRef::Text(text)) => {
            return put_bounded(out, node, element, text, scratch);
        }
        (_, ValueRef::Text(text)) => return put_text(out, node, encoding, text, scratch),
        (_, ValueRef::Null | ValueRef::Absent | ValueRef::Unchanged) => {
            F::null(out, &node.prepared);
        }
        _ => return Err(Fault::Unfit),
    }
    Ok(())
}

#[inline]
fn put_integer<F: Format>(out: &mut Vec<u8>, node: &Node<F>, value: i64) -> Result<(), Fault> {
    if !F::takes_integer(&node.prepared, value) {
        return Err(Fault::Unfit);
    }
    F::integer(out, &node.prepared, value);
    Ok(())
}

fn put_scalar<F: Format>(
    out: &mut Vec<u8>,
    node: &Node<F>,
    value: &ValueRef<'_>,
) -> Result<(), Fault> {
    let at = &node.prepared;
    match *value {
        ValueRef::Boolean(value) => F::boolean(out, at, value),
        ValueRef::Single(value) => F::single(out, at, value),
        ValueRef::Number(value) => F::double(out, at, value),
        ValueRef::Unsigned(value) => {
            return put_integer(out, node, i64::try_from(value).map_err(|_| Fault::Unfit)?);
        }
        ValueRef::Null | ValueRef::Absent | ValueRef::Unchanged => F::null(out, at),
        _ => return Err(Fault::Unfit),
    }
    Ok(())
}

/// Appends text of a type that has an encoding of its own.
fn put_text<F: Format>(
    out: &mut Vec<u8>,
    node: &Node<F>,
    encoding: &Encoding,
    text: &[u8],
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    let at = &node.prepared;
    let bytes = &mut scratch.bytes;
    let written = match encoding {
        Encoding::Decimal { scale } => {
            decimal::with_scaled(text, *scale, bytes, |value| F::bytes(out, at, value))
        }
        Encoding::VariableDecimal => decimal::with_variable(text, bytes, |scale, value| {
            let mark = F::begin_struct(out, at);
            if let [scale_at, value_at] = node.children.as_slice() {
                F::integer(out, &scale_at.prepared, scale.into());
                F::bytes(out, &value_at.prepared, value);
            }
            F::end_struct(out, at, mark);
        }),
        Encoding::Money { scale } => {
            decimal::with_money(text, *scale, |value| F::bytes(out, at, value))
        }
        Encoding::DecimalText { .. } | Encoding::DecimalDouble => {
            return put_plain_decimal(out, node, encoding, text, bytes);
        }
        Encoding::MoneyText | Encoding::MoneyDouble => {
            let mut plain = [0; decimal::MONEY_BYTES];
            let plain = decimal::plain_money(text, &mut plain).ok_or(Fault::Unfit)?;
            return put_plain_decimal(out, node, encoding, plain, bytes);
        }
        Encoding::Date { .. } => {
            let days = temporal::date(text).filter(|&days| i32::try_from(days).is_ok());
            return put_integer(out, node, days.ok_or(Fault::Unfit)?);
        }
        Encoding::Time(unit) => {
            let time = temporal::time(text, *unit);
            // Milliseconds have 32 bits.
            let fits = |&time: &i64| *unit != Unit::Millis || i32::try_from(time).is_ok();
            return put_integer(out, node, time.filter(fits).ok_or(Fault::Unfit)?);
        }
        Encoding::Timestamp(unit) => {
            return put_integer(out, node, temporal::timestamp(text, *unit).ok_or(Fault::Unfit)?);
        }
        Encoding::Interval => {
            return put_integer(out, node, interval::micros(text).ok_or(Fault::Unfit)?);
        }
        Encoding::Bit => structured::bit(text).map(|bit| F::boolean(out, at, bit)),
        Encoding::Bits => structured::bits(text, bytes).map(|()| F::bytes(out, at, bytes)),
        Encoding::Point => structured::point(text).map(|(x, y)| put_point(out, node, x, y)),
        Encoding::Geometry => structured::geometry(text, bytes).map(|srid| {
            let mark = F::begin_struct(out, at);
            if let [wkb_at, srid_at] = node.children.as_slice() {
                F::bytes(out, &wkb_at.prepared, bytes);
                match srid {
                    Some(srid) => F::integer(out, &srid_at.prepared, srid),
                    None => F::null(out, &srid_at.prepared),
                }
            }
            F::end_struct(out, at, mark);
        }),
        Encoding::HstoreText => scratch.entries.read(text).map(|()| {
            put_hstore_text(bytes, &scratch.entries);
            F::text(out, at, bytes);
        }),
        Encoding::HstoreMap => {
            scratch.entries.read(text).map(|()| put_hstore_map(out, node, &scratch.entries))
        }
        Encoding::DoubleVector | Encoding::FloatVector => put_vector(out, node, encoding, text),
        Encoding::SparseVector => put_sparse_vector(out, node, text),
        _ => put_made_text(encoding, text, bytes).map(|()| F::text(out, at, bytes)),
    };
    written.ok_or(Fault::Unfit)
}

/// Encodings whose value is text that is made from PostgreSQL's.
fn put_made_text(encoding: &Encoding, text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    match encoding {
        Encoding::DateText => temporal::date_text(text, out),
        Encoding::TimeText => temporal::time_text(text, out),
        Encoding::ZonedTime => temporal::zoned_time(text, out),
        Encoding::TimestampText => temporal::timestamp_text(text, out),
        Encoding::ZonedTimestamp { digits } => temporal::zoned_timestamp(text, *digits, out),
        Encoding::IntervalText => interval::text(text, out),
        _ => None,
    }
}

/// Appends a decimal as text or as a double.
fn put_plain_decimal<F: Format>(
    out: &mut Vec<u8>,
    node: &Node<F>,
    encoding: &Encoding,
    text: &[u8],
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    let at = &node.prepared;
    if matches!(encoding, Encoding::DecimalDouble | Encoding::MoneyDouble) {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        F::double(out, at, number.ok_or(Fault::Unfit)?);
        return Ok(());
    }
    let special: Option<&[u8]> = match text {
        b"NaN" => Some(b"NAN"),
        b"Infinity" => Some(b"POSITIVE_INFINITY"),
        b"-Infinity" => Some(b"NEGATIVE_INFINITY"),
        _ => None,
    };
    if let Some(special) = special {
        F::text(out, at, special);
        return Ok(());
    }
    if !text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-')) {
        return Err(Fault::Unfit);
    }
    let point = text.iter().position(|&byte| byte == b'.');
    let places = point.map_or(0, |at| text.len() - at - 1);
    let Encoding::DecimalText { scale } = *encoding else {
        F::text(out, at, text);
        return Ok(());
    };
    let missing = usize::try_from(scale).unwrap_or(0).saturating_sub(places);
    if missing == 0 {
        F::text(out, at, text);
        return Ok(());
    }
    // A scale of the column that the server does not print, for instance a negative one.
    scratch.clear();
    scratch.extend_from_slice(text);
    if point.is_none() {
        scratch.push(b'.');
    }
    scratch.extend(std::iter::repeat_n(b'0', missing));
    F::text(out, at, scratch);
    Ok(())
}

fn put_bytes<F: Format>(
    out: &mut Vec<u8>,
    node: &Node<F>,
    mode: BinaryHandling,
    bytes: &[u8],
    scratch: &mut Scratch,
) {
    if mode == BinaryHandling::Bytes {
        return F::bytes(out, &node.prepared, bytes);
    }
    binary_text(mode, bytes, &mut scratch.bytes);
    F::text(out, &node.prepared, &scratch.bytes);
}

/// Bytes as text, in one of the peer's ways.
pub(super) fn binary_text(mode: BinaryHandling, bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.clear();
    match mode {
        BinaryHandling::Hex => {
            for &byte in bytes {
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
        BinaryHandling::Bytes | BinaryHandling::Base64 => json::put_base64_inside(out, bytes),
        BinaryHandling::Base64UrlSafe => {
            json::put_base64_inside(out, bytes);
            for letter in out.iter_mut() {
                match letter {
                    b'+' => *letter = b'-',
                    b'/' => *letter = b'_',
                    _ => {}
                }
            }
        }
    }
}

fn put_point<F: Format>(out: &mut Vec<u8>, node: &Node<F>, x: f64, y: f64) {
    let mark = F::begin_struct(out, &node.prepared);
    if let [x_at, y_at, wkb_at, srid_at] = node.children.as_slice() {
        F::double(out, &x_at.prepared, x);
        F::double(out, &y_at.prepared, y);
        F::bytes(out, &wkb_at.prepared, &structured::wkb(x, y));
        F::null(out, &srid_at.prepared);
    }
    F::end_struct(out, &node.prepared, mark);
}

/// The JSON text of an hstore.
fn put_hstore_text(out: &mut Vec<u8>, entries: &Entries) {
    out.clear();
    out.push(b'{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::put_string(out, key);
        out.push(b':');
        match value {
            Some(value) => json::put_string(out, value),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

fn put_hstore_map<F: Format>(out: &mut Vec<u8>, node: &Node<F>, entries: &Entries) {
    let at = &node.prepared;
    let mark = F::begin_map(out, at, entries.len());
    if let [key_at, value_at] = node.children.as_slice() {
        for (index, (key, value)) in entries.iter().enumerate() {
            let entry = F::begin_entry(out, at, index);
            F::text(out, &key_at.prepared, key);
            F::between_entry(out, at);
            match value {
                Some(value) => F::text(out, &value_at.prepared, value),
                None => F::null(out, &value_at.prepared),
            }
            F::end_entry(out, at, entry);
        }
    }
    F::end_map(out, at, mark);
}

/// `[1,2.5]`, pgvector's text.
fn put_vector<F: Format>(
    out: &mut Vec<u8>,
    node: &Node<F>,
    encoding: &Encoding,
    text: &[u8],
) -> Option<()> {
    let text = std::str::from_utf8(text).ok()?.strip_prefix('[')?.strip_suffix(']')?;
    let at = &node.prepared;
    let element = node.children.first()?;
    let mark = F::begin_array(out, at, text.split(',').count());
    for (index, number) in text.split(',').enumerate() {
        F::element(out, at, index);
        match encoding {
            Encoding::FloatVector => F::single(out, &element.prepared, number.parse().ok()?),
            _ => F::double(out, &element.prepared, number.parse().ok()?),
        }
    }
    F::end_array(out, at, mark);
    Some(())
}

/// `{1:0.5,3:2}/5`, pgvector's text of a sparse vector.
fn put_sparse_vector<F: Format>(out: &mut Vec<u8>, node: &Node<F>, text: &[u8]) -> Option<()> {
    let (vector, dimensions) = std::str::from_utf8(text).ok()?.split_once('/')?;
    let vector = vector.strip_prefix('{')?.strip_suffix('}')?;
    let dimensions: i16 = dimensions.parse().ok()?;
    let mut entries: Vec<(u32, i16, f64)> = Vec::new();
    for entry in vector.split(',').filter(|entry| !entry.is_empty()) {
        let (index, value) = entry.split_once(':')?;
        let index: i16 = index.parse().ok()?;
        entries.push((
            java_map::spread(i32::from(index).cast_unsigned()),
            index,
            value.parse().ok()?,
        ));
    }
    let mask = java_map::mask(entries.len(), entries.len());
    entries.sort_by_key(|&(hash, ..)| hash & mask);
    let [dimensions_at, map] = node.children.as_slice() else { return None };
    let [key_at, value_at] = map.children.as_slice() else { return None };
    let mark = F::begin_struct(out, &node.prepared);
    F::integer(out, &dimensions_at.prepared, dimensions.into());
    let inner = F::begin_map(out, &map.prepared, entries.len());
    for (place, (_, index, value)) in entries.into_iter().enumerate() {
        let entry = F::begin_entry(out, &map.prepared, place);
        F::integer(out, &key_at.prepared, index.into());
        F::between_entry(out, &map.prepared);
        F::double(out, &value_at.prepared, value);
        F::end_entry(out, &map.prepared, entry);
    }
    F::end_map(out, &map.prepared, inner);
    F::end_struct(out, &node.prepared, mark);
    Some(())
}

fn put_list<F: Format>(
    out: &mut Vec<u8>,
    node: &Node<F>,
    encoding: &Encoding,
    list: ListRef<'_>,
    scratch: &mut Scratch,
) -> Result<(), Fault> {
    let at = &node.prepared;
    let element = node.children.first().ok_or(Fault::Unfit)?;
    let mut length = 0;
    for value in list.iter() {
        length += 1;
        match value? {
            ValueRef::Null | ValueRef::Absent | ValueRef::Unchanged
                if !F::takes_null(&element.prepared) =>
            {
                return Err(Fault::Unfit);
            }
            _ => {}
        }
    }
    let mark = F::begin_array(out, at, length);
    for (index, value) in list.iter().enumerate() {
        F::element(out, at, index);
        put_value(out, element, encoding, &value?, scratch)?;
    }
    F::end_array(out, at, mark);
    Ok(())
}

/// Appends whatever the value is, in a format that allows any value anywhere.
pub(super) fn put_loose<F: Format>(
    out: &mut Vec<u8>,
    node: &Node<F>,
    encoding: &Encoding,
    value: &ValueRef<'_>,
    scratch: &mut Scratch,
    depth: u32,
) -> Result<(), Fault> {
    let start = out.len();
    let at = &node.prepared;
    match *value {
        ValueRef::List(_) if depth >= MAX_LIST_DEPTH => F::null(out, at),
        ValueRef::List(list) => {
            // Dimensions beyond the first are lists of the same element.
            let (element, inner) = match (encoding, node.children.first()) {
                (Encoding::List(inner), Some(element)) => (element, &**inner),
                _ => (node, encoding),
            };
            let mark = F::begin_array(out, at, list.iter().count());
            for (index, value) in list.iter().enumerate() {
                F::element(out, at, index);
                put_loose(out, element, inner, &value?, scratch, depth + 1)?;
            }
            F::end_array(out, at, mark);
        }
        ValueRef::Text(text) => {
            if let Err(Fault::Unfit) = put_value(out, node, encoding, value, scratch) {
                out.truncate(start);
                F::text(out, at, text);
            }
        }
        ValueRef::Bytes(bytes) => F::bytes(out, at, bytes),
        ValueRef::Integer(value) => F::integer(out, at, value),
        ValueRef::Unsigned(value) => match i64::try_from(value) {
            Ok(value) => F::integer(out, at, value),
            Err(_) => F::text(out, at, itoa::Buffer::new().format(value).as_bytes()),
        },
        _ => put_scalar(out, node, value)?,
    }
    Ok(())
}
