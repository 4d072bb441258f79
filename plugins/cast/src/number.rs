//! Decimal numbers of any size, exactly: read from text, compared, and written with a scale.

use std::fmt::Write;

/// A number as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Nan,
    Infinite { is_negative: bool },
    Finite(Decimal),
}

/// `digits` times ten to the power of `exponent`.
#[derive(Clone, Debug)]
pub(crate) struct Decimal {
    pub(crate) is_negative: bool,
    /// ASCII digits without zeros at either end; empty: zero.
    digits: String,
    exponent: i64,
    /// Digits after the point as it was written, which numbers keep in databases.
    written_scale: i64,
}

impl PartialEq for Decimal {
    /// Numbers are equal however they are written.
    fn eq(&self, other: &Decimal) -> bool {
        let is_zero = self.digits.is_empty() && other.digits.is_empty();
        let parts = |it: &Decimal| (it.is_negative, it.exponent);
        is_zero || (parts(self) == parts(other) && self.digits == other.digits)
    }
}

impl Eq for Decimal {}

/// Digits before and behind the point, at most: those of PostgreSQL's numeric.
const MOST_WHOLE: i64 = 131_072;
const MOST_FRACTION: i64 = 16_383;
/// Exponents beyond this are of no number that any type holds, nor of zero as people write it.
const MOST_EXPONENT: i64 = 1_000_000;

/// Reads a number: a sign, digits, a point, an exponent; `NaN`, `Infinity`, `inf` in any case.
pub(crate) fn read(text: &str) -> Option<Number> {
    let (is_negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..)?),
        Some(b'+') => (false, text.get(1..)?),
        _ => (false, text),
    };
    if ["infinity", "inf"].iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
        return Some(Number::Infinite { is_negative });
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(Number::Nan);
    }
    let (mantissa, power) = match unsigned.find(['e', 'E']) {
        Some(at) => (unsigned.get(..at)?, power(unsigned.get(at + 1..)?)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let written_scale = fraction.len() as i64 - power;
    let mut digits = String::with_capacity(whole.len() + fraction.len());
    digits.push_str(whole);
    digits.push_str(fraction);
    let kept = digits.trim_end_matches('0').len();
    let exponent = (digits.len() - kept) as i64 - written_scale;
    digits.truncate(kept);
    let digits = digits.trim_start_matches('0').to_owned();
    let is_negative = is_negative && !digits.is_empty();
    Some(Number::Finite(Decimal { is_negative, digits, exponent, written_scale }))
}

fn power(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::MAX).min(MOST_EXPONENT);
    Some(if text.starts_with('-') { -size } else { size })
}

impl Decimal {
    /// Digits before the point, without zeros in front.
    fn whole_digits(&self) -> i64 {
        if self.digits.is_empty() { 0 } else { self.digits.len() as i64 + self.exponent }
    }

    /// Digits after the point that are needed.
    fn needed_scale(&self) -> i64 {
        if self.digits.is_empty() { 0 } else { (-self.exponent).max(0) }
    }

    /// The number where it is whole and fits.
    pub(crate) fn to_integer(&self) -> Option<i128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        if self.needed_scale() > 0 || self.whole_digits() > 38 {
            return None;
        }
        let digits: i128 = self.digits.parse().ok()?;
        let size = digits.checked_mul(10_i128.checked_pow(u32::try_from(self.exponent).ok()?)?)?;
        Some(if self.is_negative { -size } else { size })
    }

    /// Whether it has digits behind the point that a scale has no room for.
    pub(crate) fn has_finer_digits(&self, scale: u32) -> bool {
        self.needed_scale() > i64::from(scale)
    }

    /// Whether a precision has room for its digits before the point.
    pub(crate) fn fits_before_point(&self, precision: u32, scale: u32) -> bool {
        self.whole_digits() <= i64::from(precision) - i64::from(scale)
    }

    /// Whether a column without precision can hold it.
    pub(crate) fn fits(&self) -> bool {
        self.whole_digits() <= MOST_WHOLE && self.scale() <= MOST_FRACTION
    }

    /// Digits after the point as it was written.
    fn scale(&self) -> i64 {
        self.written_scale.max(self.needed_scale())
    }

    /// Writes it in plain digits: with the scale given, which has room, or as it was written.
    pub(crate) fn put(&self, out: &mut String, scale: Option<u32>) {
        let scale = scale.map_or(self.scale().max(0), i64::from);
        if self.is_negative {
            out.push('-');
        }
        let whole = self.whole_digits();
        if whole <= 0 {
            out.push('0');
        } else {
            let most = usize::try_from(whole).unwrap_or(usize::MAX).min(self.digits.len());
            out.push_str(&self.digits[..most]);
            push_zeros(out, whole - most as i64);
        }
        if scale == 0 {
            return;
        }
        out.push('.');
        let leading = if self.digits.is_empty() { scale } else { (-whole).max(0) };
        push_zeros(out, leading);
        let from = usize::try_from(whole.max(0)).unwrap_or(usize::MAX).min(self.digits.len());
        let rest = &self.digits[from..];
        out.push_str(rest);
        push_zeros(out, scale - leading - rest.len() as i64);
    }
}

fn push_zeros(out: &mut String, count: i64) {
    for _ in 0..count {
        out.push('0');
    }
}

/// An integer as a decimal.
pub(crate) fn of_integer(value: i128) -> Number {
    let mut text = String::with_capacity(40);
    // Writing to a text cannot fail, and an integer is a number.
    let _ = write!(text, "{value}");
    read(&text).unwrap_or(Number::Nan)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finite(text: &str) -> Decimal {
        match read(text) {
            Some(Number::Finite(decimal)) => decimal,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn numbers_are_read_and_written_plainly() {
        for (text, plain) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("007", "7"),
            ("+1.50", "1.50"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e3", "1000"),
            ("1.50e1", "15.0"),
            ("1.5e-3", "0.0015"),
            ("-12E+2", "-1200"),
            ("9223372036854775807", "9223372036854775807"),
            ("0.000000000000000001", "0.000000000000000001"),
            ("12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
        ] {
            let mut written = String::new();
            finite(text).put(&mut written, None);
            assert_eq!(written, plain, "{text}");
        }
        for bad in ["", "-", ".", "e5", "1e", "1e+", "1_0", " 1", "1 ", "0x10", "--1", "1.2.3", "١"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read("nan"), Some(Number::Nan));
        assert_eq!(read("-inf"), Some(Number::Infinite { is_negative: true }));
    }

    #[test]
    fn a_scale_is_filled_with_zeros() {
        for (text, scale, plain) in [
            ("0", 2, "0.00"),
            ("12.5", 2, "12.50"),
            ("-0.005", 3, "-0.005"),
            ("1e2", 1, "100.0"),
            ("12.50", 1, "12.5"),
            ("3.000", 0, "3"),
        ] {
            let number = finite(text);
            assert!(!number.has_finer_digits(scale), "{text}");
            let mut written = String::new();
            number.put(&mut written, Some(scale));
            assert_eq!(written, plain, "{text}");
        }
        assert!(finite("12.505").has_finer_digits(2));
        assert!(
            finite("999.99").fits_before_point(5, 2) && !finite("1000").fits_before_point(5, 2)
        );
    }

    #[test]
    fn exponents_beyond_reason_cost_nothing_and_fit_nothing() {
        for text in ["1e999999999999999999999", "1e-999999999999999999999", "1e131072"] {
            let number = finite(text);
            assert!(!number.fits() && number.to_integer().is_none(), "{text}");
        }
        assert_eq!(finite("0e999999999999").to_integer(), Some(0));
    }

    proptest! {
        #[test]
        fn integers_come_back(value: i64, zeros in 0_usize..5) {
            let text = format!("{value}.{}", "0".repeat(zeros));
            prop_assert_eq!(finite(&text).to_integer(), Some(i128::from(value)));
            prop_assert_eq!(&Number::Finite(finite(&text)), &of_integer(i128::from(value)));
        }

        #[test]
        fn plain_decimals_keep_every_digit(text in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,30})?") {
            let mut written = String::new();
            finite(&text).put(&mut written, None);
            let is_zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
            prop_assert_eq!(written.as_str(), if is_zero { text.trim_start_matches('-') } else { &text });
        }
    }
}
