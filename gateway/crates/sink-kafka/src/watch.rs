//! A thread beside the sink's own that looks once a second how it goes: it reads the client's
//! statistics and, where messages wait and nothing is acknowledged, asks the brokers why.
//!
//! It only tells; what the sink does does not depend on it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::admin::REQUEST_TIMEOUT;
use crate::client;
use crate::context::QuietContext;
use crate::sink::Stop;
use crate::statistics::{self, Backlog};
use crate::status::StatusCell;
use crate::trouble::{NO_ANSWER, WaitReason};
use crate::{KafkaError, KafkaOptions};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long nothing may be acknowledged before the brokers are asked why.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often the stop is looked at.
const STOP_CHECK: Duration = Duration::from_millis(50);
/// Topics that are asked about at a time, of those that wait.
const MAX_TOPICS: usize = 8;

/// Starts the thread; it ends when the sink is stopped.
pub(crate) fn start(
    options: KafkaOptions,
    status: Arc<StatusCell>,
    stop: Arc<Stop>,
) -> Result<(), KafkaError> {
    std::thread::Builder::new()
        .name("kafka-watch".to_owned())
        .spawn(move || Watch::new(&options, &status).run(&stop))
        .map(drop)
        .map_err(KafkaError::Thread)
}

struct Watch<'w> {
    options: &'w KafkaOptions,
    status: &'w StatusCell,
    json: Vec<u8>,
    backlog: Backlog,
    acknowledged: u64,
    /// Since when messages wait and none is acknowledged.
    stuck_since: Option<Instant>,
}

impl<'w> Watch<'w> {
    fn new(options: &'w KafkaOptions, status: &'w StatusCell) -> Watch<'w> {
        Watch {
            options,
            status,
            json: Vec::new(),
            backlog: Backlog::new(),
            acknowledged: 0,
            stuck_since: None,
        }
    }

    fn run(&mut self, stop: &Stop) {
        let mut next = Instant::now() + INTERVAL;
        while !stop.is_asked() && !self.status.is_over() {
            if Instant::now() < next {
                std::thread::sleep(STOP_CHECK);
                continue;
            }
            next = Instant::now() + INTERVAL;
            self.look();
        }
    }

    fn look(&mut self) {
        if self.status.statistics.take(&mut self.json)
            && let Some((statistics, backlog)) = statistics::read(&self.json)
        {
            self.status.tell_client(statistics);
            self.backlog = backlog;
        }
        let acknowledged = self.status.acknowledged.load(Ordering::Relaxed);
        let progress = acknowledged != self.acknowledged;
        self.acknowledged = acknowledged;
        if progress || self.backlog.is_empty() {
            self.stuck_since = None;
            return;
        }
        let since = *self.stuck_since.get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            return;
        }
        let (reason, text) = self.ask(since.elapsed());
        // It may have gone on while the question was on its way.
        if self.status.acknowledged.load(Ordering::Relaxed) == acknowledged {
            self.status.waiting_for(reason, text);
        }
    }

    /// Asks the brokers about the topics that wait.
    fn ask(&self, stuck: Duration) -> (WaitReason, String) {
        let inspector = match client::inspector(self.options) {
            Ok(inspector) => inspector,
            Err(error) => return (WaitReason::Other, error.to_string()),
        };
        for (topic, waiting) in self.backlog.iter().take(MAX_TOPICS) {
            if let Some(found) = ask_about(&inspector, topic, waiting) {
                return found;
            }
        }
        let seconds = stuck.as_secs();
        let text = format!(
            "the brokers answer, but have acknowledged nothing for {seconds} s while messages for \
             {} wait",
            self.backlog.keys().next().map_or("a topic", String::as_str)
        );
        (WaitReason::Silent, text)
    }
}

/// What a topic's metadata says about its partitions that wait.
fn ask_about(
    inspector: &BaseConsumer<QuietContext>,
    topic: &str,
    waiting: &[i32],
) -> Option<(WaitReason, String)> {
    let metadata = match inspector.fetch_metadata(Some(topic), REQUEST_TIMEOUT) {
        Ok(metadata) => metadata,
        Err(error) => {
            let heard = client::heard(inspector);
            return Some(
                heard.unwrap_or_else(|| (WaitReason::Unreachable, format!("{NO_ANSWER}: {error}"))),
            );
        }
    };
    let found = metadata.topics().iter().find(|found| found.name() == topic)?;
    if let Some(error) = found.error() {
        let code = rdkafka::error::RDKafkaErrorCode::from(error);
        return Some((WaitReason::of(Some(code), ""), format!("topic {topic}: {code}")));
    }
    let partitions = || found.partitions().iter().filter(|found| waiting.contains(&found.id()));
    let up: Vec<i32> = metadata.brokers().iter().map(|broker| broker.id()).collect();
    if let Some(partition) = partitions().find(|partition| partition.leader() < 0) {
        let missing = list(partition.replicas().iter().filter(|id| !up.contains(id)));
        let text = format!(
            "partition {} of topic {topic} has no leader: its copies are on brokers {}, of which {missing} cannot be reached",
            partition.id(),
            list(partition.replicas().iter()),
        );
        return Some((WaitReason::NoLeader, text));
    }
    let behind = partitions().find(|found| found.isr().len() < found.replicas().len())?;
    let text = format!(
        "partition {} of topic {topic} has {} of its {} copies in sync, perhaps fewer than \
         min.insync.replicas asks for",
        behind.id(),
        behind.isr().len(),
        behind.replicas().len(),
    );
    Some((WaitReason::NotInSync, text))
}

fn list<'i>(ids: impl Iterator<Item = &'i i32>) -> String {
    let ids: Vec<String> = ids.map(i32::to_string).collect();
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}
