//! PostgreSQL's types as Debezium knows them, told from a column of the log.
//!
//! A column names its type several times (OID, native, logical, a domain's base); the first name
//! that is known decides. What Debezium has no encoding for is [`Type::Unknown`].
//! Source: `PostgresValueConverter`, pgjdbc's `TypeInfoCache`.

use offtake_change::{Column, Kind};

/// A type of PostgreSQL that Debezium tells from others.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Boolean,
    Int16,
    Int32,
    Int64,
    /// `oid`: 64 bits, and without a default of its own.
    Oid,
    Float32,
    Float64,
    /// `text`, `varchar`, `char(n)`, and types whose text has no name of its own (`inet`, ranges).
    Text,
    /// As `Text`, for types whose defaults Debezium does not read.
    PlainText,
    Json,
    Xml,
    Uuid,
    Ltree,
    Tsvector,
    /// The labels in the enum's order.
    Enum(Vec<String>),
    /// Precision and scale; `None`: the column has neither.
    Numeric(Option<(i32, i32)>),
    Money,
    Bytes,
    Date,
    /// Digits of the fraction of a second, as of the following ones.
    Time(u8),
    TimeTz,
    Timestamp(u8),
    TimestampTz(u8),
    Interval,
    /// `bit(1)` and `varbit(1)`.
    Bit,
    /// Longer bit strings, with their length in bits.
    Bits(i32),
    Point,
    Geometry,
    Geography,
    Hstore,
    /// pgvector's types.
    Vector,
    HalfVector,
    SparseVector,
    Array(Box<Type>),
    /// Debezium leaves the column out. The kind that its values have here.
    Unknown(Kind),
}

/// What pgjdbc gives as the length of a type without one.
const UNKNOWN_LENGTH: i32 = i32::MAX;

/// The type of a column.
pub(super) fn of(column: &Column) -> Type {
    match column.kind {
        Kind::List => match column.element.as_deref() {
            Some(element) => of_array(element),
            None => Type::Unknown(Kind::List),
        },
        _ => of_scalar(column),
    }
}

/// Debezium has no arrays of some types that it has alone.
fn of_array(element: &Column) -> Type {
    let inner = of(element);
    let is_name = matches!(base_name(&element.native).0.as_str(), "name");
    match inner {
        Type::Money | Type::Interval | Type::Xml | Type::Point | Type::Array(_) => {
            Type::Unknown(Kind::List)
        }
        // The peer's schema is a single bit string's, and its values are always null.
        Type::Bit | Type::Bits(_) | Type::Unknown(_) => Type::Unknown(Kind::List),
        _ if is_name || !element.domain_base.is_empty() => Type::Unknown(Kind::List),
        inner => Type::Array(Box::new(inner)),
    }
}

fn of_scalar(column: &Column) -> Type {
    match column.logical.as_str() {
        "enum" => return Type::Enum(column.labels.clone()),
        "composite" => return Type::Unknown(column.kind),
        _ => {}
    }
    // A domain has its base's encoding. The OID names a built-in type most surely.
    let names = [by_oid(column.type_id), &column.domain_base, &column.native, &column.logical];
    let known = names.into_iter().find_map(|name| named(name, column));
    known.unwrap_or(match column.kind {
        // Plugins add columns that PostgreSQL never had.
        Kind::Boolean => Type::Boolean,
        Kind::Integer => Type::Int64,
        Kind::Single => Type::Float32,
        Kind::Number => Type::Float64,
        Kind::Bytes => Type::Bytes,
        kind => Type::Unknown(kind),
    })
}

fn named(name: &str, column: &Column) -> Option<Type> {
    let (base, written) = base_name(name);
    let modifier = Modifier { column, written };
    let found = match base.as_str() {
        "bool" | "boolean" => Type::Boolean,
        "int2" | "smallint" => Type::Int16,
        "int4" | "integer" => Type::Int32,
        "int8" | "bigint" => Type::Int64,
        "oid" => Type::Oid,
        "float4" | "real" => Type::Float32,
        "float8" | "double precision" => Type::Float64,
        "text" | "varchar" | "character varying" | "bpchar" | "character" => Type::Text,
        // `"char"`, and the logical name of `char(n)`.
        "char" => Type::PlainText,
        "name" | "citext" | "isbn" | "inet" | "cidr" | "macaddr" | "macaddr8" | "tsrange"
        | "tstzrange" | "daterange" | "int4range" | "int8range" | "numrange" => Type::PlainText,
        "json" | "jsonb" => Type::Json,
        "xml" => Type::Xml,
        "uuid" => Type::Uuid,
        "ltree" => Type::Ltree,
        "tsvector" => Type::Tsvector,
        "numeric" | "decimal" => Type::Numeric(modifier.numeric()),
        "money" => Type::Money,
        "bytea" | "bytes" => Type::Bytes,
        "date" => Type::Date,
        "time" | "time without time zone" => Type::Time(modifier.digits()),
        "timetz" | "time with time zone" => Type::TimeTz,
        "timestamp" | "timestamp without time zone" => Type::Timestamp(modifier.digits()),
        "timestamptz" | "timestamp with time zone" => Type::TimestampTz(modifier.digits()),
        "interval" => Type::Interval,
        "bit" => modifier.bits(1),
        "varbit" | "bit varying" => modifier.bits(UNKNOWN_LENGTH),
        "point" => Type::Point,
        "geometry" => Type::Geometry,
        "geography" => Type::Geography,
        "hstore" => Type::Hstore,
        "vector" => Type::Vector,
        "halfvec" => Type::HalfVector,
        "sparsevec" => Type::SparseVector,
        _ => return None,
    };
    // A type of a user may bear the name of a built-in one; only extensions' types have a schema.
    let of_extension = matches!(
        found,
        Type::Ltree
            | Type::Geometry
            | Type::Geography
            | Type::Hstore
            | Type::Vector
            | Type::HalfVector
            | Type::SparseVector
    ) || matches!(base.as_str(), "citext" | "isbn");
    (of_extension || !is_qualified(name)).then_some(found).filter(|found| found.takes(column.kind))
}

impl Type {
    /// Whether values of a kind can be of the type: a plugin may have turned a number into text.
    fn takes(&self, kind: Kind) -> bool {
        match self {
            Type::Boolean => kind == Kind::Boolean,
            Type::Int16 | Type::Int32 | Type::Int64 | Type::Oid => kind == Kind::Integer,
            Type::Float32 => kind == Kind::Single,
            Type::Float64 => kind == Kind::Number,
            Type::Bytes => kind == Kind::Bytes,
            Type::Array(_) => kind == Kind::List,
            _ => kind == Kind::Text,
        }
    }
}

/// PostgreSQL's built-in types that have an encoding of their own (`pg_type.dat`).
fn by_oid(oid: u32) -> &'static str {
    match oid {
        16 => "bool",
        17 => "bytea",
        20 => "int8",
        21 => "int2",
        23 => "int4",
        25 => "text",
        26 => "oid",
        114 => "json",
        142 => "xml",
        600 => "point",
        700 => "float4",
        701 => "float8",
        790 => "money",
        1042 => "bpchar",
        1043 => "varchar",
        1082 => "date",
        1083 => "time",
        1114 => "timestamp",
        1184 => "timestamptz",
        1186 => "interval",
        1266 => "timetz",
        1560 => "bit",
        1562 => "varbit",
        1700 => "numeric",
        2950 => "uuid",
        3614 => "tsvector",
        3802 => "jsonb",
        _ => "",
    }
}

fn is_qualified(name: &str) -> bool {
    let name = name.split('(').next().unwrap_or_default();
    name.contains('.') && !name.starts_with("pg_catalog.")
}

/// `pg_catalog.timestamp(3) without time zone` as `timestamp without time zone` and `3`.
fn base_name(name: &str) -> (String, Option<&str>) {
    let (head, rest) = name.split_once('(').map_or((name, None), |(head, rest)| (head, Some(rest)));
    let head = head.rsplit_once('.').map_or(head, |(_, head)| head).trim_matches('"');
    match rest {
        Some(rest) => {
            let (modifiers, tail) = rest.split_once(')').unwrap_or((rest, ""));
            (format!("{}{tail}", head.trim_end()), Some(modifiers))
        }
        None => (head.to_owned(), None),
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

    /// Precision and scale of a numeric; `None`: the type has none.
    fn numeric(&self) -> Option<(i32, i32)> {
        let modifier = self.column.type_modifier;
        if modifier >= 4 {
            let packed = modifier - 4;
            // Eleven bits. Signed since PostgreSQL 15, which the peer does not know: it makes -2 a
            // scale of 2046, and so does this. The values are right either way.
            return Some((packed >> 16 & 0xffff, packed & 0xffff));
        }
        // Of a plugin's column, whose logical name has them.
        let (_, logical) = base_name(&self.column.logical);
        let modifiers = Modifier { column: self.column, written: self.written.or(logical) };
        modifiers.written(0).map(|precision| (precision, modifiers.written(1).unwrap_or(0)))
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

    /// A bit string, whose length is `otherwise` where none is told.
    fn bits(&self, otherwise: i32) -> Type {
        let modifier = self.column.type_modifier;
        let length = if modifier > 0 { modifier } else { self.written(0).unwrap_or(otherwise) };
        if length > 1 { Type::Bits(length) } else { Type::Bit }
    }
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
    fn the_type_is_found_by_any_of_a_columns_names() {
        let twelve_two = ((12 << 16) | 2) + 4;
        for (column, expected) in [
            (column("decimal(12,2)", "numeric", 1700, twelve_two), Type::Numeric(Some((12, 2)))),
            (column("decimal(12,2)", "", 0, -1), Type::Numeric(Some((12, 2)))),
            (column("decimal", "numeric", 1700, -1), Type::Numeric(None)),
            (column("text", "numeric(5)", 0, -1), Type::Numeric(Some((5, 0)))),
            (column("timestamp", "timestamp without time zone", 1114, -1), Type::Timestamp(6)),
            (column("timestamp", "timestamp(3) without time zone", 1114, 3), Type::Timestamp(3)),
            (column("", "timestamp(3) without time zone", 0, -1), Type::Timestamp(3)),
            (column("timestamptz", "timestamptz", 1184, -1), Type::TimestampTz(6)),
            (column("timestamptz", "timestamptz(0)", 1184, 0), Type::TimestampTz(0)),
            (column("bit", "bit", 1560, 1), Type::Bit),
            (column("bit", "bit(2)", 1560, 2), Type::Bits(2)),
            (column("varbit", "varbit", 1562, -1), Type::Bits(i32::MAX)),
            (column("hstore", "public.hstore", 16_400, -1), Type::Hstore),
            (column("text", "text", 25, -1), Type::Text),
            (column("char(3)", "bpchar", 1042, 7), Type::Text),
            (column("inet", "inet", 869, -1), Type::PlainText),
            (column("int4multirange", "int4multirange", 4451, -1), Type::Unknown(Kind::Text)),
            (column("composite", "public.money", 16_401, -1), Type::Unknown(Kind::Text)),
        ] {
            assert_eq!(of(&column), expected, "{column:?}");
        }
        // numeric(3,-2), PostgreSQL 15, as the peer reads it.
        let negative = ((3 << 16) | (-2 & 0x7ff)) + 4;
        let column = column("decimal", "numeric", 1700, negative);
        assert_eq!(of(&column), Type::Numeric(Some((3, 2046))));
    }

    #[test]
    fn a_domain_has_its_base_types_encoding() {
        let mut column = column("text", "public.price", 16_500, -1);
        column.domain_base = "numeric(10,3)".to_owned();
        assert_eq!(of(&column), Type::Numeric(Some((10, 3))));
    }

    #[test]
    fn a_number_that_a_plugin_made_text_is_no_number() {
        let column = column("text", "int4", 23, -1);
        assert_eq!(of(&column), Type::Text);
    }
}
