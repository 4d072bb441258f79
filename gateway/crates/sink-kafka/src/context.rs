//! What the client library calls back: delivery reports, errors of the connection, its log lines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use offtake_failpoint::crash_point;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use crate::deliveries::Pending;
use crate::status::StatusCell;

/// Group of the cursor's own record, which counts as no message.
pub(crate) const CURSOR_RECORD: usize = usize::MAX;

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
    /// A connection was lost or a request not answered, since this was last taken.
    disturbed: AtomicBool,
}

impl SinkContext {
    pub(crate) fn new(pending: Arc<Pending>, status: Arc<StatusCell>) -> SinkContext {
        SinkContext {
            pending,
            status,
            failure: Mutex::new(None),
            disturbed: AtomicBool::new(false),
        }
    }

    /// The first message that was given up, if one was.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a connection was lost or a request not answered since this was last asked.
    pub(crate) fn take_disturbed(&self) -> bool {
        self.disturbed.swap(false, Ordering::Relaxed)
    }

    fn failed(&self, code: RDKafkaErrorCode, topic: &str) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failure {
            Some(first) if !says_nothing(first.code) || says_nothing(code) => {}
            _ => *failure = Some(Failure { code, topic: topic.to_owned() }),
        }
    }
}

/// Whether a message failed only because another did; the first real reason counts.
pub(crate) fn says_nothing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::PurgeQueue
            | RDKafkaErrorCode::PurgeInflight
            | RDKafkaErrorCode::Fatal
            | RDKafkaErrorCode::GaplessGuarantee
    )
}

/// Facilities under which the library tells of a lost connection and of a request without an answer.
const DISTURBANCES: [&str; 2] = ["FAIL", "REQTMOUT"];

impl ClientContext for SinkContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        if DISTURBANCES.contains(&facility) {
            self.disturbed.store(true, Ordering::Relaxed);
        }
        log_line(level, facility, text);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: ClientError, reason: &str) {
        self.disturbed.store(true, Ordering::Relaxed);
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
                if group != CURSOR_RECORD {
                    self.pending.acknowledged(group);
                }
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
