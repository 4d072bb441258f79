//! From text to numbers.

use crate::day::{Civil, days};
use crate::{Bounded, DAY, Moment, is_date};

/// Why a text is not the value that it was read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misread {
    /// It is not written so, or there is no such day or time.
    Grammar,
    /// It lies beyond what the type holds.
    Range,
    /// It has more than six digits of a second that are not zero.
    Precision,
}

/// Reads a date as days since 1970-01-01.
///
/// # Errors
/// It is none.
pub fn read_date(text: &str) -> Result<Bounded<i64>, Misread> {
    if let Some(bound) = infinity(text) {
        return Ok(bound);
    }
    let (text, is_before_christ) = era(text);
    let mut reader = Reader { rest: text.as_bytes() };
    let day = reader.day(is_before_christ)?;
    reader.end()?;
    if is_date(day) { Ok(Bounded::At(day)) } else { Err(Misread::Range) }
}

/// Reads a time of day without an offset as seconds, at most those of a whole day, and microseconds.
///
/// # Errors
/// It is none.
pub fn read_time(text: &str) -> Result<(u32, u32), Misread> {
    let mut reader = Reader { rest: text.as_bytes() };
    let clock = reader.clock(true)?;
    reader.end()?;
    Ok(clock)
}

/// Reads a timestamp as it stands on the wall, and its offset from UTC in seconds where it has one.
/// A date alone is its midnight.
///
/// # Errors
/// It is none.
pub fn read_timestamp(text: &str) -> Result<(Bounded<Moment>, Option<i32>), Misread> {
    if let Some(bound) = infinity(text) {
        return Ok((bound, None));
    }
    let (text, is_before_christ) = era(text);
    let mut reader = Reader { rest: text.as_bytes() };
    let day = reader.day(is_before_christ)?;
    let (mut clock, mut offset) = ((0, 0), None);
    if reader.eat(b' ') || reader.eat(b'T') {
        clock = reader.clock(false)?;
        if !reader.rest.is_empty() {
            offset = Some(reader.offset()?);
        }
    }
    reader.end()?;
    let (seconds, microseconds) = clock;
    let moment = Moment { seconds: day * DAY + i64::from(seconds), microseconds };
    if !moment.is_in_range() {
        return Err(Misread::Range);
    }
    Ok((Bounded::At(moment), offset))
}

/// Reads an offset from UTC, `+01`, `-03:30`, `+00:19:32` or `Z`, in seconds.
pub fn read_offset(text: &str) -> Option<i32> {
    let mut reader = Reader { rest: text.as_bytes() };
    let offset = reader.offset().ok()?;
    reader.end().ok()?;
    Some(offset)
}

fn infinity<T>(text: &str) -> Option<Bounded<T>> {
    match text {
        "infinity" => Some(Bounded::Future),
        "-infinity" => Some(Bounded::Past),
        _ => None,
    }
}

fn era(text: &str) -> (&str, bool) {
    match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn end(&self) -> Result<(), Misread> {
        if self.rest.is_empty() { Ok(()) } else { Err(Misread::Grammar) }
    }

    /// As many digits as there are, at most `most`: their value and number.
    fn digits(&mut self, most: usize) -> (u32, usize) {
        let (mut value, mut count) = (0, 0);
        while let [digit @ b'0'..=b'9', rest @ ..] = self.rest
            && count < most
        {
            value = value * 10 + u32::from(digit - b'0');
            count += 1;
            self.rest = rest;
        }
        (value, count)
    }

    fn two(&mut self, most: u32) -> Result<u32, Misread> {
        let (value, count) = self.digits(2);
        if count == 2 && value <= most { Ok(value) } else { Err(Misread::Grammar) }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Misread> {
        if self.eat(byte) { Ok(()) } else { Err(Misread::Grammar) }
    }

    /// `2026-11-22`.
    fn day(&mut self, is_before_christ: bool) -> Result<i64, Misread> {
        let (year, count) = self.digits(7);
        // There is no year 0: 1 BC is the year before 1.
        if count < 4 || year == 0 {
            return Err(Misread::Grammar);
        }
        let year = if is_before_christ { 1 - i64::from(year) } else { i64::from(year) };
        self.expect(b'-')?;
        let month = self.two(12)?;
        self.expect(b'-')?;
        let day = self.two(31)?;
        days(Civil { year, month, day }).ok_or(Misread::Grammar)
    }

    /// `18:00:00.123456`, with `to_midnight` also `24:00:00`: seconds and microseconds.
    fn clock(&mut self, to_midnight: bool) -> Result<(u32, u32), Misread> {
        let hour = self.two(24)?;
        self.expect(b':')?;
        let minute = self.two(59)?;
        self.expect(b':')?;
        let second = self.two(59)?;
        let seconds = hour * 3600 + minute * 60 + second;
        let mut microseconds = 0;
        if self.eat(b'.') {
            let (value, count) = self.digits(6);
            if count == 0 {
                return Err(Misread::Grammar);
            }
            microseconds = value * 10_u32.pow(6 - count as u32);
            while let [digit @ b'0'..=b'9', rest @ ..] = self.rest {
                if *digit != b'0' {
                    return Err(Misread::Precision);
                }
                self.rest = rest;
            }
        }
        let is_next_day = (seconds, microseconds) >= (DAY as u32, 0);
        let is_end_of_day = (seconds, microseconds) == (DAY as u32, 0);
        if is_next_day && !(to_midnight && is_end_of_day) {
            return Err(Misread::Grammar);
        }
        Ok((seconds, microseconds))
    }

    /// `Z`, `+01`, `+0130`, `-03:30`, `+00:19:32`.
    fn offset(&mut self) -> Result<i32, Misread> {
        if self.eat(b'Z') {
            return Ok(0);
        }
        let sign = match self.eat(b'+') {
            true => 1,
            false => {
                self.expect(b'-')?;
                -1
            }
        };
        // PostgreSQL takes offsets below 16 hours.
        let mut seconds = self.two(15)? * 3600;
        let is_pair = self.eat(b':');
        if is_pair || self.rest.first().is_some_and(u8::is_ascii_digit) {
            seconds += self.two(59)? * 60;
            if is_pair && self.eat(b':') {
                seconds += self.two(59)?;
            }
        }
        Ok(sign * seconds as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_with_and_without_offset() {
        for (text, seconds, microseconds, offset) in [
            ("1970-01-01 00:00:00", 0, 0, None),
            ("1970-01-01", 0, 0, None),
            ("1969-12-31T23:59:59.5Z", -1, 500_000, Some(0)),
            ("2024-02-29 12:00:00.000001+05:30", 1_709_208_000, 1, Some(19_800)),
            ("2024-02-29 12:00:00.120000000-03", 1_709_208_000, 120_000, Some(-10_800)),
            ("2024-02-29 12:00:00+0130", 1_709_208_000, 0, Some(5400)),
            ("0044-03-15 00:00:00+00 BC", -63_517_824_000, 0, Some(0)),
        ] {
            let (moment, read) = read_timestamp(text).expect(text);
            let expected = Bounded::At(Moment { seconds, microseconds });
            assert_eq!((moment, read), (expected, offset), "{text}");
        }
        assert_eq!(read_timestamp("infinity"), Ok((Bounded::Future, None)));
        assert_eq!(read_timestamp("-infinity"), Ok((Bounded::Past, None)));
    }

    #[test]
    fn what_is_no_timestamp_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", Misread::Grammar),
            ("yesterday", Misread::Grammar),
            ("2024-02-30 00:00:00", Misread::Grammar),
            ("2024-02-29 24:00:00", Misread::Grammar),
            ("2024-02-29 12:00", Misread::Grammar),
            ("2024-02-29 12:00:00.", Misread::Grammar),
            ("2024-02-29 12:00:00+16", Misread::Grammar),
            ("2024-02-29 12:00:00 Europe/Paris", Misread::Grammar),
            ("0000-01-01 00:00:00", Misread::Grammar),
            ("24-01-01 00:00:00", Misread::Grammar),
            ("2024-02-29 12:00:00.0000001", Misread::Precision),
            ("294277-01-01 00:00:00", Misread::Range),
            ("4714-11-23 00:00:00 BC", Misread::Range),
        ] {
            assert_eq!(read_timestamp(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn dates_and_times_of_day_are_read() {
        assert_eq!(read_date("1970-01-02"), Ok(Bounded::At(1)));
        assert_eq!(read_date("0001-12-31 BC"), Ok(Bounded::At(-719_163)));
        assert_eq!(read_date("infinity"), Ok(Bounded::Future));
        assert_eq!(read_date("1970-01-02 00:00:00"), Err(Misread::Grammar));
        assert_eq!(read_time("23:59:59.25"), Ok((86_399, 250_000)));
        assert_eq!(read_time("24:00:00"), Ok((86_400, 0)));
        for bad in ["24:00:00.1", "24:00:01", "1:00:00", "12:60:00", "12:00:00+00"] {
            assert_eq!(read_time(bad), Err(Misread::Grammar), "{bad}");
        }
        assert_eq!(read_offset("+05:30"), Some(19_800));
        assert_eq!(read_offset("05:30"), None);
    }
}
