//! Intervals: PostgreSQL's text as the peer's microseconds or its ISO 8601.
//!
//! The peer computes with doubles (`PGInterval`, `MicroDuration`), so this does too: a sum of whole
//! microseconds would be more exact and another number.

use super::temporal::Scanner;
use crate::json;

/// An interval's parts. Years and months, days, and the rest are independent of each other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Interval {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    /// Of the seconds.
    micros: i64,
}

/// Largest part that is taken: what PostgreSQL can hold, with room, so that no sum overflows.
const MAX_PART: i64 = 1 << 42;

/// `io.debezium.time.MicroDuration`: microseconds, a month being a twelfth of 365.25 days.
pub(super) fn micros(text: &[u8]) -> Option<i64> {
    let Interval { years, months, days, hours, minutes, micros } = parse(text)?;
    const DAYS_PER_MONTH: f64 = 365.25 / 12.0;
    let days = (years * 12 + months) as f64 * DAYS_PER_MONTH + days as f64;
    let minutes = (days * 24.0 + hours as f64) * 60.0 + minutes as f64;
    let seconds = minutes * 60.0 + micros as f64 / 1_000_000.0;
    Some((seconds * 1e6) as i64)
}

/// `io.debezium.time.Interval`: `P1Y2M3DT4H5M6.78S`, every unit always there.
pub(super) fn text(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let Interval { years, months, days, hours, minutes, micros } = parse(text)?;
    out.clear();
    out.push(b'P');
    let units = [(years, "Y"), (months, "M"), (days, "DT"), (hours, "H"), (minutes, "M")];
    for (count, unit) in units {
        json::put_int64(out, count);
        out.extend_from_slice(unit.as_bytes());
    }
    if micros < 0 {
        out.push(b'-');
    }
    json::put_int64(out, micros.abs() / 1_000_000);
    let fraction = micros.abs() % 1_000_000;
    if fraction != 0 {
        let digits = format!(".{fraction:06}");
        out.extend_from_slice(digits.trim_end_matches('0').as_bytes());
    }
    out.push(b'S');
    Some(())
}

fn parse(text: &[u8]) -> Option<Interval> {
    let parsed = if text.first() == Some(&b'P') { iso(text) } else { postgres(text) }?;
    let Interval { years, months, days, hours, minutes, micros } = parsed;
    let within = |part: i64| part.abs() <= MAX_PART;
    [years, months, days, hours, minutes, micros].into_iter().all(within).then_some(parsed)
}

/// `1 year -2 mons +3 days -04:05:06.78`
fn postgres(text: &[u8]) -> Option<Interval> {
    let mut interval = Interval::default();
    let mut words = text.split(|&byte| byte == b' ');
    let mut seen = false;
    while let Some(word) = words.next() {
        let (sign, rest) = signed(word);
        let mut scanner = Scanner { rest };
        if rest.contains(&b':') {
            let micros = scanner.clock()?;
            interval.hours = sign * (micros / 3_600_000_000);
            interval.minutes = sign * (micros / 60_000_000 % 60);
            interval.micros = sign * (micros % 60_000_000);
        } else {
            let (count, _) = scanner.number()?;
            let part = match words.next()? {
                b"year" | b"years" => &mut interval.years,
                b"mon" | b"mons" | b"month" | b"months" => &mut interval.months,
                b"day" | b"days" => &mut interval.days,
                _ => return None,
            };
            *part = sign * count;
        }
        if !scanner.rest.is_empty() {
            return None;
        }
        seen = true;
    }
    seen.then_some(interval)
}

/// `P1Y-2M3DT4H5M6.78S`
fn iso(text: &[u8]) -> Option<Interval> {
    let mut scanner = Scanner { rest: text.strip_prefix(b"P")? };
    let mut interval = Interval::default();
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
        if fraction != 0 && (time, unit) != (true, b'S') {
            return None;
        }
        match (time, unit) {
            (false, b'Y') => interval.years = sign * count,
            (false, b'M') => interval.months = sign * count,
            (false, b'W') => interval.days += sign * count.checked_mul(7)?,
            (false, b'D') => interval.days += sign * count,
            (true, b'H') => interval.hours = sign * count,
            (true, b'M') => interval.minutes = sign * count,
            (true, b'S') => {
                interval.micros = sign * (count.checked_mul(1_000_000)?.checked_add(fraction)?);
            }
            _ => return None,
        }
    }
    Some(interval)
}

fn signed(text: &[u8]) -> (i64, &[u8]) {
    match text.split_first() {
        Some((b'-', rest)) => (-1, rest),
        Some((b'+', rest)) => (1, rest),
        _ => (1, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_microseconds_in_either_style() {
        for text in ["1 year 2 mons 3 days 04:05:06.78", "P1Y2M3DT4H5M6.78S"] {
            assert_eq!(micros(text.as_bytes()), Some(37_091_106_780_000), "{text}");
        }
        for text in ["-1 years -2 mons +3 days -04:05:06.78", "P-1Y-2M3DT-4H-5M-6.78S"] {
            assert_eq!(micros(text.as_bytes()), Some(-36_572_706_780_000), "{text}");
        }
        assert_eq!(micros(b"00:00:00"), Some(0));
        assert_eq!(micros(b"PT0S"), Some(0));
        let huge = format!("P{}Y", i64::MAX);
        for text in ["", "infinity", "1 fortnight", "P1Q", "4", huge.as_str()] {
            assert_eq!(micros(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_intervals_text_has_every_unit() {
        let written = |interval: &str| {
            let mut out = b"left over".to_vec();
            text(interval.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        for (interval, expected) in [
            ("1 year 2 mons 3 days 04:05:06.78", "P1Y2M3DT4H5M6.78S"),
            ("-1 years -2 mons +3 days -04:05:06.78", "P-1Y-2M3DT-4H-5M-6.78S"),
            ("-00:00:00.000001", "P0Y0M0DT0H0M-0.000001S"),
            ("178000000 years", "P178000000Y0M0DT0H0M0S"),
            ("1000000:00:00", "P0Y0M0DT1000000H0M0S"),
            ("00:00:00", "P0Y0M0DT0H0M0S"),
        ] {
            assert_eq!(written(interval).as_deref(), Some(expected));
        }
    }
}
