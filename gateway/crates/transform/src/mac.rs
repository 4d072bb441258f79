//! HMAC-SHA-256 (RFC 2104), with which the cache recognises its own files.

use sha2::{Digest, Sha256};

const BLOCK: usize = 64;

/// Bytes of an authentication code, and of the key.
pub(crate) const MAC_BYTES: usize = 32;

/// The code of `parts`, one after the other.
pub(crate) fn hmac_sha256(key: &[u8; MAC_BYTES], parts: &[&[u8]]) -> [u8; MAC_BYTES] {
    let mut inner_pad = [0x36_u8; BLOCK];
    let mut outer_pad = [0x5c_u8; BLOCK];
    for (at, byte) in key.iter().enumerate() {
        inner_pad[at] ^= byte;
        outer_pad[at] ^= byte;
    }
    let mut inner = Sha256::new_with_prefix(inner_pad);
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new_with_prefix(outer_pad);
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// Compares without telling by its time where the difference is.
pub(crate) fn equal(a: &[u8; MAC_BYTES], b: &[u8; MAC_BYTES]) -> bool {
    a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_the_one_of_the_standard() {
        // RFC 4231 test case 2; a short key is padded with zeros.
        let mut key = [0; MAC_BYTES];
        key[..4].copy_from_slice(b"Jefe");
        let mac = hmac_sha256(&key, &[b"what do ya want ", b"for nothing?"]);
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(&mac), expected);
        let mut other = mac;
        assert!(equal(&mac, &other));
        other[31] ^= 1;
        assert!(!equal(&mac, &other));
    }
}
