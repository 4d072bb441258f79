//! From a type to the peer's schema of it, and to the way its values take there.

use std::sync::Arc;

use offtake_change::{Column, Kind};

use super::options::{
    BinaryHandling, DecimalHandling, HstoreHandling, IntervalHandling, Options, TimePrecision,
    UnknownTypes,
};
use super::types::Type;
use crate::connect::{Field, Kind as SchemaKind, Schema, Value};

/// How values of a column are written. Made once a schema.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Encoding {
    /// Booleans, integers and floats, by their kind.
    Scalar,
    /// Text as it is.
    Text,
    /// Bytes, in one of their ways.
    Bytes(BinaryHandling),
    /// Connect's `Decimal`.
    Decimal {
        scale: i32,
    },
    VariableDecimal,
    /// With at least so many digits after the point.
    DecimalText {
        scale: i32,
    },
    DecimalDouble,
    /// An amount of money with so many digits after the point.
    Money {
        scale: i32,
    },
    MoneyText,
    MoneyDouble,
    /// Days since 1970-01-01, as Debezium's type or as Connect's.
    Date {
        connect: bool,
    },
    DateText,
    /// Time of day.
    Time(Unit),
    TimeText,
    ZonedTime,
    /// Since 1970-01-01.
    Timestamp(Unit),
    TimestampText,
    ZonedTimestamp {
        digits: u8,
    },
    Interval,
    IntervalText,
    Bit,
    Bits,
    Point,
    /// PostGIS's types, from their hexadecimal form.
    Geometry,
    HstoreText,
    HstoreMap,
    DoubleVector,
    FloatVector,
    SparseVector,
    List(Box<Encoding>),
    /// There never is a value.
    Never,
}

/// What a time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

/// A column's schema, without what the column itself adds (optional, default), the encoding of its
/// values, and what stands for a value that a required column lacks.
pub(super) struct Converted {
    pub(super) schema: Schema,
    pub(super) encoding: Encoding,
    pub(super) fallback: Value,
}

/// The schema of a type; `None`: the column is left out.
pub(super) fn convert(kind: &Type, column: &Column, options: &Options) -> Option<Converted> {
    let text = || Value::Text(String::new());
    let named_text = |name: &str| {
        converted(Schema::new(SchemaKind::String).named(name, 1), Encoding::Text, text())
    };
    let scalar = |kind, fallback| converted(Schema::new(kind), Encoding::Scalar, fallback);
    Some(match kind {
        Type::Boolean => scalar(SchemaKind::Boolean, Value::Boolean(false)),
        Type::Int16 => scalar(SchemaKind::Int16, Value::Integer(0)),
        Type::Int32 => scalar(SchemaKind::Int32, Value::Integer(0)),
        Type::Int64 | Type::Oid => scalar(SchemaKind::Int64, Value::Integer(0)),
        Type::Float32 => scalar(SchemaKind::Float32, Value::Single(0.0)),
        Type::Float64 => scalar(SchemaKind::Float64, Value::Double(0.0)),
        Type::Text | Type::PlainText => {
            converted(Schema::new(SchemaKind::String), Encoding::Text, text())
        }
        Type::Json => named_text("io.debezium.data.Json"),
        Type::Xml => named_text("io.debezium.data.Xml"),
        Type::Uuid => named_text("io.debezium.data.Uuid"),
        Type::Ltree => named_text("io.debezium.data.Ltree"),
        Type::Tsvector => named_text("io.debezium.data.Tsvector"),
        Type::Enum(labels) => {
            let mut named = named_text("io.debezium.data.Enum");
            named.schema = named.schema.parameter("allowed", labels.join(","));
            named
        }
        Type::Numeric(modifiers) => numeric(*modifiers, options.decimal),
        Type::Money => money(options),
        Type::Bytes => binary(options.binary),
        Type::Date | Type::Time(_) | Type::TimeTz => time(kind, options.time_precision),
        Type::Timestamp(_) | Type::TimestampTz(_) => timestamp(kind, options.time_precision),
        Type::Interval => interval(options.interval),
        Type::Bit => {
            converted(Schema::new(SchemaKind::Boolean), Encoding::Bit, Value::Boolean(false))
        }
        Type::Bits(length) => {
            let schema = Schema::new(SchemaKind::Bytes).named("io.debezium.data.Bits", 1);
            let schema = schema.parameter("length", length.to_string());
            converted(schema, Encoding::Bits, Value::Bytes(Vec::new()))
        }
        Type::Point => point(),
        Type::Geometry => geometry("Geometry"),
        Type::Geography => geometry("Geography"),
        Type::Hstore => hstore(options.hstore),
        Type::Vector => vector("DoubleVector", SchemaKind::Float64, Encoding::DoubleVector),
        Type::HalfVector => vector("FloatVector", SchemaKind::Float32, Encoding::FloatVector),
        Type::SparseVector => sparse_vector(),
        Type::Array(element) => array(element, column, options)?,
        Type::Unknown(_) if options.unknown_types == UnknownTypes::Omit => return empty(column),
        Type::Unknown(kind) => unknown(*kind, column, options),
    })
}

fn converted(schema: Schema, encoding: Encoding, fallback: Value) -> Converted {
    Converted { schema, encoding, fallback }
}

fn numeric(modifiers: Option<(i32, i32)>, mode: DecimalHandling) -> Converted {
    let scale = modifiers.map_or(0, |(_, scale)| scale);
    match (mode, modifiers) {
        (DecimalHandling::Precise, Some((precision, scale))) => {
            let schema =
                decimal(scale).parameter("connect.decimal.precision", precision.to_string());
            converted(schema, Encoding::Decimal { scale }, Value::Bytes(vec![0]))
        }
        (DecimalHandling::Precise, None) => {
            let mut schema = record(
                "io.debezium.data.VariableScaleDecimal",
                vec![("scale", Schema::new(SchemaKind::Int32)), ("value", bytes())],
            );
            schema.doc = Some("Variable scaled decimal".to_owned());
            let zero = Value::Struct(vec![Value::Integer(0), Value::Bytes(vec![0])]);
            converted(schema, Encoding::VariableDecimal, zero)
        }
        (DecimalHandling::String, _) => {
            let encoding = Encoding::DecimalText { scale };
            converted(Schema::new(SchemaKind::String), encoding, zero_text(scale))
        }
        (DecimalHandling::Double, _) => {
            let schema = Schema::new(SchemaKind::Float64);
            converted(schema, Encoding::DecimalDouble, Value::Double(0.0))
        }
    }
}

fn zero_text(scale: i32) -> Value {
    let digits = usize::try_from(scale).unwrap_or(0);
    Value::Text(if digits == 0 { "0".to_owned() } else { format!("0.{}", "0".repeat(digits)) })
}

fn money(options: &Options) -> Converted {
    let scale = i32::from(options.money_fraction_digits);
    match options.decimal {
        DecimalHandling::Precise => {
            converted(decimal(scale), Encoding::Money { scale }, Value::Bytes(vec![0]))
        }
        DecimalHandling::String => {
            converted(Schema::new(SchemaKind::String), Encoding::MoneyText, zero_text(scale))
        }
        DecimalHandling::Double => {
            let schema = Schema::new(SchemaKind::Float64);
            converted(schema, Encoding::MoneyDouble, Value::Double(0.0))
        }
    }
}

fn decimal(scale: i32) -> Schema {
    bytes().named("org.apache.kafka.connect.data.Decimal", 1).parameter("scale", scale.to_string())
}

fn bytes() -> Schema {
    Schema::new(SchemaKind::Bytes)
}

/// The schema of bytes under a mode.
pub(super) fn binary_schema(mode: BinaryHandling) -> Schema {
    match mode {
        BinaryHandling::Bytes => bytes(),
        _ => Schema::new(SchemaKind::String),
    }
}

fn binary(mode: BinaryHandling) -> Converted {
    let fallback = match mode {
        BinaryHandling::Bytes => Value::Bytes(Vec::new()),
        _ => Value::Text(String::new()),
    };
    converted(binary_schema(mode), Encoding::Bytes(mode), fallback)
}

fn time(kind: &Type, precision: TimePrecision) -> Converted {
    use TimePrecision as Mode;
    let named = |kind, name: &str| Schema::new(kind).named(name, 1);
    let text = |name: &str, encoding, fallback: &str| {
        converted(named(SchemaKind::String, name), encoding, Value::Text(fallback.to_owned()))
    };
    match (kind, precision) {
        (Type::TimeTz, _) => text("io.debezium.time.ZonedTime", Encoding::ZonedTime, "00:00:00Z"),
        (Type::Date, Mode::IsoString) => {
            text("io.debezium.time.IsoDate", Encoding::DateText, "1970-01-01Z")
        }
        (Type::Date, _) => {
            let connect = precision == Mode::Connect;
            let name = match connect {
                true => "org.apache.kafka.connect.data.Date",
                false => "io.debezium.time.Date",
            };
            let encoding = Encoding::Date { connect };
            converted(named(SchemaKind::Int32, name), encoding, Value::Integer(0))
        }
        (_, Mode::IsoString) => text("io.debezium.time.IsoTime", Encoding::TimeText, "00:00:00Z"),
        (kind, _) => {
            let millis = matches!(kind, Type::Time(0..=3)) && precision == Mode::Adaptive;
            let (kind, name, unit) = match precision {
                Mode::Connect => {
                    (SchemaKind::Int32, "org.apache.kafka.connect.data.Time", Unit::Millis)
                }
                Mode::Nanoseconds => (SchemaKind::Int64, "io.debezium.time.NanoTime", Unit::Nanos),
                _ if millis => (SchemaKind::Int32, "io.debezium.time.Time", Unit::Millis),
                _ => (SchemaKind::Int64, "io.debezium.time.MicroTime", Unit::Micros),
            };
            converted(named(kind, name), Encoding::Time(unit), Value::Integer(0))
        }
    }
}

fn timestamp(kind: &Type, precision: TimePrecision) -> Converted {
    use TimePrecision as Mode;
    const EPOCH: &str = "1970-01-01T00:00:00Z";
    let text = |name: &str, encoding| {
        let schema = Schema::new(SchemaKind::String).named(name, 1);
        converted(schema, encoding, Value::Text(EPOCH.to_owned()))
    };
    if let Type::TimestampTz(digits) = *kind {
        return text("io.debezium.time.ZonedTimestamp", Encoding::ZonedTimestamp { digits });
    }
    let millis = matches!(kind, Type::Timestamp(0..=3));
    let (name, unit) = match precision {
        Mode::IsoString => {
            return text("io.debezium.time.IsoTimestamp", Encoding::TimestampText);
        }
        Mode::Connect => ("org.apache.kafka.connect.data.Timestamp", Unit::Millis),
        Mode::Nanoseconds => ("io.debezium.time.NanoTimestamp", Unit::Nanos),
        Mode::Adaptive | Mode::AdaptiveTimeMicroseconds if millis => {
            ("io.debezium.time.Timestamp", Unit::Millis)
        }
        _ => ("io.debezium.time.MicroTimestamp", Unit::Micros),
    };
    let schema = Schema::new(SchemaKind::Int64).named(name, 1);
    converted(schema, Encoding::Timestamp(unit), Value::Integer(0))
}

fn interval(mode: IntervalHandling) -> Converted {
    match mode {
        IntervalHandling::Numeric => {
            let schema = Schema::new(SchemaKind::Int64).named("io.debezium.time.MicroDuration", 1);
            converted(schema, Encoding::Interval, Value::Integer(0))
        }
        IntervalHandling::String => {
            let schema = Schema::new(SchemaKind::String).named("io.debezium.time.Interval", 1);
            let zero = Value::Text("P0Y0M0DT0H0M0S".to_owned());
            converted(schema, Encoding::IntervalText, zero)
        }
    }
}

fn record(name: &str, fields: Vec<(&str, Schema)>) -> Schema {
    Schema::new(SchemaKind::Struct(fields.into_iter().map(field).collect())).named(name, 1)
}

/// A field of a struct.
pub(super) fn field((name, schema): (&str, Schema)) -> Field {
    Field { name: name.to_owned(), schema: Arc::new(schema) }
}

fn point() -> Converted {
    let mut schema = record(
        "io.debezium.data.geometry.Point",
        vec![
            ("x", Schema::new(SchemaKind::Float64)),
            ("y", Schema::new(SchemaKind::Float64)),
            ("wkb", bytes().optional()),
            ("srid", Schema::new(SchemaKind::Int32).optional()),
        ],
    );
    schema.doc = Some("Geometry (POINT)".to_owned());
    let wkb = super::structured::wkb(0.0, 0.0).to_vec();
    let zero = vec![Value::Double(0.0), Value::Double(0.0), Value::Bytes(wkb), Value::Null];
    converted(schema, Encoding::Point, Value::Struct(zero))
}

fn geometry(name: &str) -> Converted {
    let mut schema = record(
        &format!("io.debezium.data.geometry.{name}"),
        vec![("wkb", bytes()), ("srid", Schema::new(SchemaKind::Int32).optional())],
    );
    schema.doc = Some(name.to_owned());
    // An empty collection.
    let empty = vec![1, 7, 0, 0, 0, 0, 0, 0, 0];
    let fallback = Value::Struct(vec![Value::Bytes(empty), Value::Null]);
    converted(schema, Encoding::Geometry, fallback)
}

fn hstore(mode: HstoreHandling) -> Converted {
    match mode {
        HstoreHandling::Json => {
            let schema = Schema::new(SchemaKind::String).named("io.debezium.data.Json", 1);
            converted(schema, Encoding::HstoreText, Value::Text("{}".to_owned()))
        }
        HstoreHandling::Map => {
            let key = Arc::new(Schema::new(SchemaKind::String));
            let value = Arc::new(Schema::new(SchemaKind::String).optional());
            let schema = Schema::new(SchemaKind::Map(key, value));
            converted(schema, Encoding::HstoreMap, Value::Map(Vec::new()))
        }
    }
}

fn vector(name: &str, element: SchemaKind, encoding: Encoding) -> Converted {
    let schema = array_of(element).named(format!("io.debezium.data.{name}"), 1);
    converted(schema, encoding, Value::Array(Vec::new()))
}

fn sparse_vector() -> Converted {
    let key = Arc::new(Schema::new(SchemaKind::Int16));
    let value = Arc::new(Schema::new(SchemaKind::Float64));
    let mut schema = record(
        "io.debezium.data.SparseDoubleVector",
        vec![
            ("dimensions", Schema::new(SchemaKind::Int16)),
            ("vector", Schema::new(SchemaKind::Map(key, value))),
        ],
    );
    schema.doc = Some("Sparse double vector".to_owned());
    let empty = Value::Struct(vec![Value::Integer(0), Value::Map(Vec::new())]);
    converted(schema, Encoding::SparseVector, empty)
}

fn array(element: &Type, column: &Column, options: &Options) -> Option<Converted> {
    let inner = convert(element, column, options)?;
    // The peer has these elements as required.
    let required =
        matches!(
            element,
            Type::Enum(_) | Type::Tsvector | Type::Vector | Type::HalfVector | Type::SparseVector
        ) || column.element.as_deref().is_some_and(|element| element.native.ends_with("isbn"));
    let mut schema = inner.schema;
    schema.optional = !required;
    let schema = Schema::new(SchemaKind::Array(Arc::new(schema)));
    let encoding = Encoding::List(Box::new(inner.encoding));
    Some(converted(schema, encoding, Value::Array(Vec::new())))
}

/// Of a few types the peer has a schema and no values.
fn empty(column: &Column) -> Option<Converted> {
    // Bit strings of varying length are left out altogether.
    let varies = |element: &Column| {
        element.native.starts_with("varbit") || element.native.starts_with("bit varying")
    };
    let element = column.element.as_deref().filter(|element| !varies(element));
    let bits = element.map(super::types::of);
    let schema = match (bits, column.native.as_str()) {
        (Some(Type::Bit), _) => Schema::new(SchemaKind::Boolean),
        (Some(Type::Bits(length)), _) => Schema::new(SchemaKind::Bytes)
            .named("io.debezium.data.Bits", 1)
            .parameter("length", length.to_string()),
        (_, "oidvector") => array_of(SchemaKind::Int64),
        (_, "int2vector") => array_of(SchemaKind::Int16),
        _ => return None,
    };
    let fallback = match &schema.kind {
        SchemaKind::Boolean => Value::Boolean(false),
        SchemaKind::Bytes => Value::Bytes(Vec::new()),
        _ => Value::Array(Vec::new()),
    };
    Some(converted(schema, Encoding::Never, fallback))
}

fn array_of(element: SchemaKind) -> Schema {
    Schema::new(SchemaKind::Array(Arc::new(Schema::new(element))))
}

/// A type that the peer leaves out: its text, or what else its values are here.
fn unknown(kind: Kind, column: &Column, options: &Options) -> Converted {
    let text = || Schema::new(SchemaKind::String);
    match kind {
        Kind::List => {
            // An array of a domain over numbers has numbers.
            let element = column.element.as_deref().filter(|element| {
                !matches!(element.kind, Kind::Text | Kind::List | Kind::Unsigned)
            });
            let inner = element
                .and_then(|element| convert(&super::types::of(element), element, options))
                .unwrap_or_else(|| converted(text(), Encoding::Text, Value::Null));
            let schema = Schema::new(SchemaKind::Array(Arc::new(inner.schema.optional())));
            converted(schema, Encoding::List(Box::new(inner.encoding)), Value::Array(Vec::new()))
        }
        Kind::Unsigned => {
            converted(Schema::new(SchemaKind::Int64), Encoding::Scalar, Value::Integer(0))
        }
        _ => converted(text(), Encoding::Text, Value::Text(String::new())),
    }
}
