//! Numbers compared exactly: whole ones, floats, and decimals by their digits.
//!
//! A decimal never becomes a float. `NaN` equals itself and is greater than every other number, and
//! the infinities are at the ends, as PostgreSQL orders them.

use std::cmp::Ordering;

/// A number of a row or of the text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number<'a> {
    /// Signed and unsigned 64-bit integers both fit.
    Whole(i128),
    Float(f64),
    Decimal(&'a str),
}

/// Compares two numbers; `None`: a text is no decimal, or a float meets a decimal, which the
/// compiler refuses.
pub(crate) fn compare(left: Number<'_>, right: Number<'_>) -> Option<Ordering> {
    use Number::{Decimal, Float, Whole};
    match (left, right) {
        (Whole(left), Whole(right)) => Some(left.cmp(&right)),
        (Float(left), Float(right)) => Some(floats(left, right)),
        (Whole(left), Float(right)) => Some(whole_and_float(left, right)),
        (Float(left), Whole(right)) => Some(whole_and_float(right, left).reverse()),
        (Decimal(left), Decimal(right)) => Some(Digits::read(left)?.cmp(&Digits::read(right)?)),
        (Whole(left), Decimal(right)) => {
            let mut buffer = [0; WHOLE_DIGITS];
            Some(Digits::of_whole(left, &mut buffer).cmp(&Digits::read(right)?))
        }
        (Decimal(_), Whole(_)) => compare(right, left).map(Ordering::reverse),
        (Float(_), Decimal(_)) | (Decimal(_), Float(_)) => None,
    }
}

/// Whether a decimal without exponent is a whole number: `1.00`, but not `1.01`.
pub(crate) fn is_whole(decimal: &str) -> bool {
    decimal.split_once('.').is_none_or(|(_, fraction)| fraction.bytes().all(|digit| digit == b'0'))
}

fn floats(left: f64, right: f64) -> Ordering {
    left.partial_cmp(&right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
}

fn whole_and_float(whole: i128, float: f64) -> Ordering {
    /// 2^126: beyond every 64-bit integer, and far inside of 128 bits.
    const BEYOND: f64 = 85_070_591_730_234_615_865_843_651_857_942_052_864.0;
    if float.is_nan() || float >= BEYOND {
        return Ordering::Less;
    }
    if float <= -BEYOND {
        return Ordering::Greater;
    }
    let truncated = float.trunc();
    // Exact: the float is whole and fits.
    whole.cmp(&(truncated as i128)).then_with(|| floats(0.0, float - truncated))
}

/// A decimal in pieces, so that the derived order is the order of values: class, then magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digits<'a> {
    class: Class,
    /// Before the point, without leading zeros.
    whole: &'a [u8],
    /// Behind the point, without trailing zeros.
    fraction: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    MinusInfinity,
    Negative,
    Zero,
    Positive,
    Infinity,
    NotANumber,
}

/// Digits of 2^127.
const WHOLE_DIGITS: usize = 39;

impl<'a> Digits<'a> {
    fn read(text: &'a str) -> Option<Digits<'a>> {
        let alone = |class| Some(Digits { class, whole: &[], fraction: &[] });
        match text {
            "NaN" => return alone(Class::NotANumber),
            "Infinity" => return alone(Class::Infinity),
            "-Infinity" => return alone(Class::MinusInfinity),
            _ => {}
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let good = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if digits.is_empty() || !good(whole) || !good(fraction) {
            return None;
        }
        Some(Digits::of(negative, whole.as_bytes(), fraction.as_bytes()))
    }

    fn of(negative: bool, mut whole: &'a [u8], mut fraction: &'a [u8]) -> Digits<'a> {
        while let [b'0', rest @ ..] = whole {
            whole = rest;
        }
        while let [rest @ .., b'0'] = fraction {
            fraction = rest;
        }
        let class = match (whole.is_empty() && fraction.is_empty(), negative) {
            (true, _) => Class::Zero,
            (false, true) => Class::Negative,
            (false, false) => Class::Positive,
        };
        Digits { class, whole, fraction }
    }

    fn of_whole(value: i128, buffer: &'a mut [u8; WHOLE_DIGITS]) -> Digits<'a> {
        let mut rest = value.unsigned_abs();
        for digit in buffer.iter_mut().rev() {
            // A remainder by ten fits.
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Digits::of(value < 0, buffer, &[])
    }

    fn cmp(&self, other: &Digits<'_>) -> Ordering {
        self.class.cmp(&other.class).then_with(|| {
            let magnitude = self.whole.len().cmp(&other.whole.len());
            let magnitude = magnitude.then_with(|| self.whole.cmp(other.whole));
            let magnitude = magnitude.then_with(|| self.fraction.cmp(other.fraction));
            if self.class == Class::Negative { magnitude.reverse() } else { magnitude }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Number::{Decimal, Float, Whole};
    use super::*;

    /// Checks an ascending list, whose inner lists hold equal numbers, pair by pair.
    fn ascending(groups: &[&[Number<'_>]]) {
        for (i, left) in groups.iter().enumerate() {
            for (j, right) in groups.iter().enumerate() {
                for &a in *left {
                    for &b in *right {
                        assert_eq!(compare(a, b), Some(i.cmp(&j)), "{a:?} and {b:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn decimals_and_whole_numbers_are_ordered_by_value() {
        let beyond = i128::from(u64::MAX);
        ascending(&[
            &[Decimal("-Infinity")],
            &[Decimal("-100000000000000000000.5")],
            &[
                Whole(i64::MIN.into()),
                Decimal("-9223372036854775808"),
                Decimal("-9223372036854775808.000"),
            ],
            &[Decimal("-1.5"), Decimal("-1.50")],
            &[Whole(-1), Decimal("-1"), Decimal("-01.0")],
            &[Decimal("-0.1")],
            &[Whole(0), Decimal("0"), Decimal("-0.00"), Decimal("0.0"), Decimal(".0")],
            &[Decimal("0.000000000000000000000000000001")],
            &[Decimal("0.1"), Decimal("0.10")],
            &[Decimal("0.11")],
            &[Whole(9), Decimal("9")],
            &[Whole(10), Decimal("10.0")],
            &[Decimal("9223372036854775806.9")],
            &[Whole(i64::MAX.into()), Decimal("9223372036854775807")],
            &[Decimal("9223372036854775807.1")],
            &[Whole(beyond), Decimal("18446744073709551615")],
            &[Decimal("Infinity")],
            &[Decimal("NaN")],
        ]);
    }

    #[test]
    fn floats_and_whole_numbers_are_ordered_exactly() {
        // The nearest float to 2^63 - 1 is 2^63.
        ascending(&[
            &[Float(f64::NEG_INFINITY)],
            &[Float(-1e300)],
            &[Whole(i64::MIN.into()), Float(-9_223_372_036_854_775_808.0)],
            &[Float(-1.5)],
            &[Whole(-1), Float(-1.0)],
            &[Float(-0.5)],
            &[Whole(0), Float(0.0), Float(-0.0)],
            &[Float(0.5)],
            &[Whole(1), Float(1.0)],
            &[Whole(9_007_199_254_740_992), Float(9_007_199_254_740_992.0)],
            &[Whole(9_007_199_254_740_993)],
            &[Whole(i64::MAX.into())],
            &[Float(9_223_372_036_854_775_808.0)],
            &[Float(1e300)],
            &[Float(f64::INFINITY)],
            &[Float(f64::NAN)],
        ]);
    }

    #[test]
    fn what_is_no_decimal_and_a_decimal_beside_a_float_have_no_order() {
        for text in ["", "-", "1e5", "1,5", "one", "+1", "1.2.3", " 1"] {
            assert_eq!(compare(Decimal(text), Whole(1)), None, "{text:?}");
        }
        assert_eq!(compare(Decimal("1"), Float(1.0)), None);
        assert!(is_whole("1") && is_whole("-1.00") && !is_whole("1.01"));
    }
}
