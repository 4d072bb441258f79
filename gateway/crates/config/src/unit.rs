//! Durations and sizes as people write them: `100ms`, `1h30m`, `64MiB`, `500MB`.
//!
//! Whole numbers with a unit, several parts for a duration. A number without a unit is refused,
//! for guessing the unit is how a deadline of 100 seconds comes to be. The errors say what would
//! have been right.

use std::fmt::Write as _;
use std::time::Duration;

const DURATIONS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 604_800_000_000),
];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// Reads a duration.
///
/// # Errors
/// What is wrong with the text, for a person.
pub fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("it is empty; write for example \"100ms\" or \"1h30m\"".to_owned());
    }
    let mut micros = 0u64;
    while !rest.is_empty() {
        let (number, unit, after) = part(rest);
        let number = whole(number, unit, "a duration such as \"100ms\", \"30s\" or \"1h30m\"")?;
        let scale = DURATIONS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
        let Some(scale) = scale else {
            return Err(if unit.is_empty() {
                format!("it has no unit; write for example \"{number}ms\" or \"{number}s\"")
            } else {
                format!("unknown unit `{}`; there are us, ms, s, m, h, d and w", short(unit))
            });
        };
        micros = number
            .checked_mul(scale)
            .and_then(|part| micros.checked_add(part))
            .ok_or("it is too long")?;
        rest = after;
    }
    Ok(Duration::from_micros(micros))
}

/// Reads a size in bytes.
///
/// # Errors
/// What is wrong with the text, for a person.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit, after) = part(text.trim());
    let number = whole(number, unit, "a size such as \"64MiB\" or \"20GiB\"")?;
    if !after.is_empty() {
        return Err("a size is one number and one unit, such as \"64MiB\"".to_owned());
    }
    if let Some((_, scale)) = SIZES.iter().find(|(name, _)| *name == unit) {
        return number.checked_mul(*scale).ok_or_else(|| "it is too large".to_owned());
    }
    if unit.is_empty() {
        return Err(format!("it has no unit; write for example \"{number}MiB\" or \"{number}B\""));
    }
    let long = format!("{}B", unit.trim_end_matches(['b', 'B']));
    let meant = [unit, &long]
        .iter()
        .find_map(|unit| SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)));
    Err(match meant {
        Some((name, _)) if name.ends_with("iB") || *name == "B" => {
            format!("unknown unit `{}`; did you mean \"{number}{name}\"?", short(unit))
        }
        Some((name, _)) => format!(
            "unknown unit `{}`; did you mean \"{number}{}iB\" (1024) or \"{number}{name}\" (1000)?",
            short(unit),
            name[..1].to_uppercase()
        ),
        None => format!(
            "unknown unit `{}`; there are B, KiB, MiB, GiB, TiB (1024) and kB, MB, GB, TB (1000)",
            short(unit)
        ),
    })
}

/// A duration as it is written in a file, largest units first.
pub(crate) fn show_duration(duration: Duration) -> String {
    let mut micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (name, scale) in DURATIONS.iter().rev().filter(|(name, _)| *name != "w") {
        if micros >= *scale {
            let _ = write!(out, "{}{name}", micros / scale);
            micros %= scale;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// A size as it is written in a file, exactly.
pub(crate) fn show_size(bytes: u64) -> String {
    let unit = SIZES.iter().filter(|(name, scale)| {
        (name.ends_with("iB") || *name == "B") && bytes >= *scale && bytes.is_multiple_of(*scale)
    });
    match unit.max_by_key(|(_, scale)| *scale) {
        Some((name, scale)) => format!("{}{name}", bytes / scale),
        None => format!("{bytes}B"),
    }
}

/// The leading number, the unit after it and the rest; spaces between them are allowed.
fn part(text: &str) -> (&str, &str, &str) {
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '_' | '.' | '-' | '+')))
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let end = rest
        .find(|c: char| c.is_ascii_digit() || c.is_whitespace() || matches!(c, '.' | '-' | '+'))
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(end);
    (number, unit, after.trim_start())
}

fn whole(number: &str, unit: &str, wanted: &str) -> Result<u64, String> {
    if number.is_empty() {
        return Err(format!("it has no number; write {wanted}"));
    }
    if number.starts_with('-') {
        return Err("it must not be negative".to_owned());
    }
    if number.contains('.') {
        return Err(format!(
            "only whole numbers are taken; write it in a smaller unit than `{}`",
            short(unit)
        ));
    }
    number.replace('_', "").parse().map_err(|_| format!("it is no number; write {wanted}"))
}

fn short(unit: &str) -> String {
    unit.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("20 GiB"), Ok(20 << 30));
        assert_eq!(size("500MB"), Ok(500_000_000));
        assert!(duration("100").unwrap_err().contains("no unit"));
        assert!(duration("1.5h").unwrap_err().contains("whole"));
        assert!(size("64mib").unwrap_err().contains("\"64MiB\""));
        assert!(size("64M").unwrap_err().contains("\"64MB\""));
        assert!(size("99999999999TiB").unwrap_err().contains("too large"));
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_reads_as_the_same(micros in 0u64..u64::MAX / 2, bytes: u64) {
            let span = Duration::from_micros(micros);
            assert_eq!(duration(&show_duration(span)), Ok(span));
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,20}") {
            let _ = duration(&text);
            let _ = size(&text);
        }
    }
}
