//! The types that columns are cast from and to, and which pairs there are.

use offtake_sdk::{ColumnInfo, Kind};

/// What a column is before it is cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Boolean,
    /// Signed or unsigned, of any width.
    Integer,
    /// `is_single`: 32 bits.
    Float {
        is_single: bool,
    },
    Decimal,
    /// Any text is a value.
    Text,
    Bytes,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    Uuid,
    Json,
    /// What travels as text and has a grammar of its own: intervals, enums, lists, addresses.
    Other,
}

impl Source {
    pub(crate) fn of(column: &ColumnInfo) -> Source {
        match column.kind {
            Kind::Boolean => return Source::Boolean,
            Kind::Int64 | Kind::Uint64 => return Source::Integer,
            Kind::Float64 => return Source::Float { is_single: column.logical == "float4" },
            Kind::Bytes => return Source::Bytes,
            Kind::Text if column.is_free_text() => return Source::Text,
            Kind::Text => {}
        }
        match base(&column.logical) {
            "decimal" | "numeric" => Source::Decimal,
            "date" => Source::Date,
            "time" => Source::Time,
            "timestamp" => Source::Timestamp,
            "timestamptz" => Source::TimestampTz,
            "uuid" => Source::Uuid,
            "json" | "jsonb" => Source::Json,
            _ => Source::Other,
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Source::Integer | Source::Float { .. } | Source::Decimal)
    }
}

/// What a column is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Boolean,
    /// Bits: 16, 32 or 64.
    Integer(u32),
    Float {
        is_single: bool,
    },
    /// Precision and scale.
    Decimal(Option<(u32, u32)>),
    Text,
    /// The most characters.
    Varchar(Option<u32>),
    Bytes,
    Date,
    /// Digits of a second's fraction, as of the following ones.
    Time(Option<u32>),
    Timestamp(Option<u32>),
    TimestampTz(Option<u32>),
    Uuid,
    Json,
    Jsonb,
}

const KNOWN: &str = "must be one of: bool, int2, int4, int8, float4, float8, decimal, \
                     decimal(12,2), text, varchar, varchar(80), bytes, date, time, timestamp, \
                     timestamptz (these three also as in time(3)), uuid, json, jsonb";

impl Target {
    /// Reads a type's name; the error says what there is.
    pub(crate) fn parse(name: &str) -> Result<Target, String> {
        let plain = match name {
            "bool" => Target::Boolean,
            "int2" => Target::Integer(16),
            "int4" => Target::Integer(32),
            "int8" => Target::Integer(64),
            "float4" => Target::Float { is_single: true },
            "float8" => Target::Float { is_single: false },
            "decimal" => Target::Decimal(None),
            "text" => Target::Text,
            "varchar" => Target::Varchar(None),
            "bytes" => Target::Bytes,
            "date" => Target::Date,
            "time" => Target::Time(None),
            "timestamp" => Target::Timestamp(None),
            "timestamptz" => Target::TimestampTz(None),
            "uuid" => Target::Uuid,
            "json" => Target::Json,
            "jsonb" => Target::Jsonb,
            _ => return Target::with_numbers(name).ok_or_else(|| KNOWN.to_owned())?,
        };
        Ok(plain)
    }

    fn with_numbers(name: &str) -> Option<Result<Target, String>> {
        let numbers = name.strip_suffix(')')?.split_once('(')?.1;
        let mut parts = numbers.split(',').map(|part| part.parse::<u32>().ok());
        let (first, second) = (parts.next()??, parts.next());
        if parts.next().is_some() || second == Some(None) {
            return None;
        }
        let second = second.flatten();
        let target = match (base(name), second) {
            ("decimal", scale) => Target::Decimal(Some((first, scale.unwrap_or(0)))),
            ("varchar", None) => Target::Varchar(Some(first)),
            ("time", None) => Target::Time(Some(first)),
            ("timestamp", None) => Target::Timestamp(Some(first)),
            ("timestamptz", None) => Target::TimestampTz(Some(first)),
            _ => return None,
        };
        let problem = match target {
            Target::Decimal(Some((precision, scale)))
                if precision == 0 || precision > 1000 || scale > precision =>
            {
                "must have a precision of 1 to 1000 and a scale of at most that"
            }
            Target::Varchar(Some(0)) => "must have room for a character",
            Target::Time(Some(digits))
            | Target::Timestamp(Some(digits))
            | Target::TimestampTz(Some(digits))
                if digits > 6 =>
            {
                "must have at most 6 digits of a second"
            }
            _ => return Some(Ok(target)),
        };
        Some(Err(problem.to_owned()))
    }

    /// The name of the type in a table's definition.
    pub(crate) fn logical(&self) -> String {
        let with = |name: &str, number: Option<u32>| match number {
            None => name.to_owned(),
            Some(number) => format!("{name}({number})"),
        };
        match *self {
            Target::Boolean => "bool".to_owned(),
            Target::Integer(bits) => format!("int{}", bits / 8),
            Target::Float { is_single: true } => "float4".to_owned(),
            Target::Float { is_single: false } => "float8".to_owned(),
            Target::Decimal(None) => "decimal".to_owned(),
            Target::Decimal(Some((precision, scale))) => format!("decimal({precision},{scale})"),
            Target::Text => "text".to_owned(),
            Target::Varchar(length) => with("varchar", length),
            Target::Bytes => "bytes".to_owned(),
            Target::Date => "date".to_owned(),
            Target::Time(digits) => with("time", digits),
            Target::Timestamp(digits) => with("timestamp", digits),
            Target::TimestampTz(digits) => with("timestamptz", digits),
            Target::Uuid => "uuid".to_owned(),
            Target::Json => "json".to_owned(),
            Target::Jsonb => "jsonb".to_owned(),
        }
    }

    /// Whether there is a cast from such a column.
    pub(crate) fn takes(&self, source: &Source) -> bool {
        // Every value has a text, and most can be read from one.
        let is_text = *source == Source::Text;
        match self {
            Target::Text | Target::Varchar(_) => true,
            Target::Boolean => is_text || matches!(source, Source::Boolean | Source::Integer),
            Target::Integer(_) => is_text || source.is_number() || *source == Source::Boolean,
            Target::Float { .. } | Target::Decimal(_) => is_text || source.is_number(),
            Target::Bytes => is_text || *source == Source::Bytes,
            Target::Date | Target::Timestamp(_) => {
                is_text || matches!(source, Source::Date | Source::Timestamp)
            }
            Target::Time(_) => is_text || *source == Source::Time,
            Target::TimestampTz(_) => is_text || *source == Source::TimestampTz,
            Target::Uuid => is_text || *source == Source::Uuid,
            Target::Json | Target::Jsonb => is_text || *source == Source::Json,
        }
    }
}

/// A type's name without numbers.
fn base(logical: &str) -> &str {
    logical.split('(').next().unwrap_or(logical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_one_name() {
        for name in [
            "bool",
            "int2",
            "int4",
            "int8",
            "float4",
            "float8",
            "decimal",
            "decimal(38,18)",
            "text",
            "varchar",
            "varchar(80)",
            "bytes",
            "date",
            "time",
            "time(3)",
            "timestamp",
            "timestamp(0)",
            "timestamptz",
            "timestamptz(6)",
            "uuid",
            "json",
            "jsonb",
        ] {
            assert_eq!(Target::parse(name).map(|target| target.logical()), Ok(name.to_owned()));
        }
        assert_eq!(Target::parse("decimal(5)"), Ok(Target::Decimal(Some((5, 0)))));
    }

    #[test]
    fn what_is_no_type_is_refused_with_what_there_is() {
        for name in [
            "",
            "string",
            "int",
            "uint8",
            "text(3)",
            "decimal(1,2,3)",
            "decimal(,2)",
            "time(x)",
            "list<int4>",
        ] {
            let reason = Target::parse(name).expect_err(name);
            assert!(reason.starts_with("must be one of: bool, int2, int4"), "{name}: {reason}");
        }
        for name in ["decimal(0)", "decimal(1001)", "decimal(2,3)", "varchar(0)", "time(7)"] {
            let reason = Target::parse(name).expect_err(name);
            assert!(reason.starts_with("must have"), "{name}: {reason}");
        }
    }

    #[test]
    fn pairs_that_could_not_be_lossless_are_none() {
        let takes = |from: &str, to: &str| {
            let column = ColumnInfo::new("c", from);
            Target::parse(to).expect("it is a type").takes(&Source::of(&column))
        };
        for (from, to) in [
            ("int8", "text"),
            ("list<int4>", "text"),
            ("interval", "varchar(40)"),
            ("enum", "text"),
            ("text", "decimal(38,18)"),
            ("varchar(20)", "timestamptz"),
            ("uint8", "decimal(20,0)"),
            ("float4", "int2"),
            ("bool", "int2"),
            ("int2", "bool"),
            ("timestamp", "date"),
            ("date", "timestamp(3)"),
            ("jsonb", "json"),
            ("bytes", "text"),
        ] {
            assert!(takes(from, to), "{from} to {to}");
        }
        for (from, to) in [
            ("timestamp", "timestamptz"),
            ("timestamptz", "timestamp"),
            ("float8", "bool"),
            ("json", "int8"),
            ("list<int4>", "json"),
            ("interval", "int8"),
            ("uuid", "bytes"),
            ("date", "int4"),
            ("money", "decimal"),
            ("timetz", "time"),
        ] {
            assert!(!takes(from, to), "{from} to {to}");
        }
    }
}
