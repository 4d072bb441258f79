//! What `[kafka]` says of messages and topics, once it is known to be right.
//!
//! Plain values: which rule counts for a stream is decided by the sink, and what an option of
//! Debezium's does to bytes is the encoder's. Nothing here knows either.

use std::collections::BTreeMap;
use std::time::Duration;

/// How changes are written as messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    /// Debezium's envelope as JSON.
    DebeziumJson,
    /// A row as flat JSON.
    Json,
    /// Debezium's envelope as Avro, with a schema registry.
    Avro,
    /// Debezium's envelope as Protobuf, with a schema registry.
    Protobuf,
    /// Debezium's envelope as JSON under a JSON Schema, with a schema registry.
    JsonSchema,
    /// CloudEvents in structured mode: attributes and data in one JSON document.
    CloudEvents,
    /// CloudEvents in binary mode: attributes in headers, the value is the data.
    CloudEventsBinary,
    /// The payload of an opaque change, verbatim.
    Payload,
}

impl MessageFormat {
    /// Every format with the word that names it in a file.
    pub(crate) const WORDS: &'static [(&'static str, MessageFormat)] = &[
        ("debezium_json", MessageFormat::DebeziumJson),
        ("json", MessageFormat::Json),
        ("avro", MessageFormat::Avro),
        ("protobuf", MessageFormat::Protobuf),
        ("json_schema", MessageFormat::JsonSchema),
        ("cloudevents", MessageFormat::CloudEvents),
        ("cloudevents_binary", MessageFormat::CloudEventsBinary),
        ("payload", MessageFormat::Payload),
    ];

    /// The format's word in a file.
    pub fn name(self) -> &'static str {
        Self::WORDS.iter().find(|(_, format)| *format == self).map_or("", |(word, _)| word)
    }
}

/// What becomes of a message that is larger than its topic takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// The sink halts.
    Halt,
    /// It goes to the dead-letter stream, and the sink goes on.
    DeadLetter,
}

/// Headers that messages get on request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageHeaders {
    /// Where the change stands in the source.
    pub position: bool,
    /// The source transaction, its parts and its end.
    pub transaction: bool,
    /// An id that is unique and the same however often the message is sent.
    pub event_id: bool,
}

/// One `[[kafka.topic]]`. The first whose globs match a stream counts; what it leaves out is as in
/// `[kafka.topics]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicRule {
    /// Globs of the names of streams.
    pub streams: Vec<String>,
    /// Whether a missing topic is created.
    pub create: Option<bool>,
    /// Partitions of a new topic.
    pub partitions: Option<i32>,
    /// Copies of a new topic.
    pub replication: Option<i32>,
    /// Configuration of a new topic; `retention` is in it as `retention.ms`.
    pub config: BTreeMap<String, String>,
    /// The format of the messages.
    pub format: Option<MessageFormat>,
    /// Columns of the key instead of the primary key's, in order; empty: the primary key's.
    pub key: Vec<String>,
    /// Columns that decide the partition instead of the key; empty: the key.
    pub partition_by: Vec<String>,
}

/// The format that a `[[route]]` names for its streams. The first that matches a stream counts,
/// after every [`TopicRule`] that names a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFormat {
    /// Globs of the names of the route's streams.
    pub streams: Vec<String>,
    /// Globs of streams that it leaves to later routes.
    pub exclude: Vec<String>,
    /// `None`: that of `[kafka]`.
    pub format: Option<MessageFormat>,
}

/// `[kafka.debezium]`: what changes the bytes of Debezium's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debezium {
    /// `topic.prefix`: `source.name` and the beginning of schema names.
    pub topic_prefix: String,
    /// `schemas.enable` of the JSON converter.
    pub schemas: bool,
    /// `decimal.handling.mode`.
    pub decimal: Decimal,
    /// `time.precision.mode`.
    pub time_precision: TimePrecision,
    /// `binary.handling.mode`.
    pub binary: Binary,
    /// `interval.handling.mode`.
    pub interval: Interval,
    /// `hstore.handling.mode`.
    pub hstore: Hstore,
    /// `money.fraction.digits`.
    pub money_fraction_digits: u8,
    /// `unavailable.value.placeholder`.
    pub unavailable_value: String,
    /// What becomes of columns of types that Debezium does not know.
    pub unknown_types: UnknownTypes,
    /// What becomes of values that their schema cannot hold.
    pub unfit_values: UnfitValues,
    /// `replace.null.with.default` of the JSON converter.
    pub replace_null_with_default: bool,
    /// `tombstones.on.delete`.
    pub tombstones: bool,
    /// `field.name.adjustment.mode`.
    pub field_names: NameAdjustment,
    /// `schema.name.adjustment.mode`.
    pub schema_names: NameAdjustment,
    /// `skipped.operations`.
    pub skipped_operations: SkippedOperations,
    /// `provide.transaction.metadata`.
    pub transactions: bool,
    /// `heartbeat.interval.ms`; zero: no heartbeats.
    pub heartbeat_interval: Duration,
    /// `extended.headers.enabled`.
    pub context_headers: bool,
}

/// `decimal.handling.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decimal {
    /// `org.apache.kafka.connect.data.Decimal`.
    Precise,
    /// Text.
    String,
    /// A 64-bit float.
    Double,
}

/// `time.precision.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimePrecision {
    /// As precise as the column.
    Adaptive,
    /// The same, and `time` always in microseconds.
    AdaptiveTimeMicroseconds,
    /// Kafka Connect's own types, in milliseconds.
    Connect,
    /// ISO 8601 text.
    IsoString,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

/// `binary.handling.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// Bytes.
    Bytes,
    /// Base64 text.
    Base64,
    /// Base64 text of the alphabet for URLs.
    Base64UrlSafe,
    /// Hexadecimal text.
    Hex,
}

/// `interval.handling.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// Microseconds.
    Numeric,
    /// ISO 8601 text.
    String,
}

/// `hstore.handling.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hstore {
    /// JSON text.
    Json,
    /// A map.
    Map,
}

/// What becomes of columns of types that Debezium does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownTypes {
    /// Their canonical text.
    Text,
    /// Left out, as Debezium does.
    Omit,
}

/// What becomes of values that their schema cannot hold, such as `NaN` in a `numeric`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnfitValues {
    /// Kept as text where the format has room for it, else an error.
    Keep,
    /// Null, as Debezium does.
    Null,
}

/// `field.name.adjustment.mode` and `schema.name.adjustment.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameAdjustment {
    /// Names as they are.
    None,
    /// What Avro does not allow becomes `_`.
    Avro,
    /// What Avro does not allow becomes `_uXXXX`.
    AvroUnicode,
}

/// `skipped.operations`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkippedOperations {
    /// `c`.
    pub create: bool,
    /// `u`.
    pub update: bool,
    /// `d`.
    pub delete: bool,
    /// `t`.
    pub truncate: bool,
}
