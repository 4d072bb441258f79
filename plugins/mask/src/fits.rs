//! Whether a constant of the configuration is a value of a column's type.
//!
//! The gateway checks every value that a plugin sets, but says so at the first change; this says it
//! with the table's definition. Types whose grammar is not known here (an enum's labels, those of
//! extensions) are left to the gateway.

use offtake_sdk::{ColumnInfo, Json, Kind};

use crate::logical::Logical;
use crate::value::Owned;

/// What is wrong with a constant; the text says what the type takes.
pub(crate) type Misfit = String;

/// The constant as a value of the column.
pub(crate) fn constant(column: &ColumnInfo, constant: &Json) -> Result<Owned, Misfit> {
    let wrong = |expected: &str| {
        Err(format!("`value` is {}, and the type takes {expected}", constant.describe()))
    };
    match (column.kind, constant) {
        (Kind::Boolean, Json::Boolean(value)) => Ok(Owned::Boolean(*value)),
        (Kind::Boolean, _) => wrong("true or false"),
        (Kind::Int64, Json::Number(number)) => integer(column, number).map(Owned::Integer),
        (Kind::Uint64, Json::Number(number)) => match number.parse() {
            Ok(value) => Ok(Owned::Unsigned(value)),
            Err(_) => Err(format!("`value` must be a whole number from 0 to {}", u64::MAX)),
        },
        (Kind::Int64 | Kind::Uint64, _) => wrong("a whole number"),
        (Kind::Float64, Json::Number(number)) => float(column, number).map(Owned::Float),
        (Kind::Float64, _) => wrong("a number"),
        (Kind::Bytes, Json::Text(text)) => bytes(text).map(Owned::Bytes),
        (Kind::Bytes, _) => wrong("bytes as a text, as in \"\\\\x00ff\""),
        (Kind::Text, Json::Text(constant)) => {
            text(column, constant)?;
            Ok(Owned::Text(constant.clone().into()))
        }
        (Kind::Text, _) => wrong("a text: write it in quotes"),
    }
}

fn integer(column: &ColumnInfo, number: &str) -> Result<i64, Misfit> {
    let (least, most) = match column.logical.as_str() {
        "int1" => (i64::from(i8::MIN), i64::from(i8::MAX)),
        "int2" => (i64::from(i16::MIN), i64::from(i16::MAX)),
        "int4" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        "oid" => (0, i64::from(u32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    match number.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(format!("`value` must be a whole number from {least} to {most}")),
    }
}

fn float(column: &ColumnInfo, number: &str) -> Result<f64, Misfit> {
    match number.parse::<f64>() {
        Ok(value) if column.logical == "float4" && (value as f32).is_finite() => Ok(value),
        Ok(value) if column.logical != "float4" && value.is_finite() => Ok(value),
        _ => Err("`value` is beyond the type's range".to_owned()),
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, Misfit> {
    let wrong = || "`value` must be \\x and two hexadecimal digits a byte".to_owned();
    let digits = text.strip_prefix("\\x").ok_or_else(wrong)?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let byte = |&[high, low]: &[u8; 2]| u8::try_from(nibble(high)? << 4 | nibble(low)?).ok();
    match rest.is_empty() {
        true => pairs.iter().map(|pair| byte(pair).ok_or_else(wrong)).collect(),
        false => Err(wrong()),
    }
}

/// Judges a text against a type whose values are texts.
pub(crate) fn text(column: &ColumnInfo, text: &str) -> Result<(), Misfit> {
    let logical = Logical::of(&column.logical);
    if column.is_free_text() {
        let most = logical.first.and_then(|most| usize::try_from(most).ok());
        return match most {
            Some(most) if text.chars().count() > most => {
                Err(format!("`value` is longer than the {most} characters of the type"))
            }
            _ => Ok(()),
        };
    }
    let takes = match logical.base {
        "decimal" | "numeric" => return decimal(&logical, text),
        "uuid" if !is_like(text, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh") => {
            "32 hexadecimal digits in five groups"
        }
        "json" | "jsonb" if Json::parse(text).is_err() => "JSON",
        "list" if !(text.starts_with('{') && text.ends_with('}')) => {
            "a list as PostgreSQL writes it, as in {1,2}"
        }
        "date" if !is_date(text) => "a date, as in 1970-01-01",
        "time" if !is_time(text) => "a time, as in 00:00:00",
        "timetz" if !is_zoned(text, is_time) => "a time with a zone, as in 00:00:00+00",
        "timestamp" if !is_timestamp(text) => "a date and a time, as in 1970-01-01 00:00:00",
        "timestamptz" if !is_zoned(text, is_timestamp) => {
            "a date and a time with a zone, as in 1970-01-01 00:00:00+00"
        }
        "bit" | "varbit" if !is_bits(&logical, text) => "as many 0 and 1 as the type has bits",
        _ => return Ok(()),
    };
    Err(format!("`value` must be {takes}"))
}

fn decimal(logical: &Logical<'_>, text: &str) -> Result<(), Misfit> {
    let number = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || number.ends_with('.') {
        return Err("`value` must be a decimal number, as in 12.50".to_owned());
    }
    let Some(scale) = logical.scale() else { return Ok(()) };
    if fraction.len() != scale {
        return Err(format!("`value` must have {scale} digits after the point, as the type has"));
    }
    let precision = logical.first.and_then(|first| usize::try_from(first).ok());
    let whole = whole.trim_start_matches('0').len();
    let fits = match (precision, logical.second) {
        // A negative scale: the last digits are zeros that do not count.
        (Some(precision), Some(scale)) if scale < 0 => {
            let zeros = scale.unsigned_abs() as usize;
            whole == 0 || whole <= precision.saturating_add(zeros)
        }
        (Some(precision), _) => whole + scale <= precision,
        (None, _) => true,
    };
    if fits { Ok(()) } else { Err("`value` has more digits than the type".to_owned()) }
}

/// Whether a text has a pattern's form: `0` a digit, `h` a hexadecimal digit, others themselves.
fn is_like(text: &str, pattern: &str) -> bool {
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'h' => byte.is_ascii_hexdigit(),
            form => byte == form,
        })
}

fn number(text: &str, from: usize) -> u32 {
    text.get(from..from + 2).and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX)
}

fn is_date(text: &str) -> bool {
    let date = text.strip_suffix(" BC").unwrap_or(text);
    if matches!(text, "infinity" | "-infinity") {
        return true;
    }
    is_like(date, "0000-00-00")
        && (1..=12).contains(&number(date, 5))
        && (1..=31).contains(&number(date, 8))
}

fn is_time(text: &str) -> bool {
    let (time, fraction) = text.split_once('.').unwrap_or((text, "0"));
    is_like(time, "00:00:00")
        && number(time, 0) <= 24
        && number(time, 3) < 60
        && number(time, 6) < 60
        && (1..=6).contains(&fraction.len())
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_timestamp(text: &str) -> bool {
    match text.split_once(' ') {
        Some((date, time)) => is_date(date) && !date.ends_with("infinity") && is_time(time),
        None => matches!(text, "infinity" | "-infinity"),
    }
}

/// Whether a text is one of `form` with a zone behind it: `+00`, `-03:30`.
fn is_zoned(text: &str, form: fn(&str) -> bool) -> bool {
    if text.ends_with("infinity") {
        return form(text);
    }
    // The date's own minus signs are not the last sign.
    let Some(at) = text.rfind(['+', '-']) else { return false };
    let (Some(text), Some(zone)) = (text.get(..at), text.get(at + 1..)) else { return false };
    form(text) && (is_like(zone, "00") || is_like(zone, "00:00"))
}

fn is_bits(logical: &Logical<'_>, text: &str) -> bool {
    let length = logical.first.and_then(|length| usize::try_from(length).ok());
    text.bytes().all(|byte| matches!(byte, b'0' | b'1'))
        && match (logical.base, length) {
            (_, None) => true,
            ("bit", Some(length)) => text.len() == length,
            (_, Some(most)) => text.len() <= most,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind, logical: &str) -> ColumnInfo {
        let native = logical.to_owned();
        ColumnInfo { kind, native, ..ColumnInfo::new("c", logical) }
    }

    #[test]
    fn texts_are_judged_by_their_type() {
        for (logical, good, bad) in [
            ("text", "anything at all", None),
            ("varchar(3)", "añb", Some("abcd")),
            ("uuid", "6f9619ff-8b86-d011-b42d-00c04fc964ff", Some("6f9619ff")),
            ("decimal(4,2)", "-12.50", Some("123.50")),
            ("decimal(4,2)", "0.00", Some("0.0")),
            ("decimal(5,-3)", "12345000", Some("123456000")),
            ("decimal", "1.5", Some("1,5")),
            ("decimal", "0", Some("1.")),
            ("json", "{\"a\":[1]}", Some("{a}")),
            ("list<int4>", "{1,NULL}", Some("1,2")),
            ("date", "2024-02-29", Some("2024-13-01")),
            ("date", "0044-03-15 BC", Some("44-03-15")),
            ("time", "23:59:59.999999", Some("23:59")),
            ("timetz", "12:00:00-03:30", Some("12:00:00")),
            ("timestamp", "2024-02-29 12:00:00", Some("2024-02-29T12:00:00")),
            ("timestamptz", "2024-02-29 12:00:00.5+00", Some("2024-02-29 12:00:00")),
            ("timestamptz", "-infinity", Some("yesterday")),
            ("bit(3)", "010", Some("01")),
            ("varbit(3)", "01", Some("0101")),
            ("enum", "red", None),
        ] {
            let column = column(Kind::Text, logical);
            assert_eq!(text(&column, good), Ok(()), "{logical} {good}");
            if let Some(bad) = bad {
                let misfit = text(&column, bad).expect_err(logical);
                assert!(misfit.starts_with("`value` "), "{misfit}");
            }
        }
    }

    #[test]
    fn numbers_are_judged_by_their_range() {
        let fits = |kind, logical: &str, number: &str| {
            constant(&column(kind, logical), &Json::Number(number.to_owned())).is_ok()
        };
        assert!(fits(Kind::Int64, "int2", "-32768") && !fits(Kind::Int64, "int2", "32768"));
        assert!(fits(Kind::Int64, "int8", "9223372036854775807"));
        assert!(!fits(Kind::Int64, "int8", "9223372036854775808"));
        assert!(!fits(Kind::Int64, "int4", "1.5") && !fits(Kind::Int64, "oid", "-1"));
        assert!(fits(Kind::Uint64, "uint8", "18446744073709551615"));
        assert!(fits(Kind::Float64, "float4", "0.1") && !fits(Kind::Float64, "float4", "1e39"));
        assert!(fits(Kind::Float64, "float8", "1e39") && !fits(Kind::Float64, "float8", "1e309"));
    }

    #[test]
    fn bytes_are_written_in_hexadecimal() {
        let of = |text: &str| constant(&column(Kind::Bytes, "bytes"), &Json::Text(text.to_owned()));
        assert_eq!(of("\\x00fF"), Ok(Owned::Bytes(vec![0, 255])));
        assert_eq!(of("\\x"), Ok(Owned::Bytes(Vec::new())));
        for bad in ["00ff", "\\x0", "\\xgg", "\\xñ1"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_constant_of_another_kind_is_refused_with_both() {
        let misfit = |kind, logical: &str, json: Json| {
            constant(&column(kind, logical), &json).expect_err("it was accepted")
        };
        assert_eq!(
            misfit(Kind::Int64, "int4", Json::Text("1".to_owned())),
            "`value` is a string, and the type takes a whole number"
        );
        assert_eq!(
            misfit(Kind::Text, "decimal", Json::Number("1".to_owned())),
            "`value` is a number, and the type takes a text: write it in quotes"
        );
        assert_eq!(
            misfit(Kind::Boolean, "bool", Json::Number("1".to_owned())),
            "`value` is a number, and the type takes true or false"
        );
    }
}
