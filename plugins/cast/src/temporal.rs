//! Dates, times and timestamps: checked, and brought to the precision of the new type.

use std::fmt;

use offtake_calendar as calendar;
use offtake_calendar::{Bounded, Misread, Moment};

use crate::convert::Misfit;
use crate::target::{Source, Target};

/// Converts a text, or the text of a time, and appends the canonical text of the new type.
pub(crate) fn put(
    out: &mut String,
    text: &str,
    source: &Source,
    target: &Target,
) -> Result<(), Misfit> {
    match *target {
        Target::Time(digits) => {
            let (seconds, microseconds) = calendar::read_time(text)?;
            check_digits(microseconds, digits)?;
            written(calendar::put_time(out, seconds, microseconds))
        }
        Target::Timestamp(digits) => {
            let moment = moment(text, false)?;
            check_moment(moment, digits)?;
            written(calendar::put_timestamp(out, moment, None))
        }
        Target::TimestampTz(digits) => {
            let moment = moment(text, true)?;
            check_moment(moment, digits)?;
            written(calendar::put_timestamp(out, moment, Some(0)))
        }
        // A timestamp is a date where it is midnight.
        _ if *source == Source::Timestamp => {
            let days = match moment(text, false)? {
                Bounded::Past => Bounded::Past,
                Bounded::Future => Bounded::Future,
                Bounded::At(moment) => match (moment.split(), moment.microseconds) {
                    ((days, 0), 0) => Bounded::At(days),
                    _ => return Err(Misfit::Digits),
                },
            };
            written(calendar::put_date(out, days))
        }
        _ => written(calendar::put_date(out, calendar::read_date(text)?)),
    }
}

/// A timestamp's moment: of UTC where it is one with an offset, else as on the wall.
fn moment(text: &str, has_offset: bool) -> Result<Bounded<Moment>, Misfit> {
    match calendar::read_timestamp(text)? {
        (Bounded::At(moment), Some(offset)) if has_offset => {
            moment.plus(-i64::from(offset)).map(Bounded::At).ok_or(Misfit::Range)
        }
        (Bounded::At(moment), None) if !has_offset => Ok(Bounded::At(moment)),
        (Bounded::At(_), _) => Err(Misfit::Grammar),
        (bound, _) => Ok(bound),
    }
}

fn check_moment(moment: Bounded<Moment>, digits: Option<u32>) -> Result<(), Misfit> {
    match moment {
        Bounded::At(moment) => check_digits(moment.microseconds, digits),
        _ => Ok(()),
    }
}

fn check_digits(microseconds: u32, digits: Option<u32>) -> Result<(), Misfit> {
    let unit = 10_u32.pow(6_u32.saturating_sub(digits.unwrap_or(6)));
    if microseconds.is_multiple_of(unit) { Ok(()) } else { Err(Misfit::Digits) }
}

/// Writing to a text cannot fail.
fn written(result: fmt::Result) -> Result<(), Misfit> {
    result.map_err(|_| Misfit::Range)
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
