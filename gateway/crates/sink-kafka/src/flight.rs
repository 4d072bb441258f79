//! A producer and what is on its way: handing messages over, and noticing that it must not go on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offtake_change::wire::ChangeView;
use offtake_encode::EncodeError;
use offtake_encode::debezium::Message;
use offtake_failpoint::crash_point;
use offtake_log::ReadGroup;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::context::{Failure, SinkContext};
use crate::deliveries::{Deliveries, Pending};
use crate::handover::{self, Handover, Waiting};
use crate::headers::HeaderWriter;
use crate::lent::{Lender, TopicHandle};
use crate::oversize::Alone;
use crate::partition::partition;
use crate::publications::Publication;
use crate::sink::Stop;
use crate::status::StatusCell;
use crate::transaction::{Closing, Transactions};
use crate::transaction_ends::TransactionEnds;
use crate::{KafkaError, client};

/// Waiting for delivery reports, when nothing else can be done.
const REPORT_PAUSE: Duration = Duration::from_micros(200);
/// The same when many messages are waited for: each look costs as much as to encode several.
const LONG_PAUSE: Duration = Duration::from_millis(1);
/// Pauses before they become long.
const SHORT_PAUSES: u32 = 4;
/// Pauses after which what the client holds back is sent. A partition whose share is less than a
/// request waits for more, which does not come while this waits.
const PAUSES: u32 = 16;
/// Waiting for the reports that name what a fatal error left unnamed.
const FATAL_WAIT: Duration = Duration::from_millis(200);

/// Why sending is broken off.
pub(crate) enum Break {
    Error(KafkaError),
    /// The client refused a message at once.
    Failed(Failure),
    /// [`Flight::broken`] says why.
    Broken,
    /// The producer has to be replaced, for its last commit may have been asked for twice.
    Replace,
}

impl From<KafkaError> for Break {
    fn from(error: KafkaError) -> Break {
        Break::Error(error)
    }
}

impl From<EncodeError> for Break {
    fn from(error: EncodeError) -> Break {
        Break::Error(error.into())
    }
}

/// A topic that can be written.
pub(crate) struct Target {
    pub(crate) topic: Arc<str>,
    pub(crate) handle: TopicHandle,
    /// The stream of which it is the topic.
    pub(crate) stream: Arc<str>,
    pub(crate) partitions: i32,
    /// Partitions on which this producer has had a message acknowledged. A broker takes any first
    /// number from a producer that it does not know, so what follows a refused first message would
    /// not be refused with it: the first one is waited for.
    pub(crate) known: Box<[AtomicBool]>,
    /// A larger message may be refused and is sent alone.
    pub(crate) message_bytes: usize,
}

/// A producer and what is on its way.
pub(crate) struct Flight<'p> {
    pub(crate) producer: Arc<BaseProducer<SinkContext>>,
    /// With exactly-once delivery.
    pub(crate) transactions: Option<Transactions>,
    /// The last transaction that was committed, until it is taken into account.
    pub(crate) committed: Option<Closing>,
    /// Told to stop: only the deadline of that breaks off what goes on.
    pub(crate) is_draining: bool,
    pub(crate) deliveries: Deliveries,
    pub(crate) pending: Arc<Pending>,
    pub(crate) status: &'p StatusCell,
    pub(crate) stop: &'p Stop,
    pub(crate) one_by_one: bool,
    /// By stream: index of its topic.
    pub(crate) indexes: HashMap<u32, usize>,
    pub(crate) targets: Vec<Target>,
    /// Index of the topic that tells of transactions, once it can be written.
    pub(crate) transaction_target: Option<usize>,
    pub(crate) handover: Handover,
    /// Messages of the last hand-over.
    pub(crate) handed_over: i32,
    pub(crate) source: Option<Arc<offtake_proto::v1::SourcePosition>>,
    pub(crate) headers: HeaderWriter,
    /// What they tell of the ends of transactions.
    pub(crate) ends: TransactionEnds,
    /// Pieces of a group that is held until it is whole.
    pub(crate) held: ReadGroup,
    /// The message that is on its way alone, or was refused so.
    pub(crate) alone: Option<Alone>,
    /// For text that decides a partition.
    pub(crate) text: Vec<u8>,
}

/// Why a producer is not to be used further.
pub(crate) enum Broken {
    Stopped,
    Failed(Failure),
}

impl Flight<'_> {
    /// The group as it is to be sent: the piece itself, or, where headers or a topic (`is_told`) tell
    /// the end of transactions, the whole group once it is there. Its ends are told with its last piece, and a
    /// group has a MiB or two.
    pub(crate) fn whole_group(&mut self, mut piece: ReadGroup, is_told: bool) -> Option<ReadGroup> {
        if !is_told && !self.headers.tells_ends() {
            return Some(piece);
        }
        if self.held.runs.is_empty() && self.held.controls.is_empty() && piece.ends_group {
            return Some(piece);
        }
        self.held.controls.append(&mut piece.controls);
        self.held.runs.append(&mut piece.runs);
        self.held.last_sequence = piece.last_sequence;
        self.held.ends_group = piece.ends_group;
        piece.ends_group.then(|| std::mem::take(&mut self.held))
    }

    /// Why this producer is not to be used further.
    pub(crate) fn broken(&self) -> Option<Broken> {
        let stopped = if self.is_draining { self.stop.is_overdue() } else { self.stop.is_asked() };
        if stopped {
            return Some(Broken::Stopped);
        }
        if let Some(failure) = self.producer.context().failure() {
            return Some(Broken::Failed(failure));
        }
        let (code, _) = self.producer.client().fatal_error()?;
        // The reports of the messages that it failed say more than the fatal error does.
        self.producer.poll(FATAL_WAIT);
        let unnamed = || Failure { code, topic: String::new() };
        Some(Broken::Failed(self.producer.context().failure().unwrap_or_else(unnamed)))
    }

    /// Takes reports, and waits a little.
    ///
    /// Not by the library's wait: given so short a time it looks again and again instead.
    pub(crate) fn pause(&self) {
        self.producer.poll(Duration::ZERO);
        std::thread::sleep(REPORT_PAUSE);
    }

    /// Has the client send what it holds. Takes a millisecond.
    pub(crate) fn flush(&self) {
        client::flush(&self.producer);
    }

    /// Nothing more comes for the moment: hands over what waits, if nothing is on its way.
    /// `false`: something is.
    pub(crate) fn hand_over_rest(&mut self) -> Result<bool, Break> {
        let closing = self.transactions.as_ref().is_some_and(Transactions::is_closing);
        if closing || self.handover.is_empty() || self.producer.in_flight_count() > 0 {
            return Ok(false);
        }
        self.hand_over()?;
        self.flush();
        Ok(true)
    }

    /// Takes one message, handing over those before it when they are enough. `index`: its place
    /// among the messages of the change; `by`: the columns that decide its partition.
    pub(crate) fn take(
        &mut self,
        target: usize,
        change: &ChangeView<'_>,
        message: &Message<'_>,
        index: u32,
        publication: &Publication,
    ) -> Result<(), Break> {
        let partitions = self.targets[target].partitions;
        let by = publication.partition_by.as_ref();
        let partition = partition(change, message, partitions, by, &mut self.text)?;
        let context = publication.plan.context_headers();
        let headers = self.headers.write(change, message, index, context)?;
        let bytes = handover::size(message) + headers.bytes;
        let may_be_refused = bytes > self.targets[target].message_bytes;
        if may_be_refused || self.is_full(target, partition, message) {
            self.hand_over()?;
        }
        if may_be_refused {
            self.flush();
            self.wait_for_reports(0)?;
        }
        let group = self.deliveries.next_group();
        let timestamp = change.processed_unix_ns.div_euclid(1_000_000).max(0);
        self.handover.push(target, partition, group, timestamp, message, headers.headers);
        // The group is not done before its report.
        self.pending.sent(group);
        if let Some(transactions) = &mut self.transactions {
            transactions.took(bytes);
        }
        if may_be_refused {
            let Target { topic, stream, .. } = &self.targets[target];
            let (topic, stream) = (Arc::clone(topic), Arc::clone(stream));
            let sequence = change.sequence;
            self.alone = Some(Alone { sequence, index, bytes, topic, stream });
            self.hand_over()?;
            self.flush();
            self.wait_for_reports(0)?;
            self.alone = None;
        }
        Ok(())
    }

    /// Whether what waits is to be handed over before that message. While nothing can be sent anyway
    /// more than a request is taken together for a partition: the time of a commit is used to encode.
    pub(crate) fn is_full(&self, target: usize, partition: i32, message: &Message<'_>) -> bool {
        self.handover.is_full(message)
            || (self.handover.fills_request(target, partition, message) && !self.is_held_up())
    }

    /// Nothing can be sent: a commit is under way, or nothing of the transaction that has begun after
    /// it is acknowledged, for which the brokers first end the one before.
    fn is_held_up(&self) -> bool {
        let Some(transactions) = &self.transactions else { return false };
        let waiting = usize::try_from(self.producer.in_flight_count()).unwrap_or_default();
        transactions.is_closing() || (waiting > 0 && transactions.all_on_their_way(waiting))
    }

    /// Hands everything that waits to the client, once no more than the last hand-over is on its
    /// way. What breaks off in the middle, a stop for example, is gone on with by the next call.
    pub(crate) fn hand_over(&mut self) -> Result<(), Break> {
        self.enter()?;
        if self.handover.loan.is_none() {
            self.wait_for_reports(self.handed_over)?;
            self.handover.sort();
        }
        let mut handover = std::mem::take(&mut self.handover);
        let handed_over = self.hand_over_messages(&mut handover);
        self.handover = handover;
        handed_over?;
        let messages = self.handover.messages.len();
        self.status.sent.fetch_add(messages as u64, Ordering::Relaxed);
        self.status.bytes.fetch_add(self.handover.message_bytes(), Ordering::Relaxed);
        if let Some(transactions) = &mut self.transactions {
            transactions.handed_over(messages);
        }
        self.handed_over = i32::try_from(messages).unwrap_or(i32::MAX);
        self.handover.clear();
        Ok(())
    }

    fn hand_over_messages(&self, handover: &mut Handover) -> Result<(), Break> {
        let loan = match handover.loan {
            Some(loan) => loan,
            None => self.exchange(&mut handover.bytes)?,
        };
        handover.loan = Some(loan);
        let lender = Lender::new(&self.producer, loan);
        while let Some(waiting) = handover.messages.get_mut(handover.sent) {
            self.send(&lender, waiting)?;
            handover.sent += 1;
            self.sent(waiting)?;
        }
        Ok(())
    }

    /// Puts memory where the client may read it, and gets memory that it reads no more.
    fn exchange(&self, memory: &mut Vec<u8>) -> Result<usize, Break> {
        loop {
            if let Some(loan) = self.producer.context().loans.exchange(memory) {
                return Ok(loan);
            }
            self.pause();
            if self.broken().is_some() {
                return Err(Break::Broken);
            }
        }
    }

    /// Gives one message to the client, waiting while its queue is full.
    fn send(&self, lender: &Lender<'_>, waiting: &mut Waiting) -> Result<(), Break> {
        let target = &self.targets[waiting.target];
        crash_point("kafka.before_send");
        loop {
            let sent = match waiting.headers.take() {
                None => lender.send(&target.handle, &waiting.message),
                Some(headers) => self.send_copy(lender, &target.topic, waiting, headers),
            };
            let Err(code) = sent else { break };
            match code {
                // Nothing is queued, so it will never fit.
                RDKafkaErrorCode::QueueFull if self.producer.in_flight_count() == 0 => {
                    let code = RDKafkaErrorCode::MessageSizeTooLarge;
                    return Err(Break::Failed(Failure { code, topic: target.topic.to_string() }));
                }
                RDKafkaErrorCode::QueueFull => {
                    self.pause();
                    if self.broken().is_some() {
                        return Err(Break::Broken);
                    }
                }
                RDKafkaErrorCode::Fatal | RDKafkaErrorCode::GaplessGuarantee => {
                    return Err(Break::Broken);
                }
                code => {
                    return Err(Break::Failed(Failure { code, topic: target.topic.to_string() }));
                }
            }
        }
        crash_point("kafka.after_send");
        Ok(())
    }

    /// Gives a message with headers to the client; they stay with the message where it is not taken.
    fn send_copy(
        &self,
        lender: &Lender<'_>,
        topic: &str,
        waiting: &mut Waiting,
        headers: OwnedHeaders,
    ) -> Result<(), RDKafkaErrorCode> {
        let message = &waiting.message;
        let tag = lender.lend(message.group);
        let sent = self.producer.send(BaseRecord {
            topic,
            partition: Some(message.partition),
            payload: lender.bytes(&message.value),
            key: lender.bytes(&message.key),
            timestamp: Some(message.timestamp),
            headers: Some(headers),
            delivery_opaque: tag.number(),
        });
        sent.map_err(|(error, record)| {
            lender.not_taken(tag);
            waiting.headers = record.headers;
            error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)
        })
    }

    /// A message is on its way: the first one to a partition is waited for.
    fn sent(&self, waiting: &Waiting) -> Result<(), Break> {
        if self.transactions.is_some() {
            // A refused message refuses the whole transaction.
            return Ok(());
        }
        let known = &self.targets[waiting.target].known;
        match usize::try_from(waiting.message.partition)
            .ok()
            .and_then(|partition| known.get(partition))
        {
            Some(known) if !known.load(Ordering::Relaxed) => {
                self.flush();
                self.wait_for_reports(0)?;
                known.store(true, Ordering::Relaxed);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Waits until no more than so many messages are on their way.
    fn wait_for_reports(&self, messages: i32) -> Result<(), Break> {
        let mut pauses = 0;
        while self.producer.in_flight_count() > messages {
            pauses += 1;
            if pauses % PAUSES == 0 {
                self.flush();
            }
            let is_short = pauses <= SHORT_PAUSES;
            self.producer.poll(Duration::ZERO);
            std::thread::sleep(if is_short { REPORT_PAUSE } else { LONG_PAUSE });
            if self.broken().is_some() {
                return Err(Break::Broken);
            }
        }
        // The last report may have been a refusal.
        if self.broken().is_some() { Err(Break::Broken) } else { Ok(()) }
    }
}
