//! Days since 1970 as year, month and day, in the calendar that Java's `GregorianCalendar` has:
//! Julian before 15 October 1582. The converter writes `google.type.Date` through it.

/// 15 October 1582, the first day of the Gregorian calendar, in days since 1970.
const FIRST_GREGORIAN_DAY: i64 = -141_427;

/// Year of its era, month and day. Java's calendar has no year zero and counts the years before
/// year 1 upwards; the era itself is lost in `google.type.Date`.
pub(super) fn date(days: i64) -> (i64, i64, i64) {
    let (year, month, day) =
        if days < FIRST_GREGORIAN_DAY { julian(days) } else { gregorian(days) };
    (if year > 0 { year } else { 1 - year }, month, day)
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
    use super::date;

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
            assert_eq!(date(days), expected, "{days}");
        }
    }
}
