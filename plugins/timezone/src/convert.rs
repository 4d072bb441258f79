//! One time to another form of it.

use offtake_calendar as calendar;
use offtake_calendar::{Bounded, Misread, Moment};
use offtake_sdk::Value;

use crate::pattern::{Pattern, put_offset};
use crate::settings::{Settings, Target, Unit};

/// Why a value cannot be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    Grammar,
    Range,
    Digits,
    /// There is no offset and no zone to read it in.
    Zone,
    /// A wall clock shows it twice or never.
    Doubtful,
}

impl Misfit {
    /// In words.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Misfit::Grammar => "its value is not written as expected",
            Misfit::Range => "its value is beyond what the new form can say",
            Misfit::Digits => "its value has digits of a second that would be lost",
            Misfit::Zone => "its value has no offset, and there is no `from_zone` to read it in",
            Misfit::Doubtful => {
                "its value is a time that clocks in `from_zone` show twice or never"
            }
        }
    }
}

impl From<Misread> for Misfit {
    fn from(misread: Misread) -> Misfit {
        match misread {
            Misread::Grammar => Misfit::Grammar,
            Misread::Range => Misfit::Range,
            Misread::Precision => Misfit::Digits,
        }
    }
}

/// A converted value: a number, or what was appended to the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Converted {
    Integer(i64),
    Text,
}

/// A time on a wall, and that wall's offset from UTC where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    wall: Moment,
    offset: Option<i32>,
}

/// Converts a value. `is_text`: of a column of any text. Texts are appended to `out`.
pub(crate) fn convert(
    value: Value<'_>,
    is_text: bool,
    settings: &Settings,
    target: Target,
    out: &mut String,
) -> Result<Converted, Misfit> {
    let read = match value {
        Value::Integer(number) => of_unix(number.into(), settings)?,
        Value::Unsigned(number) => of_unix(number.into(), settings)?,
        Value::Text(text) => match settings.from_format.as_ref().filter(|_| is_text) {
            Some(pattern) => {
                let (wall, offset) = pattern.read(text)?;
                Bounded::At(Shown { wall, offset })
            }
            None => match calendar::read_timestamp(text)? {
                (Bounded::At(wall), offset) => Bounded::At(Shown { wall, offset }),
                (Bounded::Past, _) => Bounded::Past,
                (Bounded::Future, _) => Bounded::Future,
            },
        },
        _ => return Err(Misfit::Grammar),
    };
    let shown = match read {
        Bounded::At(shown) => shown,
        // Nowhere is it another time.
        Bounded::Past => return put_infinity(out, target, "-infinity"),
        Bounded::Future => return put_infinity(out, target, "infinity"),
    };
    let utc = match moment(shown, settings) {
        Ok(utc) => Some(utc),
        Err(Misfit::Zone) => None,
        Err(misfit) => return Err(misfit),
    };
    let there = match utc {
        Some(utc) => {
            let offset = settings.zone.offset_at(utc.seconds);
            let wall = utc.plus(offset.into()).ok_or(Misfit::Range)?;
            Shown { wall, offset: Some(offset) }
        }
        // As it stands on a wall that is nobody knows where.
        None => shown,
    };
    match target {
        Target::Unix(unit) => {
            unix(utc.ok_or(Misfit::Zone)?, unit).map(Converted::Integer).ok_or(Misfit::Range)
        }
        Target::TimestampTz => {
            let utc = Bounded::At(utc.ok_or(Misfit::Zone)?);
            written(calendar::put_timestamp(out, utc, Some(0)))
        }
        Target::Timestamp => written(calendar::put_timestamp(out, Bounded::At(there.wall), None)),
        Target::Date => written(calendar::put_date(out, Bounded::At(there.wall.split().0))),
        Target::Time => {
            let seconds = there.wall.split().1;
            written(calendar::put_time(out, seconds, there.wall.microseconds))
        }
        Target::Text => put_text(out, there, settings.format.as_ref()),
    }
}

/// The moment in UTC.
fn moment(shown: Shown, settings: &Settings) -> Result<Moment, Misfit> {
    let offset = match (shown.offset, &settings.from_zone) {
        (Some(offset), _) => offset,
        (None, Some(zone)) => {
            zone.offset_on_wall(shown.wall.seconds, settings.doubtful).ok_or(Misfit::Doubtful)?
        }
        (None, None) => return Err(Misfit::Zone),
    };
    shown.wall.plus(-i64::from(offset)).ok_or(Misfit::Range)
}

fn put_infinity(out: &mut String, target: Target, text: &str) -> Result<Converted, Misfit> {
    match target {
        Target::Text | Target::Timestamp | Target::TimestampTz | Target::Date => {
            out.push_str(text);
            Ok(Converted::Text)
        }
        Target::Time | Target::Unix(_) => Err(Misfit::Range),
    }
}

/// Without a pattern it is ISO 8601 with as many digits of a second as there are.
fn put_text(
    out: &mut String,
    shown: Shown,
    pattern: Option<&Pattern>,
) -> Result<Converted, Misfit> {
    if let Some(pattern) = pattern {
        pattern.put(out, shown.wall, shown.offset)?;
        return Ok(Converted::Text);
    }
    let (days, seconds) = shown.wall.split();
    if !(1..=9999).contains(&calendar::civil(days).year) {
        return Err(Misfit::Range);
    }
    written(calendar::put_date(out, Bounded::At(days)))?;
    out.push('T');
    written(calendar::put_time(out, seconds, shown.wall.microseconds))?;
    if let Some(offset) = shown.offset {
        put_offset(out, offset, true, true);
    }
    Ok(Converted::Text)
}

/// Writing to a text cannot fail.
fn written(result: std::fmt::Result) -> Result<Converted, Misfit> {
    result.map(|()| Converted::Text).map_err(|_| Misfit::Range)
}

/// Rounded down, as whoever names a unit wants it.
fn unix(utc: Moment, unit: Unit) -> Option<i64> {
    let per_second = unit.per_second();
    let microseconds = i64::from(utc.microseconds);
    let fraction = match unit {
        Unit::Nanoseconds => microseconds * 1000,
        unit => microseconds / (1_000_000 / unit.per_second()),
    };
    utc.seconds.checked_mul(per_second)?.checked_add(fraction)
}

fn of_unix(number: i128, settings: &Settings) -> Result<Bounded<Shown>, Misfit> {
    // The configuration was refused for numbers without a unit.
    let unit = settings.from_unix.ok_or(Misfit::Grammar)?;
    let number = i64::try_from(number).map_err(|_| Misfit::Range)?;
    let per_second = unit.per_second();
    let (seconds, rest) = (number.div_euclid(per_second), number.rem_euclid(per_second));
    let nanoseconds = rest * (1_000_000_000 / per_second);
    if nanoseconds % 1000 != 0 {
        return Err(Misfit::Digits);
    }
    let microseconds = u32::try_from(nanoseconds / 1000).map_err(|_| Misfit::Range)?;
    let wall = Moment { seconds, microseconds };
    if !wall.is_in_range() {
        return Err(Misfit::Range);
    }
    Ok(Bounded::At(Shown { wall, offset: Some(0) }))
}

#[cfg(test)]
mod tests {
    use offtake_sdk::Config;

    use super::*;

    fn text(given: &str, config: &str, target: Target) -> Result<String, Misfit> {
        any(Value::Text(given), config, target)
    }

    fn any(given: Value<'_>, config: &str, target: Target) -> Result<String, Misfit> {
        let settings = Settings::read(&Config::from_json(config)).expect(config);
        let mut out = String::new();
        match convert(given, true, &settings, target, &mut out)? {
            Converted::Text => Ok(out),
            Converted::Integer(number) => Ok(number.to_string()),
        }
    }

    const PARIS: &str = r#"{"zone":"Europe/Paris"}"#;
    const FROM_PARIS: &str = r#"{"zone":"UTC","from_zone":"Europe/Paris"}"#;

    #[test]
    fn a_moment_is_shown_in_the_zone() {
        let summer = "2024-07-01 12:00:00.5+00";
        assert_eq!(text(summer, PARIS, Target::Text).unwrap(), "2024-07-01T14:00:00.5+02:00");
        assert_eq!(text(summer, PARIS, Target::Timestamp).unwrap(), "2024-07-01 14:00:00.5");
        assert_eq!(text(summer, PARIS, Target::Time).unwrap(), "14:00:00.5");
        let night = "2024-12-31 23:30:00+00";
        assert_eq!(text(night, PARIS, Target::Date).unwrap(), "2025-01-01");
        assert_eq!(
            text(night, r#"{"zone":"-03:30"}"#, Target::Text).unwrap(),
            "2024-12-31T20:00:00-03:30"
        );
        assert_eq!(text("infinity", PARIS, Target::Text).unwrap(), "infinity");
        assert_eq!(text("infinity", PARIS, Target::Unix(Unit::Seconds)), Err(Misfit::Range));
    }

    #[test]
    fn a_wall_without_zone_is_read_in_the_one_given_or_stays_a_wall() {
        let wall = "2024-07-01 12:00:00";
        assert_eq!(text(wall, FROM_PARIS, Target::TimestampTz).unwrap(), "2024-07-01 10:00:00+00");
        assert_eq!(text(wall, PARIS, Target::TimestampTz), Err(Misfit::Zone));
        assert_eq!(text(wall, PARIS, Target::Text).unwrap(), "2024-07-01T12:00:00");
        assert_eq!(text(wall, PARIS, Target::Unix(Unit::Seconds)), Err(Misfit::Zone));
        let config = r#"{"zone":"UTC","from_zone":"Europe/Paris","doubtful":"fail"}"#;
        assert_eq!(text("2024-10-27 02:30:00", config, Target::TimestampTz), Err(Misfit::Doubtful));
    }

    #[test]
    fn numbers_count_from_1970_in_their_unit_and_come_back() {
        let given = "1969-12-31 23:59:59.999999+00";
        for (unit, expected) in [
            (Unit::Seconds, "-1"),
            (Unit::Milliseconds, "-1"),
            (Unit::Microseconds, "-1"),
            (Unit::Nanoseconds, "-1000"),
        ] {
            assert_eq!(text(given, PARIS, Target::Unix(unit)).unwrap(), expected);
        }
        let config = r#"{"zone":"UTC","from_unix":"ns"}"#;
        assert_eq!(any(Value::Integer(-1000), config, Target::TimestampTz).unwrap(), given);
        assert_eq!(any(Value::Integer(1), config, Target::TimestampTz), Err(Misfit::Digits));
        let config = r#"{"zone":"UTC","from_unix":"s"}"#;
        assert_eq!(any(Value::Integer(i64::MAX), config, Target::TimestampTz), Err(Misfit::Range));
        let far = "294276-12-31 00:00:00+00";
        assert_eq!(text(far, PARIS, Target::Unix(Unit::Nanoseconds)), Err(Misfit::Range));
        assert_eq!(text(far, PARIS, Target::Text), Err(Misfit::Range));
    }

    #[test]
    fn patterns_say_how_texts_are_read_and_written() {
        let config = r#"{"zone":"Europe/Paris","from_format":"dd/MM/yyyy HH:mm","from_zone":"UTC",
                         "format":"yyyy-MM-dd HH:mm xxx"}"#;
        assert_eq!(
            text("01/07/2024 12:00", config, Target::Text).unwrap(),
            "2024-07-01 14:00 +02:00"
        );
        assert_eq!(text("2024-07-01 12:00:00", config, Target::Text), Err(Misfit::Grammar));
    }
}
