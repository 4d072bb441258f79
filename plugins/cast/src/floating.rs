//! Floats: their text, and whether one is the very number that was given.

use std::fmt::Write;

use crate::number::{self, Number};

/// Writes a float as PostgreSQL does: the shortest digits that read back, plainly or with an
/// exponent.
pub(crate) fn put(out: &mut String, value: f64, is_single: bool) {
    if value.is_nan() {
        out.push_str("NaN");
        return;
    }
    if value.is_infinite() {
        out.push_str(if value < 0.0 { "-Infinity" } else { "Infinity" });
        return;
    }
    // 32-bit floats travel as 64-bit ones, exactly.
    let digits = if is_single { format!("{:e}", value as f32) } else { format!("{value:e}") };
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let plain = if is_single { -4..6 } else { -4..15 };
    // Writing to a text cannot fail.
    let _ = if plain.contains(&exponent) {
        if is_single { write!(out, "{}", value as f32) } else { write!(out, "{value}") }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs())
    };
}

/// The float that a number is, where there is one whose shortest text is that number.
pub(crate) fn of_number(number: &Number, text: &str, is_single: bool) -> Option<f64> {
    let value = match number {
        Number::Nan => return Some(f64::NAN),
        Number::Infinite { is_negative: true } => return Some(f64::NEG_INFINITY),
        Number::Infinite { is_negative: false } => return Some(f64::INFINITY),
        Number::Finite(_) if is_single => f64::from(text.parse::<f32>().ok()?),
        Number::Finite(_) => text.parse::<f64>().ok()?,
    };
    let mut shortest = String::new();
    put(&mut shortest, value, is_single);
    (number::read(&shortest).as_ref() == Some(number)).then_some(value)
}

/// The float that an integer is.
pub(crate) fn of_integer(value: i128, is_single: bool) -> Option<f64> {
    let float = if is_single { f64::from(value as f32) } else { value as f64 };
    (float as i128 == value).then_some(float)
}

/// The integer that a float is.
pub(crate) fn to_integer(value: f64) -> Option<i128> {
    // Beyond this no integer type reaches.
    let is_whole = value.is_finite() && value.fract() == 0.0 && value.abs() < 1e30;
    is_whole.then_some(value as i128)
}

/// The 32-bit float that a float is.
pub(crate) fn to_single(value: f64) -> Option<f64> {
    let single = f64::from(value as f32);
    (single == value || value.is_nan()).then_some(single)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_float_has_the_text_that_the_database_gives_it() {
        for (value, is_single, text) in [
            (0.0, false, "0"),
            (-0.0, false, "-0"),
            (0.1, false, "0.1"),
            (1e14, false, "100000000000000"),
            (1e15, false, "1e+15"),
            (123_456_789_012_345_678_i64 as f64, false, "1.2345678901234568e+17"),
            (0.0001, false, "0.0001"),
            (0.00001, false, "1e-05"),
            (5e-324, false, "5e-324"),
            (f64::MAX, false, "1.7976931348623157e+308"),
            (f64::NAN, false, "NaN"),
            (f64::NEG_INFINITY, true, "-Infinity"),
            (f64::from(0.1_f32), true, "0.1"),
            (999_999.0, true, "999999"),
            (1e6, true, "1e+06"),
        ] {
            let mut written = String::new();
            put(&mut written, value, is_single);
            assert_eq!(written, text);
        }
    }

    #[test]
    fn only_exact_floats_are_made() {
        let of = |text: &str, is_single| {
            of_number(&number::read(text).expect("a number"), text, is_single)
        };
        assert_eq!(of("0.1", false), Some(0.1));
        assert_eq!(of("0.10", true), Some(f64::from(0.1_f32)));
        assert_eq!(of("0.10000000149011612", true), None);
        assert_eq!(of("9007199254740993", false), None);
        assert_eq!(of("9007199254740992", false), Some(9_007_199_254_740_992.0));
        assert_eq!(of("1e400", false), None);
        assert_eq!(of("1e39", true), None);
        assert_eq!(of_integer((1 << 53) + 1, false), None);
        assert_eq!(of_integer((1 << 24) + 1, true), None);
        assert_eq!(of_integer(1 << 24, true), Some(16_777_216.0));
        assert_eq!(to_integer(-2.0), Some(-2));
        assert_eq!((to_integer(2.5), to_integer(f64::NAN), to_integer(1e300)), (None, None, None));
        assert_eq!((to_single(0.5), to_single(0.1), to_single(1e300)), (Some(0.5), None, None));
    }

    proptest! {
        #[test]
        fn every_float_comes_back_from_its_text(bits: u64, single: u32) {
            for (value, is_single) in
                [(f64::from_bits(bits), false), (f64::from(f32::from_bits(single)), true)]
            {
                let mut text = String::new();
                put(&mut text, value, is_single);
                let number = number::read(&text).expect("a number");
                let back = of_number(&number, &text, is_single).expect("the same float");
                prop_assert!(back == value || (back.is_nan() && value.is_nan()));
            }
        }
    }
}
