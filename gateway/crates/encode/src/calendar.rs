//! Days and moments since 1970 as dates and text. Two calendars: ISO 8601's, and the one that Java's
//! `GregorianCalendar` has, which is Julian before 15 October 1582. Reads no text.

use crate::json::put_integer;

/// 15 October 1582, the first day of the Gregorian calendar, in days since 1970.
const FIRST_GREGORIAN_DAY: i64 = -141_427;

/// Year of its era, month and day by Java's calendar, which has no year zero and counts the years
/// before year 1 upwards.
pub(crate) fn java_date(days: i64) -> (i64, i64, i64) {
    let (year, month, day) =
        if days < FIRST_GREGORIAN_DAY { julian(days) } else { gregorian(days) };
    (if year > 0 { year } else { 1 - year }, month, day)
}

/// Appends a moment as `2026-11-21T18:00:00.123456Z`, without quotes. `digits` of the fraction are
/// written, at most six.
pub(crate) fn put_moment(out: &mut Vec<u8>, unix_micros: i64, digits: u32) {
    const MICROS_PER_DAY: i64 = 86_400_000_000;
    let (year, month, day) = gregorian(unix_micros.div_euclid(MICROS_PER_DAY));
    let micros = unix_micros.rem_euclid(MICROS_PER_DAY);
    put_year(out, year);
    put_padded(out, b"-", month, 2);
    put_padded(out, b"-", day, 2);
    put_padded(out, b"T", micros / 3_600_000_000, 2);
    put_padded(out, b":", micros / 60_000_000 % 60, 2);
    put_padded(out, b":", micros / 1_000_000 % 60, 2);
    if digits > 0 {
        let fraction = micros % 1_000_000 / 10i64.pow(6u32.saturating_sub(digits));
        put_padded(out, b".", fraction, digits.min(6));
    }
    out.push(b'Z');
}

/// Appends a year of ISO 8601: four digits; more of them with a sign, as years before 0 have one.
pub(crate) fn put_year(out: &mut Vec<u8>, year: i64) {
    let sign: &[u8] = match year {
        ..0 => b"-",
        0..10_000 => b"",
        _ => b"+",
    };
    put_padded(out, sign, year.abs(), 4);
}

fn put_padded(out: &mut Vec<u8>, before: &[u8], value: i64, width: u32) {
    out.extend_from_slice(before);
    let digits = value.checked_ilog10().map_or(1, |digits| digits + 1);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(digits) as usize));
    put_integer(out, value);
}

/// Years from 1 March on, so that the leap day is a year's last.
fn gregorian(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    from_march(era * 400 + year, day)
}

fn julian(days: i64) -> (i64, i64, i64) {
    let days = days + 719_470;
    let (era, day) = (days.div_euclid(1461), days.rem_euclid(1461));
    let year = (day - day / 1460) / 365;
    from_march(era * 4 + year, day - 365 * year)
}

/// `day` of a year that begins with March.
fn from_march(year: i64, day: i64) -> (i64, i64, i64) {
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::{java_date, put_moment};

    #[test]
    fn the_calendar_changes_in_october_1582() {
        // Each checked with java.util.GregorianCalendar in UTC.
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (-141_427, (1582, 10, 15)),
            (-141_428, (1582, 10, 4)),
            (-719_162, (1, 1, 3)),
            (-719_164, (1, 1, 1)),
            (-719_165, (1, 12, 31)),
            (-719_470, (1, 3, 1)),
            (-719_471, (1, 2, 29)),
            (2_932_896, (9999, 12, 31)),
        ] {
            assert_eq!(java_date(days), expected, "{days}");
        }
    }

    #[test]
    fn a_moment_is_text_of_iso_8601() {
        for (micros, digits, expected) in [
            (0, 6, "1970-01-01T00:00:00.000000Z"),
            (1_795_217_028_924_622, 6, "2026-11-20T23:23:48.924622Z"),
            (1_795_217_028_924_622, 3, "2026-11-20T23:23:48.924Z"),
            (-1, 6, "1969-12-31T23:59:59.999999Z"),
            (253_402_300_800_000_000, 0, "+10000-01-01T00:00:00Z"),
            (-62_167_219_200_000_001, 3, "-0001-12-31T23:59:59.999Z"),
        ] {
            let mut out = Vec::new();
            put_moment(&mut out, micros, digits);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
