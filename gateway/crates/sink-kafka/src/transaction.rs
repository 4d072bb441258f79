//! One Kafka transaction after the other: what the open one holds, and the way to its commit.
//!
//! Protocol EO-1. A transaction holds everything after the cursor up to the end of a source
//! transaction, and as its last record the cursor that says so. Its way: *open*, data are sent;
//! *draining*, no more are sent and every report is waited for; *recording*, the cursor's record is
//! sent, never while data are unacknowledged; *committing*, on a thread of its own; *closed*. What
//! comes next is encoded meanwhile and handed over when the next one has begun.
//!
//! A commit that may have been asked for twice is in doubt even when it succeeded: the second request
//! can reach the broker late and end the next transaction. The library repeats a commit after its
//! retry time and not earlier, so a commit that took clearly less, with no connection lost and no
//! request without an answer, was asked for once. After any other the producer is replaced: a new
//! epoch shuts the late request out. Whether a commit that failed took place is not inferred from
//! anything: the next producer reads the cursor.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offtake_failpoint::crash_point;
use offtake_proto::v1;
use prost::Message as _;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer};

use crate::committer::{Call, Committer};
use crate::context::{CURSOR_RECORD, Failure};
use crate::cursor_topic::{self, Place};
use crate::deliveries::Covered;
use crate::flight::{Break, Flight};

/// How many intervals a transaction may collect while the sink is behind the log. A commit takes some
/// 10 ms in which nothing is sent, and the brokers as long again before the next transaction may
/// write, so that larger ones catch up sooner; nobody sees a change later for it than he would.
const INTERVALS_BEHIND: u32 = 4;
/// Bytes of keys and values at which a transaction is closed at the next end of a source transaction.
/// What is given up is read again from the log.
const FULL_BYTES: usize = 48 << 20;
/// Messages at which it is closed there.
const FULL_MESSAGES: usize = 100_000;
/// Bytes at which it is closed inside a source transaction.
const CUT_BYTES: usize = 64 << 20;
/// Time after which it is closed inside a source transaction, but never more than a third of the time
/// after which the brokers would end it.
const CUT_AFTER: Duration = Duration::from_secs(10);
/// A commit that took longer may have been asked for twice: less than the shortest retry time.
const UNDOUBTED: Duration = Duration::from_millis(350);
/// Commit times of source transactions that are kept for the latency; more are a sample.
const MAX_COMMITS: usize = 256;
/// Between two cursors that say no more than that the source went on.
const POSITION_INTERVAL: Duration = Duration::from_secs(1);

/// What a transaction holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected {
    /// Everything up to here, when a group of the log has ended.
    pub(crate) covered: Option<Covered>,
    /// When the first of it was taken.
    since: Option<Instant>,
    messages: usize,
    /// Of these, given to the client library.
    handed_over: usize,
    bytes: usize,
    /// Whether a source transaction ends there.
    at_boundary: bool,
    /// Whether a group of the log ends there.
    at_group_end: bool,
    /// Whether a group ends with what is covered.
    covers_group: bool,
    /// Commit times of the source transactions in it.
    commits: Vec<i64>,
}

/// A transaction on its way to its commit.
#[derive(Clone, Debug)]
pub(crate) struct Closing {
    pub(crate) record: v1::SinkCursor,
    pub(crate) commits: Vec<i64>,
    since: Instant,
    /// It ends inside a source transaction.
    is_cut: bool,
    /// It ends inside the copy of a table.
    is_in_snapshot: bool,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open,
    Draining(Closing),
    Recording(Closing),
    Committing(Closing),
}

/// The transactions of one producer.
pub(crate) struct Transactions {
    pub(crate) committer: Committer,
    pub(crate) place: Place,
    /// This process, as the cursor's record names it.
    instance: Arc<str>,
    interval: Duration,
    cut_after: Duration,
    phase: Phase,
    /// Begun at the broker, as far as anybody knows, and not ended.
    pub(crate) is_begun: bool,
    pub(crate) collected: Collected,
    /// When the last one was closed.
    closed_at: Option<Instant>,
    /// A commit may have been asked for twice.
    pub(crate) is_in_doubt: bool,
}

impl Transactions {
    pub(crate) fn new(
        committer: Committer,
        place: Place,
        instance: Arc<str>,
        interval: Duration,
        timeout: Duration,
    ) -> Transactions {
        Transactions {
            committer,
            place,
            instance,
            interval,
            cut_after: CUT_AFTER.min(timeout / 3),
            phase: Phase::Closed,
            is_begun: false,
            collected: Collected::default(),
            closed_at: None,
            is_in_doubt: false,
        }
    }

    /// Nothing is open or on its way.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Data may be sent.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// On the way to the commit.
    pub(crate) fn is_closing(&self) -> bool {
        !self.is_open() && !self.is_closed()
    }

    /// The commit is asked for, its outcome open.
    pub(crate) fn is_committing(&self) -> bool {
        matches!(self.phase, Phase::Committing(_))
    }

    /// Takes a message into account.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.collected.since.get_or_insert_with(Instant::now);
        self.collected.messages += 1;
        self.collected.bytes += bytes;
        // It lies beyond what is covered, until its group is.
        self.collected.at_group_end = false;
        self.collected.at_boundary = false;
    }

    /// So many messages were given to the client library.
    pub(crate) fn handed_over(&mut self, messages: usize) {
        self.collected.handed_over += messages;
    }

    /// Whether so many messages on their way are all that were given to the client library.
    pub(crate) fn all_on_their_way(&self, messages: usize) -> bool {
        self.is_open() && self.collected.handed_over == messages
    }

    /// Whether every message that was taken was given to the client library.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.collected.handed_over == self.collected.messages
    }

    /// A piece of a group is encoded.
    pub(crate) fn collect(&mut self, covered: Covered, ends_group: bool) {
        let collected = &mut self.collected;
        let partial = covered.source.as_ref().is_some_and(|source| source.partial.is_some());
        collected.since.get_or_insert_with(Instant::now);
        collected.at_group_end = ends_group;
        collected.at_boundary = ends_group && !partial;
        if collected.commits.len() < MAX_COMMITS {
            collected.commits.extend(covered.commit_unix_us);
        }
        collected.covers_group = ends_group;
        collected.covered = Some(covered);
    }

    /// Whether what is collected is to be committed now. `caught_up`: there is no more in the log.
    /// `is_urgent`: also without a message.
    pub(crate) fn is_due(&self, caught_up: bool, is_urgent: bool) -> bool {
        let collected = &self.collected;
        let Some(since) = collected.since else { return false };
        if self.is_closing() || !collected.at_group_end {
            return false;
        }
        let age = since.elapsed();
        let rested = self.closed_at.is_none_or(|closed| closed.elapsed() >= self.interval);
        if collected.messages == 0 {
            // Only the source's place has moved.
            let is_time = is_urgent || age >= POSITION_INTERVAL;
            return collected.at_boundary && is_time && caught_up;
        }
        if !collected.at_boundary {
            return collected.bytes >= CUT_BYTES || age >= self.cut_after;
        }
        (caught_up && rested)
            || age >= self.interval.saturating_mul(if caught_up { 1 } else { INTERVALS_BEHIND })
            || collected.bytes >= FULL_BYTES
            || collected.messages >= FULL_MESSAGES
    }

    /// For how long nothing is due, if no more comes; `None`: nothing is collected.
    pub(crate) fn until_due(&self) -> Option<Duration> {
        let since = self.collected.since?;
        if !self.collected.at_boundary {
            // The log wakes who waits for the rest of a source transaction.
            return Some(Duration::MAX);
        }
        if self.collected.messages == 0 {
            return Some(POSITION_INTERVAL.saturating_sub(since.elapsed()));
        }
        let rest = self
            .closed_at
            .map_or(Duration::ZERO, |closed| self.interval.saturating_sub(closed.elapsed()));
        Some(rest.min(self.interval.saturating_sub(since.elapsed())))
    }

    /// Whether everything taken is covered and ends with a source transaction.
    pub(crate) fn is_at_boundary(&self) -> bool {
        self.collected.at_boundary
    }

    /// Nothing but a place is collected.
    pub(crate) fn has_no_message(&self) -> bool {
        self.collected.messages == 0
    }

    /// The last end of a source transaction that a whole group of the log ends with, if that is the
    /// last group that is collected.
    pub(crate) fn complete_up_to(&self) -> Option<u64> {
        let covered = self.collected.covered.as_ref()?;
        let partial = covered.source.as_ref().is_some_and(|source| source.partial.is_some());
        (!partial && self.collected.covers_group).then_some(covered.sequence)
    }

    /// Everything up to here is collected.
    pub(crate) fn sequence(&self) -> u64 {
        self.collected.covered.as_ref().map_or(0, |covered| covered.sequence)
    }

    /// What is collected says nothing new.
    pub(crate) fn forget(&mut self) {
        self.collected = Collected::default();
    }

    /// What is committed next, said with its cursor. Everything of it must be handed over.
    fn close(&mut self, record: v1::SinkCursor, is_in_snapshot: bool) {
        let collected = std::mem::take(&mut self.collected);
        let now = Instant::now();
        self.closed_at = Some(now);
        self.phase = Phase::Draining(Closing {
            record,
            commits: collected.commits,
            since: now,
            is_cut: !collected.at_boundary && collected.messages > 0,
            is_in_snapshot,
        });
    }
}

/// How a call of the library failed.
pub(crate) fn failure(error: &ClientError) -> Failure {
    let code = match error {
        ClientError::Transaction(error) => error.code(),
        other => other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
    };
    Failure { code, topic: String::new() }
}

impl Flight<'_> {
    /// Begins a transaction, once the one before is committed. Without transactions it does nothing.
    pub(crate) fn enter(&mut self) -> Result<(), Break> {
        loop {
            let Some(transactions) = &self.transactions else { return Ok(()) };
            match transactions.phase {
                Phase::Open => return Ok(()),
                Phase::Closed if transactions.is_in_doubt => return Err(Break::Replace),
                Phase::Closed => self.begin()?,
                _ => {
                    self.step()?;
                    self.wait_for_commit()?;
                }
            }
        }
    }

    fn begin(&mut self) -> Result<(), Break> {
        crash_point("kafka.before_begin");
        // What was lost before does not touch this transaction.
        self.producer.context().take_disturbed();
        self.producer.begin_transaction().map_err(|error| Break::Failed(failure(&error)))?;
        crash_point("kafka.after_begin");
        if let Some(transactions) = &mut self.transactions {
            transactions.phase = Phase::Open;
            transactions.is_begun = true;
        }
        Ok(())
    }

    /// Nothing more enters the open transaction; `record` is the cursor that it ends at. Everything
    /// that is encoded must be handed over.
    pub(crate) fn close(&mut self, record: v1::SinkCursor, is_in_snapshot: bool) {
        if let Some(transactions) = &mut self.transactions {
            transactions.close(record, is_in_snapshot);
        }
    }

    /// Whether a commit is held up by messages that are not acknowledged.
    pub(crate) fn waits_for_reports(&self) -> bool {
        let closing = self.transactions.as_ref().is_some_and(|transactions| {
            matches!(transactions.phase, Phase::Draining(_) | Phase::Recording(_))
        });
        closing && self.producer.in_flight_count() > 0
    }

    /// Waits a moment for what the commit waits for.
    pub(crate) fn wait_for_commit(&mut self) -> Result<(), Break> {
        // The library sends what it holds only while it is flushed.
        if self.producer.in_flight_count() > 0 {
            self.flush();
        }
        self.pause();
        if self.broken().is_some() { Err(Break::Broken) } else { Ok(()) }
    }

    /// Goes on with the commit as far as that is possible at once. What is committed is left in
    /// [`Flight::committed`].
    pub(crate) fn step(&mut self) -> Result<(), Break> {
        let Some(transactions) = &mut self.transactions else { return Ok(()) };
        // What breaks off leaves the phase as it is: a stop may go on with it.
        let phase = std::mem::replace(&mut transactions.phase, Phase::Closed);
        let (next, broken) = match phase {
            Phase::Draining(closing) => match self.record_if_acknowledged(&closing) {
                Ok(true) => (Phase::Recording(closing), Ok(())),
                other => (Phase::Draining(closing), other.map(|_| ())),
            },
            Phase::Recording(closing) => match self.commit_if_acknowledged() {
                Ok(true) => (Phase::Committing(closing), Ok(())),
                other => (Phase::Recording(closing), other.map(|_| ())),
            },
            Phase::Committing(closing) => match self.answered(closing) {
                Ok(phase) => (phase, Ok(())),
                Err(broken) => (Phase::Closed, Err(broken)),
            },
            other => (other, Ok(())),
        };
        if let Some(transactions) = &mut self.transactions {
            transactions.phase = next;
        }
        broken
    }

    fn record_if_acknowledged(&self, closing: &Closing) -> Result<bool, Break> {
        if !self.is_acknowledged()? {
            return Ok(false);
        }
        crash_point("kafka.after_flush");
        self.record(closing).map(|()| true)
    }

    fn commit_if_acknowledged(&self) -> Result<bool, Break> {
        if !self.is_acknowledged()? {
            return Ok(false);
        }
        crash_point("kafka.before_commit");
        if let Some(transactions) = &self.transactions {
            transactions.committer.call(Call::Commit);
        }
        Ok(true)
    }

    /// Whether every message is acknowledged, and none refused.
    fn is_acknowledged(&self) -> Result<bool, Break> {
        if self.producer.in_flight_count() > 0 {
            return Ok(false);
        }
        if self.broken().is_some() { Err(Break::Broken) } else { Ok(true) }
    }

    /// Sends the cursor's record.
    fn record(&self, closing: &Closing) -> Result<(), Break> {
        let Some(transactions) = &self.transactions else { return Ok(()) };
        let place = &transactions.place;
        let value = closing.record.encode_to_vec();
        crash_point("kafka.before_cursor_record");
        let sent = self.producer.send(BaseRecord {
            topic: &place.topic,
            partition: Some(place.partition),
            payload: Some(value.as_slice()),
            key: Some(place.key.as_bytes()),
            timestamp: None,
            headers: Some(cursor_topic::headers(&transactions.instance, closing.is_in_snapshot)),
            delivery_opaque: CURSOR_RECORD,
        });
        if let Err((error, _)) = sent {
            return Err(match error.rdkafka_error_code() {
                // Nothing is queued, so the queue cannot be full.
                Some(RDKafkaErrorCode::Fatal) | None => Break::Broken,
                Some(code) => Break::Failed(Failure { code, topic: place.topic.clone() }),
            });
        }
        crash_point("kafka.after_cursor_record");
        self.flush();
        Ok(())
    }

    fn answered(&mut self, closing: Closing) -> Result<Phase, Break> {
        let Some(transactions) = &mut self.transactions else { return Ok(Phase::Closed) };
        crash_point("kafka.during_commit");
        let Some(answer) = transactions.committer.answer(Duration::ZERO) else {
            return Ok(Phase::Committing(closing));
        };
        let disturbed = self.producer.context().take_disturbed();
        answer.result.map_err(|error| Break::Failed(failure(&error)))?;
        crash_point("kafka.after_commit");
        transactions.is_begun = false;
        transactions.is_in_doubt = disturbed || answer.was_repeated || answer.took >= UNDOUBTED;
        let count = |counter: &std::sync::atomic::AtomicU64, one: bool| {
            counter.fetch_add(u64::from(one), Ordering::Relaxed);
        };
        count(&self.status.committed, true);
        count(&self.status.cut, closing.is_cut);
        count(&self.status.doubtful, transactions.is_in_doubt);
        self.status.commit_seconds.observe(closing.since.elapsed().as_secs_f64());
        self.committed = Some(closing);
        Ok(Phase::Closed)
    }
}

#[cfg(test)]
mod tests;
