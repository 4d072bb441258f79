//! What of a value is hashed: its canonical text, in bytes.
//!
//! One rule for each kind, so that a digest can be computed elsewhere and stays the same through
//! releases: changing it changes every digest.
//!
//! | kind | text |
//! |---|---|
//! | text, and what travels as text | as the gateway writes it, in UTF-8, nothing trimmed or folded |
//! | bytes | the bytes themselves |
//! | boolean | `true` or `false` |
//! | integers | decimal digits, `-` before a negative one |
//! | floats | the shortest decimal that reads back as the same float of the column's width, without an exponent; `NaN`, `inf`, `-inf`; `-0` is `0` |

use std::io::Write as _;

use offtake_sdk::{ColumnInfo, Value};

/// Room for the longest text of a value that is no text: a float64 without an exponent.
const LONGEST: usize = 400;

/// Gives the canonical text of a value to `hash`, at once.
pub(crate) fn canonical<R>(
    column: &ColumnInfo,
    value: Value<'_>,
    hash: impl FnOnce(&[u8]) -> R,
) -> R {
    let mut room = [0; LONGEST];
    let mut rest = room.as_mut_slice();
    // Writing into enough room cannot fail.
    let _ = match value {
        Value::Text(text) => return hash(text.as_bytes()),
        Value::Bytes(bytes) => return hash(bytes),
        Value::Boolean(value) => write!(rest, "{value}"),
        Value::Integer(value) => write!(rest, "{value}"),
        Value::Unsigned(value) => write!(rest, "{value}"),
        Value::Float(0.0) => write!(rest, "0"),
        Value::Float(value) if column.logical == "float4" => write!(rest, "{}", value as f32),
        Value::Float(value) => write!(rest, "{value}"),
    };
    let length = LONGEST - rest.len();
    hash(room.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use offtake_sdk::Kind;

    fn text(logical: &str, value: Value<'_>) -> String {
        let column = ColumnInfo { kind: Kind::Text, ..ColumnInfo::new("c", logical) };
        canonical(&column, value, |bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn every_kind_has_one_text() {
        for (logical, value, expected) in [
            ("text", Value::Text(" Zoë "), " Zoë "),
            ("bytes", Value::Bytes(b"\\x00"), "\\x00"),
            ("bool", Value::Boolean(true), "true"),
            ("int8", Value::Integer(i64::MIN), "-9223372036854775808"),
            ("uint8", Value::Unsigned(u64::MAX), "18446744073709551615"),
            ("float8", Value::Float(0.1), "0.1"),
            ("float8", Value::Float(-0.0), "0"),
            ("float8", Value::Float(f64::NAN), "NaN"),
            ("float8", Value::Float(f64::NEG_INFINITY), "-inf"),
            ("float4", Value::Float(f64::from(0.1_f32)), "0.1"),
            ("float8", Value::Float(f64::from(0.1_f32)), "0.10000000149011612"),
        ] {
            assert_eq!(text(logical, value), expected, "{logical}");
        }
    }

    #[test]
    fn the_longest_floats_have_room() {
        for value in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, -5e-324] {
            let text = text("float8", Value::Float(value));
            assert_eq!(text.parse(), Ok(value));
            assert!(text.len() < LONGEST, "{}", text.len());
        }
    }
}
