//! The rule at the end of a compiled zone, as POSIX writes it in `TZ`:
//! `CET-1CEST,M3.5.0,M10.5.0/3`.

use offtake_calendar::{Civil, DAY, civil, days};

/// Standard time, and where there is one summer time with its begin and end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    standard: i32,
    summer: Option<Summer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Summer {
    offset: i32,
    begin: Turn,
    end: Turn,
}

/// A day of the year, and seconds of that day on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    day: Day,
    seconds: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    /// From 1, where 29 February is never counted.
    Julian(i64),
    /// From 0.
    OfYear(i64),
    /// The `week`th (5: last) such weekday (0: Sunday) of a month.
    OfMonth { month: u32, week: i64, weekday: i64 },
}

impl Rule {
    /// Reads a rule. `None`: it is none.
    pub(crate) fn read(text: &str) -> Option<Rule> {
        let mut reader = Reader { rest: text };
        reader.name()?;
        let standard = i32::try_from(-reader.time()?).ok()?;
        if reader.rest.is_empty() {
            return Some(Rule { standard, summer: None });
        }
        reader.name()?;
        let offset = match reader.rest.starts_with(',') {
            true => standard + 3600,
            false => i32::try_from(-reader.time()?).ok()?,
        };
        let begin = reader.turn()?;
        let end = reader.turn()?;
        let summer = Some(Summer { offset, begin, end });
        reader.rest.is_empty().then_some(Rule { standard, summer })
    }

    /// Seconds ahead of UTC at a moment.
    pub(crate) fn offset_at(&self, seconds: i64) -> i32 {
        let Some(summer) = &self.summer else { return self.standard };
        let wall = seconds.saturating_add(self.standard.into());
        let year = civil(wall.div_euclid(DAY)).year;
        let begin = summer.begin.wall(year) - i64::from(self.standard);
        let end = summer.end.wall(year) - i64::from(summer.offset);
        // South of the equator summer goes over the year's end.
        let is_summer = match begin < end {
            true => (begin..end).contains(&seconds),
            false => !(end..begin).contains(&seconds),
        };
        if is_summer { summer.offset } else { self.standard }
    }
}

impl Turn {
    /// Seconds since 1970 on the wall.
    fn wall(self, year: i64) -> i64 {
        let first = |month| days(Civil { year, month, day: 1 }).unwrap_or(0);
        let is_leap = first(3) - first(2) == 29;
        let day = match self.day {
            Day::Julian(day) => first(1) + day - 1 + i64::from(is_leap && day >= 60),
            Day::OfYear(day) => first(1) + day,
            Day::OfMonth { month, week, weekday } => {
                let first_day = first(month);
                // 1970-01-01 was a Thursday.
                let of_week = (first_day + 4).rem_euclid(7);
                let day = first_day + (weekday - of_week).rem_euclid(7) + 7 * (week - 1);
                let next = match month {
                    12 => first(12) + 31,
                    month => first(month + 1),
                };
                if day >= next { day - 7 } else { day }
            }
        };
        day * DAY + self.seconds
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, character: char) -> bool {
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// An abbreviation, which is of no interest: letters, or anything in angle brackets.
    fn name(&mut self) -> Option<()> {
        let end = if self.rest.starts_with('<') {
            self.rest.find('>')? + 1
        } else {
            self.rest.find(|character: char| !character.is_ascii_alphabetic())?
        };
        self.rest = self.rest.get(end..)?;
        (end > 0).then_some(())
    }

    fn number(&mut self) -> Option<i64> {
        let end = self.rest.bytes().position(|byte| !byte.is_ascii_digit());
        let (digits, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        if digits.len() > 3 { None } else { digits.parse().ok() }
    }

    /// `-1`, `5:30`, `-03:30:15`, in seconds.
    fn time(&mut self) -> Option<i64> {
        let sign = if self.eat('-') { -1 } else { 1 };
        self.eat('+');
        let mut seconds = self.number()? * 3600;
        if self.eat(':') {
            seconds += self.number()? * 60;
            if self.eat(':') {
                seconds += self.number()?;
            }
        }
        Some(sign * seconds)
    }

    /// `,M3.5.0/2`.
    fn turn(&mut self) -> Option<Turn> {
        if !self.eat(',') {
            return None;
        }
        let day = if self.eat('M') {
            let month = u32::try_from(self.number()?).ok()?;
            let week = self.eat('.').then(|| self.number())??;
            let weekday = self.eat('.').then(|| self.number())??;
            if !(1..=12).contains(&month) || !(1..=5).contains(&week) || weekday > 6 {
                return None;
            }
            Day::OfMonth { month, week, weekday }
        } else if self.eat('J') {
            Day::Julian(self.number()?)
        } else {
            Day::OfYear(self.number()?)
        };
        let seconds = if self.eat('/') { self.time()? } else { 2 * 3600 };
        Some(Turn { day, seconds })
    }
}

#[cfg(test)]
mod tests {
    use offtake_calendar::{Bounded, read_timestamp};

    use super::*;

    fn offset(rule: &str, at: &str) -> i32 {
        let rule = Rule::read(rule).expect(rule);
        match read_timestamp(at).expect(at).0 {
            Bounded::At(moment) => rule.offset_at(moment.seconds),
            bound => panic!("{bound:?}"),
        }
    }

    #[test]
    fn summer_begins_and_ends_by_the_rule() {
        for (rule, at, expected) in [
            ("CET-1CEST,M3.5.0,M10.5.0/3", "2040-03-25 00:59:59", 3600),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "2040-03-25 01:00:00", 7200),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "2040-10-28 00:59:59", 7200),
            ("CET-1CEST,M3.5.0,M10.5.0/3", "2040-10-28 01:00:00", 3600),
            // South of the equator.
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", "2040-01-01 00:00:00", 39_600),
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", "2040-07-01 00:00:00", 36_000),
            // Standard time is that of summer, and winter's is behind it.
            ("IST-1GMT0,M10.5.0,M3.5.0/1", "2040-01-01 00:00:00", 0),
            ("IST-1GMT0,M10.5.0,M3.5.0/1", "2040-07-01 00:00:00", 3600),
            ("<+0530>-5:30", "2040-07-01 00:00:00", 19_800),
            ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2040-03-25 00:59:59", -7200),
            ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2040-03-25 01:00:00", -3600),
            ("XXX3EDT4,J60,J300", "2040-03-01 04:59:59", -10_800),
            ("XXX3EDT4,J60,J300", "2040-03-01 05:00:00", -14_400),
            ("XXX3EDT2,59/0,300/0", "2040-02-29 03:00:00", -7200),
        ] {
            assert_eq!(offset(rule, at), expected, "{rule} at {at}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for bad in [
            "",
            "CET",
            "CET-1CEST,M3.5.0",
            "CET-1CEST,M13.1.0,M1.1.0",
            "1",
            "CET-1CEST,M3.5.0,M10.5.0,",
        ] {
            assert_eq!(Rule::read(bad), None, "{bad}");
        }
    }
}
