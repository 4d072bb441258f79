//! Values that Debezium writes in a shape of their own: bit strings, points, key-value stores.
//!
//! As in the neighbouring modules, `false` and nothing written means that the text is not of the
//! type's grammar.

use crate::json;

/// `bit(1)`: a boolean.
pub(super) fn put_bit(out: &mut Vec<u8>, text: &[u8]) -> bool {
    match text {
        b"0" => out.extend_from_slice(b"false"),
        b"1" => out.extend_from_slice(b"true"),
        _ => return false,
    }
    true
}

/// `io.debezium.data.Bits`: little-endian bytes, as many as the highest set bit needs.
pub(super) fn put_bits(out: &mut Vec<u8>, text: &[u8], scratch: &mut Vec<u8>) -> bool {
    if !text.iter().all(|byte| matches!(byte, b'0' | b'1')) {
        return false;
    }
    scratch.clear();
    for chunk in text.rchunks(8) {
        scratch.push(chunk.iter().fold(0, |byte, &bit| byte << 1 | (bit - b'0')));
    }
    while scratch.last() == Some(&0) {
        scratch.pop();
    }
    json::put_base64(out, scratch);
    true
}

/// `io.debezium.data.geometry.Point` from `(x,y)`, well-known binary included.
pub(super) fn put_point(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let Some((x, y)) = point(text) else { return false };
    let mut wkb = [0; 21];
    // Little-endian, type 1 (point), two doubles.
    let (head, coordinates) = wkb.split_at_mut(5);
    head.copy_from_slice(&[1, 1, 0, 0, 0]);
    let (first, second) = coordinates.split_at_mut(8);
    first.copy_from_slice(&x.to_le_bytes());
    second.copy_from_slice(&y.to_le_bytes());
    out.extend_from_slice(b"{\"x\":");
    json::put_double(out, x);
    out.extend_from_slice(b",\"y\":");
    json::put_double(out, y);
    out.extend_from_slice(b",\"wkb\":");
    json::put_base64(out, &wkb);
    out.extend_from_slice(b",\"srid\":null}");
    true
}

fn point(text: &[u8]) -> Option<(f64, f64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (x, y) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    Some((x.parse().ok()?, y.parse().ok()?))
}

/// `hstore` as JSON text: `"a"=>"1", "b"=>NULL` becomes the string `{"a":"1","b":null}`.
pub(super) fn put_hstore(out: &mut Vec<u8>, text: &[u8], scratch: &mut Vec<u8>) -> bool {
    scratch.clear();
    if hstore(text, scratch).is_none() {
        return false;
    }
    json::put_string(out, scratch);
    true
}

fn hstore(text: &[u8], json: &mut Vec<u8>) -> Option<()> {
    let mut rest = text;
    json.push(b'{');
    while !rest.is_empty() {
        if json.len() > 1 {
            json.push(b',');
            rest = rest.strip_prefix(b", ")?;
        }
        rest = quoted(rest, json)?.strip_prefix(b"=>")?;
        json.push(b':');
        rest = match rest.strip_prefix(b"NULL") {
            Some(rest) => {
                json.extend_from_slice(b"null");
                rest
            }
            None => quoted(rest, json)?,
        };
    }
    json.push(b'}');
    Some(())
}

/// Copies a quoted text, with hstore's escapes taken off and JSON's put on.
fn quoted<'a>(text: &'a [u8], json: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    json.push(b'"');
    loop {
        let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (plain, special) = rest.split_at(at);
        json::put_escaped(json, plain);
        match special {
            [b'"', after @ ..] => {
                json.push(b'"');
                return Some(after);
            }
            [b'\\', escaped, after @ ..] => {
                json::put_escaped(json, std::slice::from_ref(escaped));
                rest = after;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_little_endian_and_sized_to_content() {
        let bits = |text: &str| {
            let mut out = Vec::new();
            put_bits(&mut out, text.as_bytes(), &mut Vec::new())
                .then(|| String::from_utf8(out).unwrap())
        };
        let high = format!("1{}", "0".repeat(63));
        assert_eq!(bits(&high).as_deref(), Some("\"AAAAAAAAAIA=\""));
        assert_eq!(bits("11").as_deref(), Some("\"Aw==\""));
        assert_eq!(bits("00000000").as_deref(), Some("\"\""));
        assert_eq!(bits("0102"), None);
    }

    #[test]
    fn a_point_has_its_binary_form() {
        let mut out = Vec::new();
        assert!(put_point(&mut out, b"(1,1)"));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"x":1.0,"y":1.0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAPA/","srid":null}"#
        );
        assert!(!put_point(&mut Vec::new(), b"(1;1)"));
    }

    #[test]
    fn a_key_value_store_is_json_text() {
        let hstore = |text: &str| {
            let mut out = Vec::new();
            put_hstore(&mut out, text.as_bytes(), &mut Vec::new())
                .then(|| serde_json::from_slice::<String>(&out).unwrap())
        };
        assert_eq!(hstore("").as_deref(), Some("{}"));
        assert_eq!(
            hstore(r#""key4"=>"val4", "key5"=>NULL"#).as_deref(),
            Some(r#"{"key4":"val4","key5":null}"#)
        );
        assert_eq!(
            hstore(r#""a\"b\\c"=>"1 => \"2\"""#).as_deref(),
            Some(r#"{"a\"b\\c":"1 => \"2\""}"#)
        );
        for text in ["\"a\"", "a=>b", "\"a\"=>\"b", "\"a\"=>\"b\"x", "\"a\"=>\"b\\"] {
            assert_eq!(hstore(text), None, "{text}");
        }
    }
}
