//! Topics: found, created when absent, and ready before the first message.
//!
//! When one is missing, all that the log names are asked for at once: five hundred tables are a few
//! requests. What exists is never changed.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use offtake_log::Log;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

use crate::admin::{Admin, REQUEST_TIMEOUT};
use crate::client;
use crate::context::QuietContext;
use crate::topic_names::{TopicNames, topic_of};
use crate::topic_rules::TopicRule;
use crate::{KafkaError, KafkaOptions, Oversize, topic_names};

/// A refusal to create that may pass (too few brokers are up yet) is final after this time.
const CREATE_PATIENCE: Duration = Duration::from_secs(30);
/// What a request adds to a message that is alone in it, and compression to what it does not make
/// smaller, in bytes.
const REQUEST_OVERHEAD: usize = 512;

/// A topic that was there and is not found is gone after this time; a broker that has just started
/// may not know it yet.
const GONE_PATIENCE: Duration = Duration::from_secs(5);

/// What came of a look at a topic.
pub(crate) enum Look {
    /// It is there, every partition has a leader.
    Ready(Found),
    /// It is there or is being made; ask again.
    NotYet(String),
    /// It is not there.
    Missing,
}

/// A topic that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) partitions: i32,
    /// Replicas of the partition that has the fewest.
    pub(crate) replicas: usize,
    /// Replicas in step of the partition that has the fewest.
    pub(crate) in_sync: usize,
}

/// A topic that is ready, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ready {
    pub(crate) partitions: i32,
    /// The largest message that is surely taken, in bytes; `None`: not known. Larger ones are taken
    /// where they are smaller when compressed.
    pub(crate) message_bytes: Option<usize>,
}

/// Finds and makes topics. Its clients live while there is something to ask.
pub(crate) struct Topics<'o> {
    options: &'o KafkaOptions,
    names: TopicNames,
    inspector: Option<BaseConsumer<QuietContext>>,
    admin: Option<Admin>,
    ready: HashMap<String, Ready>,
    message_bytes: HashMap<String, Option<usize>>,
    /// Asked for together with another; each is asked for so once.
    asked_for: BTreeSet<String>,
    refused_since: Option<Instant>,
    /// Topics that were there: they are not made a second time.
    known: HashSet<String>,
    missing_since: Option<Instant>,
}

impl<'o> Topics<'o> {
    pub(crate) fn new(options: &'o KafkaOptions) -> Topics<'o> {
        Topics {
            options,
            names: TopicNames::new(options),
            inspector: None,
            admin: None,
            ready: HashMap::new(),
            message_bytes: HashMap::new(),
            asked_for: BTreeSet::new(),
            refused_since: None,
            known: HashSet::new(),
            missing_since: None,
        }
    }

    /// Forgets what was found, for topics may have been deleted or changed.
    pub(crate) fn forget(&mut self) {
        self.ready.clear();
        self.message_bytes.clear();
        self.asked_for.clear();
    }

    /// The clients are not needed for now.
    pub(crate) fn rest(&mut self) {
        self.inspector = None;
        self.admin = None;
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

    fn admin(&mut self) -> Result<&Admin, KafkaError> {
        let admin = match self.admin.take() {
            Some(admin) => admin,
            None => Admin::new(self.options)?,
        };
        Ok(self.admin.insert(admin))
    }

    /// Takes one step towards a stream's topic that can be written: what it takes, or why it is not
    /// ready yet. `log`: whose streams are created with it when it is missing.
    ///
    /// # Errors
    /// What a person must decide.
    pub(crate) fn step(
        &mut self,
        stream: &str,
        log: &Log,
    ) -> Result<Result<Ready, String>, KafkaError> {
        let topic = self.names.claim(stream)?;
        self.step_topic(&topic, stream, log)
    }

    /// The same for a topic that is about no row, by the name that rules know it by.
    ///
    /// # Errors
    /// As [`Topics::step`].
    pub(crate) fn step_own(
        &mut self,
        name: &str,
        log: &Log,
    ) -> Result<Result<Ready, String>, KafkaError> {
        let topic = topic_of(name);
        topic_names::check(&topic)?;
        self.step_topic(&topic, name, log)
    }

    fn step_topic(
        &mut self,
        topic: &str,
        stream: &str,
        log: &Log,
    ) -> Result<Result<Ready, String>, KafkaError> {
        if let Some(ready) = self.ready.get(topic) {
            return Ok(Ok(*ready));
        }
        match look(self.inspector()?, topic)? {
            Look::Ready(found) => {
                self.refused_since = None;
                self.missing_since = None;
                self.known.insert(topic.to_owned());
                let message_bytes = self.message_bytes(topic, log)?;
                let ready = Ready { partitions: found.partitions, message_bytes };
                self.ready.insert(topic.to_owned(), ready);
                Ok(Ok(ready))
            }
            Look::NotYet(reason) => Ok(Err(reason)),
            Look::Missing if self.known.contains(topic) => self.gone(topic),
            Look::Missing => {
                let rule = self.options.topics.rule(stream);
                if !rule.create {
                    return Err(KafkaError::TopicMissing { topic: topic.to_owned() });
                }
                self.create(topic, rule, log)
            }
        }
    }

    /// A topic that was there: a person deleted it, and decides whether there is another one.
    fn gone(&mut self, topic: &str) -> Result<Result<Ready, String>, KafkaError> {
        let since = *self.missing_since.get_or_insert_with(Instant::now);
        if since.elapsed() < GONE_PATIENCE {
            return Ok(Err(format!("topic {topic} is not found any more")));
        }
        Err(KafkaError::TopicGone { topic: topic.to_owned() })
    }

    /// What a topic takes, where that matters; asked for all of the log's streams at once.
    fn message_bytes(&mut self, topic: &str, log: &Log) -> Result<Option<usize>, KafkaError> {
        if matches!(self.options.oversize, Oversize::Halt) {
            // Reading configuration needs a right of its own.
            return Ok(None);
        }
        if let Some(bytes) = self.message_bytes.get(topic) {
            return Ok(*bytes);
        }
        let streams = log.streams();
        let others = streams.iter().map(|stream| topic_of(&stream.name));
        let known = &self.message_bytes;
        let names: BTreeSet<Cow<'_, str>> = others
            .filter(|name| !known.contains_key(&**name))
            .chain([Cow::Borrowed(topic)])
            .collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let configs = self.admin()?.topic_configs(&names);
        for (name, config) in configs {
            let bytes = config.get("max.message.bytes").and_then(|bytes| bytes.parse().ok());
            let bytes = bytes.map(|bytes: usize| bytes.saturating_sub(REQUEST_OVERHEAD));
            self.message_bytes.insert(name, bytes);
        }
        Ok(*self.message_bytes.entry(topic.to_owned()).or_default())
    }

    fn create(
        &mut self,
        topic: &str,
        rule: TopicRule,
        log: &Log,
    ) -> Result<Result<Ready, String>, KafkaError> {
        let mut wanted = vec![(topic.to_owned(), rule)];
        for stream in log.streams() {
            let rule = self.options.topics.rule(&stream.name);
            let name = topic_of(&stream.name);
            let is_other = name != topic && !self.ready.contains_key(&*name);
            if is_other
                && rule.create
                && topic_names::check(&name).is_ok()
                && self.asked_for.insert(name.clone().into_owned())
            {
                wanted.push((name.into_owned(), rule));
            }
        }
        let wanted: Vec<(&str, &TopicRule)> =
            wanted.iter().map(|(name, rule)| (name.as_str(), rule)).collect();
        // Of the others a refusal is told when it is their turn.
        let answer = self.admin()?.create(&wanted, false).into_iter().next();
        match answer.unwrap_or(Err(RDKafkaErrorCode::Unknown)) {
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
    let replicas = found.partitions().iter().map(|partition| partition.replicas().len());
    let replicas = replicas.min().unwrap_or(0);
    let in_sync = found.partitions().iter().map(|partition| partition.isr().len());
    let in_sync = in_sync.min().unwrap_or(0);
    match i32::try_from(found.partitions().len()) {
        Ok(0) | Err(_) => Ok(Look::NotYet(format!("topic {topic} has no partition yet"))),
        Ok(_) if leaderless => {
            Ok(Look::NotYet(format!("topic {topic} has a partition without a leader")))
        }
        Ok(partitions) => Ok(Look::Ready(Found { partitions, replicas, in_sync })),
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
