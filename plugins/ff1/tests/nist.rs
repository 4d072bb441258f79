//! All sample vectors that NIST publishes for FF1: three of each key length
//! (<https://csrc.nist.gov/CSRC/media/Projects/Cryptographic-Standards-and-Guidelines/documents/examples/FF1samples.pdf>).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use offtake_plugin_ff1::Ff1;

const KEY_128: &str = "2b7e151628aed2a6abf7158809cf4f3c";
const KEY_192: &str = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f";
const KEY_256: &str = "2b7e151628aed2a6abf7158809cf4f3cef4359d8d580aa4f7f036d6f04fc6a94";

const NO_TWEAK: &str = "";
const DIGITS_TWEAK: &str = "39383736353433323130";
const LETTERS_TWEAK: &str = "3737373770717273373737";

/// Number, key, radix, tweak, plain text, cipher text.
const SAMPLES: [(u32, &str, u32, &str, &str, &str); 9] = [
    (1, KEY_128, 10, NO_TWEAK, "0123456789", "2433477484"),
    (2, KEY_128, 10, DIGITS_TWEAK, "0123456789", "6124200773"),
    (3, KEY_128, 36, LETTERS_TWEAK, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
    (4, KEY_192, 10, NO_TWEAK, "0123456789", "2830668132"),
    (5, KEY_192, 10, DIGITS_TWEAK, "0123456789", "2496655549"),
    (6, KEY_192, 36, LETTERS_TWEAK, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
    (7, KEY_256, 10, NO_TWEAK, "0123456789", "6657667009"),
    (8, KEY_256, 10, DIGITS_TWEAK, "0123456789", "1001623463"),
    (9, KEY_256, 36, LETTERS_TWEAK, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn digits(text: &str) -> Vec<u8> {
    text.chars().map(|digit| digit.to_digit(36).unwrap() as u8).collect()
}

#[test]
fn every_sample_is_encrypted_and_decrypted() {
    for (number, key, radix, tweak, plain, cipher) in SAMPLES {
        let ff1 = Ff1::new(&bytes(key), radix).unwrap();
        let mut text = digits(plain);
        ff1.encrypt(&bytes(tweak), &mut text).unwrap();
        assert_eq!(text, digits(cipher), "sample {number} encrypted");
        ff1.decrypt(&bytes(tweak), &mut text).unwrap();
        assert_eq!(text, digits(plain), "sample {number} decrypted");
    }
}
