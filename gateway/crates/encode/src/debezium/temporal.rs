//! Dates, times and intervals: from PostgreSQL's ISO text to Debezium's numbers and strings.
//!
//! Every function gives `false` and writes nothing where the text is not of its grammar; the
//! caller then writes the text itself. Numbers that pass 64 bits are written in full, for JSON has
//! no limit and a clamped timestamp would be a silent change.

use crate::json;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Debezium's month: a twelfth of 365.25 days.
const MICROS_PER_MONTH: i128 = 2_629_800_000_000;
/// What pgjdbc and Debezium put for an infinite timestamp, whatever the unit.
const TIMESTAMP_INFINITY: i64 = 9_223_372_036_825_200_000;
const TIMESTAMP_MINUS_INFINITY: i64 = -9_223_372_036_832_400_000;
/// Both negative: the peer's quirk, kept so that consumers see what they know.
const DATE_INFINITY: i64 = -2_147_472_692;
const DATE_MINUS_INFINITY: i64 = -2_147_472_691;

/// Reads a text from the left.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn eat(&mut self, wanted: u8) -> Option<()> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte == wanted => {
                self.rest = rest;
                Some(())
            }
            _ => None,
        }
    }

    /// An unsigned number and how many digits it has.
    fn number(&mut self) -> Option<(i64, usize)> {
        let len = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at_checked(len).filter(|_| (1..=15).contains(&len))?;
        self.rest = rest;
        let value = digits.iter().fold(0i64, |value, &byte| value * 10 + i64::from(byte - b'0'));
        Some((value, len))
    }

    /// `.` and a fraction of a second, as microseconds; 0 where there is none.
    fn fraction(&mut self) -> Option<i64> {
        if self.eat(b'.').is_none() {
            return Some(0);
        }
        let (value, digits) = self.number()?;
        let missing = 6usize.checked_sub(digits)?;
        Some(value * 10i64.pow(missing as u32))
    }

    /// `hh:mm:ss.ffffff` as microseconds; 24:00:00 and a leap second are within bounds.
    fn clock(&mut self) -> Option<i64> {
        let (hours, _) = self.number()?;
        self.eat(b':')?;
        let (minutes, _) = self.number()?;
        self.eat(b':')?;
        let (seconds, _) = self.number()?;
        let fraction = self.fraction()?;
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
        let mut seconds = self.number()?.0 * 3600;
        if self.eat(b':').is_some() {
            seconds += self.number()?.0 * 60;
            if self.eat(b':').is_some() {
                seconds += self.number()?.0;
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
fn timestamp(text: &[u8], zoned: bool) -> Option<(i64, i64)> {
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

/// `io.debezium.time.Date`: days since 1970-01-01.
pub(super) fn put_date(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let days = match text {
        b"infinity" => Some(DATE_INFINITY),
        b"-infinity" => Some(DATE_MINUS_INFINITY),
        _ => {
            let (text, before_christ) = split_era(text);
            let mut scanner = Scanner { rest: text };
            scanner.date(before_christ).filter(|_| scanner.rest.is_empty())
        }
    };
    days.map(|days| json::put_integer(out, days)).is_some()
}

/// `io.debezium.time.MicroTime` or, up to three digits of fraction, `Time` (milliseconds).
pub(super) fn put_time(out: &mut Vec<u8>, text: &[u8], millis: bool) -> bool {
    let mut scanner = Scanner { rest: text };
    let micros = scanner.clock().filter(|_| scanner.rest.is_empty());
    let unit = if millis { 1000 } else { 1 };
    micros.map(|micros| json::put_integer(out, micros / unit)).is_some()
}

/// `io.debezium.time.ZonedTime`: UTC, with as many digits of fraction as are needed.
pub(super) fn put_zoned_time(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let mut scanner = Scanner { rest: text };
    let read = |scanner: &mut Scanner<'_>| {
        let micros = scanner.clock()?;
        let offset = scanner.offset()?;
        scanner.end()?;
        Some((micros - offset * MICROS_PER_SECOND).rem_euclid(MICROS_PER_DAY))
    };
    let Some(micros) = read(&mut scanner) else { return false };
    out.push(b'"');
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
    out.extend_from_slice(b"Z\"");
    true
}

/// `io.debezium.time.MicroTimestamp` or, up to three digits of fraction, `Timestamp`
/// (milliseconds): since 1970-01-01, without a zone.
pub(super) fn put_timestamp(out: &mut Vec<u8>, text: &[u8], millis: bool) -> bool {
    let value = match text {
        b"infinity" => Some(TIMESTAMP_INFINITY.into()),
        b"-infinity" => Some(TIMESTAMP_MINUS_INFINITY.into()),
        _ => timestamp(text, false).map(|(days, micros)| {
            let micros = i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(micros);
            if millis { micros.div_euclid(1000) } else { micros }
        }),
    };
    value.map(|value: i128| json::put_integer(out, value)).is_some()
}

/// `io.debezium.time.ZonedTimestamp`: UTC, with exactly `digits` digits of fraction.
pub(super) fn put_zoned_timestamp(out: &mut Vec<u8>, text: &[u8], digits: u8) -> bool {
    if matches!(text, b"infinity" | b"-infinity") {
        json::put_string(out, text);
        return true;
    }
    let Some((days, micros)) = timestamp(text, true) else { return false };
    let (year, month, day) = civil_from_days(days);
    out.push(b'"');
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
    out.push(b'T');
    put_clock(out, micros);
    let digits = u32::from(digits.min(6));
    if digits > 0 {
        out.push(b'.');
        put_padded(out, micros % MICROS_PER_SECOND / 10i64.pow(6 - digits), digits as usize);
    }
    out.extend_from_slice(b"Z\"");
    true
}

fn put_clock(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros / MICROS_PER_SECOND;
    put_padded(out, seconds / 3600, 2);
    out.push(b':');
    put_padded(out, seconds / 60 % 60, 2);
    out.push(b':');
    put_padded(out, seconds % 60, 2);
}

fn put_padded(out: &mut Vec<u8>, value: i64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits.len())));
    out.extend_from_slice(digits.as_bytes());
}

/// `io.debezium.time.MicroDuration`: microseconds, a month being a twelfth of 365.25 days.
pub(super) fn put_interval(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let micros = if text.first() == Some(&b'P') { iso_interval(text) } else { interval(text) };
    micros.map(|micros| json::put_integer(out, micros)).is_some()
}

/// `1 year -2 mons +3 days -04:05:06.78`
fn interval(text: &[u8]) -> Option<i128> {
    let mut total = 0i128;
    let mut words = text.split(|&byte| byte == b' ');
    let mut seen = false;
    while let Some(word) = words.next() {
        let (sign, rest) = signed(word);
        let mut scanner = Scanner { rest };
        if rest.contains(&b':') {
            total += sign * i128::from(scanner.clock()?);
        } else {
            let (count, _) = scanner.number()?;
            let unit = match words.next()? {
                b"year" | b"years" => 12 * MICROS_PER_MONTH,
                b"mon" | b"mons" | b"month" | b"months" => MICROS_PER_MONTH,
                b"day" | b"days" => MICROS_PER_DAY.into(),
                _ => return None,
            };
            total += sign * i128::from(count) * unit;
        }
        scanner.end()?;
        seen = true;
    }
    seen.then_some(total)
}

/// `P1Y-2M3DT4H5M6.78S`
fn iso_interval(text: &[u8]) -> Option<i128> {
    let mut scanner = Scanner { rest: text.strip_prefix(b"P")? };
    let mut total = 0i128;
    let mut time = false;
    while !scanner.rest.is_empty() {
        if !time && scanner.eat(b'T').is_some() {
            time = true;
            continue;
        }
        let (sign, rest) = signed(scanner.rest);
        scanner.rest = rest;
        let (count, _) = scanner.number()?;
        let fraction = scanner.fraction()?;
        let (&unit, rest) = scanner.rest.split_first()?;
        scanner.rest = rest;
        let unit: i128 = match (time, unit) {
            (false, b'Y') => 12 * MICROS_PER_MONTH,
            (false, b'M') => MICROS_PER_MONTH,
            (false, b'W') => i128::from(7 * MICROS_PER_DAY),
            (false, b'D') => MICROS_PER_DAY.into(),
            (true, b'H') => i128::from(3600 * MICROS_PER_SECOND),
            (true, b'M') => i128::from(60 * MICROS_PER_SECOND),
            (true, b'S') => MICROS_PER_SECOND.into(),
            _ => return None,
        };
        if fraction != 0 && unit != i128::from(MICROS_PER_SECOND) {
            return None;
        }
        total += sign * (i128::from(count) * unit + i128::from(fraction));
    }
    Some(total)
}

fn signed(text: &[u8]) -> (i128, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (-1, rest),
        Some((b'+', rest)) => (1, rest),
        _ => (1, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(put: impl Fn(&mut Vec<u8>) -> bool) -> Option<String> {
        let mut out = Vec::new();
        put(&mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn dates_count_days() {
        for (text, days) in [
            ("1970-01-01", "0"),
            ("2016-11-04", "17109"),
            ("1969-12-31", "-1"),
            ("0001-01-01", "-719162"),
            ("0001-12-31 BC", "-719163"),
            ("5874897-12-31", "2145042905"),
            ("infinity", "-2147472692"),
            ("-infinity", "-2147472691"),
        ] {
            assert_eq!(
                written(|out| put_date(out, text.as_bytes())).as_deref(),
                Some(days),
                "{text}"
            );
        }
        for text in ["", "2016", "2016-13-01", "2016-01-01 ", "****", "2016-11-04 00:00:00"] {
            assert_eq!(written(|out| put_date(out, text.as_bytes())), None, "{text}");
        }
    }

    #[test]
    fn times_count_from_midnight() {
        let micros = |text: &str| written(|out| put_time(out, text.as_bytes(), false));
        assert_eq!(micros("13:51:30").as_deref(), Some("49890000000"));
        assert_eq!(micros("13:51:30.12").as_deref(), Some("49890120000"));
        assert_eq!(micros("24:00:00").as_deref(), Some("86400000000"));
        assert_eq!(micros("13:51").as_deref(), None);
        assert_eq!(
            written(|out| put_time(out, b"13:51:30.123", true)).as_deref(),
            Some("49890123")
        );
    }

    #[test]
    fn zoned_times_are_utc() {
        let zoned = |text: &str| written(|out| put_zoned_time(out, text.as_bytes()));
        assert_eq!(zoned("13:51:30.123789+02").as_deref(), Some("\"11:51:30.123789Z\""));
        assert_eq!(zoned("11:51:30.5+00").as_deref(), Some("\"11:51:30.5Z\""));
        assert_eq!(zoned("01:00:00+02:30").as_deref(), Some("\"22:30:00Z\""));
        assert_eq!(zoned("01:00:00"), None);
    }

    #[test]
    fn timestamps_count_from_the_epoch() {
        let micros = |text: &str| written(|out| put_timestamp(out, text.as_bytes(), false));
        let millis = |text: &str| written(|out| put_timestamp(out, text.as_bytes(), true));
        assert_eq!(micros("2016-11-04 13:51:30.123456").as_deref(), Some("1478267490123456"));
        assert_eq!(millis("2016-11-04 13:51:30.123").as_deref(), Some("1478267490123"));
        assert_eq!(micros("1969-12-31 23:59:59.999999").as_deref(), Some("-1"));
        assert_eq!(millis("1969-12-31 23:59:59.999").as_deref(), Some("-1"));
        assert_eq!(micros("infinity").as_deref(), Some("9223372036825200000"));
        assert_eq!(micros("-infinity").as_deref(), Some("-9223372036832400000"));
        // Past 64 bits: in full.
        assert_eq!(micros("294276-12-31 23:59:59.999999").as_deref(), Some("9224318015999999999"));
        assert_eq!(micros("2016-11-04"), None);
    }

    #[test]
    fn zoned_timestamps_are_iso_text_in_utc() {
        let zoned = |text: &str| written(|out| put_zoned_timestamp(out, text.as_bytes(), 6));
        assert_eq!(
            zoned("2016-11-04 13:51:30.12+00").as_deref(),
            Some("\"2016-11-04T13:51:30.120000Z\"")
        );
        assert_eq!(
            zoned("2016-11-04T15:51:30+02").as_deref(),
            Some("\"2016-11-04T13:51:30.000000Z\"")
        );
        assert_eq!(
            zoned("294247-01-01 23:59:59.999999+00").as_deref(),
            Some("\"+294247-01-01T23:59:59.999999Z\"")
        );
        assert_eq!(
            zoned("4714-12-31 23:59:59.999999+00 BC").as_deref(),
            Some("\"-4713-12-31T23:59:59.999999Z\"")
        );
        assert_eq!(zoned("infinity").as_deref(), Some("\"infinity\""));
        assert_eq!(zoned("2016-11-04 13:51:30"), None);
        assert_eq!(
            written(|out| put_zoned_timestamp(out, b"2016-11-04 13:51:30+00", 0)).as_deref(),
            Some("\"2016-11-04T13:51:30Z\"")
        );
    }

    #[test]
    fn intervals_are_microseconds_in_either_style() {
        let micros = |text: &str| written(|out| put_interval(out, text.as_bytes()));
        for text in ["1 year 2 mons 3 days 04:05:06.78", "P1Y2M3DT4H5M6.78S"] {
            assert_eq!(micros(text).as_deref(), Some("37091106780000"), "{text}");
        }
        for text in ["-1 years -2 mons +3 days -04:05:06.78", "P-1Y-2M3DT-4H-5M-6.78S"] {
            assert_eq!(micros(text).as_deref(), Some("-36572706780000"), "{text}");
        }
        assert_eq!(micros("00:00:00").as_deref(), Some("0"));
        assert_eq!(micros("PT0S").as_deref(), Some("0"));
        for text in ["", "infinity", "1 fortnight", "P1Q", "4"] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn days_and_civil_dates_are_inverse() {
        for days in (-4_000_000..4_000_000).step_by(997) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}
