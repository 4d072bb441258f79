//! Topics: found, created when absent, and ready before the first message.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

use crate::client;
use crate::context::QuietContext;
use crate::{KafkaError, KafkaOptions};

/// One question to a broker; asked again for ever.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A refusal to create that may pass (too few brokers are up yet) is final after this time.
const CREATE_PATIENCE: Duration = Duration::from_secs(30);

/// A topic that was there and is not found is gone after this time; a broker that has just started
/// may not know it yet.
const GONE_PATIENCE: Duration = Duration::from_secs(5);

/// What came of a look at a topic.
pub(crate) enum Look {
    /// It is there, every partition has a leader.
    Ready(i32),
    /// It is there or is being made; ask again.
    NotYet(String),
    /// It is not there.
    Missing,
}

/// Finds and makes topics. Its clients live while there is something to ask.
pub(crate) struct Topics<'o> {
    options: &'o KafkaOptions,
    inspector: Option<BaseConsumer<QuietContext>>,
    partitions: HashMap<String, i32>,
    refused_since: Option<Instant>,
    /// Topics that were there: they are not made a second time.
    known: HashSet<String>,
    missing_since: Option<Instant>,
}

impl<'o> Topics<'o> {
    pub(crate) fn new(options: &'o KafkaOptions) -> Topics<'o> {
        Topics {
            options,
            inspector: None,
            partitions: HashMap::new(),
            refused_since: None,
            known: HashSet::new(),
            missing_since: None,
        }
    }

    /// Forgets what was found, for topics may have been deleted.
    pub(crate) fn forget(&mut self) {
        self.partitions.clear();
    }

    /// The clients are not needed for now.
    pub(crate) fn rest(&mut self) {
        self.inspector = None;
    }

    /// Whether a broker answers; else why not. Nothing is created by asking.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub(crate) fn reachable(&mut self) -> Result<Result<(), String>, KafkaError> {
        let inspector = self.inspector()?;
        match inspector.fetch_metadata(Some("offtake"), REQUEST_TIMEOUT) {
            Ok(_) => Ok(Ok(())),
            Err(error) => Ok(Err(client::no_answer(inspector, &error))),
        }
    }

    fn inspector(&mut self) -> Result<&BaseConsumer<QuietContext>, KafkaError> {
        let inspector = match self.inspector.take() {
            Some(inspector) => inspector,
            None => client::inspector(self.options)?,
        };
        client::serve(&inspector);
        Ok(self.inspector.insert(inspector))
    }

    /// Takes one step towards a topic that can be written: its number of partitions, or why it is
    /// not ready yet.
    ///
    /// # Errors
    /// What a person must decide.
    pub(crate) fn step(&mut self, topic: &str) -> Result<Result<i32, String>, KafkaError> {
        if let Some(partitions) = self.partitions.get(topic) {
            return Ok(Ok(*partitions));
        }
        check_name(topic)?;
        match look(self.inspector()?, topic)? {
            Look::Ready(partitions) => {
                self.refused_since = None;
                self.missing_since = None;
                self.partitions.insert(topic.to_owned(), partitions);
                self.known.insert(topic.to_owned());
                Ok(Ok(partitions))
            }
            Look::NotYet(reason) => Ok(Err(reason)),
            Look::Missing if self.known.contains(topic) => self.gone(topic),
            Look::Missing if !self.options.topics.create => {
                Err(KafkaError::TopicMissing { topic: topic.to_owned() })
            }
            Look::Missing => self.create(topic),
        }
    }

    /// A topic that was there: a person deleted it, and decides whether there is another one.
    fn gone(&mut self, topic: &str) -> Result<Result<i32, String>, KafkaError> {
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        if since.elapsed() < GONE_PATIENCE {
            return Ok(Err(format!("topic {topic} is not found any more")));
        }
        Err(KafkaError::TopicGone { topic: topic.to_owned() })
    }

    fn create(&mut self, topic: &str) -> Result<Result<i32, String>, KafkaError> {
        match create(self.options, topic, false)? {
            Ok(()) => {
                self.refused_since = None;
                Ok(Err(format!("topic {topic} is being created")))
            }
            Err(code) => {
                let since = *self.refused_since.get_or_insert_with(Instant::now);
                let reason = code.to_string();
                if passes(code) || may_pass_still(code, since) {
                    return Ok(Err(format!("topic {topic} cannot be created yet: {reason}")));
                }
                Err(KafkaError::TopicCreate { topic: topic.to_owned(), reason })
            }
        }
    }
}

/// Looks at a topic without creating it.
pub(crate) fn look(
    inspector: &BaseConsumer<QuietContext>,
    topic: &str,
) -> Result<Look, KafkaError> {
    let metadata = match inspector.fetch_metadata(Some(topic), REQUEST_TIMEOUT) {
        Ok(metadata) => metadata,
        Err(error) => return not_yet(&error, topic),
    };
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Ok(Look::Missing);
    };
    if let Some(error) = found.error() {
        return from_code(RDKafkaErrorCode::from(error), topic);
    }
    let leaderless = found.partitions().iter().any(|partition| partition.leader() < 0);
    match i32::try_from(found.partitions().len()) {
        Ok(0) | Err(_) => Ok(Look::NotYet(format!("topic {topic} has no partition yet"))),
        Ok(_) if leaderless => {
            Ok(Look::NotYet(format!("topic {topic} has a partition without a leader")))
        }
        Ok(partitions) => Ok(Look::Ready(partitions)),
    }
}

fn not_yet(error: &ClientError, topic: &str) -> Result<Look, KafkaError> {
    match error.rdkafka_error_code() {
        Some(code) => from_code(code, topic),
        None => Ok(Look::NotYet(error.to_string())),
    }
}

fn from_code(code: RDKafkaErrorCode, topic: &str) -> Result<Look, KafkaError> {
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            Ok(Look::Missing)
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => {
            Err(KafkaError::TopicDenied { topic: topic.to_owned() })
        }
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            Err(KafkaError::ClusterDenied(code.to_string()))
        }
        RDKafkaErrorCode::InvalidTopic => Err(KafkaError::TopicInvalid { topic: topic.to_owned() }),
        // Down, starting, electing a leader: it passes.
        code => Ok(Look::NotYet(code.to_string())),
    }
}

/// Asks the cluster to create a topic; `validate_only` asks whether it would.
pub(crate) fn create(
    options: &KafkaOptions,
    topic: &str,
    validate_only: bool,
) -> Result<Result<(), RDKafkaErrorCode>, KafkaError> {
    let admin = client::admin(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(KafkaError::Thread)?;
    let mut wanted = NewTopic::new(
        topic,
        options.topics.partitions,
        TopicReplication::Fixed(options.topics.replication),
    );
    for (name, value) in &options.topics.config {
        wanted = wanted.set(name, value);
    }
    let admin_options = AdminOptions::new()
        .request_timeout(Some(REQUEST_TIMEOUT))
        .operation_timeout(Some(REQUEST_TIMEOUT))
        .validate_only(validate_only);
    let answer = runtime.block_on(admin.create_topics([&wanted], &admin_options));
    Ok(match answer {
        Ok(results) => match results.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) => Ok(()),
            Some(Err((_, code))) => Err(code),
            None => Err(RDKafkaErrorCode::Unknown),
        },
        Err(error) => Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
    })
}

/// Whether an error is only a matter of time.
pub(crate) fn passes(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::AllBrokersDown
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::MessageTimedOut
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::NotController
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::NetworkException
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::BrokerNotAvailable
            | RDKafkaErrorCode::ThrottlingQuotaExceeded
    )
}

/// Whether an error can be either: too few brokers are up yet, or too many replicas are wanted.
fn may_pass(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::InvalidReplicationFactor | RDKafkaErrorCode::Unknown)
}

/// Whether an error that can be either is still young enough to be waited for.
pub(crate) fn may_pass_still(code: RDKafkaErrorCode, since: Instant) -> bool {
    may_pass(code) && since.elapsed() < CREATE_PATIENCE
}

/// Kafka's rule for a topic's name.
pub(crate) fn check_name(topic: &str) -> Result<(), KafkaError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let valid = (1..=249).contains(&topic.len())
        && topic.bytes().all(plain)
        && topic != "."
        && topic != "..";
    if valid { Ok(()) } else { Err(KafkaError::TopicInvalid { topic: topic.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_kafkas_rule() {
        for name in ["shop.public.orders", "a", "A-1_b.c", &"x".repeat(249)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "shop.public.Bestellung ä", "a b", &"x".repeat(250)] {
            assert_eq!(check_name(name).unwrap_err().code(), "KAFKA_TOPIC_INVALID", "{name}");
        }
    }
}
