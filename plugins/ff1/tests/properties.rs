//! What holds of every key, radix, tweak and text, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use aes::{Aes128, Aes192, Aes256};
use fpe::ff1::{FF1, FlexibleNumeralString};
use offtake_plugin_ff1::{Error, Ff1, LARGEST_RADIX, LONGEST};
use proptest::prelude::*;

/// A radix, and digits of it that are neither too few nor too many.
fn text() -> impl Strategy<Value = (u32, Vec<u8>)> {
    let radix = prop_oneof![Just(10), Just(26), Just(36), Just(62), 2..=LARGEST_RADIX];
    radix.prop_flat_map(|radix| {
        let shortest = Ff1::new(&[0; 16], radix).unwrap().shortest();
        let digit = (0..radix).prop_map(|digit| digit as u8);
        (Just(radix), proptest::collection::vec(digit, shortest..=LONGEST))
    })
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![Just(16_usize), Just(24), Just(32)];
    length.prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length))
}

/// The same by the library's own numbers.
fn library(key: &[u8], radix: u32, tweak: &[u8], digits: &[u8]) -> Vec<u16> {
    let text: Vec<u16> = digits.iter().map(|&digit| u16::from(digit)).collect();
    let text = FlexibleNumeralString::from(text);
    match key.len() {
        16 => FF1::<Aes128>::new(key, radix).unwrap().encrypt(tweak, &text).unwrap().into(),
        24 => FF1::<Aes192>::new(key, radix).unwrap().encrypt(tweak, &text).unwrap().into(),
        _ => FF1::<Aes256>::new(key, radix).unwrap().encrypt(tweak, &text).unwrap().into(),
    }
}

proptest! {
    #[test]
    fn what_is_encrypted_is_decrypted(
        key in key(),
        (radix, digits) in text(),
        tweak in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let ff1 = Ff1::new(&key, radix).unwrap();
        let mut text = digits.clone();
        ff1.encrypt(&tweak, &mut text).unwrap();
        prop_assert_eq!(text.len(), digits.len());
        prop_assert!(text.iter().all(|&digit| u32::from(digit) < radix));
        ff1.decrypt(&tweak, &mut text).unwrap();
        prop_assert_eq!(text, digits);
    }

    #[test]
    fn our_numbers_give_what_the_library_s_own_give(
        key in key(),
        (radix, digits) in text(),
        tweak in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut text = digits.clone();
        Ff1::new(&key, radix).unwrap().encrypt(&tweak, &mut text).unwrap();
        let text: Vec<u16> = text.into_iter().map(u16::from).collect();
        prop_assert_eq!(text, library(&key, radix, &tweak, &digits));
    }

    #[test]
    fn another_key_or_tweak_gives_another_text(
        key in key(),
        digits in proptest::collection::vec(0_u8..10, 24),
        tweak in proptest::collection::vec(any::<u8>(), 0..32),
        bit in 0_usize..128,
    ) {
        let encrypted = |key: &[u8], tweak: &[u8]| {
            let mut text = digits.clone();
            Ff1::new(key, 10).unwrap().encrypt(tweak, &mut text).unwrap();
            text
        };
        let given = encrypted(&key, &tweak);
        let mut other = key.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(encrypted(&other, &tweak), given.clone());
        let longer = [&tweak[..], &[0]].concat();
        prop_assert_ne!(encrypted(&key, &longer), given);
    }
}

/// A permutation of all values of a length: no two texts share a token.
#[test]
fn no_two_texts_of_a_million_share_a_token() {
    let ff1 = Ff1::new(&[7; 16], 10).unwrap();
    let mut seen = HashSet::new();
    // Every 101st value, for the time's sake.
    for value in (0..1_000_000_u32).step_by(101) {
        let mut text = [0; 6];
        let mut rest = value;
        for digit in text.iter_mut().rev() {
            *digit = (rest % 10) as u8;
            rest /= 10;
        }
        ff1.encrypt(b"column", &mut text).unwrap();
        assert!(seen.insert(text), "{value}");
    }
}

/// The library computes the width of a half in floating point: it must be the exact one.
#[test]
fn the_width_of_a_half_in_bytes_is_exact() {
    for radix in 2..=LARGEST_RADIX {
        for digits in 1..=LONGEST.div_ceil(2) {
            let floating = (digits as f64 * f64::from(radix).log2() / 8.0).ceil() as usize;
            // The bytes of radix^digits - 1, by long multiplication.
            let mut largest = vec![0_u8; digits];
            for _ in 0..digits {
                let mut carry = radix - 1;
                for byte in largest.iter_mut().rev() {
                    let sum = u32::from(*byte) * radix + carry;
                    *byte = sum as u8;
                    carry = sum >> 8;
                }
                assert_eq!(carry, 0);
            }
            let exact = digits - largest.iter().take_while(|&&byte| byte == 0).count();
            assert_eq!(floating, exact, "{digits} digits of radix {radix}");
        }
    }
}

#[test]
fn what_cannot_be_encrypted_is_refused_and_left_as_it_is() {
    for bytes in [0, 1, 15, 17, 31, 33, 64] {
        assert_eq!(Ff1::new(&vec![0; bytes], 10).err(), Some(Error::KeyLength(bytes)));
    }
    for radix in [0, 1, 257, 65_536, u32::MAX] {
        assert_eq!(Ff1::new(&[0; 16], radix).err(), Some(Error::Radix(radix)));
    }
    let ff1 = Ff1::new(&[0; 16], 10).unwrap();
    let refused = |digits: &[u8]| {
        let mut text = digits.to_vec();
        let encrypted = ff1.encrypt(b"", &mut text).unwrap_err();
        assert_eq!(ff1.decrypt(b"", &mut text), Err(encrypted));
        assert_eq!(text, digits);
        encrypted
    };
    assert_eq!(refused(&[]), Error::TooShort);
    assert_eq!(refused(&[1; 5]), Error::TooShort);
    assert_eq!(refused(&[1, 2, 3, 4, 5, 10]), Error::Digit);
    assert_eq!(refused(&[255; 200]), Error::Digit);
    assert_eq!(refused(&[9; LONGEST + 1]), Error::TooLong);
    let mut longest = [9; LONGEST];
    assert_eq!(ff1.encrypt(b"", &mut longest), Ok(()));
}

#[test]
fn errors_say_what_is_wrong() {
    assert_eq!(Error::KeyLength(5).to_string(), "a key of 5 bytes, where AES takes 16, 24 or 32");
    assert_eq!(Error::Radix(1).to_string(), "a radix of 1, not of 2 to 256");
    assert_eq!(Error::TooLong.to_string(), "more than 128 digits");
}
