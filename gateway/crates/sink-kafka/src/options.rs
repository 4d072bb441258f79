//! What the sink is told: brokers, client properties, topics, and where the cursor lies.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use offtake_encode::debezium::Options;
use offtake_registry::{RegistryOptions, Subjects};

use crate::dead_letters::DeadLetters;
use crate::delivery::DeliveryOptions;
use crate::oauth::Oauth;
use crate::{KafkaError, TopicOptions, topic_names};

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
    /// Where tokens for OAUTHBEARER come from; `None`: another mechanism, or none.
    pub oauth: Option<Oauth>,
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
    /// The header `__debezium.context.runId` of this start, where those headers are wanted; `None`:
    /// left out.
    pub run_id: Option<String>,
    /// How often a heartbeat goes to its topic (`heartbeat.interval.ms`); zero: never.
    pub heartbeat_interval: Duration,
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
            .field("oauth", &self.oauth)
            .field("oversize", &self.oversize)
            .field("headers", &self.headers)
            .field("delivery", &self.delivery)
            .field("topic_prefix", &self.topic_prefix)
            .field("debezium", &self.debezium)
            .field("run_id", &self.run_id)
            .field("heartbeat_interval", &self.heartbeat_interval)
            .field("registry", &self.registry)
            .field("subjects", &self.subjects)
            .field("cursor_path", &self.cursor_path)
            .finish()
    }
}

/// What may be said to the client library, one table for the configuration and for this crate.
const PROPERTIES: &str = include_str!("../../config/src/kafka_properties.tsv");

/// The table's rule for a property and the reason; a name that is not there is the library's to
/// judge.
fn rule(property: &str) -> Option<(&'static str, &'static str)> {
    PROPERTIES.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = line.splitn(3, '|').map(str::trim);
        (fields.next()? == property).then_some((fields.next()?, fields.next()?))
    })
}

/// The property that says after which time the brokers end a transaction that its producer does not.
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";
/// That time where nothing is said.
const DEFAULT_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
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
            run_id: None,
            heartbeat_interval: Duration::ZERO,
            registry: None,
            subjects: Subjects::default(),
            pipeline,
            brokers,
            properties: BTreeMap::new(),
            topics: TopicOptions::default(),
            oversize: Oversize::default(),
            headers: MessageHeaders::default(),
            oauth: None,
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

    /// Refuses what cannot work, before anything is started.
    pub(crate) fn check(&self) -> Result<(), KafkaError> {
        let refuse = |property: &str, reason: &str| {
            Err(KafkaError::Property { property: property.to_owned(), reason: reason.to_owned() })
        };
        if self.brokers.iter().all(|broker| broker.trim().is_empty()) {
            return refuse("brokers", "none is named");
        }
        for (name, value) in &self.properties {
            let mechanism = matches!(name.as_str(), "sasl.mechanism" | "sasl.mechanisms");
            if mechanism && (value == "OAUTHBEARER") != self.oauth.is_some() {
                return refuse(name, "OAUTHBEARER and [kafka.oauth] belong together");
            }
            let Some((rule, reason)) = rule(name) else { continue };
            let bounds = rule.split_once("..").and_then(|(least, most)| {
                Some(least.parse::<i64>().ok()?..=most.parse::<i64>().ok()?)
            });
            let within = |bounds: std::ops::RangeInclusive<i64>| {
                value.trim().parse().is_ok_and(|number| bounds.contains(&number))
            };
            if rule == "refused" || bounds.is_some_and(|bounds| !within(bounds)) {
                return refuse(name, reason);
            }
        }
        self.topics.check()?;
        topic_names::check(&self.delivery.cursor_topic)
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
        for (name, value) in [
            ("transaction.timeout.ms", "1"),
            ("queue.buffering.max.kbytes", "1048577"),
            ("test.mock.num.brokers", "3"),
            ("sasl.mechanisms", "OAUTHBEARER"),
        ] {
            let mut wrong = options();
            wrong.properties.insert(name.to_owned(), value.to_owned());
            assert!(wrong.check().unwrap_err().to_string().contains(name), "{name} = {value}");
        }
        let mut right = options();
        right.properties.insert("transaction.timeout.ms".to_owned(), "30000".to_owned());
        right.properties.insert("sasl.mechanisms".to_owned(), "SCRAM-SHA-512".to_owned());
        assert!(right.check().is_ok());
    }

    /// The names that the library itself lists with their defaults; aliases are not among them.
    #[allow(unsafe_code, reason = "the library's list is not offered otherwise; see SAFETY")]
    fn names_of_the_library() -> Vec<String> {
        use rdkafka::bindings as library;
        let mut names = Vec::new();
        // SAFETY: both configurations are new and destroyed once; the dump is an array of as many
        // texts as is said, name and value in turn, and freed once, after the last look at it.
        unsafe {
            let (global, topic) =
                (library::rd_kafka_conf_new(), library::rd_kafka_topic_conf_new());
            let (mut globals, mut topics) = (0, 0);
            let dumps = [
                (library::rd_kafka_conf_dump(global, &mut globals), &globals),
                (library::rd_kafka_topic_conf_dump(topic, &mut topics), &topics),
            ];
            for (dump, &count) in dumps {
                let mut at = 0;
                while at < count {
                    let name = std::ffi::CStr::from_ptr(*dump.add(at));
                    names.push(name.to_string_lossy().into_owned());
                    at += 2;
                }
                library::rd_kafka_conf_dump_free(dump, count);
            }
            library::rd_kafka_conf_destroy(global);
            library::rd_kafka_topic_conf_destroy(topic);
        }
        names
    }

    #[test]
    fn the_table_of_properties_has_every_name_of_the_library() {
        let names = names_of_the_library();
        assert!(names.len() > 80, "the library lists {names:?}");
        let missing: Vec<&String> = names.iter().filter(|name| rule(name).is_none()).collect();
        assert!(missing.is_empty(), "kafka_properties.tsv lacks {missing:?}");
    }

    #[test]
    fn the_library_takes_every_name_that_is_passed() {
        let lines = PROPERTIES.lines().filter(|line| !line.starts_with('#'));
        for line in lines {
            let mut fields = line.split('|').map(str::trim);
            let (name, rule) = (fields.next().unwrap(), fields.next().unwrap());
            if rule == "refused" {
                continue;
            }
            let mut config = rdkafka::ClientConfig::new();
            config.set(name, "no value of anything");
            let Err(error) = config.create_native_config() else { continue };
            let text = error.to_string();
            assert!(!text.contains("No such configuration property"), "{text}");
        }
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
