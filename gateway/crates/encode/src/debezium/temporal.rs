//! Dates, times and intervals: from PostgreSQL's ISO text to the numbers and texts of Debezium.
//!
//! Every function gives `None` where the text is not of its grammar or the number passes 64 bits;
//! what becomes of such a value is the caller's choice. Texts go to a buffer, cleared before.

use super::convert::Unit;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// What pgjdbc has for an infinite timestamp, taken as microseconds by the peer.
const INFINITY_MICROS: i64 = 9_223_372_036_825_200_000;
const MINUS_INFINITY_MICROS: i64 = -9_223_372_036_832_400_000;
/// More than any time zone has (`MAX_TZDISP_HOUR` is 15).
const MAX_OFFSET_HOURS: i64 = 24;
/// Both negative: the peer's quirk, kept so that consumers see what they know.
const DATE_INFINITY: i64 = -2_147_472_692;
const DATE_MINUS_INFINITY: i64 = -2_147_472_691;

/// Reads a text from the left.
pub(super) struct Scanner<'a> {
    pub(super) rest: &'a [u8],
}

impl Scanner<'_> {
    pub(super) fn eat(&mut self, wanted: u8) -> Option<()> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte == wanted => {
                self.rest = rest;
                Some(())
            }
            _ => None,
        }
    }

    /// An unsigned number and how many digits it has.
    pub(super) fn number(&mut self) -> Option<(i64, usize)> {
        let len = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at_checked(len).filter(|_| (1..=15).contains(&len))?;
        self.rest = rest;
        let value = digits.iter().fold(0i64, |value, &byte| value * 10 + i64::from(byte - b'0'));
        Some((value, len))
    }

    /// `.` and a fraction of a second, as microseconds; 0 where there is none.
    pub(super) fn fraction(&mut self) -> Option<i64> {
        if self.eat(b'.').is_none() {
            return Some(0);
        }
        let (value, digits) = self.number()?;
        let missing = 6usize.checked_sub(digits)?;
        Some(value * 10i64.pow(missing as u32))
    }

    /// `hh:mm:ss.ffffff` as microseconds; 24:00:00 and a leap second are within bounds.
    pub(super) fn clock(&mut self) -> Option<i64> {
        /// Hours that 64 bits of microseconds hold.
        const MAX_HOURS: i64 = 2_562_047_787;
        let (hours, _) = self.number()?;
        self.eat(b':')?;
        let (minutes, _) = self.number()?;
        self.eat(b':')?;
        let (seconds, _) = self.number()?;
        let fraction = self.fraction()?;
        if hours > MAX_HOURS || minutes > 59 || seconds > 60 {
            return None;
        }
        Some(((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + fraction)
    }

    /// Days since 1970-01-01 of `y-m-d` (the era follows at the end of the text).
    fn date(&mut self, before_christ: bool) -> Option<i64> {
        let negative = self.eat(b'-').is_some();
        if !negative {
            let _ = self.eat(b'+');
        }
        let (year, _) = self.number()?;
        self.eat(b'-')?;
        let (month, _) = self.number()?;
        self.eat(b'-')?;
        let (day, _) = self.number()?;
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let year = match (negative, before_christ) {
            (true, _) => -year,
            (_, true) => 1 - year,
            _ => year,
        };
        Some(days_from_civil(year, month, day))
    }

    /// `Z`, `+hh`, `+hh:mm` or `+hh:mm:ss`, as seconds east of Greenwich.
    fn offset(&mut self) -> Option<i64> {
        if self.eat(b'Z').is_some() {
            return Some(0);
        }
        let sign = if self.eat(b'-').is_some() {
            -1
        } else {
            self.eat(b'+')?;
            1
        };
        let hours = self.number()?.0;
        let mut seconds = (hours <= MAX_OFFSET_HOURS).then_some(hours * 3600)?;
        if self.eat(b':').is_some() {
            seconds += self.number()?.0.min(59) * 60;
            if self.eat(b':').is_some() {
                seconds += self.number()?.0.min(59);
            }
        }
        Some(sign * seconds)
    }

    fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Howard Hinnant's algorithm: years begin in March, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn split_era(text: &[u8]) -> (&[u8], bool) {
    match text.strip_suffix(b" BC") {
        Some(rest) => (rest, true),
        None => (text, false),
    }
}

/// Days and microseconds of the day, with the offset taken off.
fn split_timestamp(text: &[u8], zoned: bool) -> Option<(i64, i64)> {
    let (text, before_christ) = split_era(text);
    let mut scanner = Scanner { rest: text };
    let days = scanner.date(before_christ)?;
    scanner.eat(b' ').or_else(|| scanner.eat(b'T'))?;
    let mut micros = scanner.clock()?;
    if zoned {
        micros -= scanner.offset()? * MICROS_PER_SECOND;
    }
    scanner.end()?;
    Some((days + micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY)))
}

/// Days since 1970-01-01.
pub(super) fn date(text: &[u8]) -> Option<i64> {
    match text {
        b"infinity" => Some(DATE_INFINITY),
        b"-infinity" => Some(DATE_MINUS_INFINITY),
        _ => {
            let (text, before_christ) = split_era(text);
            let mut scanner = Scanner { rest: text };
            scanner.date(before_christ).filter(|_| scanner.rest.is_empty())
        }
    }
}

/// `io.debezium.time.IsoDate`: `2017-09-15Z`.
pub(super) fn date_text(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let days = date(text)?;
    out.clear();
    put_date(out, days);
    out.push(b'Z');
    Some(())
}

/// Time of day. 24:00:00 is a value of its own.
pub(super) fn time(text: &[u8], unit: Unit) -> Option<i64> {
    let micros = time_micros(text)?;
    match unit {
        Unit::Millis => Some(micros / 1000),
        Unit::Micros => Some(micros),
        Unit::Nanos => micros.checked_mul(1000),
    }
}

fn time_micros(text: &[u8]) -> Option<i64> {
    let mut scanner = Scanner { rest: text };
    scanner.clock().filter(|_| scanner.rest.is_empty())
}

/// `io.debezium.time.IsoTime`: `13:51:30.5Z`; the end of the day is its beginning.
pub(super) fn time_text(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let micros = time_micros(text)?.rem_euclid(MICROS_PER_DAY);
    out.clear();
    put_shortest_clock(out, micros);
    out.push(b'Z');
    Some(())
}

/// `io.debezium.time.ZonedTime`: UTC, with as many digits of fraction as are needed.
pub(super) fn zoned_time(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut scanner = Scanner { rest: text };
    let micros = scanner.clock()?;
    let offset = scanner.offset()?;
    scanner.end()?;
    out.clear();
    put_shortest_clock(out, (micros - offset * MICROS_PER_SECOND).rem_euclid(MICROS_PER_DAY));
    out.push(b'Z');
    Some(())
}

/// Since 1970-01-01, without a zone.
pub(super) fn timestamp(text: &[u8], unit: Unit) -> Option<i64> {
    let (days, micros) = match text {
        b"infinity" if unit == Unit::Nanos => return Some(i64::MAX),
        b"-infinity" if unit == Unit::Nanos => return Some(i64::MIN),
        _ => unzoned(text)?,
    };
    let micros = i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(micros);
    let value = match unit {
        Unit::Millis => micros.div_euclid(1000),
        Unit::Micros => micros,
        Unit::Nanos => micros * 1000,
    };
    i64::try_from(value).ok()
}

/// `io.debezium.time.IsoTimestamp`: `2017-09-15T13:51:30.5Z`.
pub(super) fn timestamp_text(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (days, micros) = unzoned(text)?;
    out.clear();
    put_date(out, days);
    out.push(b'T');
    put_shortest_clock(out, micros);
    out.push(b'Z');
    Some(())
}

fn unzoned(text: &[u8]) -> Option<(i64, i64)> {
    let split =
        |micros: i64| (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY));
    match text {
        b"infinity" => Some(split(INFINITY_MICROS)),
        b"-infinity" => Some(split(MINUS_INFINITY_MICROS)),
        _ => split_timestamp(text, false),
    }
}

/// `io.debezium.time.ZonedTimestamp`: UTC, with exactly `digits` digits of fraction.
pub(super) fn zoned_timestamp(text: &[u8], digits: u8, out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    if matches!(text, b"infinity" | b"-infinity") {
        out.extend_from_slice(text);
        return Some(());
    }
    let digits = usize::from(digits.min(6));
    if copy_utc(text, digits, out).is_some() {
        return Some(());
    }
    out.clear();
    let (days, micros) = split_timestamp(text, true)?;
    put_date(out, days);
    out.push(b'T');
    put_clock(out, micros);
    if digits > 0 {
        out.push(b'.');
        let fraction = micros % MICROS_PER_SECOND / 10i64.pow(6 - digits as u32);
        put_padded(out, fraction, digits);
    }
    out.push(b'Z');
    Some(())
}

/// What the source's session prints, `2016-11-04 13:51:30.123456+00`, is copied: it is UTC already.
fn copy_utc(text: &[u8], digits: usize, out: &mut Vec<u8>) -> Option<()> {
    const PATTERN: &[u8; 19] = b"0000-00-00 00:00:00";
    let (moment, rest) = text.strip_suffix(b"+00")?.split_first_chunk::<19>()?;
    let fits = |(&byte, &pattern): (&u8, &u8)| match pattern {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    if !moment.iter().zip(PATTERN).all(fits) {
        return None;
    }
    let mut moment = *moment;
    moment[10] = b'T';
    out.extend_from_slice(&moment);
    if digits > 0 {
        let fraction = match rest {
            [] => rest,
            [b'.', fraction @ ..] => fraction,
            _ => return None,
        };
        if fraction.len() > 6 || !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let mut padded = *b".000000Z";
        padded.iter_mut().skip(1).zip(fraction).for_each(|(to, &from)| *to = from);
        *padded.get_mut(1 + digits)? = b'Z';
        out.extend_from_slice(padded.get(..digits + 2)?);
    } else if rest.is_empty() {
        out.push(b'Z');
    } else {
        return None;
    }
    Some(())
}

/// Appends a moment in milliseconds as Connect's headers have it: a time of day within the first
/// day, a date where it is midnight, else both.
pub(super) fn put_header_moment(out: &mut Vec<u8>, millis: i64) {
    const DAY: i64 = 86_400_000;
    let (days, rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    let with_time = |out: &mut Vec<u8>| {
        put_clock(out, rest * 1000);
        out.push(b'.');
        put_padded(out, rest % 1000, 3);
        out.push(b'Z');
    };
    // Whatever lies before the first day counts as within it.
    if millis < DAY {
        return with_time(out);
    }
    put_date(out, days);
    if rest != 0 {
        out.push(b'T');
        with_time(out);
    }
}

/// Years beyond four digits get a sign, years before 0 too.
fn put_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    if year > 9999 {
        out.push(b'+');
    } else if year < 0 {
        out.push(b'-');
    }
    put_padded(out, year.abs(), 4);
    out.push(b'-');
    put_padded(out, month, 2);
    out.push(b'-');
    put_padded(out, day, 2);
}

fn put_clock(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros / MICROS_PER_SECOND;
    put_padded(out, seconds / 3600, 2);
    out.push(b':');
    put_padded(out, seconds / 60 % 60, 2);
    out.push(b':');
    put_padded(out, seconds % 60, 2);
}

fn put_shortest_clock(out: &mut Vec<u8>, micros: i64) {
    put_clock(out, micros);
    let mut fraction = micros % MICROS_PER_SECOND;
    if fraction != 0 {
        let mut digits = 6;
        while fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        out.push(b'.');
        put_padded(out, fraction, digits);
    }
}

fn put_padded(out: &mut Vec<u8>, value: i64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(put: impl Fn(&mut Vec<u8>) -> Option<()>) -> Option<String> {
        let mut out = b"left over".to_vec();
        put(&mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn dates_count_days() {
        for (written, days) in [
            ("1970-01-01", 0),
            ("2016-11-04", 17109),
            ("1969-12-31", -1),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("4713-01-01 BC", -2_440_550),
            ("5874897-12-31", 2_145_042_905),
            ("infinity", -2_147_472_692),
            ("-infinity", -2_147_472_691),
        ] {
            assert_eq!(date(written.as_bytes()), Some(days), "{written}");
        }
        for written in ["", "2016", "2016-13-01", "2016-01-01 ", "****", "2016-11-04 00:00:00"] {
            assert_eq!(date(written.as_bytes()), None, "{written}");
        }
    }

    #[test]
    fn times_count_from_midnight() {
        for (unit, expected) in [
            (Unit::Millis, 49_890_123),
            (Unit::Micros, 49_890_123_456),
            (Unit::Nanos, 49_890_123_456_000),
        ] {
            assert_eq!(time(b"13:51:30.123456", unit), Some(expected));
        }
        assert_eq!(time(b"24:00:00", Unit::Micros), Some(86_400_000_000));
        assert_eq!(time(b"13:51", Unit::Micros), None);
    }

    #[test]
    fn zoned_times_are_utc() {
        let zoned = |written: &str| text(|out| zoned_time(written.as_bytes(), out));
        assert_eq!(zoned("13:51:30.123789+02").as_deref(), Some("11:51:30.123789Z"));
        assert_eq!(zoned("11:51:30.5+00").as_deref(), Some("11:51:30.5Z"));
        assert_eq!(zoned("01:00:00+02:30").as_deref(), Some("22:30:00Z"));
        assert_eq!(zoned("01:00:00"), None);
    }

    #[test]
    fn timestamps_count_from_the_epoch() {
        let micros = |written: &str| timestamp(written.as_bytes(), Unit::Micros);
        let millis = |written: &str| timestamp(written.as_bytes(), Unit::Millis);
        let nanos = |written: &str| timestamp(written.as_bytes(), Unit::Nanos);
        assert_eq!(micros("2016-11-04 13:51:30.123456"), Some(1_478_267_490_123_456));
        assert_eq!(millis("2016-11-04 13:51:30.123"), Some(1_478_267_490_123));
        assert_eq!(nanos("2016-11-04 13:51:30.123456"), Some(1_478_267_490_123_456_000));
        assert_eq!(micros("1969-12-31 23:59:59.999999"), Some(-1));
        assert_eq!(millis("1969-12-31 23:59:59.9999"), Some(-1));
        assert_eq!(micros("infinity"), Some(9_223_372_036_825_200_000));
        assert_eq!(millis("-infinity"), Some(-9_223_372_036_832_400));
        assert_eq!(nanos("-infinity"), Some(i64::MIN));
        assert_eq!(micros("294247-01-10 04:00:54.775807"), Some(i64::MAX));
        // Past 64 bits.
        assert_eq!(micros("294276-12-31 23:59:59.999999"), None);
        assert_eq!(nanos("9999-12-31 00:00:00"), None);
        assert_eq!(micros("2016-11-04"), None);
    }

    #[test]
    fn zoned_timestamps_are_iso_text_in_utc() {
        let zoned = |written: &str| text(|out| zoned_timestamp(written.as_bytes(), 6, out));
        for (written, expected) in [
            ("2016-11-04 13:51:30.12+00", "2016-11-04T13:51:30.120000Z"),
            ("2016-11-04 13:51:30+00", "2016-11-04T13:51:30.000000Z"),
            ("2016-11-04T15:51:30+02", "2016-11-04T13:51:30.000000Z"),
            ("294247-01-01 23:59:59.999999+00", "+294247-01-01T23:59:59.999999Z"),
            ("4714-12-31 23:59:59.999999+00 BC", "-4713-12-31T23:59:59.999999Z"),
            ("0001-12-31 23:59:59.999999+00 BC", "0000-12-31T23:59:59.999999Z"),
            ("infinity", "infinity"),
        ] {
            assert_eq!(zoned(written).as_deref(), Some(expected));
        }
        assert_eq!(zoned("2016-11-04 13:51:30"), None);
        assert_eq!(zoned("2016-11-04 13:51:30.x+00"), None);
        let whole = text(|out| zoned_timestamp(b"2016-11-04 13:51:30+00", 0, out));
        assert_eq!(whole.as_deref(), Some("2016-11-04T13:51:30Z"));
        let five = text(|out| zoned_timestamp(b"2021-03-28 01:30:00.50001+00", 5, out));
        assert_eq!(five.as_deref(), Some("2021-03-28T01:30:00.50001Z"));
    }

    #[test]
    fn iso_texts_have_the_digits_that_they_need() {
        assert_eq!(text(|out| date_text(b"2017-09-15", out)).as_deref(), Some("2017-09-15Z"));
        assert_eq!(text(|out| date_text(b"infinity", out)).as_deref(), Some("-5877611-06-21Z"));
        assert_eq!(text(|out| time_text(b"13:51:30.120", out)).as_deref(), Some("13:51:30.12Z"));
        assert_eq!(text(|out| time_text(b"24:00:00", out)).as_deref(), Some("00:00:00Z"));
        assert_eq!(
            text(|out| timestamp_text(b"0044-03-15 12:00:00 BC", out)).as_deref(),
            Some("-0043-03-15T12:00:00Z")
        );
    }

    #[test]
    fn days_and_civil_dates_are_inverse() {
        for days in (-4_000_000..4_000_000).step_by(997) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}
