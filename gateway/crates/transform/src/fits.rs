//! Whether a value that a plugin sets is one that its column can hold.
//!
//! The kind is checked where the value is read. Here the logical type is: a range, a grammar, an
//! enum's labels. A type without a rule takes any value of its kind.

use offtake_change::{Column, Kind, ValueRef};

/// Checks a value against its column's logical type.
pub(crate) fn check(column: &Column, value: ValueRef<'_>) -> Result<(), &'static str> {
    match value {
        ValueRef::Text(_) if column.kind == Kind::Text && value.as_str().is_none() => {
            Err("is no UTF-8")
        }
        value => Rule::of(column).check(column, value),
    }
}

/// What a logical type asks of a value of its kind. Found once a column, since names are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Any,
    Int1,
    Int2,
    Int4,
    Uuid,
    Decimal,
    Json,
    Enum,
    Time,
}

impl Rule {
    pub(crate) fn of(column: &Column) -> Rule {
        match column.kind {
            Kind::Integer => match column.logical.as_str() {
                "int1" => Rule::Int1,
                "int2" => Rule::Int2,
                "int4" => Rule::Int4,
                _ => Rule::Any,
            },
            Kind::Text => match column.logical.split('(').next().unwrap_or_default() {
                "uuid" => Rule::Uuid,
                "decimal" | "numeric" => Rule::Decimal,
                "json" | "jsonb" => Rule::Json,
                "enum" if !column.labels.is_empty() => Rule::Enum,
                "date" | "time" | "timetz" | "timestamp" | "timestamptz" => Rule::Time,
                _ => Rule::Any,
            },
            _ => Rule::Any,
        }
    }

    /// Checks a value of the rule's column. That a text is UTF-8 is known.
    pub(crate) fn check(self, column: &Column, value: ValueRef<'_>) -> Result<(), &'static str> {
        match value {
            ValueRef::Integer(value) => self.check_integer(value),
            // Most texts: not even their characters are looked at.
            ValueRef::Text(_) if self != Rule::Any => match value.as_str() {
                Some(text) => self.check_text(column, text),
                None => Err("is no UTF-8"),
            },
            _ => Ok(()),
        }
    }

    fn check_integer(self, value: i64) -> Result<(), &'static str> {
        let fits = match self {
            Rule::Int1 => i8::try_from(value).is_ok(),
            Rule::Int2 => i16::try_from(value).is_ok(),
            Rule::Int4 => i32::try_from(value).is_ok(),
            _ => true,
        };
        if fits { Ok(()) } else { Err("is out of the type's range") }
    }

    fn check_text(self, column: &Column, text: &str) -> Result<(), &'static str> {
        let good = match self {
            Rule::Uuid => is_uuid(text),
            Rule::Decimal => is_decimal(text),
            Rule::Json => serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
            Rule::Enum => column.labels.iter().any(|label| label == text),
            Rule::Time => is_time(text),
            Rule::Any | Rule::Int1 | Rule::Int2 | Rule::Int4 => true,
        };
        if good { Ok(()) } else { Err("is not written as the type is") }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_decimal(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or(text);
    if number == "Infinity" || text == "NaN" {
        return true;
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction)
}

/// Digits and their separators, an era, a zone; not a whole calendar.
fn is_time(text: &str) -> bool {
    if matches!(text, "infinity" | "-infinity") {
        return true;
    }
    let part = |byte: u8| {
        byte.is_ascii_digit() || matches!(byte, b'-' | b':' | b'.' | b' ' | b'+' | b'T' | b'Z')
    };
    let text = text.strip_suffix(" BC").unwrap_or(text);
    text.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) && text.bytes().all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(logical: &str, value: ValueRef<'_>) -> bool {
        let kind = if matches!(value, ValueRef::Text(_)) { Kind::Text } else { Kind::Integer };
        let mut column = Column::new("c", kind, logical);
        column.labels = vec!["red".to_owned()];
        check(&column, value).is_ok()
    }

    #[test]
    fn texts_are_checked_by_their_logical_type() {
        for (logical, good, bad) in [
            ("uuid", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "***"),
            ("decimal(12,2)", "-12.50", "1,5"),
            ("decimal", "NaN", ""),
            ("json", "{\"a\":[1]}", "{a}"),
            ("enum", "red", "blue"),
            ("timestamptz", "2024-02-29 12:00:00.5+00", "yesterday"),
            ("date", "0044-03-15 BC", "***"),
            ("timestamp", "-infinity", ""),
        ] {
            assert!(fits(logical, ValueRef::Text(good.as_bytes())), "{logical} {good}");
            assert!(!fits(logical, ValueRef::Text(bad.as_bytes())), "{logical} {bad}");
        }
        assert!(fits("text", ValueRef::Text("anything".as_bytes())));
        assert!(!fits("text", ValueRef::Text(b"\xff")));
    }

    #[test]
    fn integers_are_checked_by_their_range() {
        assert!(fits("int2", ValueRef::Integer(-32768)));
        assert!(!fits("int2", ValueRef::Integer(32768)));
        assert!(fits("int4", ValueRef::Integer(i64::from(i32::MAX))));
        assert!(!fits("int4", ValueRef::Integer(i64::from(i32::MAX) + 1)));
        assert!(fits("int8", ValueRef::Integer(i64::MIN)));
    }
}
