//! What the sink says of itself: counters that its thread writes and anybody reads.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use offtake_change::Histogram;
use offtake_proto::v1;
use offtake_registry::RegistryError;
use tokio::sync::watch;

use crate::KafkaError;
use crate::delivery::{Delivery, Mode, TransactionLevel};
use crate::statistics::{ClientStatistics, Kept};
use crate::trouble::WaitReason;

/// For how long a cause that says much is kept over the broken connections that follow from it.
const SPECIFIC_FOR: Duration = Duration::from_secs(30);

/// What the sink is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KafkaState {
    /// Looking for the brokers and topics.
    Connecting,
    /// Publishing, or caught up.
    Running,
    /// Brokers are down, slow or refusing for now; goes on by itself.
    Waiting,
    /// A person must decide. Where it is a registry that refuses, it goes on by itself once that
    /// no longer does.
    Halted(Halted),
    /// Stopped on request.
    Stopped,
}

impl KafkaState {
    /// The state's name in capitals, as it is shown.
    pub fn name(&self) -> &'static str {
        match self {
            KafkaState::Connecting => "CONNECTING",
            KafkaState::Running => "RUNNING",
            KafkaState::Waiting => "WAITING",
            KafkaState::Halted(_) => "HALTED",
            KafkaState::Stopped => "STOPPED",
        }
    }
}

/// Why the sink halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halted {
    /// Stable code.
    pub code: &'static str,
    /// What happened.
    pub cause: String,
    /// What to do.
    pub next_step: String,
}

impl From<&KafkaError> for Halted {
    fn from(error: &KafkaError) -> Halted {
        Halted {
            code: error.code(),
            cause: error.to_string(),
            next_step: error.next_step().to_owned(),
        }
    }
}

/// A picture of the sink at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaStatus {
    /// What it is doing.
    pub state: KafkaState,
    /// Everything up to this sequence is acknowledged by the brokers.
    pub cursor: u64,
    /// Changes between the cursor and the log's durable end.
    pub lag: u64,
    /// Messages handed to the client, repetitions included.
    pub sent: u64,
    /// Messages that the brokers acknowledged.
    pub acknowledged: u64,
    /// Bytes of keys and values handed to the client.
    pub bytes: u64,
    /// The last error that no success has followed yet.
    pub last_error: Option<String>,
    /// How often the producer was built anew after an error.
    pub rebuilds: u64,
    /// Why it waits, while it does.
    pub waits_for: Option<WaitReason>,
    /// What the client library says of itself and of the brokers.
    pub client: ClientStatistics,
    /// Changes that became dead letters, for their message was larger than the topic takes.
    pub dead_letters: u64,
    /// How often a change may be delivered; `None`: the brokers are still to be asked.
    pub delivery: Option<Delivery>,
    /// How far exactly once can be relied on.
    pub level: TransactionLevel,
    /// Transactions; all zero with at-least-once delivery.
    pub transactions: TransactionCounts,
}

/// Transactions of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionCounts {
    /// Committed.
    pub committed: u64,
    /// Given up; what they held was sent again.
    pub aborted: u64,
    /// Committed inside a source transaction that is larger than a Kafka transaction may be.
    pub cut: u64,
    /// Commits that may have been asked for twice, and were followed by a new producer.
    pub doubtful: u64,
}

/// From commit to acknowledgement, of what is published as it comes. What was in the log before is
/// as old as the log and says nothing about Kafka: while the sink publishes that, observations go
/// where nobody looks.
#[derive(Debug, Default)]
pub(crate) struct LiveLatency {
    is_live: AtomicBool,
    told: Arc<Histogram>,
    history: Histogram,
}

impl LiveLatency {
    /// What was in the log before is published.
    pub(crate) fn go_live(&self) {
        self.is_live.store(true, Ordering::Relaxed);
    }

    /// What is told.
    pub(crate) fn told(&self) -> Arc<Histogram> {
        Arc::clone(&self.told)
    }
}

/// Where an observation goes now.
impl Deref for LiveLatency {
    type Target = Histogram;

    fn deref(&self) -> &Histogram {
        if self.is_live.load(Ordering::Relaxed) { &self.told } else { &self.history }
    }
}

/// The same while it changes.
#[derive(Debug)]
pub(crate) struct StatusCell {
    pub(crate) cursor: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) rebuilds: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) latency: LiveLatency,
    /// The client library's newest statistics, unread.
    pub(crate) statistics: Kept,
    client: Mutex<ClientStatistics>,
    pub(crate) committed: AtomicU64,
    pub(crate) aborted: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) doubtful: AtomicU64,
    /// From the end of a transaction's data to its commit.
    pub(crate) commit_seconds: Arc<Histogram>,
    /// The source's place of the cursor that is durable, wherever that is kept.
    pub(crate) published: watch::Sender<Option<v1::SourcePosition>>,
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    state: KafkaState,
    last_error: Option<String>,
    /// Why it waits, and since when that is known.
    reason: Option<(WaitReason, Instant)>,
    /// Halted, but what halted it is asked again.
    asks_again: bool,
    mode: Option<Mode>,
}

impl StatusCell {
    pub(crate) fn new() -> StatusCell {
        StatusCell {
            cursor: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rebuilds: AtomicU64::new(0),
            dead_letters: AtomicU64::new(0),
            latency: LiveLatency::default(),
            statistics: Kept::default(),
            client: Mutex::default(),
            committed: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            doubtful: AtomicU64::new(0),
            commit_seconds: Arc::default(),
            published: watch::Sender::new(None),
            changing: Mutex::new(Changing {
                state: KafkaState::Connecting,
                last_error: None,
                reason: None,
                asks_again: false,
                mode: None,
            }),
        }
    }

    /// Of a producer beside the sink's own, that has nobody to tell anything: it says nothing of what
    /// it waits for, and nobody would hear that it does no longer.
    pub(crate) fn silent() -> StatusCell {
        let status = StatusCell::new();
        status.stopped();
        status
    }

    fn changing(&self) -> std::sync::MutexGuard<'_, Changing> {
        // A panic while it was held cannot leave it half written.
        self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How changes are delivered.
    pub(crate) fn decided(&self, mode: Mode) {
        self.changing().mode = Some(mode);
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.changing().state == KafkaState::Waiting
    }

    /// Publishing again: forgets the last error.
    pub(crate) fn running(&self) {
        let mut changing = self.changing();
        if changing.state != KafkaState::Running {
            tracing::info!("kafka sink is running");
        }
        changing.state = KafkaState::Running;
        changing.last_error = None;
        changing.reason = None;
        changing.asks_again = false;
    }

    /// The registry has no id for a schema: waits for it, or is halted until it has.
    pub(crate) fn held_by_registry(&self, error: RegistryError) {
        if error.is_transient() {
            {
                let mut changing = self.changing();
                if changing.asks_again {
                    changing.state = KafkaState::Waiting;
                    changing.asks_again = false;
                }
            }
            return self.waiting_for(WaitReason::Registry, error.to_string());
        }
        let error = KafkaError::Registry(error);
        let state = KafkaState::Halted(Halted::from(&error));
        let mut changing = self.changing();
        if changing.state != state {
            tracing::error!(
                code = error.code(),
                cause = %error,
                next_step = error.next_step(),
                "kafka sink halted until the registry takes it"
            );
        }
        changing.state = state;
        changing.last_error = Some(error.to_string());
        changing.reason = None;
        changing.asks_again = true;
    }

    /// The registry has it now. A wait ends with the next acknowledgement, a halt here.
    pub(crate) fn goes_on(&self) {
        if self.changing().asks_again {
            self.running();
        }
    }

    /// Something that may pass. Kept until the next success.
    pub(crate) fn waiting(&self, error: String) {
        self.waiting_for(WaitReason::of(None, &error), error);
    }

    /// The same where it is known what it is.
    pub(crate) fn waiting_for(&self, reason: WaitReason, error: String) {
        let mut changing = self.changing();
        let kept = changing.reason.is_some_and(|(kept, since)| {
            kept.is_specific() && !reason.is_specific() && since.elapsed() < SPECIFIC_FOR
        });
        let begins = matches!(changing.state, KafkaState::Connecting | KafkaState::Running);
        let turns = !kept && changing.reason.is_none_or(|(before, _)| before != reason);
        if begins {
            changing.state = KafkaState::Waiting;
        }
        if changing.state == KafkaState::Waiting && turns {
            let (code, next_step) = (reason.code(), reason.next_step());
            // What belongs to every first start wakes nobody.
            if reason == WaitReason::Other {
                tracing::info!(code, reason = error, next_step, "kafka sink waits");
            } else {
                tracing::warn!(code, reason = error, next_step, "kafka sink waits");
            }
        }
        if !kept {
            changing.reason = Some((reason, Instant::now()));
            changing.last_error = Some(error);
        }
    }

    /// Whether nothing more is going to happen.
    pub(crate) fn is_over(&self) -> bool {
        let changing = self.changing();
        match changing.state {
            KafkaState::Halted(_) => !changing.asks_again,
            KafkaState::Stopped => true,
            KafkaState::Connecting | KafkaState::Running | KafkaState::Waiting => false,
        }
    }

    /// Shows what the client library says of itself.
    pub(crate) fn tell_client(&self, client: ClientStatistics) {
        *self.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = client;
    }

    pub(crate) fn halted(&self, error: &KafkaError) {
        let mut changing = self.changing();
        changing.last_error = Some(error.to_string());
        changing.state = KafkaState::Halted(error.into());
        changing.asks_again = false;
    }

    pub(crate) fn stopped(&self) {
        let mut changing = self.changing();
        changing.asks_again = false;
        if !matches!(changing.state, KafkaState::Halted(_)) {
            changing.state = KafkaState::Stopped;
        }
    }

    pub(crate) fn snapshot(&self, durable: u64) -> KafkaStatus {
        let (state, last_error, reason, mode) = {
            let changing = self.changing();
            (changing.state.clone(), changing.last_error.clone(), changing.reason, changing.mode)
        };
        let waits_for = reason.map(|(reason, _)| reason).filter(|_| state == KafkaState::Waiting);
        let client = self.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let cursor = self.cursor.load(Ordering::Relaxed);
        KafkaStatus {
            state,
            cursor,
            lag: durable.saturating_sub(cursor),
            sent: self.sent.load(Ordering::Relaxed),
            acknowledged: self.acknowledged.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            last_error,
            rebuilds: self.rebuilds.load(Ordering::Relaxed),
            waits_for,
            client,
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            delivery: mode.map(|mode| mode.delivery),
            level: mode.map_or(TransactionLevel::Off, |mode| mode.level),
            transactions: TransactionCounts {
                committed: self.committed.load(Ordering::Relaxed),
                aborted: self.aborted.load(Ordering::Relaxed),
                cut: self.cut.load(Ordering::Relaxed),
                doubtful: self.doubtful.load(Ordering::Relaxed),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_beside_the_sinks_own_waits_in_silence() {
        for (status, state) in
            [(StatusCell::new(), KafkaState::Waiting), (StatusCell::silent(), KafkaState::Stopped)]
        {
            status.waiting("connection refused".to_owned());
            let shown = status.snapshot(0);
            assert_eq!(shown.state, state);
            // A line in the log goes with the turn to waiting, and only with it.
            assert_eq!(shown.waits_for.is_some(), state == KafkaState::Waiting);
        }
    }
}
