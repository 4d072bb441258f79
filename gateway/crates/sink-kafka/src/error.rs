//! What halts the sink or keeps it from starting, with a stable code and a next step for each.
//!
//! A broker that cannot be reached is not here: that is a state of [`crate::KafkaStatus`] and ends
//! by itself.

use offtake_encode::EncodeError;
use offtake_log::{LogError, ReadError};
use offtake_registry::RegistryError;

/// Why the sink halts or does not start. Texts never hold a key or a value.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A property is wrong or not the user's to set.
    #[error("kafka property {property}: {reason}")]
    Property {
        /// Its name.
        property: String,
        /// What is wrong.
        reason: String,
    },
    /// The client library cannot be set up.
    #[error("the Kafka client cannot be set up: {0}")]
    Client(String),
    /// The sink's thread cannot be started.
    #[error("the thread of the Kafka sink cannot be started: {0}")]
    Thread(std::io::Error),
    /// The cursor is another log's.
    #[error("the cursor {file} belongs to log {found}, this is log {expected}")]
    CursorForeign {
        /// The cursor's file.
        file: String,
        /// The log that wrote it.
        found: String,
        /// The log that is read.
        expected: String,
    },
    /// The cursor is another pipeline's.
    #[error("the cursor {file} belongs to pipeline {found}, this is pipeline {expected}")]
    CursorPipeline {
        /// The cursor's file.
        file: String,
        /// The pipeline that wrote it.
        found: String,
        /// This pipeline.
        expected: String,
    },
    /// The cursor is past the log's end.
    #[error("the cursor stands at sequence {cursor}, the log ends at {latest}")]
    CursorAhead {
        /// The cursor's sequence.
        cursor: u64,
        /// The log's last sequence.
        latest: u64,
    },
    /// The log no longer holds what follows the cursor.
    #[error("the cursor stands at sequence {cursor}, the log begins at {earliest}")]
    CursorTooOld {
        /// The cursor's sequence.
        cursor: u64,
        /// First sequence that the log holds.
        earliest: u64,
    },
    /// The cursor's file cannot be read or written.
    #[error("the cursor cannot be kept: {0}")]
    CursorFile(#[source] LogError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(ReadError),
    /// The log refers to a schema or stream that it did not announce.
    #[error("the log refers to {what} {id}, which it did not announce")]
    Unannounced {
        /// Schema or stream.
        what: &'static str,
        /// Its id.
        id: u32,
    },
    /// A schema of a later version.
    #[error("schema {id} cannot be read: {reason}")]
    Schema {
        /// Its id.
        id: u32,
        /// What is not known.
        reason: String,
    },
    /// The schema registry refuses, for good.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A format needs a registry, and none is named.
    #[error("a stream's format needs a schema registry, and none is named")]
    RegistryMissing,
    /// A change cannot be read.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A message is larger than the topic takes.
    #[error("a message for topic {topic} after sequence {after} is larger than the broker takes")]
    MessageTooLarge {
        /// The topic.
        topic: String,
        /// The cursor: the message follows it.
        after: u64,
    },
    /// Not allowed to see or write a topic.
    #[error("not allowed to write topic {topic}")]
    TopicDenied {
        /// The topic.
        topic: String,
    },
    /// Not allowed to write idempotently, or to use the cluster.
    #[error("the cluster does not allow this user to write: {0}")]
    ClusterDenied(String),
    /// A topic is missing and is not to be created.
    #[error("topic {topic} does not exist")]
    TopicMissing {
        /// The topic.
        topic: String,
    },
    /// A topic was deleted while it was written.
    #[error("topic {topic} was there and is gone: somebody deleted it")]
    TopicGone {
        /// The topic.
        topic: String,
    },
    /// A name that cannot be a topic's.
    #[error("{topic:?} cannot be the name of a topic")]
    TopicInvalid {
        /// The name.
        topic: String,
    },
    /// Two streams become one topic, for what Kafka does not allow in names is replaced.
    #[error("topic {topic} would be that of {one} and of {other}")]
    TopicShared {
        /// The topic.
        topic: String,
        /// Whose it is.
        one: String,
        /// Whose it would be, too.
        other: String,
    },
    /// A topic cannot be created.
    #[error("topic {topic} cannot be created: {reason}")]
    TopicCreate {
        /// The topic.
        topic: String,
        /// The broker's reason.
        reason: String,
    },
    /// A table lacks a column of the key.
    #[error("table {table} has no column {column:?}, which `key` names")]
    KeyColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A table lacks a column that decides the partition.
    #[error("table {table} has no column {column:?}, which `partition_by` names")]
    PartitionColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A change does not hold a column that decides the partition.
    #[error(
        "a change of table {table} does not hold column {column:?}, which decides its partition"
    )]
    PartitionUnknown {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The brokers are of a version that does not do.
    #[error("the brokers are of version {version}, and at least {least} is needed")]
    BrokerTooOld {
        /// As the brokers say it.
        version: String,
        /// The oldest that does.
        least: &'static str,
    },
    /// No broker answers where one has to.
    #[error("no broker answers: {reason}")]
    Unreachable {
        /// What the last attempt said.
        reason: String,
    },
    /// Another gateway of this pipeline has begun to publish.
    #[error("another gateway publishes pipeline {pipeline} under transactional id {id}")]
    Fenced {
        /// The pipeline.
        pipeline: String,
        /// The transactional id of both.
        id: String,
    },
    /// Exactly once is asked for, and the brokers do not offer it.
    #[error("exactly-once delivery is not to be had here: {reason}")]
    TransactionsUnsupported {
        /// Why not.
        reason: String,
    },
    /// Exactly once is asked for, and this user may not use the transactional id.
    #[error("not allowed to use transactional id {id}")]
    TransactionsDenied {
        /// The transactional id.
        id: String,
    },
    /// The brokers refuse the length of transactions.
    #[error("the brokers refuse transaction.timeout.ms = {ms}")]
    TransactionTimeout {
        /// What was asked for.
        ms: u128,
    },
    /// The topic that keeps the cursors no longer has this pipeline's.
    #[error(
        "topic {topic} holds no cursor of this pipeline, which has published everything up to \
         sequence {least} at least"
    )]
    CursorLost {
        /// The cursor topic.
        topic: String,
        /// What is known of the cursor that was there.
        least: u64,
    },
    /// The cursor in Kafka cannot be read.
    #[error("the cursor {key} in topic {topic} cannot be used: {reason}")]
    CursorRecord {
        /// The cursor topic.
        topic: String,
        /// The record's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The broker refuses a message for good.
    #[error("a message for topic {topic} after sequence {after} is refused: {reason}")]
    Refused {
        /// The topic.
        topic: String,
        /// The cursor: the message follows it.
        after: u64,
        /// The broker's reason.
        reason: String,
    },
}

impl KafkaError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            KafkaError::Property { .. } => "KAFKA_PROPERTY",
            KafkaError::Client(_) => "KAFKA_CLIENT",
            KafkaError::Thread(_) => "KAFKA_THREAD",
            KafkaError::CursorForeign { .. } => "KAFKA_CURSOR_FOREIGN",
            KafkaError::CursorPipeline { .. } => "KAFKA_CURSOR_PIPELINE",
            KafkaError::CursorAhead { .. } => "KAFKA_CURSOR_AHEAD",
            KafkaError::CursorTooOld { .. } => "KAFKA_CURSOR_TOO_OLD",
            KafkaError::CursorFile(_) => "KAFKA_CURSOR_FILE",
            KafkaError::Log(error) => error.code(),
            KafkaError::Unannounced { .. } => "KAFKA_LOG_UNANNOUNCED",
            KafkaError::Schema { .. } => "KAFKA_SCHEMA_UNKNOWN",
            KafkaError::Registry(error) => error.code(),
            KafkaError::RegistryMissing => "KAFKA_REGISTRY_MISSING",
            KafkaError::Encode(error) => error.code(),
            KafkaError::MessageTooLarge { .. } => "KAFKA_MESSAGE_TOO_LARGE",
            KafkaError::TopicDenied { .. } => "KAFKA_TOPIC_DENIED",
            KafkaError::ClusterDenied(_) => "KAFKA_CLUSTER_DENIED",
            KafkaError::TopicMissing { .. } => "KAFKA_TOPIC_MISSING",
            KafkaError::TopicGone { .. } => "KAFKA_TOPIC_GONE",
            KafkaError::TopicInvalid { .. } => "KAFKA_TOPIC_INVALID",
            KafkaError::TopicShared { .. } => "KAFKA_TOPIC_SHARED",
            KafkaError::TopicCreate { .. } => "KAFKA_TOPIC_CREATE",
            KafkaError::KeyColumn { .. } => "KAFKA_KEY_COLUMN",
            KafkaError::PartitionColumn { .. } => "KAFKA_PARTITION_COLUMN",
            KafkaError::PartitionUnknown { .. } => "KAFKA_PARTITION_UNKNOWN",
            KafkaError::BrokerTooOld { .. } => "KAFKA_BROKER_TOO_OLD",
            KafkaError::Unreachable { .. } => "KAFKA_UNREACHABLE",
            KafkaError::Fenced { .. } => "KAFKA_FENCED",
            KafkaError::TransactionsUnsupported { .. } => "KAFKA_TRANSACTIONS_UNSUPPORTED",
            KafkaError::TransactionsDenied { .. } => "KAFKA_TRANSACTIONS_DENIED",
            KafkaError::TransactionTimeout { .. } => "KAFKA_TRANSACTION_TIMEOUT",
            KafkaError::CursorLost { .. } => "KAFKA_CURSOR_LOST",
            KafkaError::CursorRecord { .. } => "KAFKA_CURSOR_RECORD",
            KafkaError::Refused { .. } => "KAFKA_REFUSED",
        }
    }

    /// What an operator can do.
    pub fn next_step(&self) -> &'static str {
        match self {
            KafkaError::Property { .. } => "correct the [kafka] section of the configuration",
            KafkaError::Client(_) => "check [kafka] properties, certificates and files they name",
            KafkaError::Thread(_) => "raise the limit of threads of this user",
            KafkaError::CursorForeign { .. } | KafkaError::CursorPipeline { .. } => {
                "give back the log folder that the cursor belongs to, or delete the cursor to \
                 publish this log from its beginning"
            }
            KafkaError::CursorAhead { .. } => {
                "the log lost its end: give back a complete log folder, or start over with \
                 `offtake resync`"
            }
            KafkaError::CursorTooOld { .. } => {
                "changes are gone that Kafka never got: start over with `offtake resync`, or delete \
                 the cursor to go on with a gap"
            }
            KafkaError::CursorFile(error) => error.next_step(),
            KafkaError::Log(error) => error.next_step(),
            KafkaError::Registry(error) => error.next_step(),
            KafkaError::RegistryMissing => "name it by `url` in [kafka.registry]",
            KafkaError::Encode(error) => error.next_step(),
            KafkaError::Unannounced { .. } => {
                "restore the log folder from a copy, or start over with `offtake resync`"
            }
            KafkaError::Schema { .. } => {
                "run the version of offtake that wrote this log, or a later one"
            }
            KafkaError::MessageTooLarge { .. } => {
                "raise the topic's max.message.bytes (and the consumers' fetch limits), or set \
                 oversize = \"dead_letter\" in [kafka], then start again"
            }
            KafkaError::TopicDenied { .. } => {
                "grant this user DESCRIBE and WRITE on the topic, then start again"
            }
            KafkaError::ClusterDenied(_) => {
                "grant this user WRITE on the topics (before Kafka 3.0 also IDEMPOTENT_WRITE on the \
                 cluster), then start again"
            }
            KafkaError::TopicMissing { .. } => {
                "create the topic, or set create = true in [kafka.topics]"
            }
            KafkaError::TopicGone { .. } => {
                "restart to have the topic made anew and filled from here on (what it held is \
                 gone), or start over with `offtake resync` to have everything in it again"
            }
            KafkaError::TopicInvalid { .. } => {
                "choose a stream name of at most 249 letters, digits, dots, dashes and underscores"
            }
            KafkaError::TopicShared { .. } => {
                "name one of the streams otherwise by `stream` in a [[route]], or exclude its \
                 tables; every character that Kafka does not allow becomes an underscore"
            }
            KafkaError::TopicCreate { .. } => {
                "create the topic by hand, or correct partitions, replication and config in \
                 [kafka.topics] or its [[kafka.topic]]"
            }
            KafkaError::KeyColumn { .. } => {
                "correct `key` under [[kafka.topic]], or narrow its `streams` to tables that have \
                 the column"
            }
            KafkaError::PartitionColumn { .. } => {
                "correct `partition_by` under [[kafka.topic]], or narrow its `streams` to tables \
                 that have the column"
            }
            KafkaError::PartitionUnknown { .. } => {
                "choose columns of the replica identity for `partition_by` under [[kafka.topic]], \
                 then start again"
            }
            KafkaError::BrokerTooOld { .. } => "use brokers of a later version",
            KafkaError::Unreachable { .. } => {
                "check brokers, security settings and the network, then do it again"
            }
            KafkaError::Fenced { .. } => {
                "stop one of the two; this one, started again, takes over and goes on where the \
                 other stopped. Two pipelines on one cluster need two names, or \
                 transactional_id_prefix in [kafka]"
            }
            KafkaError::TransactionsUnsupported { .. } => {
                "use brokers of Kafka 3.6 or later with transaction.partition.verification.enable, \
                 or set delivery = \"at_least_once\" in [kafka]"
            }
            KafkaError::TransactionsDenied { .. } => {
                "grant this user WRITE and DESCRIBE on the transactional id, or set \
                 delivery = \"at_least_once\" in [kafka]"
            }
            KafkaError::TransactionTimeout { .. } => {
                "lower transaction.timeout.ms in [kafka] properties, or raise \
                 transaction.max.timeout.ms of the brokers"
            }
            KafkaError::CursorLost { .. } => {
                "give back the topic, or correct cursor_topic; to go on from what the log folder \
                 knows, perhaps with changes doubled, start once with delivery = \"at_least_once\""
            }
            KafkaError::CursorRecord { .. } => {
                "run the version of offtake that wrote it, or a later one"
            }
            KafkaError::Refused { .. } => {
                "a compacted topic takes no message without a key: `offtake check` names such tables; for \
                 other reasons see the broker's log; put it right, then start again"
            }
        }
    }
}
