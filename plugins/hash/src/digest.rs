//! The computation: HMAC-SHA-256 (RFC 2104, FIPS 198-1) of a value, and of what it belongs to.
//!
//! With the scope `column` the input is `schema NUL table NUL column NUL value`; names in a
//! database have no NUL, so no two columns share an input. With `global` it is the value alone.

use hmac::{Hmac, KeyInit, Mac};
use offtake_plugin_keys::Key;
use offtake_sdk::{ColumnInfo, Schema, Value};
use sha2::Sha256;

use crate::canonical::canonical;

/// Bytes of a digest.
pub(crate) const BYTES: usize = 32;

/// A digest.
pub(crate) type Digest = [u8; BYTES];

/// Which values have comparable digests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scope {
    /// Those of the same column of the same table.
    Column,
    /// All that are hashed with the same key.
    Global,
}

/// A key, ready to hash.
pub(crate) struct Keyed {
    mac: Hmac<Sha256>,
    scope: Scope,
}

impl Keyed {
    /// Takes a key of any length.
    pub(crate) fn new(key: &Key, scope: Scope) -> Keyed {
        Keyed { mac: keyed(key.bytes()), scope }
    }

    /// Ready for values of one column.
    pub(crate) fn of_column(&self, schema: &Schema, column: &ColumnInfo) -> KeyedColumn {
        let mut mac = self.mac.clone();
        if self.scope == Scope::Column {
            for name in [&schema.namespace, &schema.table, &column.name] {
                mac.update(name.as_bytes());
                mac.update(&[0]);
            }
        }
        KeyedColumn { mac }
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// A key that has read what comes before every value of a column.
pub(crate) struct KeyedColumn {
    mac: Hmac<Sha256>,
}

impl KeyedColumn {
    /// The digest of a value.
    pub(crate) fn digest(&self, column: &ColumnInfo, value: Value<'_>) -> Digest {
        let mut mac = self.mac.clone();
        canonical(column, value, |text| mac.update(text));
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        base16ct::lower::encode_string(bytes)
    }

    fn column(name: &str) -> ColumnInfo {
        ColumnInfo::new(name, "text")
    }

    fn schema(namespace: &str, table: &str) -> Schema {
        Schema::new(namespace, table, Vec::new(), &[])
    }

    fn digest(key: &[u8], scope: Scope, at: (&str, &str, &str), value: Value<'_>) -> String {
        let keyed = Keyed { mac: keyed(key), scope };
        let (schema, column) = (schema(at.0, at.1), column(at.2));
        hex(&keyed.of_column(&schema, &column).digest(&column, value))
    }

    /// All test cases of RFC 4231, section 4: key, data, HMAC-SHA-256. Case 5 is truncated there.
    #[test]
    fn the_vectors_of_rfc_4231_hold() {
        let counted: Vec<u8> = (1..=25).collect();
        let cases: [(&[u8], &[u8], &str); 7] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &counted,
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
            (&[0x0c; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &[0xaa; 131],
                b"This is a test using a larger than block-size key and a larger than block-size \
                  data. The key needs to be hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (number, (key, data, expected)) in (1..).zip(cases) {
            let digest = digest(key, Scope::Global, ("", "", ""), Value::Bytes(data));
            assert_eq!(digest.get(..expected.len()), Some(expected), "case {number}");
        }
    }

    #[test]
    fn a_column_s_scope_is_its_names_before_the_value() {
        let key = [7; 16];
        let by_scope = digest(&key, Scope::Column, ("public", "people", "email"), Value::Text("a"));
        let by_hand = Value::Bytes(b"public\0people\0email\0a");
        assert_eq!(by_scope, digest(&key, Scope::Global, ("", "", ""), by_hand));
    }

    #[test]
    fn columns_differ_by_scope_and_are_alike_without_one() {
        let key = [7; 16];
        let of = |scope, at| digest(&key, scope, at, Value::Text("ada@example.com"));
        let places = [
            ("public", "people", "email"),
            ("public", "people", "mail"),
            ("public", "orders", "email"),
            ("sales", "people", "email"),
        ];
        for place in &places[1..] {
            assert_ne!(of(Scope::Column, places[0]), of(Scope::Column, *place));
            assert_eq!(of(Scope::Global, places[0]), of(Scope::Global, *place));
        }
        let other = digest(&[8; 16], Scope::Global, places[0], Value::Text("ada@example.com"));
        assert_ne!(of(Scope::Global, places[0]), other);
    }
}
