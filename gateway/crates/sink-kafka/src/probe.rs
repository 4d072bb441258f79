//! The look that `offtake check` takes at a cluster. Nothing is created.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;

use crate::context::QuietContext;
use crate::topics::{self, Look, REQUEST_TIMEOUT};
use crate::trouble::WaitReason;
use crate::{KafkaError, KafkaOptions, client};

/// How long one question for the brokers waits before it is looked what was heard.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// How an item turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// As it should be.
    Ok,
    /// It will work, but somebody should know.
    Warning,
    /// It will not work.
    Error,
}

/// One line of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeItem {
    /// What was looked at: `brokers`, or `topic NAME`.
    pub name: String,
    /// How it turned out.
    pub outcome: ProbeOutcome,
    /// Stable code; empty where nothing is wrong.
    pub code: &'static str,
    /// What was found.
    pub text: String,
    /// What to do; empty where nothing is to be done.
    pub next_step: String,
}

impl ProbeItem {
    fn ok(name: impl Into<String>, text: impl Into<String>) -> ProbeItem {
        ProbeItem {
            name: name.into(),
            outcome: ProbeOutcome::Ok,
            code: "",
            text: text.into(),
            next_step: String::new(),
        }
    }

    fn error(name: impl Into<String>, error: &KafkaError) -> ProbeItem {
        ProbeItem {
            name: name.into(),
            outcome: ProbeOutcome::Error,
            code: error.code(),
            text: error.to_string(),
            next_step: error.next_step().to_owned(),
        }
    }
}

/// Looks whether the brokers answer and whether each topic is there or could be created. Blocks for
/// some seconds where no broker answers; may be called from any thread.
pub fn probe(options: &KafkaOptions, topics: &[String]) -> Vec<ProbeItem> {
    // On a thread of its own: questions to the cluster's admin need a runtime, and the caller may
    // be within one.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| probe_here(options, topics));
        thread.join().unwrap_or_default()
    })
}

fn probe_here(options: &KafkaOptions, topics: &[String]) -> Vec<ProbeItem> {
    let inspector = match options.check().and_then(|()| client::inspector(options)) {
        Ok(inspector) => inspector,
        Err(error) => return vec![ProbeItem::error("kafka", &error)],
    };
    let mut items = vec![brokers(&inspector, options)];
    if items.iter().any(|item| item.outcome == ProbeOutcome::Error) {
        return items;
    }
    items.extend(topics.iter().map(|topic| probe_topic(&inspector, options, topic)));
    items
}

fn brokers(inspector: &BaseConsumer<QuietContext>, options: &KafkaOptions) -> ProbeItem {
    match ask(inspector) {
        Ok(metadata) => {
            let cluster = inspector
                .client()
                .fetch_cluster_id(Duration::from_secs(1))
                .unwrap_or_else(|| "without an id".to_owned());
            let count = metadata.brokers().len();
            ProbeItem::ok("brokers", format!("cluster {cluster}, {count} broker(s)"))
        }
        Err((reason, text)) => ProbeItem {
            name: "brokers".to_owned(),
            outcome: ProbeOutcome::Error,
            code: reason.code(),
            text: format!("no broker of {} answers: {text}", options.brokers.join(", ")),
            next_step: format!("{}; the pipeline itself would start and wait", reason.next_step()),
        },
    }
}

/// Asks for the brokers until they answer, or what they said instead is plain.
fn ask(inspector: &BaseConsumer<QuietContext>) -> Result<Metadata, (WaitReason, String)> {
    let deadline = Instant::now() + 2 * REQUEST_TIMEOUT;
    loop {
        let error = match inspector.fetch_metadata(Some("offtake"), ASK_INTERVAL) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        let heard = client::heard(inspector);
        let plain = heard.as_ref().is_some_and(|(reason, _)| reason.is_specific());
        if plain || Instant::now() >= deadline {
            return Err(heard.unwrap_or_else(|| (WaitReason::Unreachable, error.to_string())));
        }
    }
}

fn probe_topic(
    inspector: &BaseConsumer<QuietContext>,
    options: &KafkaOptions,
    topic: &str,
) -> ProbeItem {
    let name = format!("topic {topic}");
    let found = topics::check_name(topic).and_then(|()| topics::look(inspector, topic));
    match found {
        Ok(Look::Ready(partitions)) => {
            ProbeItem::ok(name, format!("exists with {partitions} partition(s)"))
        }
        Ok(Look::NotYet(reason)) => ProbeItem {
            name,
            outcome: ProbeOutcome::Warning,
            code: "KAFKA_TOPIC_NOT_READY",
            text: reason,
            next_step: "look again when the cluster has settled".to_owned(),
        },
        Ok(Look::Missing) if options.topics.create => would_create(options, name, topic),
        Ok(Look::Missing) => {
            ProbeItem::error(name, &KafkaError::TopicMissing { topic: topic.to_owned() })
        }
        Err(error) => ProbeItem::error(name, &error),
    }
}

fn would_create(options: &KafkaOptions, name: String, topic: &str) -> ProbeItem {
    match topics::create(options, topic, true) {
        Ok(Ok(())) => ProbeItem::ok(
            name,
            format!("will be created with {} partition(s)", options.topics.partitions),
        ),
        Ok(Err(code)) => {
            let reason = code.to_string();
            ProbeItem::error(name, &KafkaError::TopicCreate { topic: topic.to_owned(), reason })
        }
        Err(error) => ProbeItem::error(name, &error),
    }
}
