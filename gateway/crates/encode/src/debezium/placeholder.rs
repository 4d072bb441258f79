//! What stands for a large value that an update left alone, by type
//! (`UnchangedToastedPlaceholder`).

use md5::{Digest as _, Md5};

use super::convert::Encoding;
use super::options::BinaryHandling;
use super::types::Type;
use super::value::binary_text;
use crate::connect::Value;

/// The stand-in of a column; `None`: the peer has none that fits, and puts null.
pub(super) fn of(kind: &Type, encoding: &Encoding, option: &str) -> Option<Value> {
    let bytes = option_bytes(option);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match (kind, encoding) {
        (Type::Numeric(_), Encoding::DecimalText { .. }) => Some(Value::Text(text)),
        (Type::Bytes, Encoding::Bytes(mode)) => match mode {
            BinaryHandling::Bytes => Some(Value::Bytes(bytes)),
            BinaryHandling::Hex => Some(Value::Text(text)),
            BinaryHandling::Base64 | BinaryHandling::Base64UrlSafe => None,
        },
        (Type::Hstore, Encoding::HstoreText) => {
            let mut json = b"{".to_vec();
            crate::json::put_string(&mut json, text.as_bytes());
            json.push(b':');
            crate::json::put_string(&mut json, text.as_bytes());
            json.push(b'}');
            Some(Value::Text(String::from_utf8_lossy(&json).into_owned()))
        }
        (Type::Hstore, _) => Some(Value::Map(vec![(Value::Text(text.clone()), Value::Text(text))])),
        (Type::Array(element), Encoding::List(inner)) => of_array(element, inner, &bytes, text),
        (Type::Unknown(_), Encoding::List(_)) => Some(Value::Array(vec![Value::Text(text)])),
        (_, Encoding::Text) => Some(Value::Text(text)),
        _ => None,
    }
}

fn of_array(element: &Type, encoding: &Encoding, bytes: &[u8], text: String) -> Option<Value> {
    // The placeholder's bytes as Java has them, with a sign, one an element.
    let numbers = || {
        let number = |&byte: &u8| Value::Integer(byte.cast_signed().into());
        Value::Array(bytes.iter().map(number).collect())
    };
    let one = |value| Some(Value::Array(vec![value]));
    match (element, encoding) {
        (Type::Text | Type::Json, _) => one(Value::Text(text)),
        (Type::Bytes, Encoding::Bytes(BinaryHandling::Bytes)) => one(Value::Bytes(bytes.to_vec())),
        (Type::Bytes, Encoding::Bytes(mode)) => {
            let mut out = Vec::new();
            binary_text(*mode, bytes, &mut out);
            one(Value::Text(String::from_utf8_lossy(&out).into_owned()))
        }
        (Type::Int32 | Type::Int64, _) => Some(numbers()),
        (Type::Date, Encoding::Date { connect: false }) => Some(numbers()),
        (Type::Uuid, _) => one(Value::Text(name_uuid(bytes))),
        _ => None,
    }
}

/// The option's bytes: `hex:` begins bytes in hexadecimal, else it is text.
fn option_bytes(option: &str) -> Vec<u8> {
    let hex = option.strip_prefix("hex:").and_then(|hex| {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (pairs, []) = hex.as_bytes().as_chunks::<2>() else { return None };
        let byte = |&[high, low]: &[u8; 2]| Some((digit(high)? << 4 | digit(low)?) as u8);
        pairs.iter().map(byte).collect()
    });
    hex.unwrap_or_else(|| option.as_bytes().to_vec())
}

/// `java.util.UUID.nameUUIDFromBytes`: version 3 without a name space.
fn name_uuid(name: &[u8]) -> String {
    let mut digest: [u8; 16] = Md5::digest(name).into();
    digest[6] = digest[6] & 0x0f | 0x30;
    digest[8] = digest[8] & 0x3f | 0x80;
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    parts.map(|(from, to)| hex.get(from..to).unwrap_or_default()).join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_made_of_the_placeholder() {
        // Recorded from the peer.
        assert_eq!(
            name_uuid(b"__debezium_unavailable_value"),
            "b68a35a7-17ad-35b3-af2a-ae46edb4545a"
        );
        assert_eq!(name_uuid(b"gone"), "50c1f58b-e7f5-347e-8f53-d64c094783c2");
        assert_eq!(name_uuid(&[0, 255, 16]), "481e4551-ec03-3aad-a760-901cf52b1917");
    }

    #[test]
    fn a_placeholder_may_be_given_in_hexadecimal() {
        let bytes = Encoding::Bytes(BinaryHandling::Bytes);
        assert_eq!(of(&Type::Bytes, &bytes, "hex:00ff10"), Some(Value::Bytes(vec![0, 255, 16])));
        let list = Encoding::List(Box::new(Encoding::Scalar));
        let integers = Type::Array(Box::new(Type::Int32));
        let expected = [0, -1, 16].map(Value::Integer).to_vec();
        assert_eq!(of(&integers, &list, "hex:00ff10"), Some(Value::Array(expected)));
        assert_eq!(option_bytes("hex:0"), b"hex:0");
    }

    #[test]
    fn where_nothing_fits_there_is_none() {
        assert_eq!(of(&Type::Numeric(None), &Encoding::VariableDecimal, "gone"), None);
        let list = Encoding::List(Box::new(Encoding::Scalar));
        assert_eq!(of(&Type::Array(Box::new(Type::Float64)), &list, "gone"), None);
        assert_eq!(of(&Type::Bytes, &Encoding::Bytes(BinaryHandling::Base64), "gone"), None);
    }
}
