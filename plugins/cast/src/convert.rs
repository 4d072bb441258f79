//! One value to another type, exactly or not at all.

use std::fmt::Write;

use offtake_sdk::{Json, Value};

use crate::number::{self, Number};
use crate::target::{Source, Target};
use crate::{floating, temporal};

/// Why a value has no counterpart in the new type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Its text is not one of the type.
    Grammar,
    /// It is too large or too small, or one of the values that the type lacks.
    Range,
    /// Digits would be lost.
    Digits,
    /// It has too many characters.
    Length,
}

impl Misfit {
    /// In words that a type's name follows.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Misfit::Grammar => "is not written as those of the type",
            Misfit::Range => "is beyond the range of the type",
            Misfit::Digits => "has digits that would be lost in the type",
            Misfit::Length => "is longer than the type",
        }
    }
}

/// A converted value.
#[derive(Debug, PartialEq)]
pub(crate) enum Converted {
    Value(Value<'static>),
    /// What was appended to the text.
    Text,
    Bytes(Vec<u8>),
}

/// Converts a value of a type that the target takes. Texts are appended to `out`.
pub(crate) fn convert(
    value: Value<'_>,
    source: &Source,
    target: &Target,
    out: &mut String,
) -> Result<Converted, Misfit> {
    match *target {
        Target::Boolean => boolean(value).map(|it| Converted::Value(Value::Boolean(it))),
        Target::Integer(bits) => {
            integer(value, bits).map(|it| Converted::Value(Value::Integer(it)))
        }
        Target::Float { is_single } => {
            float(value, is_single).map(|it| Converted::Value(Value::Float(it)))
        }
        Target::Decimal(size) => decimal(value, source, size, out).map(|()| Converted::Text),
        Target::Text | Target::Varchar(None) => {
            put_text(out, value, source);
            Ok(Converted::Text)
        }
        Target::Varchar(Some(most)) => {
            put_text(out, value, source);
            let is_long = out.chars().nth(most as usize).is_some();
            if is_long { Err(Misfit::Length) } else { Ok(Converted::Text) }
        }
        Target::Bytes => match value {
            Value::Text(text) => bytes(text).map(Converted::Bytes).ok_or(Misfit::Grammar),
            Value::Bytes(bytes) => Ok(Converted::Bytes(bytes.to_vec())),
            _ => Err(Misfit::Grammar),
        },
        Target::Date | Target::Time(_) | Target::Timestamp(_) | Target::TimestampTz(_) => {
            temporal::put(out, text_of(&value)?, source, target).map(|()| Converted::Text)
        }
        Target::Uuid => put_uuid(out, text_of(&value)?).map(|()| Converted::Text),
        Target::Json | Target::Jsonb => {
            let text = text_of(&value)?;
            // What a column of JSON holds is JSON.
            if *source != Source::Json && Json::parse(text).is_err() {
                return Err(Misfit::Grammar);
            }
            out.push_str(text);
            Ok(Converted::Text)
        }
    }
}

/// What the gateway sends of a column that travels as text.
fn text_of<'v>(value: &Value<'v>) -> Result<&'v str, Misfit> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(Misfit::Grammar),
    }
}

fn boolean(value: Value<'_>) -> Result<bool, Misfit> {
    match value {
        Value::Boolean(value) => Ok(value),
        Value::Integer(0) | Value::Unsigned(0) => Ok(false),
        Value::Integer(1) | Value::Unsigned(1) => Ok(true),
        Value::Integer(_) | Value::Unsigned(_) => Err(Misfit::Range),
        Value::Text(text) => {
            let is = |names: &[&str]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
            if is(&["true", "t", "yes", "y", "on", "1"]) {
                Ok(true)
            } else if is(&["false", "f", "no", "n", "off", "0"]) {
                Ok(false)
            } else {
                Err(Misfit::Grammar)
            }
        }
        _ => Err(Misfit::Grammar),
    }
}

fn integer(value: Value<'_>, bits: u32) -> Result<i64, Misfit> {
    let whole = match value {
        Value::Boolean(value) => i128::from(value),
        Value::Integer(value) => i128::from(value),
        Value::Unsigned(value) => i128::from(value),
        Value::Float(value) if !value.is_finite() => return Err(Misfit::Range),
        Value::Float(value) if value.fract() != 0.0 => return Err(Misfit::Digits),
        Value::Float(value) => floating::to_integer(value).ok_or(Misfit::Range)?,
        Value::Text(text) => match number::read(text).ok_or(Misfit::Grammar)? {
            Number::Finite(decimal) if decimal.has_finer_digits(0) => return Err(Misfit::Digits),
            Number::Finite(decimal) => decimal.to_integer().ok_or(Misfit::Range)?,
            _ => return Err(Misfit::Range),
        },
        Value::Bytes(_) => return Err(Misfit::Grammar),
    };
    let most = i64::MAX >> 64_u32.saturating_sub(bits);
    match i64::try_from(whole) {
        Ok(whole) if (-most - 1..=most).contains(&whole) => Ok(whole),
        _ => Err(Misfit::Range),
    }
}

fn float(value: Value<'_>, is_single: bool) -> Result<f64, Misfit> {
    let float = match value {
        Value::Integer(value) => floating::of_integer(value.into(), is_single),
        Value::Unsigned(value) => floating::of_integer(value.into(), is_single),
        Value::Float(value) if is_single => floating::to_single(value),
        Value::Float(value) => Some(value),
        Value::Text(text) => {
            let number = number::read(text).ok_or(Misfit::Grammar)?;
            floating::of_number(&number, text, is_single)
        }
        Value::Boolean(_) | Value::Bytes(_) => return Err(Misfit::Grammar),
    };
    float.ok_or(Misfit::Digits)
}

fn decimal(
    value: Value<'_>,
    source: &Source,
    size: Option<(u32, u32)>,
    out: &mut String,
) -> Result<(), Misfit> {
    let number = match value {
        Value::Integer(value) => number::of_integer(value.into()),
        Value::Unsigned(value) => number::of_integer(value.into()),
        Value::Float(value) => {
            let mut text = String::new();
            floating::put(&mut text, value, *source == Source::Float { is_single: true });
            number::read(&text).ok_or(Misfit::Grammar)?
        }
        Value::Text(text) => number::read(text).ok_or(Misfit::Grammar)?,
        Value::Boolean(_) | Value::Bytes(_) => return Err(Misfit::Grammar),
    };
    let decimal = match number {
        Number::Nan => {
            out.push_str("NaN");
            return Ok(());
        }
        // With a precision the type has no infinity.
        Number::Infinite { .. } if size.is_some() => return Err(Misfit::Range),
        Number::Infinite { is_negative } => {
            out.push_str(if is_negative { "-Infinity" } else { "Infinity" });
            return Ok(());
        }
        Number::Finite(decimal) => decimal,
    };
    match size {
        None if !decimal.fits() => return Err(Misfit::Range),
        Some((precision, scale)) if !decimal.fits_before_point(precision, scale) => {
            return Err(Misfit::Range);
        }
        Some((_, scale)) if decimal.has_finer_digits(scale) => return Err(Misfit::Digits),
        _ => {}
    }
    decimal.put(out, size.map(|(_, scale)| scale));
    Ok(())
}

fn put_text(out: &mut String, value: Value<'_>, source: &Source) {
    // Writing to a text cannot fail.
    let _ = match value {
        Value::Boolean(value) => write!(out, "{value}"),
        Value::Integer(value) => write!(out, "{value}"),
        Value::Unsigned(value) => write!(out, "{value}"),
        Value::Float(value) => {
            floating::put(out, value, *source == Source::Float { is_single: true });
            Ok(())
        }
        Value::Text(text) => out.write_str(text),
        Value::Bytes(bytes) => {
            out.push_str("\\x");
            bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
        }
    };
}

/// `\x` and two hexadecimal digits a byte, as PostgreSQL writes them.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.strip_prefix("\\x")?.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let byte = |&[high, low]: &[u8; 2]| u8::try_from(nibble(high)? << 4 | nibble(low)?).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// 32 hexadecimal digits in five groups; capitals become small letters.
fn put_uuid(out: &mut String, text: &str) -> Result<(), Misfit> {
    let is_uuid = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if !is_uuid {
        return Err(Misfit::Grammar);
    }
    out.extend(text.chars().map(|digit| digit.to_ascii_lowercase()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use offtake_sdk::ColumnInfo;

    use super::*;

    /// A text column's value cast to a type, as text again.
    fn cast(value: Value<'_>, from: &str, to: &str) -> Result<String, Misfit> {
        let source = Source::of(&ColumnInfo::new("c", from));
        let target = Target::parse(to).expect("it is a type");
        assert!(target.takes(&source), "{from} to {to}");
        let mut out = String::new();
        let converted = convert(value, &source, &target, &mut out)?;
        Ok(match converted {
            Converted::Text => out,
            Converted::Value(value) => format!("{value:?}"),
            Converted::Bytes(bytes) => format!("{bytes:?}"),
        })
    }

    fn text(text: &str, to: &str) -> Result<String, Misfit> {
        cast(Value::Text(text), "text", to)
    }

    #[test]
    fn integers_are_exact_to_their_ends() {
        assert_eq!(
            text("9223372036854775807", "int8").unwrap(),
            format!("{:?}", Value::Integer(i64::MAX))
        );
        assert_eq!(
            text("-9223372036854775808.00", "int8").unwrap(),
            format!("{:?}", Value::Integer(i64::MIN))
        );
        assert_eq!(text("9223372036854775808", "int8"), Err(Misfit::Range));
        assert_eq!(text("32767", "int2").unwrap(), "Integer(32767)");
        assert_eq!(text("32768", "int2"), Err(Misfit::Range));
        assert_eq!(text("-32769", "int2"), Err(Misfit::Range));
        assert_eq!(text("1.5", "int4"), Err(Misfit::Digits));
        assert_eq!(text("", "int4"), Err(Misfit::Grammar));
        assert_eq!(text("NaN", "int4"), Err(Misfit::Range));
        assert_eq!(cast(Value::Integer(i64::MIN), "int8", "text").unwrap(), i64::MIN.to_string());
        assert_eq!(
            cast(Value::Unsigned(u64::MAX), "uint8", "decimal(20,0)").unwrap(),
            u64::MAX.to_string()
        );
        assert_eq!(cast(Value::Unsigned(u64::MAX), "uint8", "int8"), Err(Misfit::Range));
        assert_eq!(cast(Value::Float(2.5), "float8", "int4"), Err(Misfit::Digits));
        assert_eq!(cast(Value::Float(-0.0), "float8", "int4").unwrap(), "Integer(0)");
    }

    #[test]
    fn decimals_keep_every_digit_or_are_refused() {
        let long = "12345678901234567890.123456789012345678";
        assert_eq!(cast(Value::Text(long), "decimal(38,18)", "text").unwrap(), long);
        assert_eq!(text(long, "decimal(38,18)").unwrap(), long);
        assert_eq!(text(long, "decimal(38,17)"), Err(Misfit::Digits));
        assert_eq!(text(long, "decimal(37,18)"), Err(Misfit::Range));
        assert_eq!(text("12.5", "decimal(12,2)").unwrap(), "12.50");
        assert_eq!(text("NaN", "decimal(12,2)").unwrap(), "NaN");
        assert_eq!(text("-Infinity", "decimal").unwrap(), "-Infinity");
        assert_eq!(text("Infinity", "decimal(12,2)"), Err(Misfit::Range));
        assert_eq!(cast(Value::Float(0.1), "float8", "decimal(12,2)").unwrap(), "0.10");
        assert_eq!(cast(Value::Text("0.1"), "decimal", "float8").unwrap(), "Float(0.1)");
        assert_eq!(cast(Value::Text(long), "decimal(38,18)", "float8"), Err(Misfit::Digits));
        assert_eq!(cast(Value::Text("NaN"), "decimal", "float8").unwrap(), "Float(NaN)");
    }

    #[test]
    fn booleans_are_only_what_says_so() {
        for (given, expected) in [("TRUE", "true"), ("t", "true"), ("off", "false"), ("0", "false")]
        {
            assert_eq!(text(given, "bool").unwrap(), format!("Boolean({expected})"), "{given}");
        }
        assert_eq!(text("2", "bool"), Err(Misfit::Grammar));
        assert_eq!(cast(Value::Integer(2), "int4", "bool"), Err(Misfit::Range));
        assert_eq!(cast(Value::Integer(1), "int4", "bool").unwrap(), "Boolean(true)");
        assert_eq!(cast(Value::Boolean(true), "bool", "text").unwrap(), "true");
        assert_eq!(cast(Value::Boolean(true), "bool", "int2").unwrap(), "Integer(1)");
    }

    #[test]
    fn times_become_canonical_and_lose_nothing() {
        for (given, to, expected) in [
            ("2024-02-29T12:00:00+05:30", "timestamptz", Ok("2024-02-29 06:30:00+00")),
            ("2024-02-29 12:00:00", "timestamptz", Err(Misfit::Grammar)),
            ("2024-02-29 12:00:00Z", "timestamp", Err(Misfit::Grammar)),
            ("2024-02-29 12:00:00.500", "timestamp(3)", Ok("2024-02-29 12:00:00.5")),
            ("2024-02-29 12:00:00.5001", "timestamp(3)", Err(Misfit::Digits)),
            ("2024-02-29", "timestamp", Ok("2024-02-29 00:00:00")),
            ("infinity", "timestamptz(3)", Ok("infinity")),
            ("0044-03-15 BC", "date", Ok("0044-03-15 BC")),
            ("2023-02-29", "date", Err(Misfit::Grammar)),
            ("24:00:00", "time", Ok("24:00:00")),
            ("294276-12-31 23:59:59-01", "timestamptz", Err(Misfit::Range)),
        ] {
            assert_eq!(text(given, to), expected.map(str::to_owned), "{given} to {to}");
        }
        let timestamp = |given, to| cast(Value::Text(given), "timestamp", to);
        assert_eq!(timestamp("2024-02-29 00:00:00", "date").unwrap(), "2024-02-29");
        assert_eq!(timestamp("2024-02-29 00:00:00.1", "date"), Err(Misfit::Digits));
        assert_eq!(timestamp("-infinity", "date").unwrap(), "-infinity");
        let date = cast(Value::Text("2024-02-29"), "date", "timestamp");
        assert_eq!(date.unwrap(), "2024-02-29 00:00:00");
    }

    #[test]
    fn texts_bytes_and_the_rest_are_checked() {
        assert_eq!(text("añb", "varchar(3)").unwrap(), "añb");
        assert_eq!(text("añbc", "varchar(3)"), Err(Misfit::Length));
        assert_eq!(text("\\x00fF", "bytes").unwrap(), "[0, 255]");
        assert_eq!(text("00ff", "bytes"), Err(Misfit::Grammar));
        assert_eq!(cast(Value::Bytes(&[0, 255]), "bytes", "text").unwrap(), "\\x00ff");
        let uuid = "6F9619FF-8B86-D011-B42D-00C04FC964FF";
        assert_eq!(text(uuid, "uuid").unwrap(), uuid.to_lowercase());
        assert_eq!(text("6f9619ff", "uuid"), Err(Misfit::Grammar));
        assert_eq!(text("{\"a\": [1]}", "jsonb").unwrap(), "{\"a\": [1]}");
        assert_eq!(text("{a}", "json"), Err(Misfit::Grammar));
        assert_eq!(cast(Value::Text("{1,NULL}"), "list<int4>", "text").unwrap(), "{1,NULL}");
    }
}
