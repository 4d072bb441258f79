//! Dates, timestamps and times of day in their canonical text, as numbers that can be compared.
//!
//! The grammar is ISO 8601's as databases print it: `2026-11-22 18:00:00.123456+00`, with a `T` or a
//! blank before the time, an offset of hours, minutes and seconds or `Z`, years of four to seven
//! digits, ` BC` at the end, and `infinity`. Nothing else is read: what a database prints otherwise
//! is not known rather than guessed.

/// Nanoseconds of a second, a day.
const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;

/// Beyond every date that has seven digits.
const INFINITY: i128 = i128::MAX;

/// A date, or a date and a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Nanoseconds since 1970-01-01, of UTC where there is an offset.
    pub(crate) nanoseconds: i128,
    pub(crate) has_clock: bool,
    pub(crate) has_offset: bool,
    /// One of the infinities.
    pub(crate) is_infinite: bool,
}

/// Reads a date or a timestamp.
pub(crate) fn moment(text: &str) -> Option<Moment> {
    let infinite = |nanoseconds| {
        Some(Moment { nanoseconds, has_clock: false, has_offset: false, is_infinite: true })
    };
    match text {
        "infinity" => return infinite(INFINITY),
        "-infinity" => return infinite(-INFINITY),
        _ => {}
    }
    let (text, before_christ) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut reader = Reader { rest: text.as_bytes() };
    let day = reader.day(before_christ)? * DAY;
    if reader.rest.is_empty() {
        let (has_clock, has_offset) = (false, false);
        return Some(Moment { nanoseconds: day, has_clock, has_offset, is_infinite: false });
    }
    if !reader.eat(b' ') && !reader.eat(b'T') {
        return None;
    }
    let clock = reader.clock()?;
    let offset = if reader.rest.is_empty() { None } else { Some(reader.offset()?) };
    if !reader.rest.is_empty() {
        return None;
    }
    Some(Moment {
        nanoseconds: day + clock - offset.unwrap_or(0),
        has_clock: true,
        has_offset: offset.is_some(),
        is_infinite: false,
    })
}

/// Reads a time of day without an offset, in nanoseconds.
pub(crate) fn time_of_day(text: &str) -> Option<i128> {
    let mut reader = Reader { rest: text.as_bytes() };
    let clock = reader.clock()?;
    reader.rest.is_empty().then_some(clock)
}

/// Microseconds since 1970-01-01 as this module's nanoseconds.
pub(crate) fn of_microseconds(microseconds: i64) -> i128 {
    i128::from(microseconds) * 1000
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

    /// As many digits as there are, at most `most`: their value and number.
    fn digits(&mut self, most: usize) -> (i128, usize) {
        let (mut value, mut count) = (0, 0);
        while let [digit @ b'0'..=b'9', rest @ ..] = self.rest
            && count < most
        {
            value = value * 10 + i128::from(digit - b'0');
            count += 1;
            self.rest = rest;
        }
        (value, count)
    }

    fn two(&mut self, most: i128) -> Option<i128> {
        let (value, count) = self.digits(2);
        (count == 2 && value <= most).then_some(value)
    }

    /// `2026-11-22` as days since 1970-01-01.
    fn day(&mut self, before_christ: bool) -> Option<i128> {
        let (year, count) = self.digits(7);
        if count < 4 || !self.eat(b'-') {
            return None;
        }
        // There is no year 0 before Christ: 1 BC is the year 0 of the calculation.
        let year = if before_christ { 1 - year } else { year };
        let month = self.two(12)?;
        if !self.eat(b'-') {
            return None;
        }
        let day = self.two(31)?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        (month >= 1 && day >= 1 && day <= length).then(|| days(year, month, day))
    }

    /// `18:00:00.5` in nanoseconds; `24:00:00` is the end of the day, a second 60 the next minute.
    fn clock(&mut self) -> Option<i128> {
        let hours = self.two(24)?;
        let minutes = if self.eat(b':') { self.two(59)? } else { return None };
        let seconds = if self.eat(b':') { self.two(60)? } else { return None };
        let mut fraction = 0;
        if self.eat(b'.') {
            let (value, count) = self.digits(9);
            if count == 0 {
                return None;
            }
            fraction = value * 10_i128.pow(9 - u32::try_from(count).ok()?);
        }
        let clock = (hours * 3600 + minutes * 60 + seconds) * SECOND + fraction;
        (clock <= DAY).then_some(clock)
    }

    /// `Z`, `+02`, `-03:30`, `+00:19:32`.
    fn offset(&mut self) -> Option<i128> {
        if self.eat(b'Z') {
            return Some(0);
        }
        let sign = match (self.eat(b'+'), self.eat(b'-')) {
            (true, false) => 1,
            (false, true) => -1,
            _ => return None,
        };
        let mut seconds = self.two(24)? * 3600;
        if self.eat(b':') {
            seconds += self.two(59)? * 60;
            if self.eat(b':') {
                seconds += self.two(59)?;
            }
        }
        Some(sign * seconds * SECOND)
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, of any year (Hinnant's `days_from_civil`).
fn days(year: i128, month: i128, day: i128) -> i128 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanoseconds(text: &str) -> i128 {
        moment(text).unwrap_or_else(|| panic!("{text} was not read")).nanoseconds
    }

    #[test]
    fn moments_are_nanoseconds_of_the_gregorian_calendar() {
        assert_eq!(nanoseconds("1970-01-01"), 0);
        assert_eq!(nanoseconds("1970-01-02 00:00:00"), DAY);
        assert_eq!(nanoseconds("1969-12-31 23:59:59.999999999"), -1);
        assert_eq!(nanoseconds("2000-02-29"), 11_016 * DAY);
        // Unix time 1,784,656,800 and the same with offsets.
        let expected = 1_784_656_800 * SECOND;
        for text in [
            "2026-07-21 18:00:00+00",
            "2026-07-21T18:00:00Z",
            "2026-07-21 20:00:00+02:00",
            "2026-07-21 14:30:00.0-03:30",
            "2026-07-22 00:00:00+06",
            "2026-07-21 18:19:32+00:19:32",
            "2026-07-21 18:00:00",
        ] {
            assert_eq!(nanoseconds(text), expected, "{text}");
        }
        assert_eq!(of_microseconds(1_784_656_800_000_000), expected);
    }

    #[test]
    fn moments_ascend_from_before_christ_to_infinity() {
        let ascending = [
            "-infinity",
            "4714-11-24 00:00:00+00 BC",
            "0044-03-15 BC",
            "0001-12-31 BC",
            "0001-01-01",
            "1999-12-31 23:59:60",
            "2000-01-01 00:00:00.000001",
            "9999-12-31",
            "10000-01-01",
            "294276-12-31 23:59:59.999999+00",
            "5874897-12-31",
            "infinity",
        ];
        for pair in ascending.windows(2) {
            assert!(nanoseconds(pair[0]) < nanoseconds(pair[1]), "{pair:?}");
        }
        assert_eq!(nanoseconds("0001-12-31 BC") + DAY, nanoseconds("0001-01-01"));
        assert_eq!(nanoseconds("1999-12-31 24:00:00"), nanoseconds("2000-01-01"));
    }

    #[test]
    fn what_is_no_moment_is_not_read() {
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "2026-1-1",
            "226-01-01",
            "2026-01-01 ",
            "2026-01-01 25:00:00",
            "2026-01-01 24:00:01",
            "2026-01-01 10:60:00",
            "2026-01-01 10:00",
            "2026-01-01 10:00:00.",
            "2026-01-01 10:00:00+2",
            "2026-01-01 10:00:00 +02",
            "Sun Nov 22 2026",
            "2026-01-01x",
            "12345678-01-01",
        ] {
            assert_eq!(moment(text), None, "{text:?}");
        }
        assert_eq!(time_of_day("18:00:00.5"), Some(64_800 * SECOND + SECOND / 2));
        assert_eq!(time_of_day("24:00:00"), Some(DAY));
        assert_eq!(time_of_day("18:00:00+00"), None);
        assert_eq!(time_of_day("18:00"), None);
    }
}
