//! What Kafka knows of a pipeline whose log is gone, and how that is used or forgotten.
//!
//! A log folder that is lost is gone on from at the cursor in Kafka: a new log begins after its
//! sequence, the source at its place. The new log has an id of its own, so the cursor's file says of
//! it, under a later generation, what the topic says of the lost one: a sink that finds both goes on.
//! Where a person starts over instead, the cursor is removed from the topic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_log::CursorFile;
use offtake_proto::v1;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::client::{self, Kind};
use crate::committer::{Call, Committer};
use crate::context::{CURSOR_RECORD, SinkContext};
use crate::cursor_topic::{self, CursorTopic, Place, Published, Step};
use crate::deliveries::Pending;
use crate::status::StatusCell;
use crate::topics::passes;
use crate::transaction::failure;
use crate::{KafkaError, KafkaOptions};

/// Between two looks whether a call has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// A pipeline's cursor in Kafka.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedCursor {
    record: v1::SinkCursor,
    is_in_snapshot: bool,
}

impl PublishedCursor {
    /// Everything up to here is published.
    pub fn sequence(&self) -> u64 {
        self.record.sequence
    }

    /// The source's place there; `None`: the source had not begun.
    pub fn position(&self) -> Option<&v1::SourcePosition> {
        self.record.source.as_ref()
    }

    /// Whether a table was being copied there, so that the place alone does not tell what is missing.
    pub fn is_in_snapshot(&self) -> bool {
        self.is_in_snapshot
    }

    /// Says in the cursor's file that the log of that id goes on from here. Its folder exists.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn adopt(&self, options: &KafkaOptions, log_id: [u8; 16]) -> Result<(), KafkaError> {
        let record = v1::SinkCursor {
            log_id: log_id.to_vec().into(),
            generation: self.record.generation + 1,
            ..self.record.clone()
        };
        CursorFile::new(&options.cursor_path).store(&record).map_err(KafkaError::CursorFile)
    }
}

/// The pipeline's cursor in Kafka, `None` where there is none.
///
/// # Errors
/// No broker answers in that time, or what a person must decide.
pub fn published_cursor(
    options: &KafkaOptions,
    patience: Duration,
) -> Result<Option<PublishedCursor>, KafkaError> {
    options.check()?;
    let deadline = Instant::now() + patience;
    let mut topic = CursorTopic::new(options)?;
    let published = find(&mut topic, deadline)?.and_then(|(_, published)| published);
    Ok(published.map(|published| PublishedCursor {
        record: published.record,
        is_in_snapshot: published.is_in_snapshot,
    }))
}

/// Removes the pipeline's cursor from Kafka, after shutting out whoever still writes it. `false`: there
/// was none.
///
/// # Errors
/// No broker answers in that time, or it does not allow it.
pub fn forget_cursor(options: &KafkaOptions, patience: Duration) -> Result<bool, KafkaError> {
    options.check()?;
    let deadline = Instant::now() + patience;
    let mut topic = CursorTopic::new(options)?;
    let Some((place, Some(_))) = find(&mut topic, deadline)? else { return Ok(false) };
    let context = SinkContext::new(Arc::new(Pending::new()), Arc::new(StatusCell::silent()));
    let kind = Kind { one_by_one: false, transactional: true };
    let producer = Arc::new(client::producer(options, context, kind)?);
    let committer = Committer::start(Arc::clone(&producer))?;
    let refused = |error: &rdkafka::error::KafkaError| {
        let code = failure(error).code;
        match code {
            rdkafka::error::RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
                KafkaError::TransactionsDenied { id: options.transactional_id() }
            }
            code if passes(code) => KafkaError::Unreachable { reason: code.to_string() },
            code => KafkaError::Client(code.to_string()),
        }
    };
    finish(&producer, &committer, Call::Init, deadline)
        .map_err(|error| refused_or_late(error, &refused))?;
    producer.begin_transaction().map_err(|error| refused(&error))?;
    let tombstone: BaseRecord<'_, [u8], [u8], usize> = BaseRecord {
        topic: &place.topic,
        partition: Some(place.partition),
        payload: None,
        key: Some(place.key.as_bytes()),
        timestamp: None,
        headers: Some(cursor_topic::headers("", false)),
        delivery_opaque: CURSOR_RECORD,
    };
    producer.send(tombstone).map_err(|(error, _)| refused(&error))?;
    finish(&producer, &committer, Call::Commit, deadline)
        .map_err(|error| refused_or_late(error, &refused))?;
    Ok(true)
}

/// `None`: the time is over.
fn refused_or_late(
    error: Option<rdkafka::error::KafkaError>,
    refused: &impl Fn(&rdkafka::error::KafkaError) -> KafkaError,
) -> KafkaError {
    match error {
        Some(error) => refused(&error),
        None => KafkaError::Unreachable { reason: "it takes too long".to_owned() },
    }
}

fn finish(
    producer: &BaseProducer<SinkContext>,
    committer: &Committer,
    call: Call,
    deadline: Instant,
) -> Result<(), Option<rdkafka::error::KafkaError>> {
    committer.call(call);
    while Instant::now() < deadline {
        // The library asks for its token only when it is polled.
        producer.poll(Duration::ZERO);
        if let Some(answer) = committer.answer(LOOK) {
            return answer.result.map_err(Some);
        }
    }
    Err(None)
}

/// The cursor's place and what is there; `None`: there is no cursor topic.
fn find(
    topic: &mut CursorTopic<'_>,
    deadline: Instant,
) -> Result<Option<(Place, Option<Published>)>, KafkaError> {
    let Some(place) = until(deadline, || topic.find())? else { return Ok(None) };
    let published = until(deadline, || topic.read(&place))?;
    Ok(Some((place, published)))
}

fn until<T>(deadline: Instant, mut step: impl FnMut() -> Step<T>) -> Result<T, KafkaError> {
    loop {
        match step()? {
            Ok(done) => return Ok(done),
            Err(reason) if Instant::now() >= deadline => {
                return Err(KafkaError::Unreachable { reason });
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
