//! Which of Debezium's encodings a column has: from its logical type, else from PostgreSQL's own.

use offtake_change::{Column, Kind};

/// Debezium's default stand-in for a large value that an update left alone
/// (`unavailable.value.placeholder`).
pub const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";

/// How a column's text is written. Values of other kinds than text say by their kind how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// By the value's kind alone; text as a string.
    Plain,
    /// `numeric(p,s)`.
    Decimal {
        scale: i32,
    },
    /// `numeric`.
    VariableDecimal,
    Money,
    Date,
    Time {
        millis: bool,
    },
    ZonedTime,
    Timestamp {
        millis: bool,
    },
    ZonedTimestamp {
        digits: u8,
    },
    Interval,
    /// `bit(1)`.
    Bit,
    Bits,
    Point,
    HStore,
    List(Box<Encoding>),
}

/// The encoding of a column.
pub(super) fn encoding(column: &Column) -> Encoding {
    match column.kind {
        Kind::List => {
            Encoding::List(Box::new(column.element.as_deref().map_or(Encoding::Plain, encoding)))
        }
        Kind::Text => of_text(column),
        _ => Encoding::Plain,
    }
}

fn of_text(column: &Column) -> Encoding {
    // A domain has its base type's encoding. The OID names a built-in type most surely.
    let names = [
        column.logical.as_str(),
        by_oid(column.type_id),
        column.domain_base.as_str(),
        column.native.as_str(),
    ];
    names.into_iter().find_map(|name| named(name, column)).unwrap_or(Encoding::Plain)
}

fn named(name: &str, column: &Column) -> Option<Encoding> {
    let (base, modifiers) = split_modifiers(name);
    let modifier = Modifier { column, written: modifiers };
    Some(match base.as_str() {
        "numeric" | "decimal" => match modifier.scale() {
            Some(scale) => Encoding::Decimal { scale },
            None => Encoding::VariableDecimal,
        },
        "money" => Encoding::Money,
        "date" => Encoding::Date,
        "time" | "time without time zone" => Encoding::Time { millis: modifier.digits() <= 3 },
        "timetz" | "time with time zone" => Encoding::ZonedTime,
        "timestamp" | "timestamp without time zone" => {
            Encoding::Timestamp { millis: modifier.digits() <= 3 }
        }
        "timestamptz" | "timestamp with time zone" => {
            Encoding::ZonedTimestamp { digits: modifier.digits() }
        }
        "interval" => Encoding::Interval,
        "bit" if modifier.length() == 1 => Encoding::Bit,
        "bit" | "varbit" | "bit varying" => Encoding::Bits,
        "point" => Encoding::Point,
        "hstore" => Encoding::HStore,
        _ => return None,
    })
}

/// PostgreSQL's built-in types that have an encoding of their own (`pg_type.dat`).
fn by_oid(oid: u32) -> &'static str {
    match oid {
        600 => "point",
        790 => "money",
        1082 => "date",
        1083 => "time",
        1114 => "timestamp",
        1184 => "timestamptz",
        1186 => "interval",
        1266 => "timetz",
        1560 => "bit",
        1562 => "varbit",
        1700 => "numeric",
        _ => "",
    }
}

/// `pg_catalog.timestamp(3) without time zone` as `timestamp without time zone` and `3`.
fn split_modifiers(name: &str) -> (String, Option<&str>) {
    let name = name.rsplit_once('.').map_or(name, |(_, name)| name).trim_matches('"');
    match name.split_once('(') {
        Some((base, rest)) => {
            let (modifiers, tail) = rest.split_once(')').unwrap_or((rest, ""));
            (format!("{}{}", base.trim_end(), tail), Some(modifiers))
        }
        None => (name.to_owned(), None),
    }
}

/// A type's modifier: the number that PostgreSQL keeps, else what stands in the type's name.
struct Modifier<'a> {
    column: &'a Column,
    written: Option<&'a str>,
}

impl Modifier<'_> {
    fn written(&self, index: usize) -> Option<i32> {
        self.written?.split(',').nth(index)?.trim().parse().ok()
    }

    /// The scale of a numeric; `None`: the type has none.
    fn scale(&self) -> Option<i32> {
        let modifier = self.column.type_modifier;
        if modifier >= 4 {
            // Eleven bits, signed since PostgreSQL 15.
            return Some((((modifier - 4) & 0x7ff) ^ 0x400) - 0x400);
        }
        self.written(0).map(|_| self.written(1).unwrap_or(0))
    }

    /// Digits of a fraction of a second.
    fn digits(&self) -> u8 {
        let modifier = self.column.type_modifier;
        let digits = if modifier >= 0 { Some(modifier) } else { self.written(0) };
        digits
            .and_then(|digits| u8::try_from(digits).ok())
            .filter(|&digits| digits < 6)
            .unwrap_or(6)
    }

    /// Bits of a bit string; `bit` alone is `bit(1)`.
    fn length(&self) -> i32 {
        let modifier = self.column.type_modifier;
        if modifier > 0 { modifier } else { self.written(0).unwrap_or(1) }
    }
}

/// What stands for a large value that an update left alone, as JSON (`UnchangedToastedPlaceholder`).
pub(super) fn placeholder(column: &Column) -> Vec<u8> {
    let bytes = UNAVAILABLE_VALUE.as_bytes();
    let mut out = Vec::new();
    let element = match (column.kind, column.element.as_deref()) {
        (Kind::Bytes, _) => {
            crate::json::put_base64(&mut out, bytes);
            return out;
        }
        (Kind::List, Some(element)) => element,
        _ => {
            crate::json::put_string(&mut out, bytes);
            return out;
        }
    };
    out.push(b'[');
    match element.kind {
        Kind::Bytes => crate::json::put_base64(&mut out, bytes),
        // The placeholder's bytes, one an element.
        Kind::Integer | Kind::Unsigned => {
            for (index, byte) in bytes.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                crate::json::put_integer(&mut out, *byte);
            }
        }
        // java.util.UUID.nameUUIDFromBytes of the placeholder.
        _ if element.logical == "uuid" || element.native == "uuid" => {
            out.extend_from_slice(b"\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"");
        }
        _ => crate::json::put_string(&mut out, bytes),
    }
    out.push(b']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(logical: &str, native: &str, oid: u32, modifier: i32) -> Column {
        let mut column = Column::new("c", Kind::Text, logical);
        column.native = native.to_owned();
        column.type_id = oid;
        column.type_modifier = modifier;
        column
    }

    #[test]
    fn the_encoding_is_found_by_any_of_a_columns_names() {
        let twelve_two = ((12 << 16) | 2) + 4;
        for (column, expected) in [
            (column("decimal(12,2)", "numeric", 1700, twelve_two), Encoding::Decimal { scale: 2 }),
            (column("decimal(12,2)", "", 0, -1), Encoding::Decimal { scale: 2 }),
            (column("decimal", "numeric", 1700, -1), Encoding::VariableDecimal),
            (column("text", "numeric(5)", 0, -1), Encoding::Decimal { scale: 0 }),
            (
                column("timestamp", "timestamp without time zone", 1114, -1),
                Encoding::Timestamp { millis: false },
            ),
            (
                column("timestamp", "timestamp(3) without time zone", 1114, 3),
                Encoding::Timestamp { millis: true },
            ),
            (
                column("", "timestamp(3) without time zone", 0, -1),
                Encoding::Timestamp { millis: true },
            ),
            (
                column("timestamptz", "timestamptz", 1184, -1),
                Encoding::ZonedTimestamp { digits: 6 },
            ),
            (
                column("timestamptz", "timestamptz(0)", 1184, 0),
                Encoding::ZonedTimestamp { digits: 0 },
            ),
            (column("bit", "bit", 1560, 1), Encoding::Bit),
            (column("bit", "bit(2)", 1560, 2), Encoding::Bits),
            (column("text", "public.hstore", 16_400, -1), Encoding::HStore),
            (column("text", "text", 25, -1), Encoding::Plain),
            (column("inet", "inet", 869, -1), Encoding::Plain),
        ] {
            assert_eq!(encoding(&column), expected, "{column:?}");
        }
        // numeric(3,-2), PostgreSQL 15.
        let negative = ((3 << 16) | (-2 & 0x7ff)) + 4;
        let column = column("decimal", "numeric", 1700, negative);
        assert_eq!(encoding(&column), Encoding::Decimal { scale: -2 });
    }

    #[test]
    fn a_domain_has_its_base_types_encoding() {
        let mut column = column("text", "public.price", 16_500, -1);
        column.domain_base = "numeric(10,3)".to_owned();
        assert_eq!(encoding(&column), Encoding::Decimal { scale: 3 });
    }
}
