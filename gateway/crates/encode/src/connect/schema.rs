//! Kafka Connect's data model: the schema of a key or a value, as a tree.
//!
//! Debezium publishes Connect data; JSON with schemas, Avro, Protobuf and JSON Schema are four ways
//! of writing one tree. It is made once a table schema, so it may allocate.
//! Source: `org.apache.kafka.connect.data.{Schema, Field}`.

use std::sync::Arc;

/// What a value is made of (`org.apache.kafka.connect.data.Schema.Type`).
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// 8 bits, signed.
    Int8,
    /// 16 bits, signed.
    Int16,
    /// 32 bits, signed.
    Int32,
    /// 64 bits, signed.
    Int64,
    /// IEEE 754, 32 bits.
    Float32,
    /// IEEE 754, 64 bits.
    Float64,
    /// True or false.
    Boolean,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// Any number of one schema.
    Array(Arc<Schema>),
    /// Keys and values, each of one schema.
    Map(Arc<Schema>, Arc<Schema>),
    /// Named fields, in order.
    Struct(Vec<Field>),
}

/// A named part of a struct. Its place is its index.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Schema.
    pub schema: Arc<Schema>,
}

/// A schema. `Schema::new` gives one that is required, without a name and without a default.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// What it is made of.
    pub kind: Kind,
    /// May be null.
    pub optional: bool,
    /// Its logical or record name (`io.debezium.time.Date`, `shop.public.orders.Value`).
    pub name: Option<String>,
    /// Version of what the name says.
    pub version: Option<i32>,
    /// Documentation.
    pub doc: Option<String>,
    /// Parameters in the order in which they were set (`scale`, `allowed`, `length` …).
    pub parameters: Vec<(String, String)>,
    /// The default, as a value of this schema.
    pub default: Option<Value>,
}

impl Schema {
    /// A required schema without a name.
    pub fn new(kind: Kind) -> Schema {
        Schema {
            kind,
            optional: false,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            default: None,
        }
    }

    /// With a name and its version.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, version: i32) -> Schema {
        self.name = Some(name.into());
        self.version = Some(version);
        self
    }

    /// May be null.
    #[must_use]
    pub fn optional(mut self) -> Schema {
        self.optional = true;
        self
    }

    /// With one more parameter.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Schema {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// The fields; none where it is no struct.
    pub fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Struct(fields) => fields,
            _ => &[],
        }
    }
}

/// A value as a tree. For defaults and tests: changes are written without it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// Any integer.
    Integer(i64),
    /// 32-bit float.
    Single(f32),
    /// 64-bit float.
    Double(f64),
    /// Boolean.
    Boolean(bool),
    /// Text.
    Text(String),
    /// Bytes, also of Connect's `Decimal`.
    Bytes(Vec<u8>),
    /// Elements.
    Array(Vec<Value>),
    /// Entries.
    Map(Vec<(Value, Value)>),
    /// A value for each field.
    Struct(Vec<Value>),
}
