//! What is published of each schema of a stream: its format, its key, the columns that place it, and
//! the ids under which a registry knows its schemas.
//!
//! Made once for a stream and a schema, before the first change of it is sent, and kept. A registry
//! that cannot be reached, or refuses a schema, is asked again with growing pauses; what the sink does
//! meanwhile is `registry_wait`'s business, what bytes a format has the encoder's.

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

/// The first pause before a registry is asked again; each further one is twice as long, up to the
/// longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause where it gave no answer, unless it asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause after a refusal, which somebody has to do something about.
const LONGEST_REFUSED_PAUSE: Duration = Duration::from_secs(30);

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

/// What came of asking the registry: the inner error is its own, and it is to be asked again.
pub(crate) type Asked<T> = Result<Result<T, RegistryError>, KafkaError>;

/// What stands before each key and each value.
pub(crate) type Frames = (Vec<u8>, Vec<u8>);

/// The publications that were prepared.
#[derive(Debug)]
pub(crate) struct Publications<'o> {
    options: &'o KafkaOptions,
    registry: Option<Registry>,
    /// By stream and schema.
    ready: HashMap<(u32, u32), Arc<Publication>>,
    /// The registry gave no answer, and is left alone for a while.
    away: Option<Pause>,
    /// By topic: the registry refused, and is not asked the same again for a while.
    refused: HashMap<String, Pause>,
}

/// Why the registry is not asked, and until when.
#[derive(Debug)]
struct Pause {
    error: RegistryError,
    until: Instant,
    length: Duration,
}

impl Pause {
    /// The pause that follows another.
    fn after(before: Option<&Pause>, error: &RegistryError) -> Pause {
        let longest = if error.is_transient() { LONGEST_PAUSE } else { LONGEST_REFUSED_PAUSE };
        let before = before.map_or(Duration::ZERO, |before| before.length);
        let length = (before * 2).clamp(FIRST_PAUSE, longest);
        let until = Instant::now() + length.max(error.retry_after().unwrap_or_default());
        Pause { error: error.clone(), until, length }
    }
}

impl<'o> Publications<'o> {
    /// Nothing is prepared and nobody asked yet.
    ///
    /// # Errors
    /// The registry's options are wrong.
    pub(crate) fn new(options: &'o KafkaOptions) -> Result<Publications<'o>, KafkaError> {
        let registry = options.registry.as_ref().map(Registry::new).transpose()?;
        Ok(Publications {
            options,
            registry,
            ready: HashMap::new(),
            away: None,
            refused: HashMap::new(),
        })
    }

    /// What is published of a schema (by its log-wide id) on a stream.
    ///
    /// # Errors
    /// The log did not announce them, a column is missing, or the format cannot hold the schema.
    pub(crate) fn step(&mut self, log: &Log, stream: u32, id: u32) -> Asked<Arc<Publication>> {
        if let Some(ready) = self.ready.get(&(stream, id)) {
            return Ok(Ok(Arc::clone(ready)));
        }
        let name = log
            .stream_name(stream)
            .ok_or(KafkaError::Unannounced { what: "stream", id: stream })?;
        let topic = topic_of(&name).into_owned();
        if let Some(error) = self.pauses(&topic) {
            return Ok(Err(error));
        }
        let prepared = self.prepare(&name, schema(log, id)?)?;
        Ok(self.noted(topic, prepared).map(|publication| {
            let publication = Arc::new(publication);
            self.ready.insert((stream, id), Arc::clone(&publication));
            publication
        }))
    }

    /// Why the registry is not asked about a topic now.
    fn pauses(&self, topic: &str) -> Option<RegistryError> {
        let now = Instant::now();
        let mut pauses = self.away.iter().chain(self.refused.get(topic));
        pauses.find(|pause| now < pause.until).map(|pause| pause.error.clone())
    }

    /// Notes what the registry said about a topic.
    fn noted<T>(
        &mut self,
        topic: String,
        asked: Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        match &asked {
            Ok(_) => {
                self.away = None;
                self.refused.remove(&topic);
            }
            Err(error) if error.is_transient() => {
                self.away = Some(Pause::after(self.away.as_ref(), error));
            }
            Err(error) => {
                self.away = None;
                let pause = Pause::after(self.refused.get(&topic), error);
                self.refused.insert(topic, pause);
            }
        }
        asked
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
    /// The format cannot hold the schemas.
    pub(crate) fn own_frames(
        &mut self,
        topic: &str,
        format: MessageFormat,
        (key, value): (&Schema, &Schema),
    ) -> Asked<Frames> {
        let Some(schema_type) = schema_type(format) else { return Ok(Ok(Frames::default())) };
        if let Some(error) = self.pauses(topic) {
            return Ok(Err(error));
        }
        let frames = self.frames(topic, schema_type, Some(key), value)?;
        Ok(self.noted(topic.to_owned(), frames))
    }

    /// What stands before each key and each value.
    fn frames(
        &self,
        topic: &str,
        schema_type: SchemaType,
        key: Option<&Schema>,
        value: &Schema,
    ) -> Asked<Frames> {
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
            Err(error) if error.is_final() => return Err(error.into()),
            Err(error) => {
                let is_known = self.refused.get(topic).is_some_and(|pause| pause.error == error);
                if !is_known && matches!(error, RegistryError::NotRegistered { .. }) {
                    let language = schema_type.name();
                    tracing::warn!(subject, language, schema = text, "the registry lacks a schema");
                }
                return Ok(Err(error));
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

#[cfg(test)]
mod tests {
    use offtake_change::{Column, Kind};

    use super::*;

    #[test]
    fn pauses_grow_to_their_limit() {
        let reason = "r".to_owned();
        let refused = RegistryError::Incompatible { subject: "s".to_owned(), reason };
        let away = RegistryError::Timeout { url: "http://r".to_owned(), within: FIRST_PAUSE };
        for (error, longest) in [(refused, LONGEST_REFUSED_PAUSE), (away, LONGEST_PAUSE)] {
            let first = Pause::after(None, &error);
            let second = Pause::after(Some(&first), &error);
            assert_eq!((first.length, second.length), (FIRST_PAUSE, FIRST_PAUSE * 2));
            let last = (0..20).fold(second, |before, _| Pause::after(Some(&before), &error));
            assert_eq!(last.length, longest);
        }
        let asks = RegistryError::Throttled {
            url: "http://r".to_owned(),
            retry_after: Some(Duration::from_secs(60)),
        };
        let pause = Pause::after(None, &asks);
        assert!(pause.until > Instant::now() + LONGEST_PAUSE, "the registry's own wish counts");
    }

    #[test]
    fn a_format_that_needs_a_registry_is_refused_where_none_is_named() {
        let table = TableSchema::new(
            "shop",
            "public",
            "orders",
            vec![Column::new("id", Kind::Integer, "int8")],
            &[0],
        );
        let mut options = KafkaOptions::new("shop", Vec::new(), "kafka.cursor");
        for (format, is_refused) in [
            (MessageFormat::Avro, true),
            (MessageFormat::Protobuf, true),
            (MessageFormat::JsonSchema, true),
            (MessageFormat::DebeziumJson, false),
            (MessageFormat::CloudEventsBinary, false),
        ] {
            options.topics.format = format;
            let publications = Publications::new(&options).unwrap();
            match publications.prepare("shop.public.orders", table.clone()) {
                Err(error) => {
                    assert!(is_refused, "{format:?}: {error}");
                    assert_eq!(error.code(), "KAFKA_REGISTRY_MISSING");
                    assert!(error.to_string().contains("schema registry"), "{error}");
                    assert!(error.next_step().contains("[kafka.registry]"));
                }
                Ok(prepared) => assert!(!is_refused && prepared.is_ok(), "{format:?}"),
            }
        }
    }
}
