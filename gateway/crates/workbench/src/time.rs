//! Commit times as a fixture writes them: a date and a time in UTC, to microseconds since 1970.

const MICROSECONDS: i64 = 1_000_000;

/// Reads `2026-01-02T03:04:05.000006Z`, with or without a fraction. `None`: it is something else.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once(['T', ' '])?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let is_digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits || fraction.is_empty() || fraction.len() > 6 {
        return None;
    }
    let ranges = [(month, 1, 12), (day, 1, days_in(year, month)), (hour, 0, 23), (minute, 0, 59)];
    let in_range = |(value, least, most): &(i64, i64, i64)| (least..=most).contains(&value);
    if !ranges.iter().all(in_range) || !(0..=59).contains(&second) || !(1..=9999).contains(&year) {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<6}").parse().ok()?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * MICROSECONDS + fraction)
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let is_digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        is_digits.then(|| part.parse::<i64>().ok()).flatten()
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let before_year = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    let before_month: i64 = (1..month).map(|month| days_in(year, month)).sum();
    before_year + before_month + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_time_is_read_to_the_microsecond() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59.5Z", Some(-500_000)),
            ("2026-01-02T03:04:05.000006Z", Some(1_767_323_045_000_006)),
            ("2024-02-29 12:00:00Z", Some(1_709_208_000_000_000)),
            ("2025-02-29T12:00:00Z", None),
            ("2026-01-02T03:04:05", None),
            ("2026-01-02T03:04:05+01:00", None),
            ("2026-13-02T03:04:05Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
