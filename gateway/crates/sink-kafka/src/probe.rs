//! The look that `offtake check` takes at a cluster. Nothing is created.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_change::TableSchema;
use offtake_log::dead_letter_stream;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;

use crate::admin::{Admin, REQUEST_TIMEOUT};
use crate::context::QuietContext;
use crate::delivery::{self, AT_LEAST_ONCE, Decision, UNVERIFIED};
use crate::topic_checks::{self, Facts};
use crate::topic_names::{TopicNames, topic_of};
use crate::topic_rules::{StreamRule, TopicRule};
use crate::topics::{Look, look};
use crate::trouble::WaitReason;
use crate::{KafkaError, KafkaOptions, client, format_checks, table_rules};
use offtake_registry::{ProbeItem, ProbeOutcome};

/// How long one question for the brokers waits before it is looked what was heard.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// An item that will not work, for this reason.
pub(crate) fn failed(name: impl Into<String>, error: &KafkaError) -> ProbeItem {
    ProbeItem {
        name: name.into(),
        outcome: ProbeOutcome::Error,
        code: error.code(),
        text: error.to_string(),
        next_step: error.next_step().to_owned(),
    }
}

/// A table whose changes would be published.
#[derive(Clone, Debug)]
pub struct ProbeTable {
    /// As the database has it now.
    pub source: Arc<TableSchema>,
    /// As the plugins before its stream put it out; where there are none, the same.
    pub output: Arc<TableSchema>,
}

impl From<Arc<TableSchema>> for ProbeTable {
    fn from(table: Arc<TableSchema>) -> ProbeTable {
        ProbeTable { source: Arc::clone(&table), output: table }
    }
}

/// A stream that would be published, and the tables whose changes are in it.
#[derive(Clone, Debug, Default)]
pub struct ProbeStream {
    /// Its name; the topic has it too, as far as Kafka allows.
    pub stream: String,
    /// Its tables.
    pub tables: Vec<ProbeTable>,
    /// A plugin before the stream could not be asked: what it makes of a table is not known.
    pub is_unknown: bool,
    /// Perhaps nothing is ever written to it: that its topic cannot be had is a warning.
    pub is_optional: bool,
}

/// Looks whether the brokers answer, whether each topic is there or could be created, whether it is
/// as wanted, whether its tables fit it and its format, and whether the schema registry takes their
/// schemas. Blocks for some seconds where nobody answers; may be called from any thread.
pub fn probe(options: &KafkaOptions, streams: &[ProbeStream]) -> Vec<ProbeItem> {
    // On a thread of its own: questions to the cluster's admin need a runtime, and the caller may
    // be within one.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut items =
                probe_here(options, streams).unwrap_or_else(|error| vec![failed("kafka", &error)]);
            items.extend(format_checks::judge(options, streams));
            items
        });
        thread.join().unwrap_or_default()
    })
}

fn probe_here(
    options: &KafkaOptions,
    streams: &[ProbeStream],
) -> Result<Vec<ProbeItem>, KafkaError> {
    options.check()?;
    let inspector = client::inspector(options)?;
    let (found, broker) = brokers(&inspector, options);
    let mut items = vec![found];
    let Some(broker) = broker else { return Ok(items) };
    let admin = Admin::new(options)?;
    let broker = admin.broker_config(broker).unwrap_or_default();
    items.extend(topic_checks::version(&broker));
    let own = own_streams(options);
    let rules_without_stream = idle_rules(options, streams);
    let mut names = TopicNames::new(options);
    let mut looks: Vec<Result<Look, KafkaError>> = Vec::new();
    for it in streams {
        looks.push(names.claim(&it.stream).and_then(|topic| look(&inspector, &topic)));
    }
    looks.extend(own.iter().map(|it| look(&inspector, &topic_of(&it.stream))));
    let streams: Vec<&ProbeStream> = streams.iter().chain(&own).collect();
    let topics: Vec<Cow<'_, str>> = streams.iter().map(|it| topic_of(&it.stream)).collect();
    let rules: Vec<TopicRule> = streams.iter().map(|it| options.topics.rule(&it.stream)).collect();
    let of = |wanted: fn(&Look) -> bool| {
        let found = topics.iter().zip(&rules).zip(&looks);
        let found = found.filter(move |(_, look)| look.as_ref().is_ok_and(wanted));
        found.map(|((topic, rule), _)| (topic.as_ref(), rule))
    };
    let existing: Vec<&str> =
        of(|look| matches!(look, Look::Ready(_))).map(|(name, _)| name).collect();
    let configs = admin.topic_configs(&existing);
    let missing: Vec<(&str, &TopicRule)> =
        of(|look| matches!(look, Look::Missing)).filter(|(_, rule)| rule.create).collect();
    let mut creations = admin.create(&missing, true).into_iter();
    for (((it, topic), rule), look) in streams.iter().zip(&topics).zip(&rules).zip(looks) {
        let topic = topic.as_ref();
        let facts = Facts { topic, rule, config: configs.get(topic), broker: &broker };
        let mut found = match look {
            Ok(Look::Ready(found)) => facts.existing(found),
            Ok(Look::NotYet(reason)) => vec![not_ready(topic, reason)],
            Ok(Look::Missing) if rule.create => match creations.next() {
                Some(Ok(())) => facts.created(),
                Some(Err(code)) => vec![refused(topic, &code.to_string())],
                None => Vec::new(),
            },
            Ok(Look::Missing) => {
                let error = KafkaError::TopicMissing { topic: topic.to_owned() };
                vec![failed(format!("topic {topic}"), &error)]
            }
            Err(error) => vec![failed(format!("topic {topic}"), &error)],
        };
        if it.is_optional {
            let errors = found.iter_mut().filter(|item| item.outcome == ProbeOutcome::Error);
            errors.for_each(|item| item.outcome = ProbeOutcome::Warning);
        }
        items.append(&mut found);
        items.extend(table_rules::judge(topic, &it.tables, rule, facts.is_compacted()));
    }
    items.extend(rules_without_stream);
    items.extend(delivery_item(options));
    Ok(items)
}

/// How changes would be delivered. `None`: the brokers gave no answer, and others say that already.
fn delivery_item(options: &KafkaOptions) -> Option<ProbeItem> {
    let Decision { mode, weaker } = match delivery::decide(options) {
        Ok(Ok(decision)) => decision,
        Ok(Err(_)) => return None,
        Err(error) => return Some(failed("delivery", &error)),
    };
    let text = if mode.is_exactly_once() {
        let topic = &options.delivery.cursor_topic;
        format!("exactly once for read_committed consumers; the cursor is kept in topic {topic}")
    } else {
        "at least once".to_owned()
    };
    let item = ProbeItem::ok("delivery", text);
    let Some(reason) = weaker else { return Some(item) };
    let (code, next_step) = match mode.is_exactly_once() {
        true => (UNVERIFIED, "let this user see the brokers' configuration, or ask who runs them"),
        false => (AT_LEAST_ONCE, "mend that, or say `delivery = \"at_least_once\"`"),
    };
    Some(ProbeItem {
        outcome: ProbeOutcome::Warning,
        code,
        text: format!("{}: {reason}", item.text),
        next_step: next_step.to_owned(),
        ..item
    })
}

/// Rules that are about no stream that is known: a misspelt one leaves its topic as all others.
fn idle_rules(options: &KafkaOptions, streams: &[ProbeStream]) -> Vec<ProbeItem> {
    let own = own_streams(options);
    let is_about = |rule: &StreamRule| {
        let mut names = streams.iter().chain(&own).map(|it| it.stream.as_str());
        names.any(|name| rule.streams.matches(name))
            || rule.streams.matches(&dead_letter_stream(&options.pipeline))
    };
    // Where no stream is known there is nothing to compare with.
    let idle = options.topics.rules.iter().filter(|rule| !streams.is_empty() && !is_about(rule));
    idle.map(|rule| ProbeItem {
        name: format!("topic rule {}", rule.streams.patterns()),
        outcome: ProbeOutcome::Warning,
        code: "KAFKA_RULE_MATCHES_NOTHING",
        text: "no stream that is known matches it, so a topic that was meant is made as all others"
            .to_owned(),
        next_step: "correct `streams` under [[kafka.topic]], or remove the rule".to_owned(),
    })
    .collect()
}

/// The topics that are about no row.
fn own_streams(options: &KafkaOptions) -> Vec<ProbeStream> {
    let names = [options.transaction_topic(), options.heartbeat_topic()].into_iter().flatten();
    names.map(|stream| ProbeStream { stream, ..ProbeStream::default() }).collect()
}

/// Whether brokers answer, and the id of one that does.
fn brokers(
    inspector: &BaseConsumer<QuietContext>,
    options: &KafkaOptions,
) -> (ProbeItem, Option<i32>) {
    match ask(inspector) {
        Ok(metadata) => {
            let cluster = inspector
                .client()
                .fetch_cluster_id(Duration::from_secs(1))
                .unwrap_or_else(|| "without an id".to_owned());
            let count = metadata.brokers().len();
            let item = ProbeItem::ok("brokers", format!("cluster {cluster}, {count} broker(s)"));
            (item, metadata.brokers().first().map(|broker| broker.id()))
        }
        Err((reason, text)) => {
            let next_step = reason.next_step();
            let item = ProbeItem {
                name: "brokers".to_owned(),
                outcome: ProbeOutcome::Error,
                code: reason.code(),
                text: format!("no broker of {} answers: {text}", options.brokers.join(", ")),
                next_step: format!("{next_step}; the pipeline itself would start and wait"),
            };
            (item, None)
        }
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

fn not_ready(topic: &str, reason: String) -> ProbeItem {
    ProbeItem {
        name: format!("topic {topic}"),
        outcome: ProbeOutcome::Warning,
        code: "KAFKA_TOPIC_NOT_READY",
        text: reason,
        next_step: "look again when the cluster has settled".to_owned(),
    }
}

fn refused(topic: &str, reason: &str) -> ProbeItem {
    let (topic, reason) = (topic.to_owned(), reason.to_owned());
    failed(format!("topic {topic}"), &KafkaError::TopicCreate { topic, reason })
}
