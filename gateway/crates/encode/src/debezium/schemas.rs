//! The schemas of Debezium's messages as trees: keys, rows, envelopes, the source block and the
//! messages that are about no row. Source: `SchemaFactory`, `PostgresSchemaFactory`.

use std::sync::Arc;

use offtake_change::{Column, Form, TableSchema};

use super::convert::{self, Encoding, binary_schema};
use super::default;
use super::names;
use super::options::Options;
use super::placeholder;
use super::types;
use crate::connect::{Field, Kind, Schema, Value};

/// A column as it stands in a row.
#[derive(Clone, Debug)]
pub(super) struct ColumnSchema {
    /// Ordinal in the table.
    pub(super) ordinal: usize,
    /// Name and schema.
    pub(super) field: Field,
    pub(super) encoding: Encoding,
    /// What stands for a value that a required column lacks.
    pub(super) fallback: Value,
    /// What stands for a large value that an update left alone; `None`: nothing fits.
    pub(super) placeholder: Option<Value>,
}

/// The schemas of a table.
#[derive(Clone, Debug)]
pub(super) struct TableSchemas {
    pub(super) key: Option<Arc<Schema>>,
    pub(super) value: Arc<Schema>,
    /// Columns of the key, in its order.
    pub(super) key_columns: Vec<ColumnSchema>,
    /// Columns of the row, in the table's order; those that are left out are not there.
    pub(super) columns: Vec<ColumnSchema>,
}

/// The schemas of a table's messages. `key` names the key's ordinals.
pub(super) fn of_table(
    prefix: &str,
    schema: &TableSchema,
    key: &[usize],
    options: &Options,
) -> TableSchemas {
    let table = names::of_table(prefix, &schema.namespace, &schema.table);
    let named = |suffix: &str| names::schema(&format!("{table}.{suffix}"), options.schema_names);
    let column = |ordinal: usize| {
        let column = schema.columns.get(ordinal)?;
        column_schema(ordinal, column, options)
    };
    let columns: Vec<ColumnSchema> = (0..schema.columns.len()).filter_map(column).collect();
    let key_columns: Vec<ColumnSchema> = key.iter().filter_map(|&at| column(at)).collect();
    let mut row = record(&columns);
    row.name = Some(named("Value"));
    // In an envelope either image may be missing; alone it is always there.
    let alone = (schema.form == Form::Flat).then(|| Arc::new(row.clone()));
    let row = Arc::new(row.optional());
    let key = (!key.is_empty()).then(|| {
        let mut key = record(&key_columns);
        key.name = Some(named("Key"));
        Arc::new(key)
    });
    let value = structure(vec![
        ("before", Arc::clone(&row)),
        ("after", row),
        ("source", source()),
        ("transaction", transaction()),
        ("op", text()),
        ("ts_ms", optional_int64()),
        ("ts_us", optional_int64()),
        ("ts_ns", optional_int64()),
    ]);
    let value = alone.unwrap_or_else(|| Arc::new(value.named(named("Envelope"), 2)));
    TableSchemas { key, value, key_columns, columns }
}

fn record(columns: &[ColumnSchema]) -> Schema {
    Schema::new(Kind::Struct(columns.iter().map(|column| column.field.clone()).collect()))
}

fn column_schema(ordinal: usize, column: &Column, options: &Options) -> Option<ColumnSchema> {
    let kind = types::of(column);
    let converted = convert::convert(&kind, column, options)?;
    let default = default::of(column, &kind, &converted.encoding);
    let placeholder = placeholder::of(&kind, &converted.encoding, &options.unavailable_value);
    let mut schema = converted.schema;
    schema.optional = column.nullable;
    schema.default = default;
    let name = names::field(&column.name, options.field_names);
    Some(ColumnSchema {
        ordinal,
        field: Field { name, schema: Arc::new(schema) },
        encoding: converted.encoding,
        fallback: converted.fallback,
        placeholder,
    })
}

/// `io.debezium.connector.postgresql.Source`.
pub(super) fn source() -> Arc<Schema> {
    let mut snapshot =
        Schema::new(Kind::String).named("io.debezium.data.Enum", 1).optional().parameter(
            "allowed",
            "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental",
        );
    snapshot.default = Some(Value::Text("false".to_owned()));
    let source = structure(vec![
        ("version", text()),
        ("connector", text()),
        ("name", text()),
        ("ts_ms", int64()),
        ("snapshot", Arc::new(snapshot)),
        ("db", text()),
        ("sequence", optional_text()),
        ("ts_us", optional_int64()),
        ("ts_ns", optional_int64()),
        ("schema", text()),
        ("table", text()),
        ("txId", optional_int64()),
        ("lsn", optional_int64()),
        ("xmin", optional_int64()),
        ("origin", optional_text()),
        ("origin_lsn", optional_int64()),
    ]);
    Arc::new(source.named("io.debezium.connector.postgresql.Source", 1))
}

/// `event.block`: a change's place in its transaction.
pub(super) fn transaction() -> Arc<Schema> {
    let block = structure(vec![
        ("id", text()),
        ("total_order", int64()),
        ("data_collection_order", int64()),
    ]);
    Arc::new(block.named("event.block", 1).optional())
}

/// Key and value of logical messages.
pub(super) fn of_messages(options: &Options) -> (Arc<Schema>, Arc<Schema>) {
    let named = |name: &str| {
        let name = format!("io.debezium.connector.postgresql.{name}");
        names::schema(&name, options.schema_names)
    };
    let key = structure(vec![("prefix", optional_text())]).named(named("MessageKey"), 1);
    let content = Arc::new(binary_schema(options.binary).optional());
    let message = structure(vec![("prefix", optional_text()), ("content", content)])
        .named(named("Message"), 1);
    let value = structure(vec![
        ("op", text()),
        ("ts_ms", optional_int64()),
        ("source", source()),
        ("transaction", transaction()),
        ("message", Arc::new(message)),
    ]);
    (Arc::new(key), Arc::new(value.named(named("MessageValue"), 1)))
}

/// Key and value of the records that begin and end transactions.
pub(super) fn of_transactions(options: &Options) -> (Arc<Schema>, Arc<Schema>) {
    let named = |name: &str| {
        let name = format!("io.debezium.connector.common.TransactionMetadata{name}");
        names::schema(&name, options.schema_names)
    };
    let collection = structure(vec![("data_collection", text()), ("event_count", int64())]);
    let collection = Arc::new(collection.named("event.collection", 1).optional());
    let value = structure(vec![
        ("status", text()),
        ("id", text()),
        ("event_count", optional_int64()),
        ("data_collections", Arc::new(Schema::new(Kind::Array(collection)).optional())),
        ("ts_ms", int64()),
    ]);
    let key = structure(vec![("id", text())]);
    (Arc::new(key.named(named("Key"), 1)), Arc::new(value.named(named("Value"), 1)))
}

/// Key and value of heartbeats.
pub(super) fn of_heartbeats(options: &Options) -> (Arc<Schema>, Arc<Schema>) {
    let named = |name: &str| {
        names::schema(&format!("io.debezium.connector.common.{name}"), options.schema_names)
    };
    let key = structure(vec![("serverName", text())]).named(named("ServerNameKey"), 1);
    let value = structure(vec![("ts_ms", int64())]).named(named("Heartbeat"), 1);
    (Arc::new(key), Arc::new(value))
}

fn structure(fields: Vec<(&str, Arc<Schema>)>) -> Schema {
    let field = |(name, schema): (&str, Arc<Schema>)| Field { name: name.to_owned(), schema };
    Schema::new(Kind::Struct(fields.into_iter().map(field).collect()))
}

fn text() -> Arc<Schema> {
    Arc::new(Schema::new(Kind::String))
}

fn optional_text() -> Arc<Schema> {
    Arc::new(Schema::new(Kind::String).optional())
}

fn int64() -> Arc<Schema> {
    Arc::new(Schema::new(Kind::Int64))
}

fn optional_int64() -> Arc<Schema> {
    Arc::new(Schema::new(Kind::Int64).optional())
}
