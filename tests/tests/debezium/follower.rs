//! Topics of the gateways, followed by one consumer as they appear and grow.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use offtake_tests::kafka::Kafka;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::compare::Record;

/// How often new topics are looked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The last look has to succeed within this time.
const REST_PATIENCE: Duration = Duration::from_secs(60);

/// A consumer of all topics that have a word in their names.
pub(crate) struct Follower {
    consumer: BaseConsumer,
    word: String,
    assigned: BTreeSet<(String, i32)>,
    looked: Option<Instant>,
    /// Records by topic and partition.
    pub(crate) topics: BTreeMap<(String, i32), Vec<Record>>,
}

impl Follower {
    /// Follows the topics of `word`.
    pub(crate) fn new(kafka: &Kafka, word: &str) -> Result<Follower> {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", kafka.brokers())
            .set("group.id", "not-used")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "50")
            .set("log_level", "0")
            .create()?;
        Ok(Follower {
            consumer,
            word: word.to_owned(),
            assigned: BTreeSet::new(),
            looked: None,
            topics: BTreeMap::new(),
        })
    }

    /// Takes what is there, for at most the given time once nothing is.
    pub(crate) fn poll(&mut self, patience: Duration) -> Result<()> {
        if self.looked.is_none_or(|looked| looked.elapsed() > LOOK_INTERVAL) && self.look()? {
            self.looked = Some(Instant::now());
        }
        while let Some(message) = self.consumer.poll(patience) {
            let message = match message {
                // Brokers that are busy break a connection off now and then; the client makes it anew,
                // and whoever waits in vain for a record says so.
                Err(error) if is_transient(&error) => continue,
                message => message?,
            };
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
            let mut headers = Vec::new();
            for header in message.headers().iter().flat_map(|headers| headers.iter()) {
                headers.push((header.key.to_owned(), header.value.map(text).transpose()?));
            }
            let record = Record {
                key: message.key().map(text).transpose()?,
                value: message.payload().map(text).transpose()?,
                headers,
            };
            let place = (message.topic().to_owned(), message.partition());
            self.topics.entry(place).or_default().push(record);
        }
        Ok(())
    }

    /// Takes what is left at the end, of topics too that came after the last look for them: until
    /// nothing has come for the given time.
    pub(crate) fn poll_rest(&mut self, silence: Duration) -> Result<()> {
        let deadline = Instant::now() + REST_PATIENCE;
        while !self.look()? {
            ensure!(Instant::now() < deadline, "no broker tells of its topics");
        }
        self.poll(silence)
    }

    /// `false`: brokers that are busy did not answer in time.
    fn look(&mut self) -> Result<bool> {
        let metadata = match self.consumer.fetch_metadata(None, REQUEST_TIMEOUT) {
            Err(error) if is_transient(&error) => return Ok(false),
            metadata => metadata?,
        };
        let mut new = TopicPartitionList::new();
        for topic in metadata.topics().iter().filter(|topic| topic.name().contains(&self.word)) {
            for partition in topic.partitions() {
                let place = (topic.name().to_owned(), partition.id());
                if self.assigned.insert(place) {
                    new.add_partition_offset(topic.name(), partition.id(), Offset::Beginning)?;
                }
            }
        }
        if new.count() > 0 {
            self.consumer.incremental_assign(&new)?;
        }
        Ok(true)
    }
}

fn is_transient(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut};
    matches!(
        error.rdkafka_error_code(),
        Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut)
    )
}
