//! Decimals: from PostgreSQL's digits to an unscaled number in big-endian two's complement, the
//! form that Kafka Connect gives them.
//!
//! Digits come from the canonical text; what is no decimal is left to the caller. Numbers of up to
//! 38 digits, nearly all of them, take no memory but the stack.

/// Digits of a decimal's text, sign apart.
#[derive(Clone, Copy)]
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

/// Gives the unscaled value of a decimal of a scale; `None`: the text is none.
pub(super) fn with_scaled<R>(
    text: &[u8],
    scale: i32,
    scratch: &mut Vec<u8>,
    take: impl FnOnce(&[u8]) -> R,
) -> Option<R> {
    scaled(digits(text)?, scale, scratch, take)
}

/// Gives scale and unscaled value of a decimal with as many digits after the point as it needs.
pub(super) fn with_variable<R>(
    text: &[u8],
    scratch: &mut Vec<u8>,
    take: impl FnOnce(i32, &[u8]) -> R,
) -> Option<R> {
    let mut digits = digits(text)?;
    digits.fraction = without_zeros(digits.fraction);
    let scale = i32::try_from(digits.fraction.len()).ok()?;
    scaled(digits, scale, scratch, |value| take(scale, value))
}

/// Gives the unscaled value of an amount of money, rounded half up to a scale.
pub(super) fn with_money<R>(text: &[u8], scale: i32, take: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let mut plain = [0; MONEY_BYTES];
    let plain = plain_money(text, &mut plain)?;
    let digits = digits(plain)?;
    let places = usize::try_from(scale).ok()?;
    let kept = digits.fraction.get(..places).unwrap_or(digits.fraction);
    if digits.integer.len() + places.max(kept.len()) > SMALL_DIGITS - 1 {
        return None;
    }
    let mut value = number(digits.integer.iter().chain(kept));
    value *= 10i128.pow((places - kept.len()) as u32);
    let up = digits.fraction.get(places).is_some_and(|&digit| digit >= b'5');
    value += i128::from(up);
    let value = if digits.negative { -value } else { value };
    Some(take(minimal(&value.to_be_bytes())))
}

/// Writes a decimal's text with exactly `scale` digits after the point; `None`: it has more, or is
/// no decimal.
pub(super) fn scaled_text(text: &[u8], scale: i32, out: &mut Vec<u8>) -> Option<()> {
    let Digits { negative, integer, fraction } = digits(text)?;
    let scale = usize::try_from(scale).ok()?;
    // Without a scale of its own a column takes any.
    if scale > 0 && without_zeros(fraction).len() > scale {
        return None;
    }
    out.clear();
    if negative {
        out.push(b'-');
    }
    out.extend_from_slice(integer);
    let kept = fraction.get(..fraction.len().min(scale.max(without_zeros(fraction).len())))?;
    if scale > 0 || !kept.is_empty() {
        out.push(b'.');
        out.extend_from_slice(kept);
        out.extend(std::iter::repeat_n(b'0', scale.saturating_sub(kept.len())));
    }
    Some(())
}

/// Room for an amount of money as a plain number.
pub(super) const MONEY_BYTES: usize = 40;

/// `$1,234.11`, `-$1,234.11` and `($1,234.11)` as `1234.11` and `-1234.11`.
pub(super) fn plain_money<'b>(text: &[u8], plain: &'b mut [u8; MONEY_BYTES]) -> Option<&'b [u8]> {
    let mut len = 0;
    let mut keep = |byte| {
        *plain.get_mut(len)? = byte;
        len += 1;
        Some(())
    };
    if matches!(text.first(), Some(b'-' | b'(')) {
        keep(b'-')?;
    }
    for &byte in text {
        match byte {
            b'0'..=b'9' | b'.' => keep(byte)?,
            b'-' | b'(' | b')' | b',' | b'$' => {}
            _ => return None,
        }
    }
    plain.get(..len)
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let len = digits.iter().rposition(|&byte| byte != b'0').map_or(0, |last| last + 1);
    digits.get(..len).unwrap_or_default()
}

/// Digits that surely fit in 127 bits.
const SMALL_DIGITS: usize = 38;
/// Digits that surely fit in 63 bits.
const WORD_DIGITS: usize = 18;

fn scaled<R>(
    digits: Digits<'_>,
    scale: i32,
    scratch: &mut Vec<u8>,
    take: impl FnOnce(&[u8]) -> R,
) -> Option<R> {
    let scale = usize::try_from(scale).ok()?;
    let Digits { negative, integer, fraction } = digits;
    if fraction.len() > scale && without_zeros(fraction).len() > scale {
        return None;
    }
    let kept = fraction.get(..scale).unwrap_or(fraction);
    let missing = scale - kept.len();
    let all = integer.len() + scale;
    if all <= WORD_DIGITS {
        let fold = |value, &byte: &u8| value * 10 + i64::from(byte - b'0');
        let value = kept.iter().fold(integer.iter().fold(0, fold), fold);
        let value = value * 10i64.pow(missing as u32);
        let value = if negative { -value } else { value };
        return Some(take(minimal(&value.to_be_bytes())));
    }
    if all <= SMALL_DIGITS {
        let value = number(integer.iter().chain(kept)) * 10i128.pow(missing as u32);
        let value = if negative { -value } else { value };
        return Some(take(minimal(&value.to_be_bytes())));
    }
    scratch.clear();
    scratch.extend_from_slice(integer);
    scratch.extend_from_slice(kept);
    scratch.extend(std::iter::repeat_n(b'0', missing));
    Some(take(minimal(&large(negative, scratch))))
}

/// The number of at most 38 digits.
fn number<'a>(digits: impl Iterator<Item = &'a u8>) -> i128 {
    digits.fold(0, |value, &byte| value * 10 + i128::from(byte - b'0'))
}

/// The fewest bytes that still show the sign, as Java's `BigInteger.toByteArray`.
#[inline]
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

/// Appends an unscaled value of a scale as `BigDecimal.toString` writes it: plainly, unless it is
/// smaller than a millionth.
pub(super) fn put_java_text(out: &mut Vec<u8>, unscaled: &[u8], scale: i32) {
    let negative = unscaled.first().is_some_and(|&byte| byte >= 0x80);
    let digits = decimal_digits(unscaled, negative);
    if negative {
        out.push(b'-');
    }
    let scale = usize::try_from(scale).unwrap_or(0);
    let exponent = digits.len() as i64 - 1 - scale as i64;
    if scale == 0 {
        out.extend_from_slice(&digits);
    } else if exponent >= -6 {
        let padding = (scale + 1).saturating_sub(digits.len());
        let padded = [vec![b'0'; padding], digits].concat();
        let (integer, fraction) = padded.split_at(padded.len() - scale);
        out.extend_from_slice(integer);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else {
        let (first, rest) = digits.split_at(1);
        out.extend_from_slice(first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        out.push(b'E');
        crate::json::put_integer(out, exponent);
    }
}

/// The digits of the magnitude of a number in two's complement. Square in their number: it is for
/// keys in headers, where a long decimal is a curiosity.
fn decimal_digits(bytes: &[u8], negative: bool) -> Vec<u8> {
    let mut magnitude: Vec<u8> = bytes.to_vec();
    if negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            let (negated, overflow) = (!*byte).overflowing_add(carry.into());
            *byte = negated;
            carry = overflow;
        }
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|&byte| byte != 0) {
        let mut rest = 0u32;
        for byte in &mut magnitude {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 10) as u8;
            rest = value % 10;
        }
        digits.push(b'0' + rest as u8);
    }
    if digits.is_empty() {
        digits.push(b'0');
    }
    digits.reverse();
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str, scale: i32) -> Option<Vec<u8>> {
        with_scaled(text.as_bytes(), scale, &mut Vec::new(), <[u8]>::to_vec)
    }

    #[test]
    fn the_peers_values_hold() {
        assert_eq!(decimal("1.1", 2), Some(vec![110]));
        assert_eq!(decimal("1.10", 2), Some(vec![110]));
        let variable = |text: &str| {
            let take = |scale, value: &[u8]| (scale, value.to_vec());
            with_variable(text.as_bytes(), &mut Vec::new(), take)
        };
        assert_eq!(variable("10.1111"), Some((4, vec![1, 138, 247])));
        assert_eq!(variable("100"), Some((0, vec![100])));
        assert_eq!(variable("0.000"), Some((0, vec![0])));
    }

    #[test]
    fn money_is_rounded_half_up() {
        let money = |text: &str, scale| with_money(text.as_bytes(), scale, <[u8]>::to_vec);
        for (text, expected) in
            [("$1,234.11", 123_411i32), ("-$1,234.11", -123_411), ("($0.01)", -1), ("5", 500)]
        {
            let bytes = expected.to_be_bytes();
            assert_eq!(money(text, 2).as_deref(), Some(minimal(&bytes)), "{text}");
        }
        assert_eq!(money("1234.50", 0), Some(1235i16.to_be_bytes().to_vec()));
        assert_eq!(money("-1234.50", 0), Some((-1235i16).to_be_bytes().to_vec()));
        assert_eq!(money("1234.49", 0), Some(1234i16.to_be_bytes().to_vec()));
        assert_eq!(money("0.01", 4), Some(vec![100]));
        for text in ["", "-", "1.2.3", "12 €"] {
            assert_eq!(money(text, 2), None, "{text}");
        }
    }

    #[test]
    fn text_is_javas() {
        let written = |unscaled: &[u8], scale| {
            let mut out = Vec::new();
            put_java_text(&mut out, unscaled, scale);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&[0, 200], 2), "2.00");
        assert_eq!(written(&[0xff], 3), "-0.001");
        assert_eq!(written(&[1], 6), "0.000001");
        assert_eq!(written(&[12], 8), "1.2E-7");
        assert_eq!(written(&[0], 0), "0");
        assert_eq!(written(&[0x80], 0), "-128");
        assert_eq!(written(&[1, 0, 0, 0, 0, 0, 0, 0, 0], 0), "18446744073709551616");
    }

    #[test]
    fn signs_and_zero_take_the_fewest_bytes() {
        for (text, expected) in [
            ("0", &[0][..]),
            ("-0", &[0]),
            ("-1", &[0xff]),
            ("127", &[0x7f]),
            ("128", &[0, 0x80]),
            ("-128", &[0x80]),
            ("-129", &[0xff, 0x7f]),
        ] {
            assert_eq!(decimal(text, 0).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn every_width_agrees_with_the_widest() {
        for digits in [
            "1",
            "999999999999999999",
            "1000000000000000000",
            "99999999999999999999999999999999999999",
            "4294967296",
            "123456789012345678901234",
        ] {
            for negative in [false, true] {
                let text = format!("{}{digits}", if negative { "-" } else { "" });
                let large = large(negative, digits.as_bytes());
                assert_eq!(decimal(&text, 0).as_deref(), Some(minimal(&large)), "{text}");
            }
        }
        // 2^128
        let mut expected = vec![1];
        expected.extend([0; 16]);
        assert_eq!(decimal("340282366920938463463374607431768211456", 0), Some(expected));
    }

    #[test]
    fn what_is_no_decimal_of_the_scale_is_refused() {
        for text in ["", "-", ".", "1e5", "NaN", "Infinity", "1.2.3", "****", "1.234"] {
            assert_eq!(decimal(text, 2), None, "{text}");
        }
        assert_eq!(decimal("1.230", 2), decimal("1.23", 2));
    }
}
