//! Encoders from changes to the formats that consumers read. Bytes only: nothing here knows a
//! broker, a file or a runtime.
//!
//! [`debezium`] writes what Debezium's connector for PostgreSQL writes, so that existing consumers
//! do not notice a difference; where there is one, `DEBEZIUM.md` beside this crate names it. Its
//! messages are Kafka Connect's data ([`connect`]), which Connect's own JSON, [`avro`],
//! [`json_schema`] and [`protobuf`] are four ways of writing. [`flat`] is JSON without an envelope,
//! [`cloudevents`] another envelope, see `FORMATS.md`. [`murmur2`] places
//! a key on the partition that Java's producer would choose.

pub mod avro;
mod calendar;
pub mod cloudevents;
pub mod connect;
pub mod debezium;
pub mod flat;
mod java_map;
mod json;
pub mod json_schema;
mod murmur2;
pub mod protobuf;

pub use murmur2::{murmur2, partition_of};

/// Why a change could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The encoded change cannot be read.
    #[error("a change in the log cannot be read: {0}")]
    Damaged(#[from] offtake_change::wire::WireError),
    /// The name of one of the change's headers is no text.
    #[error("a header of a change in the log has a name that is no UTF-8")]
    HeaderName,
    /// A value that the format has no way to write. Names what it is, never the value.
    #[error("a value cannot be written as {format}: {reason}")]
    Value {
        /// The format.
        format: &'static str,
        /// What it cannot hold.
        reason: &'static str,
    },
    /// A value of a column that its schema cannot hold. Names the column, never the value.
    #[error("a value of column {column:?} cannot be written as {format}: {reason}")]
    Column {
        /// The column.
        column: Box<str>,
        /// The format.
        format: &'static str,
        /// What it cannot hold.
        reason: &'static str,
    },
    /// A key is to be made of a column that the table does not have.
    #[error("the key of {table} is to have column {column:?}, which the table does not have")]
    KeyColumn {
        /// The table with its schema.
        table: String,
        /// The column.
        column: String,
    },
    /// A table whose schema the format has no way to write.
    #[error("a schema cannot be written as {format}: {reason}")]
    Schema {
        /// The format.
        format: &'static str,
        /// The name at fault and what is wrong with it.
        reason: String,
    },
}

impl EncodeError {
    /// A stable name of the error.
    pub fn code(&self) -> &'static str {
        match self {
            EncodeError::Damaged(_) => "ENCODE_CHANGE_DAMAGED",
            EncodeError::HeaderName => "ENCODE_HEADER_NAME",
            EncodeError::Value { .. } | EncodeError::Column { .. } => "ENCODE_VALUE",
            EncodeError::KeyColumn { .. } => "ENCODE_KEY_COLUMN",
            EncodeError::Schema { .. } => "ENCODE_SCHEMA",
        }
    }

    /// What an operator can do.
    pub fn next_step(&self) -> &'static str {
        match self {
            EncodeError::Damaged(_) | EncodeError::HeaderName => {
                "the log was written by a later version or is damaged: run the version that wrote \
                 it, or restore the log's folder"
            }
            EncodeError::Value { .. } | EncodeError::Column { .. } => {
                "choose another format for the stream by [[kafka.topic]], or another mode for the \
                 type in [kafka.debezium] (unfit_values = \"null\" is Debezium's way), then start \
                 again"
            }
            EncodeError::KeyColumn { .. } => {
                "name columns that the table has in the `key` of its [[kafka.topic]]"
            }
            EncodeError::Schema { .. } => {
                "choose another format for the stream by [[kafka.topic]], or have names adjusted \
                 (field_names, schema_names in [kafka.debezium]), then start again; a name that is \
                 changed in the database, or a table in `exclude`, counts for later changes only"
            }
        }
    }
}
