//! Whether the topics of a pipeline hold what the database committed, each change at least once.
//!
//! Three views are compared: the messages that follow from what the gRPC subscriber received, the
//! version chains of the load's tables, and the load's own journal. What is sent again must be
//! equal to the byte and in order, see [`crate::kafka_runs`]; transactions are put together by
//! [`crate::kafka_transactions`].

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::checker::Tables;
use crate::kafka::{Clients, Record};
use crate::kafka_expected::{Expected, ends, expected};
use crate::kafka_runs::runs;
use crate::kafka_transactions;
use crate::subscriber::Received;
use crate::workload::Journal;

/// What the check counted, for the printed figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KafkaFigures {
    /// Records in all topics.
    pub records: usize,
    /// Of those, sent again.
    pub resent: usize,
    /// Times that a partition's records begin again at an earlier one.
    pub restarts: usize,
    /// Tombstones, those sent again not counted.
    pub tombstones: usize,
    /// Updates that moved a key.
    pub moved: usize,
    /// Topics.
    pub topics: usize,
    /// Source transactions that were put together again from the headers, if those were asked for.
    pub transactions: usize,
}

impl KafkaFigures {
    /// Records sent again for a hundred that had to be.
    pub fn amplification(&self) -> f64 {
        100.0 * self.resent as f64 / (self.records - self.resent).max(1) as f64
    }
}

/// A topic's records, and how many partitions it has.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name, which is the stream's.
    pub name: String,
    /// Its partitions.
    pub partitions: i32,
    /// All records, by partition and offset.
    pub records: Vec<Record>,
}

/// Reads all topics of a pipeline to their end, as a consumer of committed records does.
pub fn read_topics(kafka: &Clients, pipeline: &str) -> Result<Vec<Topic>> {
    let names = kafka.topics(&format!("{pipeline}."))?;
    let read = |name: String| {
        let partitions = i32::try_from(kafka.partitions(&name)?)?;
        Ok(Topic { partitions, records: kafka.read_committed(&name)?, name })
    };
    names.into_iter().map(read).collect()
}

/// Checks all topics of a pipeline with the load's tables against everything that the subscriber
/// received, the journal, and the tables' final content. `sessions` bounds how often the sink can
/// have gone back to its cursor; `has_headers`: each message has those of its transaction.
pub fn check(
    topics: &[Topic],
    changes: &[Received],
    journal: &Journal,
    tables: &Tables,
    sessions: usize,
    has_headers: bool,
) -> Result<KafkaFigures> {
    let ends = has_headers.then(|| ends(changes));
    let mut streams: BTreeMap<&str, Vec<&Received>> = BTreeMap::new();
    for change in changes {
        streams.entry(&change.stream).or_default().push(change);
    }
    let names: BTreeSet<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    if let Some(missing) = streams.keys().find(|stream| !names.contains(**stream)) {
        bail!("lost: there is no topic {missing}");
    }
    let mut figures = KafkaFigures { topics: topics.len(), ..KafkaFigures::default() };
    let mut replay = Replay::default();
    for topic in topics {
        let changes = streams.get(topic.name.as_str()).map_or(&[][..], Vec::as_slice);
        let messages = expected(changes, topic.partitions, ends.as_ref())?;
        check_topic(topic, &messages, sessions, &mut figures, &mut replay)
            .with_context(|| format!("topic {}", topic.name))?;
    }
    replay.finish(journal, tables)?;
    if has_headers {
        figures.transactions = kafka_transactions::check(topics, changes)?;
    }
    Ok(figures)
}

fn check_topic(
    topic: &Topic,
    messages: &[Expected<'_>],
    sessions: usize,
    figures: &mut KafkaFigures,
    replay: &mut Replay,
) -> Result<()> {
    figures.records += topic.records.len();
    figures.tombstones += messages.iter().filter(|message| message.operation.is_none()).count();
    let moves = |message: &&Expected<'_>| {
        message.headers.iter().any(|(name, _)| name == "__debezium.oldkey")
    };
    figures.moved += messages.iter().filter(moves).count();
    for partition in 0..topic.partitions {
        let due: Vec<&Expected<'_>> =
            messages.iter().filter(|message| message.partition == partition).collect();
        let records: Vec<&Record> =
            topic.records.iter().filter(|record| record.partition == partition).collect();
        let runs = runs(&due, &records).with_context(|| format!("partition {partition}"))?;
        ensure!(
            runs.restarts <= sessions,
            "partition {partition} goes back {} times, and the sink began {sessions} times",
            runs.restarts
        );
        figures.resent += runs.resent;
        figures.restarts += runs.restarts;
        for record in runs.first {
            replay.apply(record).with_context(|| {
                format!(
                    "partition {partition}, offset {}: {:?}",
                    record.offset,
                    record.value.as_deref().map(String::from_utf8_lossy)
                )
            })?;
        }
    }
    Ok(())
}

/// The load's tables as a consumer of Kafka alone builds them.
#[derive(Debug, Default)]
struct Replay {
    tables: Tables,
    journal: BTreeSet<i64>,
    /// Transactions of every change, and of the journal's rows.
    transactions: BTreeSet<i64>,
    of_the_journal: BTreeSet<i64>,
}

impl Replay {
    fn apply(&mut self, record: &Record) -> Result<()> {
        let key: Value = serde_json::from_slice(record.key.as_deref().context("no key")?)?;
        let Some(value) = &record.value else {
            let id = key["id"].as_i64().context("a tombstone without an id")?;
            ensure!(!self.tables.kv.contains_key(&id), "a tombstone of a row that is there");
            return Ok(());
        };
        let envelope: Value = serde_json::from_slice(value)?;
        let transaction = envelope["source"]["txId"].as_i64();
        self.transactions.extend(transaction);
        if envelope["op"] == "m" {
            return Ok(());
        }
        let moved = record.headers.iter().any(|(name, _)| name == "__debezium.oldkey");
        match envelope["source"]["table"].as_str() {
            Some("kv") => self.kv(&envelope, number(&key, "id")?, moved),
            Some("bank") => self.bank(&envelope),
            Some("doc") => self.doc(&envelope),
            Some("journal") => {
                self.of_the_journal.extend(transaction);
                let number = number(&envelope["after"], "tx")?;
                // A copy that was cut off is made again, so a row may be read after it was there.
                let new = self.journal.insert(number) || envelope["op"] == "r";
                ensure!(new, "transaction {number} is there twice");
                Ok(())
            }
            table => bail!("table {table:?} is none of the load's"),
        }
    }

    fn kv(&mut self, envelope: &Value, id: i64, moved: bool) -> Result<()> {
        let operation = envelope["op"].as_str().context("no op")?;
        let before = row(&envelope["before"])?;
        let after = row(&envelope["after"])?;
        let known = self.tables.kv.get(&id).copied();
        ensure!(before.or(after).is_some(), "neither before nor after");
        for (other, ..) in before.iter().chain(&after) {
            ensure!(*other == id, "row {other} under key {id}");
        }
        ensure!(envelope["after"]["note"] != "never", "work that was taken back");
        if let (Some((_, generation, version)), Some(known)) = (before, known) {
            ensure!(known == (generation, version), "it was {known:?}");
        }
        match (operation, before, after) {
            ("d", Some(_), None) => {
                self.tables.kv.remove(&id);
                return Ok(());
            }
            ("c", None, Some((_, _, version))) => {
                ensure!(known.is_none(), "it was there already: {known:?}");
                ensure!(version == 1 || moved, "it begins with version {version}");
            }
            ("u", Some((_, generation, version)), Some((_, next, after))) => {
                ensure!((next, after) == (generation, version + 1), "the chain is broken");
            }
            ("r", None, Some(_)) => {}
            _ => bail!("op {operation} with these images"),
        }
        let (_, generation, version) = after.context("no after image")?;
        self.tables.kv.insert(id, (generation, version));
        Ok(())
    }

    fn bank(&mut self, envelope: &Value) -> Result<()> {
        let (id, balance) =
            (number(&envelope["after"], "id")?, number(&envelope["after"], "balance")?);
        let known = self.tables.bank.insert(id, balance);
        if let (Some(known), false) = (known, envelope["before"].is_null()) {
            ensure!(known == number(&envelope["before"], "balance")?, "it was {known}");
        }
        Ok(())
    }

    fn doc(&mut self, envelope: &Value) -> Result<()> {
        let (id, version) = (number(&envelope["after"], "id")?, number(&envelope["after"], "ver")?);
        let known = self.tables.doc.insert(id, version);
        if let (Some(known), "u") = (known, envelope["op"].as_str().unwrap_or_default()) {
            ensure!(version == known + 1, "it goes from {known} to {version}");
        }
        Ok(())
    }

    fn finish(&self, journal: &Journal, tables: &Tables) -> Result<()> {
        if let Some(lost) = journal.committed.difference(&self.journal).next() {
            bail!("lost: transaction {lost} was committed and is not in Kafka");
        }
        let known =
            |number: &&i64| journal.committed.contains(number) || journal.unknown.contains(number);
        if let Some(invented) = self.journal.iter().find(|number| !known(number)) {
            bail!("invented: transaction {invented} was not committed and is in Kafka");
        }
        if let Some(other) = self.transactions.difference(&self.of_the_journal).next() {
            bail!("invented: the server's transaction {other} has no row in the journal");
        }
        ensure!(
            self.tables == *tables,
            "the end differs:\nKafka  {:?}\ntables {tables:?}",
            self.tables
        );
        Ok(())
    }
}

fn row(image: &Value) -> Result<Option<(i64, i64, i64)>> {
    if image.is_null() {
        return Ok(None);
    }
    Ok(Some((number(image, "id")?, number(image, "gen")?, number(image, "ver")?)))
}

fn number(image: &Value, column: &str) -> Result<i64> {
    image[column].as_i64().with_context(|| format!("{column} is no number"))
}
