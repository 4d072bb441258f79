//! Patterns of texts, in the letters of Java's `DateTimeFormatter` that people use:
//! `yyyy-MM-dd'T'HH:mm:ss.SSSXXX`.

use std::fmt::Write;

use offtake_calendar as calendar;
use offtake_calendar::{Civil, DAY, Moment};

use crate::convert::Misfit;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Digits of a second.
    Fraction(usize),
    /// `+01:00` or without the colon; `Z` for zero or not.
    Offset {
        has_colon: bool,
        has_zulu: bool,
    },
}

const LETTERS: &str = "has letters other than yyyy, MM, dd, HH, mm, ss, S to SSSSSSSSS, XXX, XX, \
                       xxx, xx and Z; other text stands in 'quotes'";

impl Pattern {
    /// Reads a pattern; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Pattern, &'static str> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first == '\'' {
                let quoted = rest.get(1..).unwrap_or_default();
                let end = quoted.find('\'').ok_or("has a quote without its end")?;
                let (inside, behind) = quoted.split_at(end);
                // Two quotes are one.
                pieces.push(Piece::Literal(if end == 0 { "'" } else { inside }.to_owned()));
                rest = behind.get(1..).unwrap_or_default();
                continue;
            }
            let run = rest.len() - rest.trim_start_matches(first).len();
            let (letters, behind) = rest.split_at(run);
            pieces.push(match letters {
                "yyyy" | "uuuu" => Piece::Year,
                "MM" => Piece::Month,
                "dd" => Piece::Day,
                "HH" => Piece::Hour,
                "mm" => Piece::Minute,
                "ss" => Piece::Second,
                "XXX" => Piece::Offset { has_colon: true, has_zulu: true },
                "XX" => Piece::Offset { has_colon: false, has_zulu: true },
                "xxx" => Piece::Offset { has_colon: true, has_zulu: false },
                "xx" | "Z" => Piece::Offset { has_colon: false, has_zulu: false },
                _ if first == 'S' && run <= 9 => Piece::Fraction(run),
                _ if first.is_ascii_alphabetic() || "[]{}#".contains(first) => return Err(LETTERS),
                literal => Piece::Literal(literal.to_owned()),
            });
            rest = behind;
        }
        if pieces.is_empty() { Err("is empty") } else { Ok(Pattern(pieces)) }
    }

    /// Whether it writes an offset from UTC.
    pub(crate) fn has_offset(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Offset { .. }))
    }

    /// Whether a text of it says which day is meant.
    pub(crate) fn has_day(&self) -> bool {
        [Piece::Year, Piece::Month, Piece::Day].iter().all(|piece| self.0.contains(piece))
    }

    /// Writes a time as it stands on the wall, and its offset.
    pub(crate) fn put(
        &self,
        out: &mut String,
        wall: Moment,
        offset: Option<i32>,
    ) -> Result<(), Misfit> {
        let (days, seconds) = wall.split();
        let date = calendar::civil(days);
        if !(1..=9999).contains(&date.year) {
            return Err(Misfit::Range);
        }
        for piece in &self.0 {
            // Writing to a text cannot fail.
            let _ = match piece {
                Piece::Literal(text) => out.write_str(text),
                Piece::Year => write!(out, "{:04}", date.year),
                Piece::Month => write!(out, "{:02}", date.month),
                Piece::Day => write!(out, "{:02}", date.day),
                Piece::Hour => write!(out, "{:02}", seconds / 3600),
                Piece::Minute => write!(out, "{:02}", seconds / 60 % 60),
                Piece::Second => write!(out, "{:02}", seconds % 60),
                Piece::Fraction(digits) => {
                    let nanoseconds = format!("{:09}", u64::from(wall.microseconds) * 1000);
                    out.write_str(nanoseconds.get(..*digits).unwrap_or(&nanoseconds))
                }
                Piece::Offset { has_colon, has_zulu } => {
                    put_offset(out, offset.ok_or(Misfit::Zone)?, *has_colon, *has_zulu);
                    Ok(())
                }
            };
        }
        Ok(())
    }

    /// Reads a time as it stands on the wall, and its offset where the pattern has one.
    pub(crate) fn read(&self, text: &str) -> Result<(Moment, Option<i32>), Misfit> {
        let mut reader = Reader { rest: text };
        let mut date = Civil { year: 1970, month: 1, day: 1 };
        let (mut seconds, mut microseconds, mut offset) = (0, 0, None);
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => reader.literal(literal)?,
                Piece::Year => date.year = reader.number(4, 9999)?.into(),
                Piece::Month => date.month = reader.number(2, 12)?,
                Piece::Day => date.day = reader.number(2, 31)?,
                Piece::Hour => seconds += reader.number(2, 23)? * 3600,
                Piece::Minute => seconds += reader.number(2, 59)? * 60,
                Piece::Second => seconds += reader.number(2, 59)?,
                Piece::Fraction(digits) => microseconds = reader.fraction(*digits)?,
                Piece::Offset { has_colon, has_zulu } => {
                    offset = Some(reader.offset(*has_colon, *has_zulu)?);
                }
            }
        }
        if !reader.rest.is_empty() || date.year == 0 {
            return Err(Misfit::Grammar);
        }
        let day = calendar::days(date).ok_or(Misfit::Grammar)?;
        Ok((Moment { seconds: day * DAY + i64::from(seconds), microseconds }, offset))
    }
}

/// Appends an offset; seconds, which zones had before there were zones, are not left out.
pub(crate) fn put_offset(out: &mut String, offset: i32, has_colon: bool, has_zulu: bool) {
    if offset == 0 && has_zulu {
        out.push('Z');
        return;
    }
    let size = offset.unsigned_abs();
    let colon = if has_colon { ":" } else { "" };
    out.push(if offset < 0 { '-' } else { '+' });
    // Writing to a text cannot fail.
    let _ = write!(out, "{:02}{colon}{:02}", size / 3600, size / 60 % 60);
    if !size.is_multiple_of(60) {
        let _ = write!(out, "{colon}{:02}", size % 60);
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn literal(&mut self, literal: &str) -> Result<(), Misfit> {
        self.rest = self.rest.strip_prefix(literal).ok_or(Misfit::Grammar)?;
        Ok(())
    }

    fn digits(&mut self, count: usize) -> Result<&str, Misfit> {
        let (digits, rest) = self.rest.split_at_checked(count).ok_or(Misfit::Grammar)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Misfit::Grammar);
        }
        self.rest = rest;
        Ok(digits)
    }

    fn number(&mut self, count: usize, most: u32) -> Result<u32, Misfit> {
        let number = self.digits(count)?.parse().map_err(|_| Misfit::Grammar)?;
        if number <= most { Ok(number) } else { Err(Misfit::Grammar) }
    }

    /// Microseconds.
    fn fraction(&mut self, count: usize) -> Result<u32, Misfit> {
        let digits = self.digits(count)?;
        let value: u32 = digits.parse().map_err(|_| Misfit::Grammar)?;
        let power = 10_u32.pow(count.abs_diff(6) as u32);
        if count <= 6 {
            Ok(value * power)
        } else if value.is_multiple_of(power) {
            Ok(value / power)
        } else {
            Err(Misfit::Digits)
        }
    }

    fn offset(&mut self, has_colon: bool, has_zulu: bool) -> Result<i32, Misfit> {
        if has_zulu && self.literal("Z").is_ok() {
            return Ok(0);
        }
        let sign = match self.literal("+") {
            Ok(()) => 1,
            Err(_) => {
                self.literal("-")?;
                -1
            }
        };
        let colon = if has_colon { ":" } else { "" };
        let mut seconds = self.number(2, 15)? * 3600;
        self.literal(colon)?;
        seconds += self.number(2, 59)? * 60;
        Ok(sign * seconds as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Moment = Moment { seconds: 1_709_208_000, microseconds: 123_456 };

    #[test]
    fn texts_are_written_by_the_pattern_and_read_back() {
        for (pattern, offset, text) in [
            ("yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", Some(3600), "2024-02-29T12:00:00.123456+01:00"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", Some(0), "2024-02-29T12:00:00.123456Z"),
            ("dd.MM.yyyy HH:mm:ss,SSSSSSSSSxx", Some(0), "29.02.2024 12:00:00,123456000+0000"),
            ("yyyyMMddHHmmssSSSSSS", None, "20240229120000123456"),
            ("''yyyy' at 'MM/dd HH mm ss SSSSSS", None, "'2024 at 02/29 12 00 00 123456"),
            ("yyyy-MM-dd HH:mm:ss.SSSSSSZ", Some(-12_600), "2024-02-29 12:00:00.123456-0330"),
        ] {
            let parsed = Pattern::parse(pattern).expect(pattern);
            let mut written = String::new();
            parsed.put(&mut written, NOON, offset).expect(pattern);
            assert_eq!(written, text, "{pattern}");
            assert_eq!(parsed.read(text), Ok((NOON, offset)), "{pattern}");
        }
    }

    #[test]
    fn what_does_not_have_the_patterns_form_is_refused() {
        let pattern = Pattern::parse("yyyy-MM-dd HH:mm:ss").expect("it is one");
        for bad in [
            "",
            "2024-02-29",
            "2024-02-30 00:00:00",
            "2024-02-29 24:00:00",
            "2024-2-29 00:00:00",
            "2024-02-29 00:00:00 ",
            "2024-02-29T00:00:00",
            "0000-01-01 00:00:00",
            "２０24-02-29 00:00:00",
        ] {
            assert_eq!(pattern.read(bad), Err(Misfit::Grammar), "{bad}");
        }
        let fine = Pattern::parse("yyyy-MM-dd.SSSSSSSSS").expect("it is one");
        assert_eq!(fine.read("2024-02-29.000000001"), Err(Misfit::Digits));
        let zoned = Pattern::parse("yyyy-MM-ddXXX").expect("it is one");
        assert_eq!(zoned.put(&mut String::new(), NOON, None), Err(Misfit::Zone));
        let far = Moment { seconds: 1_000_000_000_000, microseconds: 0 };
        assert_eq!(pattern.put(&mut String::new(), far, None), Err(Misfit::Range));
    }

    #[test]
    fn patterns_with_other_letters_are_refused() {
        for bad in
            ["", "yy-MM-dd", "YYYY", "hh:mm a", "EEE", "yyyy 'open", "yyyy-MM-ddTHH", "SSSSSSSSSS"]
        {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        assert!(!Pattern::parse("yyyy-MM").expect("it is one").has_day());
    }
}
