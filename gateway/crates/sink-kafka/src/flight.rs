//! A producer and what is on its way: handing messages over, and noticing that it must not go on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offtake_change::wire::ChangeView;
use offtake_encode::debezium::Message;
use offtake_encode::{EncodeError, partition_of};
use offtake_failpoint::crash_point;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::KafkaError;
use crate::context::{Failure, SinkContext};
use crate::deliveries::{Deliveries, Pending};
use crate::sink::Stop;
use crate::status::StatusCell;

/// Waiting for delivery reports, when nothing else can be done.
pub(crate) const REPORT_WAIT: Duration = Duration::from_millis(1);
/// Waiting for the reports that name what a fatal error left unnamed.
const FATAL_WAIT: Duration = Duration::from_millis(200);
/// Changes of a table without a key that go to one partition in a row, as a power of two.
const KEYLESS_RUN_BITS: u32 = 10;

/// Why sending is broken off.
pub(crate) enum Break {
    Error(KafkaError),
    /// The client refused a message at once.
    Failed(Failure),
    /// [`Flight::broken`] says why.
    Broken,
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
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) topic: Arc<str>,
    pub(crate) partitions: i32,
    /// Partitions on which this producer has had a message acknowledged. A broker takes any first
    /// number from a producer that it does not know, so what follows a refused first message would
    /// not be refused with it: the first one is waited for.
    pub(crate) known: Arc<[AtomicBool]>,
}

/// A producer and what is on its way.
pub(crate) struct Flight<'p> {
    pub(crate) producer: BaseProducer<SinkContext>,
    pub(crate) deliveries: Deliveries,
    pub(crate) pending: Arc<Pending>,
    pub(crate) status: &'p StatusCell,
    pub(crate) stop: &'p Stop,
    pub(crate) one_by_one: bool,
    pub(crate) targets: HashMap<u32, Target>,
    pub(crate) source: Option<Arc<offtake_proto::v1::SourcePosition>>,
}

/// Why a producer is not to be used further.
pub(crate) enum Broken {
    Stopped,
    Failed(Failure),
}

impl Flight<'_> {
    /// Why this producer is not to be used further.
    pub(crate) fn broken(&self) -> Option<Broken> {
        if self.stop.is_asked() {
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

    /// Hands one message over, waiting while the client's queue is full.
    pub(crate) fn send(
        &mut self,
        target: &Target,
        change: &ChangeView<'_>,
        message: &Message<'_>,
    ) -> Result<(), Break> {
        crash_point("kafka.before_send");
        let group = self.deliveries.next_group();
        let partition = match message.key {
            Some(key) => partition_of(key, target.partitions),
            None => keyless_partition(change.sequence, target.partitions),
        };
        let mut record = BaseRecord::<[u8], [u8], usize> {
            topic: &target.topic,
            partition: Some(partition),
            payload: message.value,
            key: message.key,
            timestamp: Some(change.processed_unix_ns.div_euclid(1_000_000).max(0)),
            headers: headers(change, message)?,
            delivery_opaque: group,
        };
        // Before it is handed over: its report must find it counted.
        self.pending.sent(group);
        loop {
            let (error, again) = match self.producer.send(record) {
                Ok(()) => break,
                Err(refused) => refused,
            };
            record = again;
            match error.rdkafka_error_code() {
                // Nothing is queued, so it will never fit.
                Some(RDKafkaErrorCode::QueueFull) if self.producer.in_flight_count() == 0 => {
                    let code = RDKafkaErrorCode::MessageSizeTooLarge;
                    return Err(Break::Failed(Failure { code, topic: target.topic.to_string() }));
                }
                Some(RDKafkaErrorCode::QueueFull) => {
                    self.producer.poll(REPORT_WAIT);
                    if self.broken().is_some() {
                        return Err(Break::Broken);
                    }
                }
                Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::GaplessGuarantee) => {
                    return Err(Break::Broken);
                }
                code => {
                    let code = code.unwrap_or(RDKafkaErrorCode::Unknown);
                    return Err(Break::Failed(Failure { code, topic: target.topic.to_string() }));
                }
            }
        }
        crash_point("kafka.after_send");
        let bytes = message.key.map_or(0, <[u8]>::len) + message.value.map_or(0, <[u8]>::len);
        self.status.sent.fetch_add(1, Ordering::Relaxed);
        self.status.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        match usize::try_from(partition).ok().and_then(|partition| target.known.get(partition)) {
            Some(known) if !known.load(Ordering::Relaxed) => self.make_known(known),
            _ => Ok(()),
        }
    }

    /// Waits until everything that is on its way is acknowledged.
    fn make_known(&self, known: &AtomicBool) -> Result<(), Break> {
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(REPORT_WAIT);
            if self.broken().is_some() {
                return Err(Break::Broken);
            }
        }
        // The last report may have been a refusal.
        if self.broken().is_some() {
            return Err(Break::Broken);
        }
        known.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Headers that plugins added, and the link between the halves of a moved key.
fn headers(
    change: &ChangeView<'_>,
    message: &Message<'_>,
) -> Result<Option<OwnedHeaders>, EncodeError> {
    let mut headers = None;
    for header in change.headers() {
        let (name, value) = header?;
        let key = std::str::from_utf8(name).unwrap_or("invalid");
        let with = headers.take().unwrap_or_else(OwnedHeaders::new);
        headers = Some(with.insert(Header { key, value: Some(value) }));
    }
    if let Some((key, value)) = message.key_change {
        let with = headers.take().unwrap_or_else(OwnedHeaders::new);
        headers = Some(with.insert(Header { key, value: Some(value) }));
    }
    Ok(headers)
}

/// Changes without a key go in runs to one partition after the other, as with Java's sticky
/// partitioner; the run follows from the sequence, so that a re-send lands where it lay.
fn keyless_partition(sequence: u64, partitions: i32) -> i32 {
    let partitions = u64::from(partitions.unsigned_abs().max(1));
    i32::try_from((sequence >> KEYLESS_RUN_BITS) % partitions).unwrap_or(0)
}
