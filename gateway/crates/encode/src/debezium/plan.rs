//! What is prepared once a table schema, and what a sink says of how it wants its messages.

use std::sync::Arc;

use offtake_change::wire::{ChangeView, RowRef};
use offtake_change::{Form, Operation, Subject, TableSchema};

use super::envelope::{Envelope, EnvelopePlan, MessagePlan, source_names};
use super::events::EventTable;
use super::header::HeaderText;
use super::options::{Options, SkippedOperations, UnfitValues};
use super::row::{Choices, RowPlan, put_key, put_row, put_struct};
use super::rowless::{FlatTable, PayloadTable};
use super::schemas::{self, TableSchemas};
use super::value::Scratch;
use crate::avro::Avro;
use crate::connect::{Format, Kind, Node, Schema};
use crate::json::format::Json;
use crate::json::schema::put_schema;
use crate::json_schema::JsonSchema;
use crate::protobuf::Protobuf;
use crate::{EncodeError, cloudevents};

/// How changes are written as messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessageFormat {
    /// Debezium's envelope as Kafka Connect's `JsonConverter` writes it.
    #[default]
    DebeziumJson,
    /// Debezium's envelope as Confluent's `AvroConverter` writes it.
    Avro,
    /// Debezium's envelope as Confluent's `ProtobufConverter` writes it.
    Protobuf,
    /// Debezium's envelope as Confluent's `JsonSchemaConverter` writes it.
    JsonSchema,
    /// The row itself as JSON, see [`crate::flat`].
    Json,
    /// CloudEvents in structured mode, see [`crate::cloudevents`].
    CloudEvents,
    /// CloudEvents in binary mode: the attributes are headers.
    CloudEventsBinary,
    /// The payload of an opaque change as it is.
    Payload,
}

impl MessageFormat {
    /// The format's name in error texts.
    pub(super) fn name(self) -> &'static str {
        match self {
            MessageFormat::DebeziumJson => "JSON",
            MessageFormat::Avro => "Avro",
            MessageFormat::Protobuf => "Protobuf",
            MessageFormat::JsonSchema => "JSON Schema",
            MessageFormat::Json => "flat JSON",
            MessageFormat::CloudEvents | MessageFormat::CloudEventsBinary => "CloudEvents",
            MessageFormat::Payload => "payload",
        }
    }
}

/// How a sink wants the messages of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// How changes are written.
    pub format: MessageFormat,
    /// Debezium's `topic.prefix`: `source.name`, and the beginning of schemas' names.
    pub prefix: String,
    /// Debezium's options.
    pub debezium: Options,
    /// Columns of the key instead of the table's (`message.key.columns`).
    pub key: Option<Vec<String>>,
    /// The id of this run of the sink, for the header `__debezium.context.runId`; `None`: left out,
    /// and a message that is sent once more is the same.
    pub run_id: Option<String>,
    /// What stands before each key: a registry's magic byte, the schema's id, a message index.
    pub key_frame: Vec<u8>,
    /// What stands before each value, as `key_frame`.
    pub value_frame: Vec<u8>,
}

/// A table schema, prepared for the encoder. Make one a schema and keep it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) formatted: Formatted,
    /// The key as it stands in headers.
    pub(super) header: Option<StructPlan<HeaderText>>,
    pub(super) tombstones: bool,
    /// Rows alone leave, and of a delete a tombstone.
    pub(super) is_flat: bool,
    pub(super) skipped: SkippedOperations,
    /// Whether changes are counted within their transaction, and under which name.
    pub(super) collection: Option<Arc<str>>,
    key_schema: Option<Arc<Schema>>,
    value_schema: Arc<Schema>,
    context: Vec<(&'static str, Box<[u8]>)>,
}

/// The name of streams of rows without envelope in error texts.
pub(super) const ROW_ALONE: &str = "a row alone";
/// Why a truncate is no message.
const NO_ROW: &str = "a table was emptied, which a stream of rows cannot say: leave truncates out \
                      (`skipped_operations`) or let the envelope stay";

/// A plan in its format.
#[derive(Clone, Debug)]
pub(super) enum Formatted {
    Json(Table<Json>),
    Avro(Table<Avro>),
    Protobuf(Table<Protobuf>),
    JsonSchema(Table<JsonSchema>),
    Flat(FlatTable),
    CloudEvents(Box<EventTable>),
    Payload(PayloadTable),
}

/// Writes keys and values of one table in one format.
pub(super) trait Writer {
    /// Appends a value.
    fn put_value(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), EncodeError>;

    /// Appends the headers that the message has of its own, as events in binary mode do.
    fn put_attributes(
        &self,
        _out: &mut Vec<u8>,
        _change: &ChangeView<'_>,
        _envelope: &Envelope<'_>,
        _scratch: &mut Scratch,
    ) {
    }

    /// Appends a key; `false`, and nothing appended, where there is none.
    fn put_key(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        image: Option<RowRef<'_>>,
        scratch: &mut Scratch,
    ) -> Result<bool, EncodeError>;
}

/// What a format prepared of a table.
#[derive(Clone, Debug)]
pub(super) struct Table<F: Format> {
    layout: Layout<F>,
    key: Option<StructPlan<F>>,
    frames: Frames,
}

/// What the values are made of.
#[derive(Clone, Debug)]
enum Layout<F: Format> {
    Rows(Box<EnvelopePlan<F>>),
    /// The row after the change, without an envelope.
    Flat(Box<StructPlan<F>>),
    Messages(Box<MessagePlan<F>>),
    /// The payload as it is.
    Opaque,
}

/// A key, or a row that stands alone, prepared.
#[derive(Clone, Debug)]
pub(super) struct StructPlan<F: Format> {
    at: F::Prepared,
    pub(super) row: RowPlan<F>,
}

/// What stands around keys and values.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    key: (Vec<u8>, Vec<u8>),
    value: (Vec<u8>, Vec<u8>),
}

impl Plan {
    /// Whether every change with this operation has a message. Where not, only [`Encoder::messages`]
    /// knows.
    ///
    /// [`Encoder::messages`]: super::Encoder::messages
    pub fn publishes(&self, operation: Operation) -> bool {
        let is_skipped = |operation| self.skipped.contains(operation);
        match operation {
            Operation::Define => false,
            // One that moves a key is a delete and a create.
            Operation::Update => ![Operation::Update, Operation::Delete, Operation::Create]
                .into_iter()
                .any(is_skipped),
            operation => !is_skipped(operation),
        }
    }

    /// Prepares a schema.
    ///
    /// # Errors
    /// A column of the key that the table does not have, or two columns whose names become one.
    pub fn new(options: &PlanOptions, schema: &TableSchema) -> Result<Plan, EncodeError> {
        let key = key_ordinals(options, schema)?;
        let schemas = table_schemas(options, schema, &key)?;
        let takes_payloads =
            matches!(options.format, MessageFormat::DebeziumJson | MessageFormat::Payload);
        if schema.form == Form::Opaque && !takes_payloads {
            return Err(EncodeError::Schema {
                format: options.format.name(),
                reason: format!("changes of {} are payloads, not rows", schema.qualified_name()),
            });
        }
        let is_flat = schema.form == Form::Flat && schema.subject == Subject::Table;
        if is_flat
            && matches!(
                options.format,
                MessageFormat::CloudEvents | MessageFormat::CloudEventsBinary
            )
        {
            return Err(EncodeError::Schema {
                format: options.format.name(),
                reason: format!(
                    "changes of {} are rows alone, and events have an envelope",
                    schema.qualified_name()
                ),
            });
        }
        let formatted = match options.format {
            MessageFormat::DebeziumJson => Formatted::Json(Table::new(options, schema, &schemas)?),
            MessageFormat::Avro => Formatted::Avro(Table::new(options, schema, &schemas)?),
            MessageFormat::Protobuf => Formatted::Protobuf(Table::new(options, schema, &schemas)?),
            MessageFormat::JsonSchema => {
                Formatted::JsonSchema(Table::new(options, schema, &schemas)?)
            }
            MessageFormat::Json => Formatted::Flat(FlatTable::new(schema, &key)?),
            // A logical message is no row before and after.
            MessageFormat::CloudEvents | MessageFormat::CloudEventsBinary
                if schema.subject == Subject::Message =>
            {
                Formatted::Json(Table::new(options, schema, &schemas)?)
            }
            MessageFormat::CloudEvents | MessageFormat::CloudEventsBinary => {
                Formatted::CloudEvents(Box::new(EventTable::new(options, schema, &schemas)?))
            }
            MessageFormat::Payload => Formatted::Payload(PayloadTable::new(schema, &key)?),
        };
        let choices = Choices { loose: true, lenient: false, format: "text" };
        let header = schemas.key.as_ref().map(|key| StructPlan::new(key, &schemas, choices));
        let collection = match schema.subject {
            Subject::Message => "LOGICAL_DECODING_MESSAGE".into(),
            Subject::Table => schema.qualified_name().into(),
        };
        let is_table = schema.subject == Subject::Table;
        Ok(Plan {
            formatted,
            header: header.filter(|_| is_table),
            tombstones: options.debezium.tombstones,
            is_flat,
            skipped: options.debezium.skipped_operations,
            collection: options.debezium.transactions.then_some(collection),
            context: headers(options, schema),
            key_schema: schemas.key,
            value_schema: schemas.value,
        })
    }

    /// The schemas of keys and values, for a registry.
    pub fn schemas(&self) -> (Option<Arc<Schema>>, Arc<Schema>) {
        (self.key_schema.clone(), Arc::clone(&self.value_schema))
    }

    /// Names and values of the headers that every message of the table has: `__debezium.context.*`
    /// where they are wanted, and the content type of events and payloads.
    pub fn context_headers(&self) -> &[(&'static str, Box<[u8]>)] {
        &self.context
    }

    /// Whether the table has a key.
    pub fn has_key(&self) -> bool {
        self.key_schema.is_some()
    }
}

/// The headers of every message of a table. Those that name a task of Kafka Connect name the one
/// that Offtake stands for.
fn headers(options: &PlanOptions, schema: &TableSchema) -> Vec<(&'static str, Box<[u8]>)> {
    let mut headers: Vec<(&'static str, Box<[u8]>)> = Vec::new();
    let is_table = schema.subject == Subject::Table;
    if options.debezium.context_headers && is_table {
        headers.push(("__debezium.context.connectorLogicalName", options.prefix.as_bytes().into()));
        headers.push(("__debezium.context.taskId", b"0".as_slice().into()));
        headers.push(("__debezium.context.connectorName", b"postgresql".as_slice().into()));
        if let Some(run_id) = &options.run_id {
            headers.push(("__debezium.context.runId", run_id.as_bytes().into()));
        }
    }
    match options.format {
        MessageFormat::CloudEvents if is_table => {
            let content_type = cloudevents::STRUCTURED_CONTENT_TYPE.as_bytes();
            headers.push((cloudevents::CONTENT_TYPE_HEADER, content_type.into()));
        }
        MessageFormat::Payload if !schema.content_type.is_empty() => {
            headers.push((cloudevents::CONTENT_TYPE_HEADER, schema.content_type.as_bytes().into()));
        }
        _ => {}
    }
    headers
}

fn key_ordinals(options: &PlanOptions, schema: &TableSchema) -> Result<Vec<usize>, EncodeError> {
    let Some(columns) = &options.key else {
        let known = |&ordinal: &usize| ordinal < schema.columns.len();
        return Ok(schema.key.iter().map(|&ordinal| ordinal as usize).filter(known).collect());
    };
    let ordinal = |column: &String| {
        schema.ordinal(column).ok_or_else(|| EncodeError::KeyColumn {
            table: schema.qualified_name(),
            column: column.clone(),
        })
    };
    columns.iter().map(ordinal).collect()
}

fn table_schemas(
    options: &PlanOptions,
    schema: &TableSchema,
    key: &[usize],
) -> Result<TableSchemas, EncodeError> {
    if schema.subject == Subject::Message {
        let (key, value) = schemas::of_messages(&options.debezium);
        let (key_columns, columns) = (Vec::new(), Vec::new());
        return Ok(TableSchemas { key: Some(key), value, key_columns, columns });
    }
    let schemas = schemas::of_table(&options.prefix, schema, key, &options.debezium);
    let mut names: Vec<&str> =
        schemas.columns.iter().map(|column| column.field.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(EncodeError::Schema {
            format: options.format.name(),
            reason: format!(
                "two columns of {} have the name {:?} once names are adjusted",
                schema.qualified_name(),
                pair[0]
            ),
        }),
        None => Ok(schemas),
    }
}

impl Frames {
    pub(super) fn new(options: &PlanOptions, key: Option<&Schema>, value: &Schema) -> Frames {
        if options.format != MessageFormat::DebeziumJson || !options.debezium.schemas {
            return Frames {
                key: (options.key_frame.clone(), Vec::new()),
                value: (options.value_frame.clone(), Vec::new()),
            };
        }
        Frames { key: key.map(beside_schema).unwrap_or_default(), value: beside_schema(value) }
    }

    pub(super) fn key(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        within(&self.key, out, write)
    }

    pub(super) fn value(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        within(&self.value, out, write)
    }
}

/// What stands around JSON that has its schema beside it.
pub(super) fn beside_schema(schema: &Schema) -> (Vec<u8>, Vec<u8>) {
    let mut head = b"{\"schema\":".to_vec();
    put_schema(&mut head, schema);
    head.extend_from_slice(b",\"payload\":");
    (head, b"}".to_vec())
}

#[inline]
pub(super) fn within(
    (head, tail): &(Vec<u8>, Vec<u8>),
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(head);
    write(out)?;
    out.extend_from_slice(tail);
    Ok(())
}

/// The schema as values are written by: JSON shows a default for a null only where that is wanted.
pub(super) fn written(schema: &Arc<Schema>, options: &PlanOptions) -> Arc<Schema> {
    let json = options.format == MessageFormat::DebeziumJson;
    if json && !options.debezium.replace_null_with_default {
        without_defaults(schema)
    } else {
        Arc::clone(schema)
    }
}

fn without_defaults(schema: &Arc<Schema>) -> Arc<Schema> {
    let kind = match &schema.kind {
        Kind::Struct(fields) => {
            let mut fields = fields.clone();
            for field in &mut fields {
                // The marker of a snapshot is always told.
                if field.name != "source" {
                    field.schema = without_defaults(&field.schema);
                }
            }
            Kind::Struct(fields)
        }
        kind => kind.clone(),
    };
    Arc::new(Schema { kind, default: None, ..Schema::clone(schema) })
}

impl<F: Format> Table<F> {
    fn new(
        options: &PlanOptions,
        schema: &TableSchema,
        schemas: &TableSchemas,
    ) -> Result<Table<F>, EncodeError> {
        let debezium = &options.debezium;
        let choices = Choices {
            loose: options.format == MessageFormat::DebeziumJson && !debezium.schemas,
            lenient: debezium.unfit_values == UnfitValues::Null,
            format: options.format.name(),
        };
        let names = source_names(&options.prefix, schema);
        let node = Node::<F>::root(&written(&schemas.value, options));
        let key_schema = schemas.key.as_ref().map(|key| written(key, options));
        let misshapen = || EncodeError::Schema {
            format: options.format.name(),
            reason: "an envelope has other fields than it should".to_owned(),
        };
        let (layout, key) = match (schema.form, schema.subject, &key_schema) {
            (Form::Opaque, _, key) => {
                (Layout::Opaque, key.as_ref().map(|key| StructPlan::new(key, schemas, choices)))
            }
            (Form::Flat, Subject::Table, key) => {
                let row = RowPlan::new(&schemas.columns, &node.children, choices);
                let plan = StructPlan { at: node.prepared, row };
                let key = key.as_ref().map(|key| StructPlan::new(key, schemas, choices));
                (Layout::Flat(Box::new(plan)), key)
            }
            (_, Subject::Message, Some(key)) => {
                let plan = MessagePlan::new(Node::root(key), &node, &names, debezium);
                (Layout::Messages(Box::new(plan.ok_or_else(misshapen)?)), None)
            }
            (_, _, key) => {
                let plan = EnvelopePlan::new(&node, schemas, &names, debezium, choices);
                let key = key.as_ref().map(|key| StructPlan::new(key, schemas, choices));
                (Layout::Rows(Box::new(plan.ok_or_else(misshapen)?)), key)
            }
        };
        let frames = Frames::new(options, schemas.key.as_deref(), &schemas.value);
        Ok(Table { layout, key, frames })
    }
}

impl<F: Format> Writer for Table<F> {
    fn put_value(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), EncodeError> {
        match &self.layout {
            Layout::Rows(plan) => {
                self.frames.value(out, |out| plan.put(out, change, envelope, scratch))
            }
            Layout::Flat(plan) => match envelope.after {
                Some(row) => self.frames.value(out, |out| {
                    put_struct::<F>(out, &plan.at, |out| {
                        put_row(out, &plan.row, row, envelope.old, scratch)
                    })
                }),
                None => Err(EncodeError::Value { format: ROW_ALONE, reason: NO_ROW }),
            },
            Layout::Messages(plan) => {
                self.frames.value(out, |out| plan.put(out, change, envelope.order, scratch))
            }
            Layout::Opaque => {
                out.extend_from_slice(change.payload);
                Ok(())
            }
        }
    }

    fn put_key(
        &self,
        out: &mut Vec<u8>,
        change: &ChangeView<'_>,
        image: Option<RowRef<'_>>,
        scratch: &mut Scratch,
    ) -> Result<bool, EncodeError> {
        if let Layout::Messages(plan) = &self.layout {
            self.frames.key(out, |out| plan.put_key(out, change))?;
            return Ok(true);
        }
        match (&self.key, image) {
            (Some(key), Some(row)) => {
                self.frames.key(out, |out| key.put(out, row, scratch))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl<F: Format> StructPlan<F> {
    pub(super) fn new(
        schema: &Arc<Schema>,
        schemas: &TableSchemas,
        choices: Choices,
    ) -> StructPlan<F> {
        let node = Node::<F>::root(schema);
        let row = RowPlan::new(&schemas.key_columns, &node.children, choices);
        StructPlan { at: node.prepared, row }
    }

    /// Appends the key of a row.
    pub(super) fn put(
        &self,
        out: &mut Vec<u8>,
        row: RowRef<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), EncodeError> {
        put_struct::<F>(out, &self.at, |out| put_key(out, &self.row, row, scratch))
    }
}
