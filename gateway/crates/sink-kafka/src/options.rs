//! What the sink is told: brokers, client properties, topics, and where the cursor lies.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use offtake_encode::debezium::Options;
use offtake_registry::{RegistryOptions, Subjects};

use crate::dead_letters::DeadLetters;
use crate::delivery::DeliveryOptions;
use crate::{KafkaError, TopicOptions, topics};

/// What becomes of a message that is larger than its topic takes.
#[derive(Clone, Debug, Default)]
pub enum Oversize {
    /// The sink halts.
    #[default]
    Halt,
    /// The change becomes a dead letter in the log, and the sink goes on.
    DeadLetter(DeadLetters),
}

/// Headers that every message gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageHeaders {
    /// Where the row and its commit stand in the source's log.
    pub position: bool,
    /// The source transaction.
    pub transaction: bool,
    /// An id that is unique and the same however often the message is sent.
    pub event_id: bool,
}

/// What the sink is told.
#[derive(Clone)]
pub struct KafkaOptions {
    /// Name of the pipeline: the prefix of its topics and Debezium's `source.name`.
    pub pipeline: String,
    /// `host:port` of some brokers.
    pub brokers: Vec<String>,
    /// Further properties of the client (librdkafka's names): security, compression, linger.
    /// Those that would break order or completeness are refused.
    pub properties: BTreeMap<String, String>,
    /// How topics are made that do not exist yet, and what their messages look like.
    pub topics: TopicOptions,
    /// What becomes of a message that is larger than its topic takes.
    pub oversize: Oversize,
    /// Headers that every message gets.
    pub headers: MessageHeaders,
    /// At least once or exactly once.
    pub delivery: DeliveryOptions,
    /// Debezium's `topic.prefix`: `source.name`, and the beginning of schemas' names.
    pub topic_prefix: String,
    /// What changes the bytes of Debezium's messages.
    pub debezium: Options,
    /// The schema registry, for the formats that have one.
    pub registry: Option<RegistryOptions>,
    /// How the subjects of schemas are named.
    pub subjects: Subjects,
    /// The cursor's file; its folder exists.
    pub cursor_path: PathBuf,
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Properties hold passwords and keys: only their names are shown.
        out.debug_struct("KafkaOptions")
            .field("pipeline", &self.pipeline)
            .field("brokers", &self.brokers)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("topics", &self.topics)
            .field("oversize", &self.oversize)
            .field("headers", &self.headers)
            .field("delivery", &self.delivery)
            .field("topic_prefix", &self.topic_prefix)
            .field("debezium", &self.debezium)
            .field("registry", &self.registry)
            .field("subjects", &self.subjects)
            .field("cursor_path", &self.cursor_path)
            .finish()
    }
}

/// Properties that this sink sets itself, and why they are not the user's.
const OWN: &[(&str, &str)] = &[
    ("bootstrap.servers", "it is the brokers key"),
    ("metadata.broker.list", "it is the brokers key"),
    ("enable.idempotence", "order and completeness rest on it"),
    ("enable.gapless.guarantee", "order and completeness rest on it"),
    ("acks", "the cursor rests on acks=all"),
    ("request.required.acks", "the cursor rests on acks=all"),
    ("message.timeout.ms", "a message that is given up is a lost change"),
    ("delivery.timeout.ms", "a message that is given up is a lost change"),
    ("retries", "a message that is given up is a lost change"),
    ("message.send.max.retries", "a message that is given up is a lost change"),
    ("max.in.flight", "the idempotent producer bounds it"),
    ("max.in.flight.requests.per.connection", "the idempotent producer bounds it"),
    ("transactional.id", "it belongs to the pipeline and fences a second gateway"),
    ("isolation.level", "the sink reads its own cursor with it"),
    ("partitioner", "keys are placed as Java's producer places them"),
];

/// The property that says after which time the brokers end a transaction that its producer does not.
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";
/// That time where nothing is said.
const DEFAULT_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Less would end transactions of a gateway that only waits for a slow broker.
const LEAST_TRANSACTION_TIMEOUT_MS: u64 = 5_000;
/// More than the brokers' own default limit, `transaction.max.timeout.ms`, they refuse.
const MOST_TRANSACTION_TIMEOUT_MS: u64 = 900_000;

impl KafkaOptions {
    /// Options with everything at its default. `brokers`: `host:port` of some.
    pub fn new(
        pipeline: impl Into<String>,
        brokers: Vec<String>,
        cursor_path: impl Into<PathBuf>,
    ) -> KafkaOptions {
        let pipeline = pipeline.into();
        KafkaOptions {
            topic_prefix: pipeline.clone(),
            debezium: Options::default(),
            registry: None,
            subjects: Subjects::default(),
            pipeline,
            brokers,
            properties: BTreeMap::new(),
            topics: TopicOptions::default(),
            oversize: Oversize::default(),
            headers: MessageHeaders::default(),
            delivery: DeliveryOptions::default(),
            cursor_path: cursor_path.into(),
        }
    }

    /// The largest message that the client's queue can hold, in bytes.
    pub(crate) fn queue_bytes(&self) -> usize {
        let property = |name: &str| self.properties.get(name)?.trim().parse::<usize>().ok();
        let queue = property("queue.buffering.max.kbytes").map(|kib| kib.saturating_mul(1024));
        let message = property("message.max.bytes");
        // A message that fills the queue to the last byte is not worth the doubt.
        queue.unwrap_or(usize::MAX).min(message.unwrap_or(usize::MAX)).saturating_sub(1024)
    }

    /// The transactional id: the same at every start, so that a start ends what the one before left
    /// open, and another gateway of this pipeline is shut out.
    pub fn transactional_id(&self) -> String {
        format!("{}{}", self.delivery.transactional_id_prefix, self.pipeline)
    }

    /// After which time the brokers end an open transaction.
    pub(crate) fn transaction_timeout(&self) -> Duration {
        let asked = self.properties.get(TRANSACTION_TIMEOUT);
        asked
            .and_then(|asked| asked.trim().parse().ok())
            .map_or(DEFAULT_TRANSACTION_TIMEOUT, Duration::from_millis)
    }

    fn check_delivery(&self) -> Result<(), KafkaError> {
        topics::check_name(&self.delivery.cursor_topic)?;
        let Some(asked) = self.properties.get(TRANSACTION_TIMEOUT) else { return Ok(()) };
        let range = LEAST_TRANSACTION_TIMEOUT_MS..=MOST_TRANSACTION_TIMEOUT_MS;
        if asked.trim().parse().is_ok_and(|ms| range.contains(&ms)) {
            return Ok(());
        }
        Err(KafkaError::Property {
            property: TRANSACTION_TIMEOUT.to_owned(),
            reason: "it is a number of milliseconds from 5000 to 900000".to_owned(),
        })
    }

    /// Refuses what cannot work, before anything is started.
    pub(crate) fn check(&self) -> Result<(), KafkaError> {
        let refuse = |property: &str, reason: &str| {
            Err(KafkaError::Property { property: property.to_owned(), reason: reason.to_owned() })
        };
        if self.brokers.iter().all(|broker| broker.trim().is_empty()) {
            return refuse("brokers", "none is named");
        }
        for (name, reason) in OWN {
            if self.properties.contains_key(*name) {
                return refuse(name, reason);
            }
        }
        self.topics.check()?;
        self.check_delivery()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> KafkaOptions {
        KafkaOptions::new("shop", vec!["127.0.0.1:9092".to_owned()], "kafka.cursor")
    }

    #[test]
    fn a_property_that_would_break_order_is_refused_by_name() {
        assert!(options().check().is_ok());
        let mut wrong = options();
        wrong.properties.insert("acks".to_owned(), "1".to_owned());
        let error = wrong.check().unwrap_err();
        assert_eq!(error.code(), "KAFKA_PROPERTY");
        assert!(error.to_string().contains("acks"));
    }

    #[test]
    fn no_broker_and_no_partition_are_refused() {
        let mut wrong = options();
        wrong.brokers.clear();
        assert!(wrong.check().is_err());
        let mut wrong = options();
        wrong.topics.partitions = 0;
        assert!(wrong.check().is_err());
    }

    #[test]
    fn a_transaction_timeout_beyond_what_brokers_take_is_refused() {
        let mut options = options();
        assert_eq!(options.transaction_timeout(), DEFAULT_TRANSACTION_TIMEOUT);
        for (asked, taken) in [("5000", true), ("4999", false), ("900001", false), ("x", false)] {
            options.properties.insert(TRANSACTION_TIMEOUT.to_owned(), asked.to_owned());
            assert_eq!(options.check().is_ok(), taken, "{asked}");
        }
    }

    #[test]
    fn a_secret_is_not_in_the_debug_text() {
        let mut options = options();
        options.properties.insert("sasl.password".to_owned(), "hush".to_owned());
        let text = format!("{options:?}");
        assert!(text.contains("sasl.password") && !text.contains("hush"));
    }
}
