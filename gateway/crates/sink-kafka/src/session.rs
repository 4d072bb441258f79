//! Publishing: one producer's life from the cursor to the log's end and on, until it is stopped,
//! has to be replaced, or halts.
//!
//! Whatever ends a session, the next one begins at the cursor and sends the same bytes in the same
//! order to the same partitions. So a message that failed never leaves a gap: the producer refuses
//! everything after it, and all of it is sent again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offtake_change::wire::ChangeView;
use offtake_encode::EncodeError;
use offtake_encode::debezium::Encoder;
use offtake_log::{
    Control, Log, Pin, ReadError, ReadGroup, Reader, Run, Selection, without_original,
};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::Producer;

use crate::context::{Failure, SinkContext, says_nothing};
use crate::copies::Copies;
use crate::cursor::Cursor;
use crate::deliveries::{Covered, Deliveries, Pending};
use crate::delivery::Mode;
use crate::fence::Ownership;
use crate::flight::{Break, Broken, Flight};
use crate::handover::Handover;
use crate::headers::HeaderWriter;
use crate::heartbeat::Heartbeat;
use crate::oversize::{Oversized, is_too_large};
use crate::publications::{Publication, Publications};
use crate::sink::Stop;
use crate::status::StatusCell;
use crate::topics::{self, Topics};
use crate::transaction_ends::{ToldGroup, TransactionEnds};
use crate::transaction_topic::TransactionTopic;
use crate::trouble::WaitReason;
use crate::{KafkaError, KafkaOptions, client};

/// Waiting for the log, when everything is acknowledged.
pub(crate) const IDLE_WAIT: Duration = Duration::from_millis(50);
/// Between two looks for a broker or topic that is not there yet.
pub(crate) const LOOK_WAIT: Duration = Duration::from_millis(200);
/// Between two questions whether the brokers are back while there is nothing to send.
const REACH_INTERVAL: Duration = Duration::from_secs(2);
/// Events taken in a row; one reports all messages of a request.
const POLLS: u32 = 16;
/// Producers that may fail in a row for an unknown reason, without progress, until that is final.
const MAX_FRUITLESS_REBUILDS: u32 = 8;

/// How a session ends without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// On request.
    Stopped,
    /// The producer has to be replaced.
    Rebuild {
        /// Send a message a batch until the cursor has passed the place.
        one_by_one: bool,
    },
}

/// What outlives a producer.
pub(crate) struct Publisher<'o> {
    pub(crate) options: &'o KafkaOptions,
    pub(crate) log: &'o Log,
    pub(crate) status: &'o Arc<StatusCell>,
    pub(crate) stop: &'o Stop,
    pub(crate) cursor: Cursor,
    pub(crate) pin: &'o Pin,
    pub(crate) topics: Topics<'o>,
    pub(crate) encoder: Encoder,
    pub(crate) publications: Publications<'o>,
    /// Where transactions begin and end, if that is told.
    pub(crate) transaction_topic: Option<TransactionTopic>,
    /// Heartbeats, if there are any.
    pub(crate) heartbeat: Option<Heartbeat>,
    /// Messages that were refused for their size.
    pub(crate) oversized: Oversized,
    pub(crate) fruitless: u32,
    asked: Instant,
    /// How is delivered, once that is decided.
    pub(crate) mode: Option<Mode>,
    /// What this process can claim to be the only publisher by.
    pub(crate) ownership: Ownership,
    pub(crate) copies: Copies,
    /// The last source transaction of which was said that it is cut.
    pub(crate) cut: Option<Arc<str>>,
    /// Where a change follows that cannot be published: what lies before it is committed first.
    pub(crate) halts_after: Option<u64>,
}

impl<'o> Publisher<'o> {
    pub(crate) fn new(
        options: &'o KafkaOptions,
        log: &'o Log,
        status: &'o Arc<StatusCell>,
        stop: &'o Stop,
        cursor: Cursor,
        pin: &'o Pin,
    ) -> Result<Publisher<'o>, KafkaError> {
        let publications = Publications::new(options)?;
        Ok(Publisher {
            options,
            log,
            status,
            stop,
            cursor,
            pin,
            topics: Topics::new(options),
            encoder: Encoder::default(),
            publications,
            transaction_topic: options.transaction_topic().as_deref().map(TransactionTopic::new),
            heartbeat: Heartbeat::new(options),
            oversized: Oversized::default(),
            fruitless: 0,
            asked: Instant::now(),
            mode: None,
            ownership: Ownership::default(),
            copies: Copies::default(),
            cut: None,
            halts_after: None,
        })
    }

    /// Publishes until it is stopped, building new producers as needed.
    ///
    /// # Errors
    /// What a person must decide.
    pub(crate) fn run(&mut self) -> Result<(), KafkaError> {
        let mut one_by_one = false;
        loop {
            let began_at = self.cursor.sequence();
            match self.session(one_by_one)? {
                Ended::Stopped => return Ok(()),
                Ended::Rebuild { one_by_one: next } => {
                    one_by_one = next;
                    self.status.rebuilds.fetch_add(1, Ordering::Relaxed);
                    if self.cursor.sequence() > began_at {
                        self.fruitless = 0;
                    }
                    self.fruitless += 1;
                    self.pause(LOOK_WAIT * self.fruitless.min(10));
                }
            }
        }
    }

    pub(crate) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.stop.is_asked() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One producer's life.
    fn session(&mut self, one_by_one: bool) -> Result<Ended, KafkaError> {
        let Some(mode) = self.decide()? else { return Ok(Ended::Stopped) };
        if mode.is_exactly_once() {
            return self.transactional_session(one_by_one);
        }
        if !self.take_over()? {
            return Ok(Ended::Stopped);
        }
        let mut flight = self.flight(client::Kind { one_by_one, transactional: false })?;
        let began_with = self.log.durable().borrow().sequence;
        let mut reader = self.reader(&mut flight)?;
        let outcome = self.publish(&mut flight, &mut reader, began_with);
        let outcome = outcome.or_else(|broken| self.judge_break(&mut flight, broken));
        // What was acknowledged in the meantime counts, whatever ended the session.
        match outcome {
            Ok(Ended::Stopped) => self.drain(&mut flight)?,
            _ => self.settle(&mut flight)?,
        }
        self.write_cursor(true)?;
        outcome
    }

    /// A new producer with nothing on its way.
    pub(crate) fn flight(&self, kind: client::Kind) -> Result<Flight<'o>, KafkaError> {
        let pending = Arc::new(Pending::new());
        let context = SinkContext::new(Arc::clone(&pending), Arc::clone(self.status));
        Ok(Flight {
            producer: Arc::new(client::producer(self.options, context, kind)?),
            transactions: None,
            committed: None,
            is_draining: false,
            deliveries: Deliveries::new(Arc::clone(&pending)),
            pending,
            status: self.status,
            stop: self.stop,
            one_by_one: kind.one_by_one,
            indexes: HashMap::new(),
            targets: Vec::new(),
            transaction_target: None,
            handover: Handover::default(),
            handed_over: 0,
            source: None,
            headers: HeaderWriter::new(self.options.headers, self.log.id()),
            ends: TransactionEnds::default(),
            held: ReadGroup::default(),
            alone: None,
            text: Vec::new(),
        })
    }

    /// Writes the cursor when it is time. What lies before it is let go of only then: a log at its
    /// limit deletes that at once, and a start goes by what is on the disk.
    fn write_cursor(&mut self, now: bool) -> Result<(), KafkaError> {
        if self.mode.is_some_and(Mode::is_exactly_once) {
            return self.cursor.keep_note(now);
        }
        if self.cursor.write(self.log, now)? {
            self.pin.advance(self.cursor.sequence());
        }
        Ok(())
    }

    pub(crate) fn judge_break(
        &mut self,
        flight: &mut Flight<'_>,
        broken: Break,
    ) -> Result<Ended, KafkaError> {
        let mut failure = match broken {
            Break::Error(KafkaError::Encode(_) | KafkaError::PartitionUnknown { .. })
                if self.has_more_before(flight) =>
            {
                return Ok(Ended::Rebuild { one_by_one: flight.one_by_one });
            }
            Break::Error(error) => return Err(error),
            Break::Replace => return Ok(Ended::Rebuild { one_by_one: flight.one_by_one }),
            Break::Failed(failure) => failure,
            Break::Broken => match flight.broken() {
                Some(Broken::Stopped) => return Ok(Ended::Stopped),
                Some(Broken::Failed(failure)) => failure,
                None => return Ok(Ended::Rebuild { one_by_one: flight.one_by_one }),
            },
        };
        if says_nothing(failure.code) {
            let why = match flight.transactions {
                Some(_) => flight.transaction_error(),
                // A producer that may not begin purges its messages without a reason of their own.
                None => flight.producer.client().fatal_error().map(|(code, _)| code),
            };
            failure.code = why.unwrap_or(failure.code);
        }
        // Reports that came before the failure move the cursor first.
        self.settle(flight)?;
        if is_too_large(failure.code) && self.takes_as_dead_letter(flight.alone.take()) {
            return Ok(Ended::Rebuild { one_by_one: flight.one_by_one });
        }
        self.judge(&failure, flight.one_by_one)
    }

    /// What follows the cursor, and the encoder and the headers at the same place.
    pub(crate) fn reader(&mut self, flight: &mut Flight<'_>) -> Result<Reader, KafkaError> {
        self.resume_transaction();
        flight.ends.resume(self.cursor.source(), self.cursor.unpublished());
        let cursor = self.cursor.sequence();
        self.log.reader(cursor, Selection::all()).map_err(|error| match error {
            ReadError::TooOld { earliest } => KafkaError::CursorTooOld { cursor, earliest },
            ReadError::Ahead { latest } => KafkaError::CursorAhead { cursor, latest },
            other => KafkaError::Log(other),
        })
    }

    fn publish(
        &mut self,
        flight: &mut Flight<'_>,
        reader: &mut Reader,
        began_with: u64,
    ) -> Result<Ended, Break> {
        self.reach(flight)?;
        loop {
            self.check(flight)?;
            self.settle(flight)?;
            // Batches again, once everything that was there when one was too large is published.
            let returning = flight.one_by_one && self.cursor.sequence() >= began_with;
            if returning && flight.deliveries.is_empty() {
                return Ok(Ended::Rebuild { one_by_one: false });
            }
            if returning || flight.deliveries.is_full() {
                flight.hand_over()?;
                flight.flush();
                continue;
            }
            match reader.next_group().map_err(KafkaError::Log)? {
                Some(group) => {
                    let coming = reader.rest_of_group().map_err(KafkaError::Log)?;
                    self.send_group(flight, group, &coming)?;
                }
                None if flight.hand_over_rest()? => {}
                None => self.wait(flight, reader)?,
            }
        }
    }

    /// Waits for reports or, when there is nothing on its way, for the log.
    fn wait(&mut self, flight: &mut Flight<'_>, reader: &mut Reader) -> Result<(), Break> {
        self.release_held(flight)?;
        if flight.deliveries.is_empty() {
            self.topics.rest();
            reader.wait_blocking(IDLE_WAIT);
            self.ask_for_brokers()?;
        } else {
            flight.flush();
        }
        Ok(())
    }

    /// Asks now and then whether the brokers are back: nothing else tells it while nothing is sent.
    pub(crate) fn ask_for_brokers(&mut self) -> Result<(), KafkaError> {
        if self.waits_for_brokers() && self.asked.elapsed() >= REACH_INTERVAL {
            self.asked = Instant::now();
            match self.topics.reachable()? {
                Ok(()) => self.status.running(),
                Err(reason) => self.status.waiting(reason),
            }
        }
        Ok(())
    }

    /// Whether it is the brokers, and not the disk, that the sink waits for.
    pub(crate) fn waits_for_brokers(&self) -> bool {
        self.status.is_waiting() && !self.cursor.is_stuck()
    }

    /// Waits until a broker answers.
    fn reach(&mut self, flight: &mut Flight<'_>) -> Result<(), Break> {
        loop {
            self.check(flight)?;
            match self.topics.reachable()? {
                Ok(()) => {
                    self.status.running();
                    return Ok(());
                }
                Err(reason) => self.status.waiting(reason),
            }
            flight.producer.poll(LOOK_WAIT);
        }
    }

    /// Takes reports, moves the cursor, writes it when it is time.
    pub(crate) fn settle(&mut self, flight: &mut Flight<'_>) -> Result<(), KafkaError> {
        self.heartbeat()?;
        for _ in 0..POLLS {
            let before = flight.pending.acknowledged_count();
            flight.producer.poll(Duration::ZERO);
            if flight.pending.acknowledged_count() == before {
                break;
            }
        }
        let acknowledged = flight.pending.take_acknowledged();
        if acknowledged > 0 {
            self.status.acknowledged.fetch_add(acknowledged, Ordering::Relaxed);
            if self.waits_for_brokers() {
                self.status.running();
            }
        }
        if let Some(covered) = flight.deliveries.advance(&self.status.latency) {
            self.cursor.advance(covered);
            self.fruitless = 0;
            if !self.oversized.is_empty() {
                self.oversized.forget(self.cursor.sequence());
            }
            self.status.cursor.store(self.cursor.sequence(), Ordering::Relaxed);
        }
        self.write_cursor(false)
    }

    /// Waits for what is on its way, until the stop's deadline.
    fn drain(&mut self, flight: &mut Flight<'_>) -> Result<(), KafkaError> {
        while flight.producer.in_flight_count() > 0
            && !flight.stop.is_overdue()
            && flight.producer.context().failure().is_none()
        {
            flight.flush();
            self.settle(flight)?;
        }
        self.settle(flight)
    }

    /// Sends a group of the log, or a piece of one. `coming`: streams and schemas of its later
    /// pieces.
    pub(crate) fn send_group(
        &mut self,
        flight: &mut Flight<'_>,
        group: ReadGroup,
        coming: &[(u32, u32)],
    ) -> Result<(), Break> {
        let is_told = self.transaction_topic.is_some();
        let Some(group) = flight.whole_group(group, is_told) else { return Ok(()) };
        // All schemas before anything of the group, its later pieces included: while a registry is
        // away or refuses, what came before it can still be committed.
        let here = group.runs.iter().map(|run| (run.stream, run.schema));
        for (stream, schema) in here.chain(coming.iter().copied()) {
            self.publication(flight, stream, schema)?;
        }
        self.prepare_transactions(flight, &group.runs)?;
        for group in self.tell_ends(flight, group)? {
            self.send_told(flight, group)?;
        }
        Ok(())
    }

    /// Sends a group of which it is known what its headers tell.
    pub(crate) fn send_told(
        &mut self,
        flight: &mut Flight<'_>,
        told: ToldGroup,
    ) -> Result<(), Break> {
        let ToldGroup { group, ends, unpublished, .. } = told;
        let ReadGroup { controls, runs, last_sequence, ends_group } = group;
        let mut commit_unix_us = None;
        flight.headers.tell_ends(ends);
        for control in controls {
            match control {
                Control::TransactionEnd(end) => {
                    // The newest one stands for the group: a sample, so that it costs nothing.
                    commit_unix_us = end.transaction.as_ref().map(|it| it.commit_unix_us);
                    if let Some(topic) = &mut self.transaction_topic {
                        topic.note_end(end);
                    }
                }
                Control::SourcePosition(position) => flight.source = Some(Arc::new(position)),
                Control::PluginActivation(activation) => self.cursor.activated(activation),
                Control::SnapshotProgress(progress) => self.copies.saw(&progress),
                _ => {}
            }
        }
        for run in &runs {
            self.send_run(flight, run)?;
        }
        self.leave_transaction(flight)?;
        let (source, open) = (flight.source.clone(), self.open_transaction());
        let covered =
            Covered { sequence: last_sequence, source, open, unpublished, commit_unix_us };
        match &mut flight.transactions {
            Some(transactions) => transactions.collect(covered, ends_group),
            None => flight.deliveries.finish_group(covered),
        }
        Ok(())
    }

    fn send_run(&mut self, flight: &mut Flight<'_>, run: &Run) -> Result<(), Break> {
        let publication = self.publication(flight, run.stream, run.schema)?;
        let target = self.target(flight, run.stream)?;
        for change in run.changes() {
            let change = change.map_err(EncodeError::from)?;
            let is_large = change.encoded.len() > flight.targets[target].message_bytes / 2;
            if publication.is_letters && is_large {
                let mut letter = Vec::new();
                without_original(&change, &mut letter).map_err(EncodeError::from)?;
                let letter = ChangeView::parse(&letter).map_err(EncodeError::from)?;
                self.send_change(flight, target, &publication, &letter)?;
            } else {
                self.send_change(flight, target, &publication, &change)?;
            }
        }
        Ok(())
    }

    fn send_change(
        &mut self,
        flight: &mut Flight<'_>,
        target: usize,
        publication: &Publication,
        change: &ChangeView<'_>,
    ) -> Result<(), Break> {
        if !self.oversized.is_empty() {
            self.bury(flight, change)?;
        }
        self.enter_transaction(flight, change)?;
        let oversized = &self.oversized;
        let mut messages = 0;
        self.encoder.messages(&publication.plan, change, |message| {
            let index = messages;
            messages += 1;
            if !oversized.is_empty() && oversized.is_refused(change.sequence, index) {
                return Ok(());
            }
            flight.take(target, change, &message, index, publication)
        })
    }

    /// Whether to go on.
    pub(crate) fn check(&self, flight: &Flight<'_>) -> Result<(), Break> {
        if flight.broken().is_some() { Err(Break::Broken) } else { Ok(()) }
    }

    /// What a message that was given up means.
    fn judge(&mut self, failure: &Failure, one_by_one: bool) -> Result<Ended, KafkaError> {
        use RDKafkaErrorCode as Code;
        let topic = failure.topic.clone();
        let after = self.cursor.sequence();
        let reason = failure.code.to_string();
        tracing::warn!(topic, code = ?failure.code, after, "kafka gave a message up");
        let error = match failure.code {
            // A batch may be too large where each of its messages is not.
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge if !one_by_one => {
                // What the topics take may have been changed.
                self.topics.forget();
                return Ok(Ended::Rebuild { one_by_one: true });
            }
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
                KafkaError::MessageTooLarge { topic, after }
            }
            Code::TopicAuthorizationFailed => KafkaError::TopicDenied { topic },
            Code::ClusterAuthorizationFailed => KafkaError::ClusterDenied(reason),
            Code::InvalidTopic => KafkaError::TopicInvalid { topic },
            Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
                // Deleted or made anew: looked for again, and created if that is wanted.
                self.topics.forget();
                self.status.waiting(format!("topic {topic}: {reason}"));
                return Ok(Ended::Rebuild { one_by_one });
            }
            Code::InvalidRecord
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::InvalidTimestamp
            | Code::PolicyViolation
            | Code::UnsupportedCompressionType
            | Code::UnsupportedForMessageFormat => KafkaError::Refused { topic, after, reason },
            Code::TransactionalIdAuthorizationFailed => {
                KafkaError::TransactionsDenied { id: self.options.transactional_id() }
            }
            // A transaction that the brokers ended, or a broker that did not come back in time.
            // Nothing is lost but time; who took over is looked at before the next producer.
            code if is_of_a_transaction(code) || topics::passes(code) => {
                self.status.waiting_for(WaitReason::of(Some(code), &reason), reason);
                self.fruitless = self.fruitless.min(MAX_FRUITLESS_REBUILDS - 1);
                return Ok(Ended::Rebuild { one_by_one });
            }
            _ if self.fruitless >= MAX_FRUITLESS_REBUILDS => {
                KafkaError::Refused { topic, after, reason }
            }
            code => {
                self.status.waiting_for(WaitReason::of(Some(code), &reason), reason);
                return Ok(Ended::Rebuild { one_by_one });
            }
        };
        Err(error)
    }
}

/// Whether a code says no more than that the producer's transaction or epoch has ended.
fn is_of_a_transaction(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::InvalidTransactionalState
            | Code::InvalidProducerIdMapping
            | Code::UnknownProducerId
            | Code::ConcurrentTransactions
            | Code::TransactionCoordinatorFenced
    )
}
