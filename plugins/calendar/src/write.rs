//! From numbers to the canonical text.

use std::fmt::{self, Write};

use crate::day::civil;
use crate::{Bounded, Moment};

const PAST: &str = "-infinity";
const FUTURE: &str = "infinity";

/// Writes a date, given as days since 1970-01-01.
///
/// # Errors
/// The writer's.
pub fn put_date(out: &mut impl Write, date: Bounded<i64>) -> fmt::Result {
    match date {
        Bounded::Past => out.write_str(PAST),
        Bounded::Future => out.write_str(FUTURE),
        Bounded::At(days) => {
            let is_before_christ = put_day(out, days)?;
            put_era(out, is_before_christ)
        }
    }
}

/// Writes a time of day, given as seconds and microseconds.
///
/// # Errors
/// The writer's.
pub fn put_time(out: &mut impl Write, seconds: u32, microseconds: u32) -> fmt::Result {
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{hour:02}:{minute:02}:{second:02}")?;
    if microseconds == 0 {
        return Ok(());
    }
    let (mut fraction, mut width) = (microseconds, 6);
    while fraction % 10 == 0 {
        fraction /= 10;
        width -= 1;
    }
    write!(out, ".{fraction:0width$}")
}

/// Writes a timestamp as it stands on the wall, with an offset from UTC in seconds where there is
/// one: `2024-02-29 12:00:00.5+05:30`.
///
/// # Errors
/// The writer's.
pub fn put_timestamp(
    out: &mut impl Write,
    moment: Bounded<Moment>,
    offset: Option<i32>,
) -> fmt::Result {
    let moment = match moment {
        Bounded::Past => return out.write_str(PAST),
        Bounded::Future => return out.write_str(FUTURE),
        Bounded::At(moment) => moment,
    };
    let (days, seconds) = moment.split();
    let is_before_christ = put_day(out, days)?;
    out.write_char(' ')?;
    put_time(out, seconds, moment.microseconds)?;
    if let Some(offset) = offset {
        put_offset(out, offset)?;
    }
    put_era(out, is_before_christ)
}

fn put_offset(out: &mut impl Write, offset: i32) -> fmt::Result {
    let size = offset.unsigned_abs();
    let (hour, minute, second) = (size / 3600, size / 60 % 60, size % 60);
    write!(out, "{}{hour:02}", if offset < 0 { '-' } else { '+' })?;
    if (minute, second) != (0, 0) {
        write!(out, ":{minute:02}")?;
    }
    if second != 0 {
        write!(out, ":{second:02}")?;
    }
    Ok(())
}

/// Writes a day without its era, and says whether it is before Christ.
fn put_day(out: &mut impl Write, days: i64) -> Result<bool, fmt::Error> {
    let date = civil(days);
    let is_before_christ = date.year <= 0;
    let year = if is_before_christ { 1 - date.year } else { date.year };
    write!(out, "{year:04}-{:02}-{:02}", date.month, date.day)?;
    Ok(is_before_christ)
}

fn put_era(out: &mut impl Write, is_before_christ: bool) -> fmt::Result {
    if is_before_christ { out.write_str(" BC") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{read_date, read_time, read_timestamp};

    #[test]
    fn a_timestamp_has_the_text_that_the_source_gives_it() {
        for text in [
            "1970-01-01 00:00:00+00",
            "2024-02-29 12:00:00.5+00",
            "2024-02-29 12:00:00.000001+05:30",
            "1900-01-01 00:00:00+00:19:32",
            "0044-03-15 01:02:03+00 BC",
            "294276-12-31 23:59:59.999999+00",
            "4714-11-24 00:00:00 BC",
            "12024-02-29 12:00:00",
            "infinity",
            "-infinity",
        ] {
            let (moment, offset) = read_timestamp(text).expect(text);
            let mut written = String::new();
            put_timestamp(&mut written, moment, offset).expect("a text takes all");
            assert_eq!(written, text);
        }
        let mut written = String::new();
        put_time(&mut written, 86_400, 0).expect("a text takes all");
        assert_eq!(written, "24:00:00");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            days in -2_440_588_i64..=106_762_939,
            seconds in 0_u32..86_400,
            microseconds in 0_u32..1_000_000,
            offset in prop::option::of(-57_599_i32..57_600),
        ) {
            let mut text = String::new();
            put_date(&mut text, Bounded::At(days)).expect("a text takes all");
            prop_assert_eq!(read_date(&text), Ok(Bounded::At(days)));
            text.clear();
            put_time(&mut text, seconds, microseconds).expect("a text takes all");
            prop_assert_eq!(read_time(&text), Ok((seconds, microseconds)));
            text.clear();
            let at = Moment { seconds: days * crate::DAY + i64::from(seconds), microseconds };
            put_timestamp(&mut text, Bounded::At(at), offset).expect("a text takes all");
            prop_assert_eq!(read_timestamp(&text), Ok((Bounded::At(at), offset)));
        }

        #[test]
        fn no_text_makes_the_reader_fail(text in "[0-9:. +TZBC-]{0,40}") {
            let _ = (read_date(&text), read_time(&text), read_timestamp(&text));
        }
    }
}
