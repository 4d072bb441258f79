//! PostgreSQL's text of dates, times and money as ISO 8601 and plain decimals.
//!
//! Every function gives `false` and writes nothing where the text is not of its grammar
//! (`infinity` among them); the caller then writes the text as it is.

use crate::calendar::put_year;

/// Digits of a year: PostgreSQL's last one is 5,874,897.
const YEAR_DIGITS: std::ops::RangeInclusive<usize> = 4..=7;

/// Appends a date: `2026-11-21`; `-0043-03-15` for `0044-03-15 BC`.
pub(super) fn put_date(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let (text, before_christ) = without_era(text);
    quoted(out, |out| {
        let rest = put_day(out, text, before_christ)?;
        rest.is_empty().then_some(())
    })
}

/// Appends a timestamp: `2026-11-21T18:00:00.5`, with `Z` or `+hh:mm` where it has a zone.
pub(super) fn put_timestamp(out: &mut Vec<u8>, text: &[u8], zoned: bool) -> bool {
    let (text, before_christ) = without_era(text);
    quoted(out, |out| {
        let clock = put_day(out, text, before_christ)?.strip_prefix(b" ")?;
        out.push(b'T');
        if zoned {
            put_clock_with_zone(out, clock)
        } else {
            out.extend_from_slice(is_clock(clock).then_some(clock)?);
            Some(())
        }
    })
}

/// Appends a time with a zone: `18:00:00.5+02:00`.
pub(super) fn put_zoned_time(out: &mut Vec<u8>, text: &[u8]) -> bool {
    quoted(out, |out| put_clock_with_zone(out, text))
}

/// Appends an amount without its sign of currency and its grouping: `-1234.11` for `-$1,234.11`.
pub(super) fn put_money(out: &mut Vec<u8>, text: &[u8]) -> bool {
    quoted(out, |out| {
        let begin = out.len();
        out.extend(text.iter().filter(|byte| !b"$,".contains(byte)));
        let number = out.get(begin..)?;
        let digits = number.strip_prefix(b"-").unwrap_or(number);
        let plain = digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        (plain && !digits.is_empty()).then_some(())
    })
}

/// What `write` appends, in quotes; nothing where it gives none.
fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> bool {
    let begin = out.len();
    out.push(b'"');
    if write(out).is_none() {
        out.truncate(begin);
        return false;
    }
    out.push(b'"');
    true
}

fn without_era(text: &[u8]) -> (&[u8], bool) {
    text.strip_suffix(b" BC").map_or((text, false), |text| (text, true))
}

/// Appends the day that the text begins with and gives what is behind it.
fn put_day<'a>(out: &mut Vec<u8>, text: &'a [u8], before_christ: bool) -> Option<&'a [u8]> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (year, rest) = text.split_at_checked(digits)?;
    let (month_and_day, rest) = rest.split_at_checked(6)?;
    let [b'-', m1, m2, b'-', d1, d2] = month_and_day else { return None };
    let numbers = [m1, m2, d1, d2].into_iter().all(|byte| byte.is_ascii_digit());
    if !numbers || !YEAR_DIGITS.contains(&digits) {
        return None;
    }
    let year = year.iter().fold(0, |year, digit| year * 10 + i64::from(digit - b'0'));
    // There is no year 0 before Christ, and there is one in ISO 8601.
    put_year(out, if before_christ { 1 - year } else { year });
    out.extend_from_slice(month_and_day);
    Some(rest)
}

fn is_clock(text: &[u8]) -> bool {
    let (clock, fraction) = text.split_at_checked(8).unwrap_or((text, &[]));
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return false };
    let numbers = [h1, h2, m1, m2, s1, s2].into_iter().all(|byte| byte.is_ascii_digit());
    let fraction = match fraction {
        [] => true,
        [b'.', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    numbers && fraction
}

/// `18:00:00.5+02` as `18:00:00.5+02:00`, `+00` as `Z`. Seconds of an offset, which are none of
/// ISO 8601's, stay.
fn put_clock_with_zone(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let at = text.iter().position(|byte| matches!(byte, b'+' | b'-'))?;
    let (clock, zone) = text.split_at_checked(at)?;
    let offset = zone.get(1..)?;
    if !is_clock(clock) || !offset.iter().all(|byte| byte.is_ascii_digit() || *byte == b':') {
        return None;
    }
    out.extend_from_slice(clock);
    match offset {
        b"00" | b"00:00" => out.push(b'Z'),
        [_, _] => {
            out.extend_from_slice(zone);
            out.extend_from_slice(b":00");
        }
        [_, _, b':', ..] => out.extend_from_slice(zone),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<String> {
        let mut out = b"x".to_vec();
        let done = write(&mut out);
        assert!(done || out == b"x", "nothing is left of what was not written");
        done.then(|| String::from_utf8(out.split_off(1)).unwrap())
    }

    #[test]
    fn dates_and_times_are_iso_8601() {
        let date = |text: &str| written(|out| put_date(out, text.as_bytes()));
        assert_eq!(date("2026-11-21").as_deref(), Some("\"2026-11-21\""));
        assert_eq!(date("0044-03-15 BC").as_deref(), Some("\"-0043-03-15\""));
        assert_eq!(date("0001-01-01 BC").as_deref(), Some("\"0000-01-01\""));
        assert_eq!(date("5874897-12-31").as_deref(), Some("\"+5874897-12-31\""));
        for text in ["infinity", "-infinity", "", "21.11.2026", "2026-11-21 ", "2026-1-21"] {
            assert_eq!(date(text), None, "{text}");
        }
        let timestamp =
            |text: &str, zoned| written(|out| put_timestamp(out, text.as_bytes(), zoned));
        for (text, zoned, expected) in [
            ("2026-11-21 18:00:00", false, "\"2026-11-21T18:00:00\""),
            ("2026-11-21 18:00:00.123456+00", true, "\"2026-11-21T18:00:00.123456Z\""),
            ("2026-11-21 18:00:00+02", true, "\"2026-11-21T18:00:00+02:00\""),
            ("4714-11-24 00:00:00+00 BC", true, "\"-4713-11-24T00:00:00Z\""),
            ("294276-12-31 23:59:59.999999", false, "\"+294276-12-31T23:59:59.999999\""),
        ] {
            assert_eq!(timestamp(text, zoned).as_deref(), Some(expected), "{text}");
        }
        for text in ["infinity", "2026-11-21", "2026-11-21 18:00", "2026-11-21 18:00:00.+00"] {
            assert_eq!(timestamp(text, true), None, "{text}");
            assert_eq!(timestamp(text, false), None, "{text}");
        }
        let zoned = |text: &str| written(|out| put_zoned_time(out, text.as_bytes()));
        assert_eq!(zoned("18:00:00.5-05:30").as_deref(), Some("\"18:00:00.5-05:30\""));
        assert_eq!(zoned("24:00:00+00").as_deref(), Some("\"24:00:00Z\""));
        assert_eq!(zoned("18:00:00+15:59:59").as_deref(), Some("\"18:00:00+15:59:59\""));
        assert_eq!(zoned("18:00:00"), None);
    }

    #[test]
    fn money_is_a_plain_decimal() {
        let money = |text: &str| written(|out| put_money(out, text.as_bytes()));
        assert_eq!(money("$1,234.11").as_deref(), Some("\"1234.11\""));
        assert_eq!(
            money("-$92,233,720,368,547,758.08").as_deref(),
            Some("\"-92233720368547758.08\"")
        );
        assert_eq!(money("1 234,11 €"), None);
        assert_eq!(money(""), None);
    }
}
