//! What is published of each schema of a stream: its format, its key, the columns that place it, and
//! the ids under which a registry knows its schemas.
//!
//! Made once for a stream and a schema, before the first change of it is sent, and kept. A registry
//! that cannot be reached is waited for; one that refuses a schema halts the sink, so that nothing
//! is acknowledged past it. What bytes a format has is the encoder's business.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_change::TableSchema;
use offtake_encode::connect::Schema;
use offtake_encode::debezium::{MessageFormat, Plan, PlanOptions};
use offtake_encode::{avro, json_schema, protobuf};
use offtake_log::{Log, dead_letter_stream};
use offtake_registry::{Part, Registry, RegistryError, SchemaType, write_frame};

use crate::partition::PartitionBy;
use crate::topic_names::topic_of;
use crate::{KafkaError, KafkaOptions, table_rules};

/// The first pause before a registry that gave no answer is asked again; each further one is twice
/// as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, unless the registry asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A schema of a stream, prepared.
#[derive(Debug)]
pub(crate) struct Publication {
    /// How its changes become messages.
    pub(crate) plan: Plan,
    /// Columns that decide the partition instead of the key.
    pub(crate) partition_by: Option<PartitionBy>,
    /// The stream is that of the dead letters.
    pub(crate) is_letters: bool,
}

/// What came of preparing: the inner error says what is waited for.
pub(crate) type Step<T> = Result<Result<T, String>, KafkaError>;

/// What came of asking the registry: the inner error is waited for.
type Asked<T> = Result<Result<T, RegistryError>, KafkaError>;

/// The publications that were prepared.
#[derive(Debug)]
pub(crate) struct Publications<'o> {
    options: &'o KafkaOptions,
    registry: Option<Registry>,
    /// By stream and schema.
    ready: HashMap<(u32, u32), Arc<Publication>>,
    /// The registry gave no answer, and is left alone for a while.
    away: Option<Away>,
}

/// A registry that gave no answer.
#[derive(Debug)]
struct Away {
    /// Why.
    reason: String,
    /// When it is asked again.
    until: Instant,
    pause: Duration,
}

impl<'o> Publications<'o> {
    /// Nothing is prepared and nobody asked yet.
    ///
    /// # Errors
    /// The registry's options are wrong.
    pub(crate) fn new(options: &'o KafkaOptions) -> Result<Publications<'o>, KafkaError> {
        let registry = options.registry.as_ref().map(Registry::new).transpose()?;
        Ok(Publications { options, registry, ready: HashMap::new(), away: None })
    }

    /// What is published of a schema (by its log-wide id) on a stream.
    ///
    /// # Errors
    /// The log did not announce them, a column is missing, the format cannot hold the schema, or
    /// the registry refuses it.
    pub(crate) fn step(&mut self, log: &Log, stream: u32, id: u32) -> Step<Arc<Publication>> {
        if let Some(ready) = self.ready.get(&(stream, id)) {
            return Ok(Ok(Arc::clone(ready)));
        }
        if let Some(away) = self.away.as_ref().filter(|away| Instant::now() < away.until) {
            return Ok(Err(away.reason.clone()));
        }
        let name = log
            .stream_name(stream)
            .ok_or(KafkaError::Unannounced { what: "stream", id: stream })?;
        let publication = match self.prepare(&name, schema(log, id)?)? {
            Ok(publication) => Arc::new(publication),
            Err(error) => return Ok(Err(self.leave_alone(&error))),
        };
        self.away = None;
        self.ready.insert((stream, id), Arc::clone(&publication));
        Ok(Ok(publication))
    }

    /// The registry gave no answer: it is asked again later.
    fn leave_alone(&mut self, error: &RegistryError) -> String {
        let before = self.away.as_ref().map_or(Duration::ZERO, |away| away.pause);
        let pause = (before * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        let until = Instant::now() + pause.max(error.retry_after().unwrap_or_default());
        let reason = error.to_string();
        self.away = Some(Away { reason: reason.clone(), until, pause });
        reason
    }

    fn prepare(&self, stream: &str, schema: TableSchema) -> Asked<Publication> {
        let topics = &self.options.topics;
        let is_letters = *stream == *dead_letter_stream(&self.options.pipeline);
        let rule =
            if is_letters { topics.rule_of_dead_letters(stream) } else { topics.rule(stream) };
        let partition_by = PartitionBy::new(&schema, &rule.partition_by)?;
        let schema = table_rules::keyed(schema, &rule)?;
        let mut options = self.options.plan_options(rule.format);
        let mut plan = Plan::new(&options, &schema)?;
        if let Some(schema_type) = schema_type(rule.format) {
            let (key, value) = plan.schemas();
            match self.frames(&topic_of(stream), schema_type, key.as_deref(), &value)? {
                Ok((key, value)) => (options.key_frame, options.value_frame) = (key, value),
                Err(error) => return Ok(Err(error)),
            }
            plan = Plan::new(&options, &schema)?;
        }
        Ok(Ok(Publication { plan, partition_by, is_letters }))
    }

    /// What stands before each key and each value of a topic that is about no row.
    ///
    /// # Errors
    /// The registry refuses the schemas.
    pub(crate) fn own_frames(
        &self,
        topic: &str,
        format: MessageFormat,
        (key, value): (&Schema, &Schema),
    ) -> Step<(Vec<u8>, Vec<u8>)> {
        match schema_type(format) {
            Some(schema_type) => {
                let frames = self.frames(topic, schema_type, Some(key), value)?;
                Ok(frames.map_err(|error| error.to_string()))
            }
            None => Ok(Ok((Vec::new(), Vec::new()))),
        }
    }

    /// What stands before each key and each value.
    fn frames(
        &self,
        topic: &str,
        schema_type: SchemaType,
        key: Option<&Schema>,
        value: &Schema,
    ) -> Asked<(Vec<u8>, Vec<u8>)> {
        let key = match key {
            Some(key) => match self.frame(topic, Part::Key, schema_type, key)? {
                Ok(frame) => frame,
                Err(error) => return Ok(Err(error)),
            },
            None => Vec::new(),
        };
        let value = self.frame(topic, Part::Value, schema_type, value)?;
        Ok(value.map(|value| (key, value)))
    }

    fn frame(
        &self,
        topic: &str,
        part: Part,
        schema_type: SchemaType,
        schema: &Schema,
    ) -> Asked<Vec<u8>> {
        let registry = self.registry.as_ref().ok_or(KafkaError::RegistryMissing)?;
        let (subject, text) = self.options.registered(topic, part, schema_type, schema)?;
        let id = match registry.register(&subject, schema_type, &text, &[]) {
            Ok(id) => id,
            Err(error) if error.is_transient() => return Ok(Err(error)),
            Err(error) => {
                if matches!(error, RegistryError::NotRegistered { .. }) {
                    let language = schema_type.name();
                    tracing::warn!(subject, language, schema = text, "the registry lacks a schema");
                }
                return Err(error.into());
            }
        };
        let mut frame = Vec::new();
        write_frame(id, &mut frame);
        if schema_type == SchemaType::Protobuf {
            frame.extend_from_slice(protobuf::message_index());
        }
        Ok(Ok(frame))
    }
}

/// A schema by its log-wide id.
pub(crate) fn schema(log: &Log, id: u32) -> Result<TableSchema, KafkaError> {
    let schema = log.schema(id).ok_or(KafkaError::Unannounced { what: "schema", id })?;
    TableSchema::from_proto(&schema)
        .map_err(|error| KafkaError::Schema { id, reason: error.to_string() })
}

/// The language in which a registry knows a format's schemas; `None`: the format has no registry.
pub(crate) fn schema_type(format: MessageFormat) -> Option<SchemaType> {
    Some(match format {
        MessageFormat::Avro => SchemaType::Avro,
        MessageFormat::Protobuf => SchemaType::Protobuf,
        MessageFormat::JsonSchema => SchemaType::Json,
        MessageFormat::DebeziumJson
        | MessageFormat::Json
        | MessageFormat::CloudEvents
        | MessageFormat::CloudEventsBinary
        | MessageFormat::Payload => return None,
    })
}

impl KafkaOptions {
    /// Under which subject a part of a topic's messages is registered, and as which text.
    ///
    /// # Errors
    /// The language has no way to write the schema.
    pub(crate) fn registered(
        &self,
        topic: &str,
        part: Part,
        schema_type: SchemaType,
        schema: &Schema,
    ) -> Result<(String, String), KafkaError> {
        let text = match schema_type {
            SchemaType::Avro => avro::schema_text(schema)?,
            SchemaType::Protobuf => protobuf::schema_text(schema)?,
            SchemaType::Json => json_schema::schema_text(schema)?,
        };
        let record = schema.name.as_deref().unwrap_or_default();
        Ok((self.subjects.subject(topic, record, part), text))
    }

    /// How the encoder is to write a format; frames are empty.
    pub(crate) fn plan_options(&self, format: MessageFormat) -> PlanOptions {
        PlanOptions {
            format,
            prefix: self.topic_prefix.clone(),
            debezium: self.debezium.clone(),
            run_id: self.run_id.clone(),
            ..PlanOptions::default()
        }
    }
}
