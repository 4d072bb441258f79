//! Days since 1970-01-01 and dates of the Gregorian calendar, which is taken to hold always.

/// 4714-11-24 BC, the Julian day 0.
pub(crate) const LEAST: i64 = -2_440_588;
/// 294276-12-31.
pub(crate) const MOST_OF_TIMESTAMPS: i64 = 106_762_939;
/// 5874897-12-31.
pub(crate) const MOST_OF_DATES: i64 = 2_145_042_905;

/// A date in parts. The year before the year 1 is the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// The year; 0 is 1 BC.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

/// Years and days of a cycle of the calendar.
const CYCLE_YEARS: i64 = 400;
const CYCLE_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Days since 1970-01-01. `None`: there is no such date, or its year is beyond computing.
pub fn days(date: Civil) -> Option<i64> {
    let Civil { year, month, day } = date;
    if !(1..=12).contains(&month) || day < 1 || day > length(year, month) {
        return None;
    }
    if year.unsigned_abs() > 10_000_000 {
        return None;
    }
    // Years begin in March, so that the leap day is the last.
    let year = year - i64::from(month <= 2);
    let month = i64::from((month + 9) % 12);
    let (cycle, of_cycle) = (year.div_euclid(CYCLE_YEARS), year.rem_euclid(CYCLE_YEARS));
    let of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let leaps = of_cycle / 4 - of_cycle / 100;
    Some(cycle * CYCLE_DAYS + of_cycle * 365 + leaps + of_year - EPOCH)
}

/// The date of a day since 1970-01-01.
pub fn civil(days: i64) -> Civil {
    let since = days.saturating_add(EPOCH);
    let (cycle, of_cycle) = (since.div_euclid(CYCLE_DAYS), since.rem_euclid(CYCLE_DAYS));
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    Civil { year: year + cycle * CYCLE_YEARS + i64::from(month <= 2), month, day }
}

/// Days of a month.
fn length(year: i64, month: u32) -> u32 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_have_their_dates() {
        for (year, month, day, expected) in [
            (1970, 1, 1, 0),
            (1969, 12, 31, -1),
            (2000, 2, 29, 11_016),
            (2024, 2, 29, 19_782),
            (1, 1, 1, -719_162),
            (-4713, 11, 24, LEAST),
            (294_276, 12, 31, MOST_OF_TIMESTAMPS),
            (5_874_897, 12, 31, MOST_OF_DATES),
        ] {
            let date = Civil { year, month, day };
            assert_eq!((days(date), civil(expected)), (Some(expected), date));
        }
    }

    #[test]
    fn dates_that_are_none_have_no_day() {
        for (year, month, day) in
            [(2023, 2, 29), (1900, 2, 29), (2024, 4, 31), (2024, 13, 1), (2024, 1, 0)]
        {
            assert_eq!(days(Civil { year, month, day }), None, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn every_day_of_a_cycle_comes_back_and_follows_the_one_before() {
        let mut before = civil(-80_000);
        for day in -79_999..80_000 {
            let date = civil(day);
            assert_eq!(days(date), Some(day));
            assert!((date.year, date.month, date.day) > (before.year, before.month, before.day));
            before = date;
        }
    }
}
