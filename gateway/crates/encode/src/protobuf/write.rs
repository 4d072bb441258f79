//! The message: one field after the other by number, as Java's `DynamicMessage` writes them.
//!
//! A nested message's length stands before it. It is not known until its end, so a guess is left
//! free for it and the message is moved where the guess was wrong. Allocates nothing.

use std::sync::Arc;

use offtake_change::wire::{put_varint, varint_len};

use super::{Logical, decimal};
use crate::calendar;
use crate::connect::{Format, Kind, Mark, Node, Place, Schema};

/// Wire types (`protobuf.dev/programming-guides/encoding`).
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const DELIMITED: u32 = 2;
const FIXED32: u32 = 5;

/// `google.protobuf.Timestamp`'s range, in milliseconds: years 1 to 9999.
const TIMESTAMP_RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;
const MILLIS_PER_DAY: i64 = 86_400_000;

/// Protobuf as Confluent's converter writes it.
#[derive(Clone, Copy, Debug)]
pub struct Protobuf;

/// A place, prepared.
#[derive(Clone, Debug)]
pub struct Prepared {
    tag: Tag,
    /// What a null becomes: a field's default, or nothing; `None`: it cannot be written.
    null: Option<Box<[u8]>>,
    shape: Shape,
    /// A field whose value is its type's zero is left out; an array's element is not.
    presence: bool,
    /// Bytes left free for a length that is not known yet.
    guess: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// By its kind alone, arrays apart.
    Plain,
    Logical(Logical),
    Decimal {
        scale: i32,
    },
    /// The outermost struct: it has no length.
    Root,
    /// An array whose elements stand one after the other in one field.
    Packed,
    /// An array whose elements are fields of their own.
    Repeated,
}

/// A field's number and wire type, encoded.
#[derive(Clone, Copy, Debug, Default)]
struct Tag {
    bytes: [u8; 5],
    length: u8,
}

impl Tag {
    fn new(number: usize, wire: u32) -> Tag {
        let mut encoded = Vec::with_capacity(5);
        put_varint(&mut encoded, (number as u64) << 3 | u64::from(wire));
        let mut tag = Tag::default();
        // PostgreSQL has at most 1,600 columns, which take two bytes.
        for (to, from) in tag.bytes.iter_mut().zip(&encoded) {
            *to = *from;
            tag.length += 1;
        }
        tag
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..usize::from(self.length)]);
    }
}

/// The wire type of a field or element of that schema.
fn wire_type(schema: &Schema) -> u32 {
    if Logical::of(schema).is_some() {
        return DELIMITED;
    }
    match schema.kind {
        Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Boolean => VARINT,
        Kind::Float64 => FIXED64,
        Kind::Float32 => FIXED32,
        Kind::String | Kind::Bytes | Kind::Array(_) | Kind::Map(..) | Kind::Struct(_) => DELIMITED,
    }
}

fn shape(place: Place<'_>, schema: &Schema) -> Shape {
    match (Logical::of(schema), &schema.kind) {
        (Some(Logical::Decimal), _) => {
            let scale = schema.parameters.iter().find(|(name, _)| name == "scale");
            let scale = scale.and_then(|(_, scale)| scale.parse().ok()).unwrap_or(0);
            Shape::Decimal { scale }
        }
        (Some(logical), _) => Shape::Logical(logical),
        (None, Kind::Array(element)) if wire_type(element) == DELIMITED => Shape::Repeated,
        (None, Kind::Array(_)) => Shape::Packed,
        (None, Kind::Struct(_)) if place == Place::Root => Shape::Root,
        _ => Shape::Plain,
    }
}

/// Fills the bytes left free at `start` with the length of what follows them.
fn close(out: &mut Vec<u8>, start: usize, guess: usize) {
    let end = out.len();
    let length = end.saturating_sub(start + guess);
    let width = varint_len(length as u64);
    if width > guess {
        out.resize(end + (width - guess), 0);
        out.copy_within(start + guess..end, start + width);
    } else if width < guess {
        out.copy_within(start + guess..end, start + width);
        out.truncate(end - (guess - width));
    }
    let mut rest = length;
    for (index, byte) in out[start..start + width].iter_mut().enumerate() {
        let more = if index + 1 < width { 0x80 } else { 0 };
        *byte = (rest & 0x7f) as u8 | more;
        rest >>= 7;
    }
}

fn open(out: &mut Vec<u8>, at: &Prepared) -> Mark {
    at.tag.put(out);
    let start = out.len();
    out.resize(start + at.guess, 0);
    Mark(start)
}

/// A field within a logical type's message; left out where zero.
fn put_part(out: &mut Vec<u8>, tag: u8, value: i64) {
    if value != 0 {
        out.push(tag);
        put_varint(out, value.cast_unsigned());
    }
}

fn put_logical(out: &mut Vec<u8>, at: &Prepared, logical: Logical, value: i64) {
    let Mark(start) = open(out, at);
    match logical {
        Logical::Date => {
            // The era of a year before 1 is lost in `google.type.Date`.
            let (year, month, day) = calendar::java_date(value);
            put_part(out, 0x08, year);
            put_part(out, 0x10, month);
            put_part(out, 0x18, day);
        }
        Logical::Time => {
            let millis = value.rem_euclid(MILLIS_PER_DAY);
            put_part(out, 0x08, millis / 3_600_000);
            put_part(out, 0x10, millis / 60_000 % 60);
            put_part(out, 0x18, millis / 1000 % 60);
            put_part(out, 0x20, millis % 1000 * 1_000_000);
        }
        Logical::Timestamp => {
            put_part(out, 0x08, value.div_euclid(1000));
            put_part(out, 0x10, value.rem_euclid(1000) * 1_000_000);
        }
        // Comes as bytes.
        Logical::Decimal => {}
    }
    close(out, start, at.guess);
}

fn put_decimal(out: &mut Vec<u8>, at: &Prepared, scale: i32, unscaled: &[u8]) {
    let Mark(start) = open(out, at);
    let unscaled = minimal(unscaled);
    out.push(0x0a);
    put_varint(out, unscaled.len() as u64);
    out.extend_from_slice(unscaled);
    put_part(out, 0x10, i64::from(decimal::digits(unscaled)));
    put_part(out, 0x18, i64::from(scale));
    close(out, start, at.guess);
}

/// The shortest two's complement of the same number, as `BigInteger.toByteArray` gives it.
fn minimal(mut unscaled: &[u8]) -> &[u8] {
    while let [first, second, ..] = unscaled
        && matches!((first, second), (0, 0..0x80) | (0xff, 0x80..))
    {
        unscaled = &unscaled[1..];
    }
    if unscaled.is_empty() { &[0] } else { unscaled }
}

fn put_delimited(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
    if value.is_empty() && at.presence {
        return;
    }
    at.tag.put(out);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

impl Format for Protobuf {
    type Prepared = Prepared;

    fn prepare(place: Place<'_>, schema: &Schema, _parent: Option<&Schema>) -> Prepared {
        let shape = shape(place, schema);
        let number = match place {
            Place::Field(_, index) => index + 1,
            // A scalar that stands alone is the only field of a wrapper message.
            Place::Root | Place::MapKey => 1,
            Place::MapValue => 2,
            // The array writes it.
            Place::Element => 0,
        };
        let tag = match number {
            0 => Tag::default(),
            _ if shape == Shape::Root => Tag::default(),
            // What stands in the field is the element.
            _ => Tag::new(number, wire_type(schema)),
        };
        // Two bytes hold 16 kB, one holds 127.
        let long = schema.fields().len() > 6 || matches!(schema.kind, Kind::Array(_));
        let guess = match shape {
            Shape::Root => 0,
            Shape::Decimal { .. } | Shape::Logical(_) => 1,
            _ if long => 2,
            _ => 1,
        };
        // Connect gives a field's default where it has no value; elements have no such thing.
        let default = schema.default.as_ref().filter(|_| matches!(place, Place::Field(..)));
        let mut prepared = Prepared { tag, null: None, shape, presence: number != 0, guess };
        prepared.null = match default {
            Some(default) => {
                let plain = Arc::new(Schema { default: None, ..schema.clone() });
                let children = Node::<Protobuf>::root(&plain).children;
                let node = Node::<Protobuf> { schema: plain, prepared: prepared.clone(), children };
                let mut null = Vec::new();
                node.put(&mut null, default);
                node.takes(default).then(|| null.into())
            }
            // An array's element is the only place that is always written.
            None => prepared.presence.then(Box::default),
        };
        prepared
    }

    fn takes_null(at: &Prepared) -> bool {
        at.null.is_some()
    }

    fn takes_integer(at: &Prepared, value: i64) -> bool {
        match at.shape {
            Shape::Logical(Logical::Timestamp) => TIMESTAMP_RANGE.contains(&value),
            Shape::Logical(Logical::Time) => (0..=MILLIS_PER_DAY).contains(&value),
            _ => true,
        }
    }

    fn null(out: &mut Vec<u8>, at: &Prepared) {
        out.extend_from_slice(at.null.as_deref().unwrap_or_default());
    }

    fn boolean(out: &mut Vec<u8>, at: &Prepared, value: bool) {
        Protobuf::integer(out, at, i64::from(value));
    }

    fn integer(out: &mut Vec<u8>, at: &Prepared, value: i64) {
        if let Shape::Logical(logical) = at.shape {
            put_logical(out, at, logical, value);
        } else if value != 0 || !at.presence {
            at.tag.put(out);
            put_varint(out, value.cast_unsigned());
        }
    }

    fn single(out: &mut Vec<u8>, at: &Prepared, value: f32) {
        // Minus zero is not zero.
        if value.to_bits() != 0 || !at.presence {
            at.tag.put(out);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn double(out: &mut Vec<u8>, at: &Prepared, value: f64) {
        if value.to_bits() != 0 || !at.presence {
            at.tag.put(out);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn text(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        put_delimited(out, at, value);
    }

    fn bytes(out: &mut Vec<u8>, at: &Prepared, value: &[u8]) {
        match at.shape {
            Shape::Decimal { scale } => put_decimal(out, at, scale, value),
            _ => put_delimited(out, at, value),
        }
    }

    fn begin_struct(out: &mut Vec<u8>, at: &Prepared) -> Mark {
        if at.shape == Shape::Root { Mark(out.len()) } else { open(out, at) }
    }

    fn end_struct(out: &mut Vec<u8>, at: &Prepared, Mark(start): Mark) {
        if at.shape != Shape::Root {
            close(out, start, at.guess);
        }
    }

    fn begin_array(out: &mut Vec<u8>, at: &Prepared, length: usize) -> Mark {
        if at.shape == Shape::Packed && length > 0 { open(out, at) } else { Mark(out.len()) }
    }

    fn element(out: &mut Vec<u8>, at: &Prepared, _index: usize) {
        if at.shape == Shape::Repeated {
            at.tag.put(out);
        }
    }

    fn end_array(out: &mut Vec<u8>, at: &Prepared, Mark(start): Mark) {
        // Nothing was opened for an array without elements.
        if at.shape == Shape::Packed && out.len() > start {
            close(out, start, at.guess);
        }
    }

    fn begin_map(out: &mut Vec<u8>, _at: &Prepared, _length: usize) -> Mark {
        Mark(out.len())
    }

    fn begin_entry(out: &mut Vec<u8>, at: &Prepared, _index: usize) -> Mark {
        open(out, at)
    }

    fn between_entry(_out: &mut Vec<u8>, _at: &Prepared) {}

    fn end_entry(out: &mut Vec<u8>, at: &Prepared, Mark(start): Mark) {
        close(out, start, at.guess);
    }

    fn end_map(_out: &mut Vec<u8>, _at: &Prepared, _mark: Mark) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Protobuf;
    use crate::connect::{Field, Kind, Node, Schema, Value};

    /// What the JSON of the golden files cannot say. The bytes are the converter's.
    #[test]
    fn minus_zero_and_what_is_no_number_are_written() {
        let field =
            |name: &str, kind| Field { name: name.to_owned(), schema: Arc::new(Schema::new(kind)) };
        let map =
            Kind::Map(Arc::new(Schema::new(Kind::String)), Arc::new(Schema::new(Kind::Float64)));
        let fields = vec![field("f", Kind::Float32), field("d", Kind::Float64), field("m", map)];
        let node = Node::<Protobuf>::root(&Arc::new(Schema::new(Kind::Struct(fields))));
        for (single, double, expected) in [
            (-0.0, -0.0, "0d000000801100000000000000801a0c0a016b110000000000000080"),
            (0.0, 0.0, "1a030a016b"),
            (f32::NAN, f64::NAN, "0d0000c07f11000000000000f87f1a0c0a016b11000000000000f87f"),
            (
                f32::NEG_INFINITY,
                f64::NEG_INFINITY,
                "0d000080ff11000000000000f0ff1a0c0a016b11000000000000f0ff",
            ),
        ] {
            let entry = (Value::Text("k".to_owned()), Value::Double(double));
            let value = vec![Value::Single(single), Value::Double(double), Value::Map(vec![entry])];
            let mut out = Vec::new();
            node.put(&mut out, &Value::Struct(value));
            let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected, "{double}");
        }
    }

    proptest::proptest! {
        /// The guess at a nested message's length may be wrong in either direction.
        #[test]
        fn lengths_are_those_of_what_follows(
            lengths in proptest::collection::vec(0usize..20_000, 1..4),
            columns in 1usize..9,
        ) {
            let text = Arc::new(Schema::new(Kind::String));
            let field = |index: usize, schema: &Arc<Schema>| Field {
                name: format!("f{index}"),
                schema: Arc::clone(schema),
            };
            let row = (0..columns).map(|index| field(index, &text)).collect();
            let row = Arc::new(Schema::new(Kind::Struct(row)));
            let rows = (0..lengths.len()).map(|index| field(index, &row)).collect();
            let node = Node::<Protobuf>::root(&Arc::new(Schema::new(Kind::Struct(rows))));
            let value = lengths.iter().map(|&length| {
                let text = Value::Text("x".repeat(length));
                Value::Struct(std::iter::repeat_n(text, columns).collect())
            });
            let mut out = vec![0xff];
            node.put(&mut out, &Value::Struct(value.collect()));
            let mut expected = vec![0xff];
            for (index, &length) in lengths.iter().enumerate() {
                let mut row = Vec::new();
                for column in 1..=columns {
                    if length > 0 {
                        row.push((column as u8) << 3 | 2);
                        super::put_varint(&mut row, length as u64);
                        row.extend(std::iter::repeat_n(b'x', length));
                    }
                }
                expected.push((index as u8 + 1) << 3 | 2);
                super::put_varint(&mut expected, row.len() as u64);
                expected.extend(row);
            }
            proptest::prop_assert!(out == expected);
        }
    }
}
