//! Decimals in Kafka Connect's encoding: the unscaled value as big-endian two's complement, in
//! base64. Digits come from the canonical text; what is no decimal is left to the caller.

use crate::json;

/// Digits of a decimal's text, sign apart.
struct Digits<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
}

fn digits(text: &[u8]) -> Option<Digits<'_>> {
    let (negative, number) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        (b'+', rest) => (false, rest),
        _ => (false, text),
    };
    let point = number.iter().position(|&byte| byte == b'.');
    let (integer, fraction) = match point {
        Some(at) => (number.get(..at)?, number.get(at + 1..)?),
        None => (number, &[][..]),
    };
    let mut all = integer.iter().chain(fraction);
    if integer.len() + fraction.len() == 0 || !all.all(u8::is_ascii_digit) {
        return None;
    }
    Some(Digits { negative, integer, fraction })
}

/// Appends `org.apache.kafka.connect.data.Decimal` of a scale: a base64 string. `false`, and
/// nothing written, where the text is no decimal of that scale.
pub(super) fn put_decimal(
    out: &mut Vec<u8>,
    text: &[u8],
    scale: i32,
    scratch: &mut Vec<u8>,
) -> bool {
    let Some(digits) = digits(text) else { return false };
    put_scaled(out, &digits, scale, scratch)
}

/// Appends `io.debezium.data.VariableScaleDecimal`: the scale that the text has, without trailing
/// zeros. `false`, and nothing written, where the text is no decimal.
pub(super) fn put_variable(out: &mut Vec<u8>, text: &[u8], scratch: &mut Vec<u8>) -> bool {
    let Some(mut digits) = digits(text) else { return false };
    digits.fraction = digits.fraction.trim_suffix_zeros();
    let scale = digits.fraction.len();
    out.extend_from_slice(b"{\"scale\":");
    json::put_integer(out, scale);
    out.extend_from_slice(b",\"value\":");
    // The scale was taken from the text, so it fits.
    put_scaled(out, &digits, i32::try_from(scale).unwrap_or(i32::MAX), scratch);
    out.push(b'}');
    true
}

/// Appends an amount of money, a decimal of scale 2, from `$1,234.11` or `1234.11`.
pub(super) fn put_money(out: &mut Vec<u8>, text: &[u8], scratch: &mut Vec<u8>) -> bool {
    let mut plain = [0; 32];
    let mut len = 0;
    for &byte in text.iter().filter(|&&byte| byte != b'$' && byte != b',') {
        match plain.get_mut(len) {
            Some(slot) => *slot = byte,
            None => return false,
        }
        len += 1;
    }
    put_decimal(out, plain.get(..len).unwrap_or_default(), 2, scratch)
}

trait TrimZeros {
    fn trim_suffix_zeros(&self) -> &Self;
}

impl TrimZeros for [u8] {
    fn trim_suffix_zeros(&self) -> &[u8] {
        let len = self.iter().rposition(|&byte| byte != b'0').map_or(0, |last| last + 1);
        self.get(..len).unwrap_or_default()
    }
}

fn put_scaled(out: &mut Vec<u8>, digits: &Digits<'_>, scale: i32, scratch: &mut Vec<u8>) -> bool {
    scratch.clear();
    scratch.extend_from_slice(digits.integer);
    if let Ok(scale) = usize::try_from(scale) {
        let fraction = digits.fraction;
        if fraction.trim_suffix_zeros().len() > scale {
            return false;
        }
        let kept = fraction.get(..scale).unwrap_or(fraction);
        scratch.extend_from_slice(kept);
        scratch.extend(std::iter::repeat_n(b'0', scale - kept.len()));
    } else {
        // A negative scale counts in hundreds, thousands and so on: those digits are zeros.
        let drop = scale.unsigned_abs() as usize;
        if digits.fraction.iter().any(|&byte| byte != b'0') {
            return false;
        }
        let keep = scratch.len().saturating_sub(drop);
        if scratch.get(keep..).unwrap_or_default().iter().any(|&byte| byte != b'0') {
            return false;
        }
        scratch.truncate(keep);
    }
    put_unscaled(out, digits.negative, scratch);
    true
}

/// Digits that surely fit in 127 bits.
const SMALL_DIGITS: usize = 38;

fn put_unscaled(out: &mut Vec<u8>, negative: bool, digits: &[u8]) {
    if digits.len() <= SMALL_DIGITS {
        let value = digits.iter().fold(0i128, |value, &byte| value * 10 + i128::from(byte - b'0'));
        let value = if negative { -value } else { value };
        let bytes = value.to_be_bytes();
        json::put_base64(out, minimal(&bytes));
    } else {
        json::put_base64(out, minimal(&large(negative, digits)));
    }
}

/// The fewest bytes that still show the sign, as Java's `BigInteger.toByteArray`.
fn minimal(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest
        && let Some(second) = tail.first()
        && ((*first == 0 && *second < 0x80) || (*first == 0xff && *second >= 0x80))
    {
        rest = tail;
    }
    rest
}

/// Two's complement of any number of digits. Square in their number, which PostgreSQL bounds at
/// 147,455; rows with that many are rare enough that the allocation does not matter.
fn large(negative: bool, digits: &[u8]) -> Vec<u8> {
    let mut limbs: Vec<u32> = Vec::with_capacity(digits.len() / 9 + 2);
    for chunk in digits.chunks(9) {
        let value = chunk.iter().fold(0u64, |value, &byte| value * 10 + u64::from(byte - b'0'));
        let mut carry = value;
        let factor = 10u64.pow(chunk.len() as u32);
        for limb in &mut limbs {
            let product = u64::from(*limb) * factor + carry;
            *limb = product as u32;
            carry = product >> 32;
        }
        if carry != 0 {
            limbs.push(carry as u32);
        }
    }
    limbs.push(0);
    if negative {
        let mut carry = true;
        for limb in &mut limbs {
            let (negated, overflow) = (!*limb).overflowing_add(carry.into());
            *limb = negated;
            carry = overflow;
        }
    }
    limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str, scale: i32) -> Option<String> {
        let mut out = Vec::new();
        put_decimal(&mut out, text.as_bytes(), scale, &mut Vec::new())
            .then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_peers_values_hold() {
        assert_eq!(decimal("1.1", 2).as_deref(), Some("\"bg==\""));
        assert_eq!(decimal("1.10", 2).as_deref(), Some("\"bg==\""));
        let mut out = Vec::new();
        assert!(put_variable(&mut out, b"10.1111", &mut Vec::new()));
        assert_eq!(out, b"{\"scale\":4,\"value\":\"AYr3\"}");
        for (text, expected) in [("$1,234.11", "\"AeIT\""), ("-$1,234.11", "\"/h3t\"")] {
            let mut out = Vec::new();
            assert!(put_money(&mut out, text.as_bytes(), &mut Vec::new()));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn signs_and_zero_take_the_fewest_bytes() {
        for (text, expected) in [
            ("0", "\"AA==\""),
            ("-0", "\"AA==\""),
            ("-1", "\"/w==\""),
            ("127", "\"fw==\""),
            ("128", "\"AIA=\""),
            ("-128", "\"gA==\""),
            ("-129", "\"/38=\""),
        ] {
            assert_eq!(decimal(text, 0).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_large_path_agrees_with_the_small_one() {
        for digits in [
            "1",
            "99999999999999999999999999999999999999",
            "4294967296",
            "123456789012345678901234",
        ] {
            for negative in [false, true] {
                let value: i128 = digits.parse().unwrap();
                let value = if negative { -value } else { value };
                let bytes = value.to_be_bytes();
                let large = large(negative, digits.as_bytes());
                assert_eq!(minimal(&large), minimal(&bytes), "{digits} {negative}");
            }
        }
        // 2^128
        let bytes = large(false, b"340282366920938463463374607431768211456");
        let mut expected = vec![1];
        expected.extend([0; 16]);
        assert_eq!(minimal(&bytes), expected);
    }

    #[test]
    fn what_is_no_decimal_of_the_scale_is_refused() {
        for text in ["", "-", ".", "1e5", "NaN", "Infinity", "1.2.3", "****", "1.234"] {
            assert_eq!(decimal(text, 2), None, "{text}");
        }
        assert_eq!(decimal("1.230", 2), decimal("1.23", 2));
        assert_eq!(decimal("12300", -2), decimal("123", 0));
        assert_eq!(decimal("12345", -2), None);
    }
}
