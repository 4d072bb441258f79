//! Messages that are about no row: where transactions begin and end, and heartbeats.
//!
//! They are few, so they are made of trees.

use std::sync::Arc;

use super::Message;
use super::envelope::put_transaction_id;
use super::order::Counts;
use super::plan::{Frames, MessageFormat, PlanOptions, written};
use super::schemas;
use crate::EncodeError;
use crate::avro::Avro;
use crate::connect::{Format, Node, Schema, Value};
use crate::json::format::Json;
use crate::json_schema::JsonSchema;
use crate::protobuf::Protobuf;

/// Writes the messages of one kind that is about no row.
#[derive(Clone, Debug)]
struct Records {
    formatted: Formatted,
    frames: Frames,
    key_schema: Arc<Schema>,
    value_schema: Arc<Schema>,
    key: Vec<u8>,
    value: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Formatted {
    Json(Node<Json>, Node<Json>),
    Avro(Node<Avro>, Node<Avro>),
    Protobuf(Node<Protobuf>, Node<Protobuf>),
    JsonSchema(Node<JsonSchema>, Node<JsonSchema>),
}

impl Records {
    fn new(options: &PlanOptions, (key, value): (Arc<Schema>, Arc<Schema>)) -> Records {
        fn nodes<F: Format>(
            options: &PlanOptions,
            key: &Arc<Schema>,
            value: &Arc<Schema>,
        ) -> (Node<F>, Node<F>) {
            (Node::root(&written(key, options)), Node::root(&written(value, options)))
        }
        let formatted = match options.format {
            MessageFormat::Avro => {
                let (key, value) = nodes(options, &key, &value);
                Formatted::Avro(key, value)
            }
            MessageFormat::Protobuf => {
                let (key, value) = nodes(options, &key, &value);
                Formatted::Protobuf(key, value)
            }
            MessageFormat::JsonSchema => {
                let (key, value) = nodes(options, &key, &value);
                Formatted::JsonSchema(key, value)
            }
            // What has no envelope has none for these either.
            MessageFormat::DebeziumJson
            | MessageFormat::Json
            | MessageFormat::CloudEvents
            | MessageFormat::CloudEventsBinary
            | MessageFormat::Payload => {
                let (key, value) = nodes(options, &key, &value);
                Formatted::Json(key, value)
            }
        };
        let frames = Frames::new(options, Some(&key), &value);
        let (key_schema, value_schema) = (key, value);
        Records { formatted, frames, key_schema, value_schema, key: Vec::new(), value: Vec::new() }
    }

    fn message(&mut self, key: &Value, value: &Value) -> Result<Message<'_>, EncodeError> {
        self.key.clear();
        self.value.clear();
        let Records { formatted, frames, key: key_out, value: value_out, .. } = self;
        frames.key(key_out, |out| {
            match formatted {
                Formatted::Json(node, _) => node.put(out, key),
                Formatted::Avro(node, _) => node.put(out, key),
                Formatted::Protobuf(node, _) => node.put(out, key),
                Formatted::JsonSchema(node, _) => node.put(out, key),
            }
            Ok(())
        })?;
        frames.value(value_out, |out| {
            match formatted {
                Formatted::Json(_, node) => node.put(out, value),
                Formatted::Avro(_, node) => node.put(out, value),
                Formatted::Protobuf(_, node) => node.put(out, value),
                Formatted::JsonSchema(_, node) => node.put(out, value),
            }
            Ok(())
        })?;
        let (key, value) = (Some(self.key.as_slice()), Some(self.value.as_slice()));
        Ok(Message { key, value, key_change: None, attributes: &[] })
    }
}

/// The records of the transaction topic, `<prefix>.transaction`.
#[derive(Clone, Debug)]
pub struct TransactionRecords(Records);

impl TransactionRecords {
    /// Prepares the records; of the options, format, names and frames count.
    pub fn new(options: &PlanOptions) -> TransactionRecords {
        TransactionRecords(Records::new(options, schemas::of_transactions(&options.debezium)))
    }

    /// The schemas of keys and values, for a registry.
    pub fn schemas(&self) -> (Arc<Schema>, Arc<Schema>) {
        (Arc::clone(&self.0.key_schema), Arc::clone(&self.0.value_schema))
    }

    /// A transaction begins: its id in the database, the place of its first change, and when it was
    /// committed, in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// None in practice: the fields are the schema's.
    pub fn begin(
        &mut self,
        id: &[u8],
        lsn: u64,
        commit_unix_us: i64,
    ) -> Result<Message<'_>, EncodeError> {
        let millis = commit_unix_us.div_euclid(1000);
        self.put("BEGIN", id, lsn, [Value::Null, Value::Null], millis)
    }

    /// A transaction ended, at the place of its commit, with the counts of its changes.
    ///
    /// # Errors
    /// As [`TransactionRecords::begin`].
    pub fn end(
        &mut self,
        id: &[u8],
        lsn: u64,
        commit_unix_us: i64,
        counts: &Counts,
    ) -> Result<Message<'_>, EncodeError> {
        let count = |count: u64| Value::Integer(count.cast_signed());
        let collection = |(name, events): (&str, u64)| {
            Value::Struct(vec![Value::Text(name.to_owned()), count(events)])
        };
        let collections = counts.in_map_order().into_iter().map(collection).collect();
        let counts = [count(counts.total()), Value::Array(collections)];
        self.put("END", id, lsn, counts, commit_unix_us.div_euclid(1000))
    }

    fn put(
        &mut self,
        status: &str,
        id: &[u8],
        lsn: u64,
        [count, collections]: [Value; 2],
        millis: i64,
    ) -> Result<Message<'_>, EncodeError> {
        let mut text = Vec::new();
        put_transaction_id(&mut text, id, lsn);
        let id = Value::Text(String::from_utf8_lossy(&text).into_owned());
        let key = Value::Struct(vec![id.clone()]);
        let status = Value::Text(status.to_owned());
        let value = Value::Struct(vec![status, id, count, collections, Value::Integer(millis)]);
        self.0.message(&key, &value)
    }
}

/// The records of the heartbeat topic, `__debezium-heartbeat.<prefix>`.
#[derive(Clone, Debug)]
pub struct HeartbeatRecords {
    records: Records,
    prefix: String,
}

impl HeartbeatRecords {
    /// Prepares the records; of the options, format, prefix, names and frames count.
    pub fn new(options: &PlanOptions) -> HeartbeatRecords {
        HeartbeatRecords {
            records: Records::new(options, schemas::of_heartbeats(&options.debezium)),
            prefix: options.prefix.clone(),
        }
    }

    /// The schemas of keys and values, for a registry.
    pub fn schemas(&self) -> (Arc<Schema>, Arc<Schema>) {
        (Arc::clone(&self.records.key_schema), Arc::clone(&self.records.value_schema))
    }

    /// A heartbeat at a time, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// None in practice: the fields are the schema's.
    pub fn beat(&mut self, unix_ms: i64) -> Result<Message<'_>, EncodeError> {
        let key = Value::Struct(vec![Value::Text(self.prefix.clone())]);
        let value = Value::Struct(vec![Value::Integer(unix_ms)]);
        self.records.message(&key, &value)
    }
}
