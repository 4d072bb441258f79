//! Dates, times of day and timestamps: from the text in which databases print them to numbers, and
//! back to the one canonical text of a value.
//!
//! Shared by the plugins that compute with times. What is read is ISO 8601 as databases print it:
//! `2026-11-22 18:00:00.123456+00`, a `T` or a blank before the time, an offset or `Z`, years of four
//! to seven digits, ` BC` at the end, `infinity`. What is written is what the gateway's source
//! writes. Ranges are PostgreSQL's. There is no clock and no time zone here but offsets; nothing is
//! rounded: what does not fit is refused.

mod day;
mod read;
mod write;

pub use day::{Civil, civil, days};
pub use read::{Misread, read_date, read_offset, read_time, read_timestamp};
pub use write::{put_date, put_time, put_timestamp};

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// A value that may lie beyond every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounded<T> {
    /// `-infinity`.
    Past,
    /// A value proper.
    At(T),
    /// `infinity`.
    Future,
}

/// Seconds and microseconds since 1970-01-01 00:00:00: of UTC, or of a clock on a wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Microseconds of the second.
    pub microseconds: u32,
}

impl Moment {
    /// The days since 1970-01-01 and the seconds of the day.
    pub fn split(self) -> (i64, u32) {
        (self.seconds.div_euclid(DAY), self.seconds.rem_euclid(DAY) as u32)
    }

    /// The same so many seconds later. `None`: beyond the range of a timestamp.
    pub fn plus(self, seconds: i64) -> Option<Moment> {
        let later = Moment { seconds: self.seconds.checked_add(seconds)?, ..self };
        later.is_in_range().then_some(later)
    }

    /// Whether a timestamp can hold it: 4714-11-24 BC to 294276-12-31.
    pub fn is_in_range(self) -> bool {
        (day::LEAST * DAY..(day::MOST_OF_TIMESTAMPS + 1) * DAY).contains(&self.seconds)
    }
}

/// Whether a date can hold the day: 4714-11-24 BC to 5874897-12-31.
pub fn is_date(days: i64) -> bool {
    (day::LEAST..=day::MOST_OF_DATES).contains(&days)
}
