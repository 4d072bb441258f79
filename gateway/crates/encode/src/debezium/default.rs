//! Defaults of columns as the peer reads them: from PostgreSQL's expression to a schema's default.
//!
//! Literals with casts are read, a function's result is unknown and stands as zero, the empty text
//! or the epoch, and what is neither has no default. The peer reads defaults of some types only.
//! Source: `PostgresDefaultValueConverter`.

use offtake_change::Column;

use super::convert::{Encoding, Unit};
use super::types::Type;
use super::value::Scratch;
use super::{decimal, interval, structured, temporal};
use crate::connect::Value;

/// What an expression says.
#[derive(Debug, PartialEq)]
enum Expression {
    /// The result of a function.
    Computed,
    /// A literal, or what else is written there.
    Written(String),
}

/// Keywords that are functions in all but their look.
const CURRENT: [&str; 5] =
    ["current_timestamp", "current_time", "current_date", "localtime", "localtimestamp"];

fn expression(default: &str) -> Option<Expression> {
    let is_keyword = CURRENT.iter().any(|keyword| default.eq_ignore_ascii_case(keyword));
    if is_keyword || is_call(default) {
        return Some(Expression::Computed);
    }
    if !default.contains('\'') {
        let written = (!default.starts_with("NULL::")).then(|| default.to_owned());
        return written.map(Expression::Written);
    }
    first_literal(default).map(Expression::Written)
}

/// `name(`, perhaps in a parenthesis, and somewhere its end.
fn is_call(default: &str) -> bool {
    let inner = default.strip_prefix('(').unwrap_or(default);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let after = inner.trim_start_matches(is_name);
    let line = after.split('\n').next().unwrap_or_default();
    after.len() < inner.len() && line.starts_with('(') && line.contains(')')
}

/// The inside of the first quotes, doubled ones undone.
fn first_literal(default: &str) -> Option<String> {
    let (_, mut rest) = default.split_once('\'')?;
    let mut literal = String::new();
    loop {
        let (before, after) = rest.split_once('\'')?;
        literal.push_str(before);
        match after.strip_prefix('\'') {
            Some(after) => {
                literal.push('\'');
                rest = after;
            }
            None => return Some(literal),
        }
    }
}

/// The default of a column; `None`: it has none, or none that the peer reads.
pub(super) fn of(column: &Column, kind: &Type, encoding: &Encoding) -> Option<Value> {
    // Of a domain the peer looks for the domain's name, which it does not know.
    if !column.domain_base.is_empty() {
        return None;
    }
    let default = column.default.as_deref()?;
    let text = |text: &str| Value::Text(text.to_owned());
    let is_null = default.starts_with("NULL::");
    match kind {
        Type::Enum(_) => enum_label(default, column).map(Value::Text),
        Type::Text | Type::Xml => Some(match expression(default)? {
            Expression::Computed => text(""),
            Expression::Written(written) => Value::Text(written),
        }),
        Type::Json => Some(match expression(default)? {
            Expression::Computed => text("{}"),
            Expression::Written(written) => Value::Text(written),
        }),
        Type::Bit | Type::Bits(_) => bits(expression(default)?, kind),
        _ if is_null => None,
        _ => of_literal(expression(default.trim())?, kind, encoding),
    }
}

fn bits(expression: Expression, kind: &Type) -> Option<Value> {
    let written = match expression {
        Expression::Computed => "0".to_owned(),
        Expression::Written(written) => written,
    };
    if *kind == Type::Bit {
        return Some(Value::Boolean(u128::from_str_radix(&written, 2).ok()? != 0));
    }
    let mut bytes = Vec::new();
    structured::bits(written.as_bytes(), &mut bytes)?;
    Some(Value::Bytes(bytes))
}

/// `'label'::type`, where the type is the column's.
fn enum_label(default: &str, column: &Column) -> Option<String> {
    let (literal, cast) = default.rsplit_once("::")?;
    let bare = |name: &str| {
        let name = name.rsplit_once('.').map_or(name, |(_, name)| name);
        name.trim_matches('"').to_owned()
    };
    let label = literal.strip_prefix('\'')?.strip_suffix('\'')?;
    (bare(cast) == bare(&column.native)).then(|| label.to_owned())
}

fn of_literal(expression: Expression, kind: &Type, encoding: &Encoding) -> Option<Value> {
    let Expression::Written(written) = expression else { return computed(kind, encoding) };
    match kind {
        Type::Boolean => Some(Value::Boolean(written.eq_ignore_ascii_case("true"))),
        Type::Int16 => written.parse::<i16>().ok().map(|value| Value::Integer(value.into())),
        Type::Int32 => written.parse::<i32>().ok().map(|value| Value::Integer(value.into())),
        Type::Int64 => written.parse().ok().map(Value::Integer),
        Type::Float32 => float(&written).map(|value| Value::Single(value as f32)),
        Type::Float64 => float(&written).map(Value::Double),
        Type::Uuid => is_uuid(&written).then(|| Value::Text(written.to_ascii_lowercase())),
        Type::Numeric(_) => numeric(&written, encoding),
        Type::Date | Type::Time(_) | Type::Timestamp(_) | Type::TimestampTz(_) => {
            moment(&written, kind, encoding)
        }
        Type::Interval => match encoding {
            Encoding::IntervalText => {
                let mut out = Vec::new();
                interval::text(written.as_bytes(), &mut out)?;
                String::from_utf8(out).ok().map(Value::Text)
            }
            _ => interval::micros(written.as_bytes()).map(Value::Integer),
        },
        _ => None,
    }
}

/// What stands for a function's result.
fn computed(kind: &Type, encoding: &Encoding) -> Option<Value> {
    let zero = |text: &str| of_literal(Expression::Written(text.to_owned()), kind, encoding);
    match kind {
        Type::Boolean => zero("false"),
        Type::Uuid => zero("00000000-0000-0000-0000-000000000000"),
        Type::Date => zero("1970-01-01"),
        Type::Time(_) => zero("00:00:00"),
        Type::Timestamp(_) | Type::TimestampTz(_) => zero("1970-01-01 00:00:00+00"),
        Type::Interval => zero("00:00:00"),
        Type::Numeric(None) if *encoding == (Encoding::DecimalText { scale: 0 }) => zero("0.0"),
        _ => zero("0"),
    }
}

/// As Java reads it, which knows `NaN` and `Infinity` by these names alone.
fn float(written: &str) -> Option<f64> {
    let is_number = written.bytes().any(|byte| byte.is_ascii_digit());
    let is_special = matches!(written, "NaN" | "Infinity" | "-Infinity");
    if is_number || is_special { written.parse().ok() } else { None }
}

fn is_uuid(text: &str) -> bool {
    let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let fits =
        |(at, byte): (usize, u8)| if is_dash(at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

fn numeric(written: &str, encoding: &Encoding) -> Option<Value> {
    let mut scratch = Scratch::default();
    match encoding {
        Encoding::Decimal { scale } => {
            let take = |value: &[u8]| Value::Bytes(value.to_vec());
            decimal::with_scaled(written.as_bytes(), *scale, &mut scratch.bytes, take)
        }
        Encoding::DecimalText { scale } => {
            decimal::scaled_text(written.as_bytes(), *scale, &mut scratch.bytes)?;
            String::from_utf8(scratch.bytes).ok().map(Value::Text)
        }
        Encoding::DecimalDouble => float(written).map(Value::Double),
        // A struct cannot be a default (KAFKA-12694).
        _ => None,
    }
}

/// Dates and times. A date alone is its midnight.
fn moment(written: &str, kind: &Type, encoding: &Encoding) -> Option<Value> {
    let mut whole = written.to_owned();
    if matches!(kind, Type::Timestamp(_) | Type::TimestampTz(_)) {
        if !whole.contains(':') && !whole.contains("infinity") {
            whole.push_str(" 00:00:00");
        }
        // The offset of a timestamp without a zone is dropped, one that lacks is UTC.
        let offset = whole.rfind(['+', '-']).filter(|&at| at > 10);
        match (kind, offset) {
            (Type::Timestamp(_), Some(at)) => whole.truncate(at),
            (Type::TimestampTz(_), None) if !whole.contains("infinity") => whole.push_str("+00"),
            _ => {}
        }
    }
    let text = whole.as_bytes();
    let mut out = Vec::new();
    match encoding {
        Encoding::Date { .. } => return temporal::date(text).map(Value::Integer),
        Encoding::Time(unit) => return temporal::time(text, *unit).map(Value::Integer),
        Encoding::Timestamp(Unit::Nanos) if whole.contains("infinity") => return None,
        Encoding::Timestamp(unit) => return temporal::timestamp(text, *unit).map(Value::Integer),
        Encoding::DateText => temporal::date_text(text, &mut out)?,
        Encoding::TimeText => temporal::time_text(text, &mut out)?,
        Encoding::TimestampText => temporal::timestamp_text(text, &mut out)?,
        Encoding::ZonedTimestamp { digits } => temporal::zoned_timestamp(text, *digits, &mut out)?,
        _ => return None,
    }
    String::from_utf8(out).ok().map(Value::Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debezium::convert;
    use crate::debezium::options::Options;
    use offtake_change::Kind;

    fn default(native: &str, modifier: i32, default: &str) -> Option<Value> {
        let kind = match native {
            "bool" => Kind::Boolean,
            "int2" | "int4" | "int8" => Kind::Integer,
            "float4" => Kind::Single,
            "float8" => Kind::Number,
            _ => Kind::Text,
        };
        let mut column = Column::new("c", kind, native);
        column.type_modifier = modifier;
        column.default = Some(default.to_owned());
        let kind = super::super::types::of(&column);
        let converted = convert::convert(&kind, &column, &Options::default())?;
        of(&column, &kind, &converted.encoding)
    }

    #[test]
    fn literals_are_read_with_their_casts() {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let scaled = ((8 << 16) | 3) + 4;
        for (native, modifier, expression, expected) in [
            ("int4", -1, "42", Some(Value::Integer(42))),
            ("int4", -1, "'-1'::integer", Some(Value::Integer(-1))),
            ("int8", -1, "'9223372036854775807'::bigint", Some(Value::Integer(i64::MAX))),
            ("int2", -1, "70000", None),
            ("bool", -1, "true", Some(Value::Boolean(true))),
            ("float8", -1, "'-25000000000'::numeric", Some(Value::Double(-2.5e10))),
            ("numeric", scaled, "1.5", Some(Value::Bytes(vec![0x05, 0xdc]))),
            ("numeric", scaled, "'-1'::integer", Some(Value::Bytes(vec![0xfc, 0x18]))),
            ("numeric", scaled, "1.23456", None),
            ("numeric", -1, "3.14", None),
            ("text", -1, "'it''s a \"text\"'::text", text("it's a \"text\"")),
            ("text", -1, "NULL::text", None),
            ("text", -1, "CURRENT_USER", text("CURRENT_USER")),
            ("text", -1, "('a'::text || 'b'::text)", text("a")),
            ("varchar", 14, "'v'::character varying", text("v")),
            ("jsonb", -1, "'{\"a\": 1}'::jsonb", text("{\"a\": 1}")),
            ("bit", 1, "'1'::\"bit\"", Some(Value::Boolean(true))),
            ("bit", 3, "'101'::\"bit\"", Some(Value::Bytes(vec![5]))),
            ("date", -1, "'2020-01-02'::date", Some(Value::Integer(18_263))),
            (
                "timestamp",
                -1,
                "'2020-01-02 03:04:05.678901'::timestamp without time zone",
                Some(Value::Integer(1_577_934_245_678_901)),
            ),
            (
                "timestamptz",
                -1,
                "'2020-01-02 03:04:05.678901+00'::timestamp with time zone",
                text("2020-01-02T03:04:05.678901Z"),
            ),
            ("interval", -1, "'1 day 02:00:00'::interval", Some(Value::Integer(93_600_000_000))),
            ("int4", -1, "(1 + 2)", None),
            ("money", -1, "12.5", None),
            ("inet", -1, "'10.0.0.1'::inet", None),
        ] {
            assert_eq!(default(native, modifier, expression), expected, "{native} {expression}");
        }
    }

    #[test]
    fn a_functions_result_stands_as_nothing() {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        for (native, expression, expected) in [
            ("int4", "nextval('s_id_seq'::regclass)", Some(Value::Integer(0))),
            ("int4", "seven()", Some(Value::Integer(0))),
            ("timestamptz", "now()", text("1970-01-01T00:00:00.000000Z")),
            ("timestamptz", "CURRENT_TIMESTAMP", text("1970-01-01T00:00:00.000000Z")),
            ("timestamp", "(now() + '1 day'::interval)", Some(Value::Integer(0))),
            ("date", "CURRENT_DATE", Some(Value::Integer(0))),
            ("time", "CURRENT_TIME", Some(Value::Integer(0))),
            ("uuid", "gen_random_uuid()", text("00000000-0000-0000-0000-000000000000")),
            ("text", "lower('A'::text)", text("")),
        ] {
            assert_eq!(default(native, -1, expression), expected, "{native} {expression}");
        }
    }

    #[test]
    fn an_enums_default_is_of_its_type() {
        let mut column = Column::new("c", Kind::Text, "enum");
        column.native = "public.mood".to_owned();
        let label = |default: &str| enum_label(default, &column);
        assert_eq!(label("'ok'::mood").as_deref(), Some("ok"));
        assert_eq!(label("'ok'::public.mood").as_deref(), Some("ok"));
        assert_eq!(label("'ok'::other"), None);
        assert_eq!(label("mood()"), None);
    }
}
