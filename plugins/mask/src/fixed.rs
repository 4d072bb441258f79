//! The fixed value of every type: what `strategy = "fixed"` writes.
//!
//! Each is a value that the type has and that tells nothing: zero, empty, the first day of 1970. It
//! is written as the gateway writes the type's values, so that a consumer reads it like any other.

use std::borrow::Cow;

use offtake_sdk::{ColumnInfo, Kind};

use crate::logical::Logical;
use crate::value::Owned;

/// The fixed value of a column; `None` where its type has no value that is known to be one of it,
/// as an enum's labels or an extension's grammar.
pub(crate) fn value(column: &ColumnInfo) -> Option<Owned> {
    Some(match column.kind {
        Kind::Boolean => Owned::Boolean(false),
        Kind::Int64 => Owned::Integer(0),
        Kind::Uint64 => Owned::Unsigned(0),
        Kind::Float64 => Owned::Float(0.0),
        Kind::Bytes => Owned::Bytes(Vec::new()),
        Kind::Text if column.is_free_text() => Owned::Text(Cow::Borrowed("")),
        Kind::Text => Owned::Text(text(&Logical::of(&column.logical))?),
    })
}

fn text(logical: &Logical<'_>) -> Option<Cow<'static, str>> {
    let text = match logical.base {
        "decimal" | "numeric" => return Some(zero(logical)),
        // A bit string of a length has no shorter values.
        "bit" => return Some(Cow::Owned("0".repeat(bits(logical)))),
        "date" => "1970-01-01",
        "time" => "00:00:00",
        "timetz" => "00:00:00+00",
        "timestamp" => "1970-01-01 00:00:00",
        "timestamptz" => "1970-01-01 00:00:00+00",
        "interval" => "PT0S",
        "uuid" => "00000000-0000-0000-0000-000000000000",
        "json" | "jsonb" | "list" => "{}",
        "xml" => "<x/>",
        "inet" => "0.0.0.0",
        "cidr" => "0.0.0.0/32",
        "macaddr" => "00:00:00:00:00:00",
        "macaddr8" => "00:00:00:00:00:00:00:00",
        "money" => "$0.00",
        "varbit" | "tsvector" | "tsquery" | "hstore" => "",
        "point" => "(0,0)",
        "circle" => "<(0,0),0>",
        "box" => "(0,0),(0,0)",
        "lseg" => "[(0,0),(0,0)]",
        "pg_lsn" => "0/0",
        range if range.ends_with("multirange") => "{}",
        range if range.ends_with("range") => "empty",
        _ => return None,
    };
    Some(Cow::Borrowed(text))
}

/// Zero with as many decimals as the column's values have.
fn zero(logical: &Logical<'_>) -> Cow<'static, str> {
    match logical.scale() {
        None | Some(0) => Cow::Borrowed("0"),
        Some(scale) => Cow::Owned(format!("0.{}", "0".repeat(scale.min(MOST_DECIMALS)))),
    }
}

/// PostgreSQL's most digits after a decimal's point.
const MOST_DECIMALS: usize = 1000;

/// The longest bit string that is written, in bits; longer columns are not to be expected.
const MOST_BITS: i32 = 65_536;

fn bits(logical: &Logical<'_>) -> usize {
    usize::try_from(logical.first.unwrap_or(1).clamp(0, MOST_BITS)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fits;

    fn column(kind: Kind, logical: &str) -> ColumnInfo {
        let native = logical.to_owned();
        ColumnInfo { kind, native, ..ColumnInfo::new("c", logical) }
    }

    fn text_of(logical: &str) -> Option<String> {
        match value(&column(Kind::Text, logical)) {
            Some(Owned::Text(text)) => Some(text.into_owned()),
            _ => None,
        }
    }

    #[test]
    fn every_kind_has_a_fixed_value() {
        assert_eq!(value(&column(Kind::Boolean, "bool")), Some(Owned::Boolean(false)));
        assert_eq!(value(&column(Kind::Int64, "int8")), Some(Owned::Integer(0)));
        assert_eq!(value(&column(Kind::Uint64, "uint8")), Some(Owned::Unsigned(0)));
        assert_eq!(value(&column(Kind::Float64, "float4")), Some(Owned::Float(0.0)));
        assert_eq!(value(&column(Kind::Bytes, "bytes")), Some(Owned::Bytes(Vec::new())));
    }

    #[test]
    fn types_that_travel_as_text_have_a_value_in_their_own_grammar() {
        for (logical, expected) in [
            ("text", ""),
            ("varchar(80)", ""),
            ("decimal", "0"),
            ("decimal(12,2)", "0.00"),
            ("decimal(5,-3)", "0"),
            ("date", "1970-01-01"),
            ("timestamp(3)", "1970-01-01 00:00:00"),
            ("timestamptz", "1970-01-01 00:00:00+00"),
            ("uuid", "00000000-0000-0000-0000-000000000000"),
            ("jsonb", "{}"),
            ("list<text>", "{}"),
            ("bit(4)", "0000"),
            ("int4range", "empty"),
            ("datemultirange", "{}"),
        ] {
            assert_eq!(text_of(logical).as_deref(), Some(expected), "{logical}");
        }
    }

    #[test]
    fn types_whose_values_are_not_known_have_none() {
        for logical in ["enum", "composite", "geometry", "unknown", "ltree", "vector"] {
            assert_eq!(text_of(logical), None, "{logical}");
        }
    }

    #[test]
    fn fixed_values_are_values_that_a_constant_could_be() {
        for logical in [
            "text",
            "varchar(3)",
            "decimal(12,2)",
            "decimal",
            "date",
            "time(3)",
            "timetz",
            "timestamp",
            "timestamptz(6)",
            "uuid",
            "json",
            "list<int4>",
            "bit(3)",
            "varbit(8)",
        ] {
            let column = column(Kind::Text, logical);
            let Some(Owned::Text(text)) = value(&column) else { panic!("{logical} has no value") };
            assert_eq!(fits::text(&column, &text), Ok(()), "{logical}");
        }
    }
}
