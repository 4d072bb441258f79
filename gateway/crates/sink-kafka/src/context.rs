//! What the client library calls back: delivery reports, errors of the connection, its log lines.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use offtake_failpoint::crash_point;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use crate::KafkaOptions;
use crate::deliveries::Pending;
use crate::lent::{Loans, Tag};
use crate::oauth::Oauth;
use crate::status::StatusCell;
use crate::trouble::WaitReason;

/// Number of the cursor's own record, which counts as no message and is not lent.
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
    /// What messages on their way lie in.
    pub(crate) loans: Loans,
    failure: Mutex<Option<Failure>>,
    oauth: Option<Oauth>,
    /// Why a connection could not be made or was lost; told when it is the last one.
    lost: Mutex<String>,
    /// A connection was lost or a request not answered, since this was last taken.
    disturbed: AtomicBool,
}

impl SinkContext {
    pub(crate) fn new(pending: Arc<Pending>, status: Arc<StatusCell>) -> SinkContext {
        SinkContext {
            pending,
            status,
            loans: Loans::default(),
            failure: Mutex::new(None),
            oauth: None,
            lost: Mutex::default(),
            disturbed: AtomicBool::new(false),
        }
    }

    /// With the source of its tokens.
    pub(crate) fn with_oauth(mut self, oauth: Option<Oauth>) -> SinkContext {
        self.oauth = oauth;
        self
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
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        if DISTURBANCES.contains(&facility) {
            self.disturbed.store(true, Ordering::Relaxed);
        }
        log_line(level, facility, text);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.status.statistics.keep(statistics);
    }

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        token(self.oauth.as_ref())
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.disturbed.store(true, Ordering::Relaxed);
        // A fatal error is asked for by the session; everything else may pass.
        tracing::debug!(%error, reason, "kafka client reports an error");
        let code = error.rdkafka_error_code();
        let why = WaitReason::of(code, reason);
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match code {
            Some(RDKafkaErrorCode::Fatal) => {}
            Some(RDKafkaErrorCode::AllBrokersDown) if !lost.is_empty() => {
                self.status.waiting_for(why, format!("{reason}: {lost}"));
            }
            // One broker of several may be away without holding anything up.
            _ if why == WaitReason::Unreachable
                && code != Some(RDKafkaErrorCode::AllBrokersDown) =>
            {
                reason.clone_into(&mut lost);
            }
            _ => self.status.waiting_for(why, reason.to_owned()),
        }
    }
}

impl ProducerContext for SinkContext {
    /// Number of a [`Tag`], or [`CURSOR_RECORD`].
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let tag = (number != CURSOR_RECORD).then(|| Tag::of(number));
        if let Some(tag) = tag {
            self.loans.returned(tag);
        }
        match result {
            Ok(_) => {
                crash_point("kafka.before_delivery_report");
                if let Some(tag) = tag {
                    self.pending.acknowledged(tag.group);
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

fn token(oauth: Option<&Oauth>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
    let oauth = oauth.ok_or("[kafka.oauth] does not say where a token comes from")?;
    Ok(oauth.token()?)
}

/// A context for clients that only ask.
pub(crate) struct QuietContext {
    oauth: Option<Oauth>,
    heard: Mutex<Option<(WaitReason, String)>>,
}

impl QuietContext {
    pub(crate) fn new(options: &KafkaOptions) -> QuietContext {
        QuietContext { oauth: options.oauth.clone(), heard: Mutex::default() }
    }

    /// The error that says most of those that were heard.
    pub(crate) fn heard(&self) -> Option<(WaitReason, String)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn hear(&self, reason: WaitReason, text: String) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = heard.as_ref().is_some_and(|(kept, _)| kept.is_specific());
        if reason.is_specific() || !kept {
            *heard = Some((reason, text));
        }
    }
}

impl ClientContext for QuietContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        token(self.oauth.as_ref())
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn error(&self, error: ClientError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client reports an error");
        let code = error.rdkafka_error_code();
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.hear(WaitReason::of(code, reason), reason.to_owned());
        }
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
