//! What the harness itself asks of brokers: topics, their configuration, their records. All by the
//! plain listener. Nothing here starts or stops a broker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::node::START_DEADLINE;

/// How long one request of the harness' own clients may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

static PREFIXES: AtomicU32 = AtomicU32::new(0);

/// Brokers by address.
#[derive(Clone, Debug)]
pub struct Clients {
    brokers: String,
}

/// A record as a consumer got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; `None`: a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Clients {
    pub(super) fn new(brokers: String) -> Clients {
        Clients { brokers }
    }

    /// `host:port`, as clients want it, with commas between several.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// A prefix for topics that nobody else uses: `hint`, the process and a number.
    pub fn prefix(&self, hint: &str) -> String {
        let number = PREFIXES.fetch_add(1, Ordering::Relaxed);
        format!("{hint}-{}-{number}", std::process::id())
    }

    /// Creates a topic with the cluster's default of replicas.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: i32,
        config: &[(&str, &str)],
    ) -> Result<()> {
        self.create_replicated(topic, partitions, -1, config)
    }

    /// Creates a topic with so many replicas.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn create_replicated(
        &self,
        topic: &str,
        partitions: i32,
        replicas: i32,
        config: &[(&str, &str)],
    ) -> Result<()> {
        let mut wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
        for (name, value) in config {
            wanted = wanted.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        let answer = runtime()?.block_on(self.admin()?.create_topics([&wanted], &options))?;
        for result in answer {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        let options = AdminOptions::new().operation_timeout(Some(REQUEST_TIMEOUT));
        let answer = runtime()?.block_on(self.admin()?.delete_topics(&[topic], &options))?;
        for result in answer {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }

    /// Changes one entry of a topic's configuration; the others go back to their defaults.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn set_topic_config(&self, topic: &str, name: &str, value: &str) -> Result<()> {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
        let admin = self.admin()?;
        let answer = runtime()?.block_on(admin.alter_configs([&change], &AdminOptions::new()))?;
        for result in answer {
            result.map_err(|(_, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
        Ok(())
    }

    /// A topic's configuration, by name.
    ///
    /// # Errors
    /// There is no such topic, or the broker does not answer.
    pub fn topic_config(&self, topic: &str) -> Result<BTreeMap<String, String>> {
        let resource = ResourceSpecifier::Topic(topic);
        let answer = runtime()?
            .block_on(self.admin()?.describe_configs([&resource], &AdminOptions::new()))?;
        let found = answer.into_iter().next().context("no answer")??;
        Ok(found.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Number of a topic's partitions; 0: there is no such topic.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn partitions(&self, topic: &str) -> Result<usize> {
        let metadata = self.consumer(&[])?.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        Ok(metadata
            .topics()
            .iter()
            .find(|found| found.name() == topic && found.error().is_none())
            .map_or(0, |found| found.partitions().len()))
    }

    /// Names of all topics that begin with a prefix, in order.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn topics(&self, prefix: &str) -> Result<Vec<String>> {
        let metadata = self.consumer(&[])?.fetch_metadata(None, REQUEST_TIMEOUT)?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        Ok(names)
    }

    /// All records of a topic up to its end of now, each partition in order; none where there is
    /// no such topic. Records of aborted transactions are among them.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn read(&self, topic: &str) -> Result<Vec<Record>> {
        self.read_as(topic, "read_uncommitted")
    }

    /// As [`Clients::read`], without the records of transactions that are open or aborted.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn read_committed(&self, topic: &str) -> Result<Vec<Record>> {
        self.read_as(topic, "read_committed")
    }

    fn read_as(&self, topic: &str, isolation: &str) -> Result<Vec<Record>> {
        let consumer =
            self.consumer(&[("isolation.level", isolation), ("enable.partition.eof", "true")])?;
        let mut assignment = TopicPartitionList::new();
        let mut ends = BTreeMap::new();
        for partition in 0..i32::try_from(self.partitions(topic)?)? {
            let (low, high) = consumer.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
            if high > low {
                assignment.add_partition_offset(topic, partition, Offset::Beginning)?;
                ends.insert(partition, high);
            }
        }
        let mut records = Vec::new();
        if ends.is_empty() {
            return Ok(records);
        }
        consumer.assign(&assignment)?;
        let deadline = Instant::now() + START_DEADLINE;
        while !ends.is_empty() {
            ensure!(Instant::now() < deadline, "topic {topic} cannot be read to its end");
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = match message {
                Ok(message) => message,
                // Markers of transactions end a partition without a record of their own.
                Err(rdkafka::error::KafkaError::PartitionEOF(partition)) => {
                    ends.remove(&partition);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let (partition, offset) = (message.partition(), message.offset());
            let Some(&end) = ends.get(&partition) else { continue };
            records.push(record(&message));
            if offset + 1 >= end {
                ends.remove(&partition);
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    /// Reads a topic, without what is open or aborted, until `enough`, or fails with what there is.
    ///
    /// # Errors
    /// The deadline passed.
    pub fn read_until(
        &self,
        topic: &str,
        deadline: Duration,
        enough: impl Fn(&[Record]) -> bool,
    ) -> Result<Vec<Record>> {
        let until = Instant::now() + deadline;
        loop {
            let records = self.read_committed(topic).unwrap_or_default();
            if enough(&records) {
                return Ok(records);
            }
            ensure!(
                Instant::now() < until,
                "topic {topic} has {} records after {deadline:?}",
                records.len()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn consumer(&self, settings: &[(&str, &str)]) -> Result<BaseConsumer> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", "offtake-tests")
            .set("enable.auto.commit", "false")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "200")
            .set("fetch.wait.max.ms", "50")
            .set("log_level", "0");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        Ok(config.create()?)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("log_level", "0")
            .create()?)
    }
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
