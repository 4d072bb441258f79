//! Protobuf as Confluent's `ProtobufConverter` 7.0.16 writes it with its defaults: the message
//! ([`Protobuf`]), the schema that it registers ([`schema_text`]) and what stands between the
//! schema's id and the message ([`message_index`]).
//!
//! With those defaults a null field is a field that is not there, as is a field whose value is its
//! type's zero: a consumer cannot tell the two apart. The converter has options that change this
//! (`optional.for.nullables`, `wrapper.for.nullables`); they are off there and are not here. What
//! Protobuf cannot hold at all, such as a null within an array, is an error.
//!
//! Nothing here speaks to a registry. The registered schema has no references: the files that it
//! imports (`confluent/type/decimal.proto`, `google/type/…`, `google/protobuf/timestamp.proto`)
//! are known to every registry of Confluent's API, and the converter skips them too
//! (`skip.known.types`).

mod decimal;
mod definition;
mod text;
mod write;

pub use text::schema_text;
pub use write::Protobuf;

/// The format's name in error texts.
const FORMAT: &str = "Protobuf";

/// Kafka Connect's logical types that have a message type of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Logical {
    Decimal,
    Date,
    Time,
    Timestamp,
}

impl Logical {
    fn of(schema: &crate::connect::Schema) -> Option<Logical> {
        Some(match schema.name.as_deref()? {
            "org.apache.kafka.connect.data.Decimal" => Logical::Decimal,
            "org.apache.kafka.connect.data.Date" => Logical::Date,
            "org.apache.kafka.connect.data.Time" => Logical::Time,
            "org.apache.kafka.connect.data.Timestamp" => Logical::Timestamp,
            _ => return None,
        })
    }
}

/// What Confluent's framing has between the schema's id and the message: which of the schema's
/// messages it is. It is always the first, which is written as one zero.
pub fn message_index() -> &'static [u8] {
    &[0]
}
