//! The cursor in Kafka: a record of a compacted topic, written as the last record of every
//! transaction, so that it is visible exactly when the data of the transaction is.
//!
//! The record's key is `PIPELINE/kafka`, its value the same `SinkCursor` that the cursor's file
//! holds, and a header names the process that wrote it. The partition follows from the key. One
//! record a transaction makes a long topic until it is compacted, so it is read from near its end.

use std::time::{Duration, Instant};

use offtake_encode::partition_of;
use offtake_proto::v1;
use prost::Message as _;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::admin::REQUEST_TIMEOUT;
use crate::context::QuietContext;
use crate::cursor::{FORMAT, SINK};
use crate::topics::{self, Look};
use crate::{KafkaError, KafkaOptions, client};

/// Partitions of a new cursor topic. Pipelines that share one wait for each other's transactions
/// when they start, and for nothing else.
const PARTITIONS: i32 = 16;
/// Size at which a file of the topic is closed, and then compacted: what is read at most.
const SEGMENT_BYTES: &str = "16777216";
/// Records from the end among which ours is looked for first.
const FIRST_WINDOW: i64 = 256;
/// How much further each time that it is not found.
const WINDOW_GROWTH: i64 = 16;
/// Longest wait for the next record while the end is not reached.
const READ_PATIENCE: Duration = Duration::from_secs(10);
/// Header of a cursor inside a snapshot.
const SNAPSHOT: &str = "offtake.snapshot";
/// Header that names the process.
const INSTANCE: &str = "offtake.instance";

/// What a step came to: done, or why it has to be taken again.
pub(crate) type Step<T> = Result<Result<T, String>, KafkaError>;

/// The record, as it was last committed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Published {
    pub(crate) record: v1::SinkCursor,
    /// The process that wrote it.
    pub(crate) instance: String,
    /// A table was being copied there: the source's place alone does not say what is missing.
    pub(crate) is_in_snapshot: bool,
}

/// Where the record lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) key: String,
}

/// Finds, makes and reads the topic. Holds its clients, so drop it when it has been read.
pub(crate) struct CursorTopic<'o> {
    options: &'o KafkaOptions,
    key: String,
    /// Sees the end of open transactions too.
    inspector: BaseConsumer<QuietContext>,
    reader: BaseConsumer<QuietContext>,
    refused_since: Option<Instant>,
    /// By partition: everything before must be decided before it is read.
    ends: Vec<Option<i64>>,
    /// Transactions that are open are waited for.
    is_patient: bool,
}

impl<'o> CursorTopic<'o> {
    pub(crate) fn new(options: &'o KafkaOptions) -> Result<CursorTopic<'o>, KafkaError> {
        let mut config = client::base(options);
        config
            .set("group.id", options.transactional_id())
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "50")
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", "read_committed");
        let reader = client::asking(options, &config)?;
        config.set("isolation.level", "read_uncommitted");
        let inspector = client::asking(options, &config)?;
        Ok(CursorTopic {
            options,
            key: key(options),
            inspector,
            reader,
            refused_since: None,
            ends: Vec::new(),
            is_patient: false,
        })
    }

    fn topic(&self) -> &'o str {
        &self.options.delivery.cursor_topic
    }

    /// Where this pipeline's record lies, making the topic where it is missing: it is the gateway's
    /// own, whatever is said of topics for data.
    pub(crate) fn find_or_create(&mut self) -> Step<Place> {
        crate::topic_names::check(self.topic())?;
        match topics::look(&self.inspector, self.topic())? {
            Look::Ready(found) => Ok(Ok(self.place(found.partitions))),
            Look::NotYet(reason) => Ok(Err(reason)),
            Look::Missing => self.create(),
        }
    }

    /// The same, but `None` where there is no such topic, or none that this user may see.
    pub(crate) fn find(&mut self) -> Step<Option<Place>> {
        match topics::look(&self.inspector, self.topic()) {
            Ok(Look::Ready(found)) => Ok(Ok(Some(self.place(found.partitions)))),
            Ok(Look::NotYet(reason)) => Ok(Err(reason)),
            Ok(Look::Missing) | Err(KafkaError::TopicDenied { .. }) => Ok(Ok(None)),
            Err(error) => Err(error),
        }
    }

    fn place(&mut self, partitions: i32) -> Place {
        self.ends.resize(usize::try_from(partitions).unwrap_or_default(), None);
        Place {
            topic: self.topic().to_owned(),
            partition: partition_of(self.key.as_bytes(), partitions),
            key: self.key.clone(),
        }
    }

    fn create(&mut self) -> Step<Place> {
        let admin = client::admin(self.options)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(KafkaError::Thread)?;
        let replication = TopicReplication::Fixed(self.options.topics.replication);
        let wanted = NewTopic::new(self.topic(), PARTITIONS, replication)
            .set("cleanup.policy", "compact")
            .set("segment.bytes", SEGMENT_BYTES)
            .set("unclean.leader.election.enable", "false");
        let admin_options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(REQUEST_TIMEOUT));
        let answer = runtime.block_on(admin.create_topics([&wanted], &admin_options));
        let code = match answer {
            Ok(results) => match results.into_iter().next() {
                Some(Ok(_)) | Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {
                    return Ok(Err(format!("topic {} is being created", self.topic())));
                }
                Some(Err((_, code))) => code,
                None => RDKafkaErrorCode::Unknown,
            },
            Err(error) => error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
        };
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        let topic = self.topic().to_owned();
        if topics::passes(code) || topics::may_pass_still(code, since) {
            return Ok(Err(format!("topic {topic} cannot be created yet: {code}")));
        }
        Err(KafkaError::TopicCreate { topic, reason: code.to_string() })
    }

    /// From now on [`CursorTopic::read`] waits for every transaction that is open now. Before, it
    /// gives what is committed: who left one open is still to be shut out.
    pub(crate) fn wait_for_open_transactions(&mut self) {
        self.is_patient = true;
        self.ends.fill(None);
    }

    /// The last committed record of this pipeline: of the partition that its key belongs to, or,
    /// where that has none, of any other, for the topic may have got more partitions since.
    ///
    pub(crate) fn read(&mut self, place: &Place) -> Step<Option<Published>> {
        match self.read_partition(place.partition)? {
            Ok(None) => {}
            Ok(Some(found)) => return Ok(Ok(found)),
            Err(reason) => return Ok(Err(reason)),
        }
        let mut last: Option<Published> = None;
        for partition in 0..i32::try_from(self.ends.len()).unwrap_or(i32::MAX) {
            if partition == place.partition {
                continue;
            }
            let found = match self.read_partition(partition)? {
                Ok(found) => found.flatten(),
                Err(reason) => return Ok(Err(reason)),
            };
            let generation = |found: &Option<Published>| {
                found.as_ref().map(|published| published.record.generation)
            };
            if generation(&found) > generation(&last) {
                last = found;
            }
        }
        Ok(Ok(last))
    }

    /// Whether something is written there that is neither committed nor aborted, as far as the last
    /// look told.
    pub(crate) fn has_open_transaction(&self, place: &Place) -> bool {
        let at = usize::try_from(place.partition).unwrap_or_default();
        let end = self.ends.get(at).copied().flatten();
        let decided = self
            .reader
            .fetch_watermarks(&place.topic, place.partition, REQUEST_TIMEOUT)
            .map(|(_, decided)| decided);
        matches!((end, decided), (Some(end), Ok(decided)) if decided < end)
    }

    /// The last record in a partition, and in it `None` where that is a tombstone.
    fn read_partition(&mut self, partition: i32) -> Step<Option<Option<Published>>> {
        let topic = self.topic();
        let at = usize::try_from(partition).unwrap_or_default();
        let watermarks = |client: &BaseConsumer<QuietContext>| {
            client
                .fetch_watermarks(topic, partition, REQUEST_TIMEOUT)
                .map_err(|error| format!("topic {topic} cannot be read: {error}"))
        };
        let end = match self.ends.get(at).copied().flatten() {
            Some(end) => end,
            None => match watermarks(&self.inspector) {
                Ok((_, end)) => end,
                Err(reason) => return Ok(Err(reason)),
            },
        };
        if let Some(known) = self.ends.get_mut(at) {
            *known = Some(end);
        }
        let (first, decided) = match watermarks(&self.reader) {
            Ok(watermarks) => watermarks,
            Err(reason) => return Ok(Err(reason)),
        };
        if self.is_patient && decided < end {
            return Ok(Err(format!("a transaction is open in topic {topic}, waiting for its end")));
        }
        if first >= decided {
            return Ok(Ok(None));
        }
        let mut window = FIRST_WINDOW;
        loop {
            let from = decided.saturating_sub(window).max(first);
            match self.scan(partition, from)? {
                Ok(None) if from > first => window = window.saturating_mul(WINDOW_GROWTH),
                found => return Ok(found),
            }
        }
    }

    /// The last record of our key from an offset on.
    fn scan(&self, partition: i32, from: i64) -> Step<Option<Option<Published>>> {
        let mut assignment = TopicPartitionList::new();
        let added = assignment.add_partition_offset(self.topic(), partition, Offset::Offset(from));
        if let Err(error) = added.and_then(|()| self.reader.assign(&assignment)) {
            return Ok(Err(format!("topic {} cannot be read: {error}", self.topic())));
        }
        let mut last = None;
        let mut heard = Instant::now();
        while heard.elapsed() < READ_PATIENCE {
            let message = match self.reader.poll(Duration::from_millis(100)) {
                None => continue,
                Some(Err(ClientError::PartitionEOF(at))) if at == partition => {
                    return last.transpose().map(Ok);
                }
                Some(Err(error)) => match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                        return Err(KafkaError::TopicDenied { topic: self.topic().to_owned() });
                    }
                    // It passes, was of an outage that is over, or is of the group, which is only a
                    // name here. A record that is missing is missed by the wait.
                    _ => continue,
                },
                Some(Ok(message)) => message,
            };
            heard = Instant::now();
            if message.key() == Some(self.key.as_bytes()) {
                // One that cannot be used is no matter once another stands after it.
                last = Some(self.decode(&message));
            }
        }
        Ok(Err(format!("topic {} is not read to its end in time", self.topic())))
    }

    /// A record; `None`: a tombstone, which stands for a pipeline that begins anew.
    fn decode(&self, message: &impl Message) -> Result<Option<Published>, KafkaError> {
        let Some(value) = message.payload() else { return Ok(None) };
        let refused = |reason: &str| KafkaError::CursorRecord {
            topic: self.topic().to_owned(),
            key: self.key.clone(),
            reason: reason.to_owned(),
        };
        let record = v1::SinkCursor::decode(value).map_err(|_| refused("it cannot be read"))?;
        if record.format > FORMAT {
            return Err(refused("it was written by a later version"));
        }
        let header = |name| {
            let headers = message.headers()?;
            let header = headers.iter().find(|header| header.key == name)?;
            std::str::from_utf8(header.value?).ok().map(str::to_owned)
        };
        Ok(Some(Published {
            record,
            instance: header(INSTANCE).unwrap_or_default(),
            is_in_snapshot: header(SNAPSHOT).is_some(),
        }))
    }
}

/// Key of this pipeline's record.
fn key(options: &KafkaOptions) -> String {
    format!("{}/{SINK}", options.pipeline)
}

/// Headers of a record that this process writes.
pub(crate) fn headers(instance: &str, is_in_snapshot: bool) -> OwnedHeaders {
    let headers = OwnedHeaders::new().insert(Header { key: INSTANCE, value: Some(instance) });
    match is_in_snapshot {
        true => headers.insert(Header { key: SNAPSHOT, value: Some("unfinished") }),
        false => headers,
    }
}
