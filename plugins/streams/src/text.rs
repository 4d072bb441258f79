//! Values as the text that names and headers have of them.

use std::fmt::Write;

use offtake_sdk::Value;

/// Appends a value as text; `false`: it has none, being bytes.
pub fn put_text(out: &mut String, value: Value<'_>) -> bool {
    let written = match value {
        Value::Text(text) => {
            out.push_str(text);
            Ok(())
        }
        Value::Boolean(value) => write!(out, "{value}"),
        Value::Integer(value) => write!(out, "{value}"),
        Value::Unsigned(value) => write!(out, "{value}"),
        Value::Float(value) if value.is_infinite() => {
            out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
            Ok(())
        }
        Value::Float(value) => write!(out, "{value}"),
        Value::Bytes(_) => return false,
    };
    // Writing to a text does not fail.
    written.is_ok()
}

/// A value as bytes: its text, or bytes as they are.
pub fn put_bytes(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Bytes(bytes) => out.extend_from_slice(bytes),
        other => {
            let mut text = String::new();
            put_text(&mut text, other);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_text_and_bytes_have_none() {
        let text = |value| {
            let mut out = String::new();
            put_text(&mut out, value).then_some(out)
        };
        assert_eq!(text(Value::Integer(i64::MIN)).as_deref(), Some("-9223372036854775808"));
        assert_eq!(text(Value::Unsigned(u64::MAX)).as_deref(), Some("18446744073709551615"));
        assert_eq!(text(Value::Float(0.5)).as_deref(), Some("0.5"));
        assert_eq!(text(Value::Float(f64::NEG_INFINITY)).as_deref(), Some("-Infinity"));
        assert_eq!(text(Value::Float(f64::NAN)).as_deref(), Some("NaN"));
        assert_eq!(text(Value::Boolean(true)).as_deref(), Some("true"));
        assert_eq!(text(Value::Text("é")).as_deref(), Some("é"));
        assert_eq!(text(Value::Bytes(b"a")), None);
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, Value::Bytes(&[0, 255]));
        put_bytes(&mut bytes, Value::Integer(7));
        assert_eq!(bytes, [0, 255, b'7']);
    }
}
