//! What the client library calls back: delivery reports, errors of the connection, its log lines.

use std::sync::{Arc, Mutex, PoisonError};

use offtake_failpoint::crash_point;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use crate::deliveries::Pending;
use crate::status::StatusCell;

/// A message that the client gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) topic: String,
}

/// The producer's context.
pub(crate) struct SinkContext {
    pub(crate) pending: Arc<Pending>,
    pub(crate) status: Arc<StatusCell>,
    failure: Mutex<Option<Failure>>,
}

impl SinkContext {
    pub(crate) fn new(pending: Arc<Pending>, status: Arc<StatusCell>) -> SinkContext {
        SinkContext { pending, status, failure: Mutex::new(None) }
    }

    /// The first message that was given up, if one was.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, code: RDKafkaErrorCode, topic: &str) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        // Messages that fail because another did say nothing; the first real reason counts.
        let says_nothing = |code| {
            matches!(
                code,
                RDKafkaErrorCode::PurgeQueue
                    | RDKafkaErrorCode::PurgeInflight
                    | RDKafkaErrorCode::Fatal
                    | RDKafkaErrorCode::GaplessGuarantee
            )
        };
        match &*failure {
            Some(first) if !says_nothing(first.code) || says_nothing(code) => {}
            _ => *failure = Some(Failure { code, topic: topic.to_owned() }),
        }
    }
}

impl ClientContext for SinkContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: ClientError, reason: &str) {
        // A fatal error is asked for by the session; everything else may pass.
        tracing::debug!(%error, reason, "kafka client reports an error");
        self.status.waiting(reason.to_owned());
    }
}

impl ProducerContext for SinkContext {
    /// Number of the group, see [`crate::deliveries`].
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, group: usize) {
        match result {
            Ok(_) => {
                crash_point("kafka.before_delivery_report");
                self.pending.acknowledged(group);
                crash_point("kafka.after_delivery_report");
            }
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                self.failed(code, message.topic());
            }
        }
    }
}

/// A context for clients that only ask.
pub(crate) struct QuietContext;

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client reports an error");
    }
}

impl rdkafka::consumer::ConsumerContext for QuietContext {}

fn log_line(level: RDKafkaLogLevel, facility: &str, text: &str) {
    // The library repeats itself each second while a broker is down; the status says it once.
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::warn!(facility, text, "kafka client");
        }
        _ => tracing::debug!(facility, text, "kafka client"),
    }
}
