//! The JSON document that a payload and further columns leave in.

use offtake_plugin_streams::put_text;
use offtake_sdk::{Json, Value};

/// Whether a text is a JSON object or array, so that it can stand in a document as it is. A text
/// that is a single number or word stays a text, as with Debezium.
pub(crate) fn is_document(text: &str) -> bool {
    text.starts_with(['{', '[']) && Json::parse(text).is_ok()
}

/// Appends a value: numbers and booleans as such, bytes in base64, all others as texts.
pub(crate) fn put_value(out: &mut String, value: Option<Value<'_>>) {
    match value {
        None => out.push_str("null"),
        Some(Value::Text(text)) => put_string(out, text),
        Some(Value::Bytes(bytes)) => {
            out.push('"');
            put_base64(out, bytes);
            out.push('"');
        }
        // JSON has no infinity.
        Some(Value::Float(value)) if !value.is_finite() => {
            out.push('"');
            put_text(out, Value::Float(value));
            out.push('"');
        }
        Some(other) => {
            put_text(out, other);
        }
    }
}

/// Appends a string with its quotes.
pub(crate) fn put_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                let code = control as u32;
                out.push_str("\\u00");
                for digit in [code >> 4, code & 15] {
                    out.push(char::from_digit(digit, 16).unwrap_or('0'));
                }
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Appends bytes in base64 with padding, as Kafka Connect writes them in JSON.
fn put_base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 63;
            let is_padding = place > group.len();
            out.push(if is_padding { '=' } else { char::from(ALPHABET[index as usize]) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: Option<Value<'_>>) -> String {
        let mut out = String::new();
        put_value(&mut out, value);
        out
    }

    #[test]
    fn values_are_written_by_their_kind() {
        assert_eq!(written(None), "null");
        assert_eq!(written(Some(Value::Boolean(false))), "false");
        assert_eq!(written(Some(Value::Integer(i64::MAX))), "9223372036854775807");
        assert_eq!(written(Some(Value::Float(-0.5))), "-0.5");
        assert_eq!(written(Some(Value::Float(f64::NAN))), "\"NaN\"");
        assert_eq!(written(Some(Value::Float(f64::INFINITY))), "\"Infinity\"");
        assert_eq!(written(Some(Value::Text("12.50"))), "\"12.50\"");
    }

    #[test]
    fn every_text_comes_back_as_it_was() {
        let every: String =
            (0_u32..0x250).filter_map(char::from_u32).chain("😀\u{2028}".chars()).collect();
        let written = written(Some(Value::Text(&every)));
        assert_eq!(Json::parse(&written), Ok(Json::Text(every)));
    }

    /// The vectors of RFC 4648, section 10.
    #[test]
    fn bytes_are_written_in_base64() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let written = written(Some(Value::Bytes(bytes.as_bytes())));
            assert_eq!(written, format!("\"{expected}\""));
        }
        assert_eq!(written(Some(Value::Bytes(&[0xfb, 0xff, 0xfe]))), "\"+//+\"");
    }

    #[test]
    fn only_objects_and_arrays_are_documents() {
        for good in ["{}", "[1, 2]", r#"{"a":{"b":null}}"#] {
            assert!(is_document(good), "{good}");
        }
        for other in ["", "1", "null", "\"a\"", "{", "{} x", " {}", "[1,]"] {
            assert!(!is_document(other), "{other}");
        }
    }
}
