//! Three brokers that replicate for each other: each can be killed, paused and started again while
//! the others go on, and a test can ask which of them to hit.

use std::ops::Deref;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::Consumer;

use super::clients::{Clients, REQUEST_TIMEOUT};
use super::node::{self, Folder, Node, Plan, START_DEADLINE};
use crate::ports::free_port;

/// Partitions of the topic that the transaction coordinators keep; as in the brokers' settings.
const TRANSACTION_PARTITIONS: i32 = 4;
/// Ids of the controllers' folders: 16 bytes in URL-safe base64.
const DIRECTORY_IDS: [&str; 3] =
    ["b2ZmdGFrZS1kaXItMDAwMQ", "b2ZmdGFrZS1kaXItMDAwMg", "b2ZmdGFrZS1kaXItMDAwMw"];

/// Three brokers, 1 to 3, until they are dropped. Topics have three replicas, of which two must be
/// in sync, unless they are created with others.
#[derive(Debug)]
pub struct Cluster {
    clients: Clients,
    // Dropped before the folder that they lie in.
    nodes: Vec<Node>,
    folder: Folder,
}

impl Cluster {
    /// Starts three brokers in a folder of their own. Takes some ten seconds.
    ///
    /// # Errors
    /// They cannot be had or do not become ready; the text says why.
    pub fn start() -> Result<Cluster> {
        let folder = Folder::new()?;
        // Fetched once, before three ask for it.
        node::libraries()?;
        let ids = [1, 2, 3];
        let mut controllers = Vec::new();
        for id in ids {
            controllers.push((id, free_port()?));
        }
        let voters: Vec<String> = controllers
            .iter()
            .zip(DIRECTORY_IDS)
            .map(|((id, port), directory)| format!("{id}@127.0.0.1:{port}:{directory}"))
            .collect();
        let mut formatting = Vec::new();
        for id in ids {
            let plan = Plan {
                id,
                port: free_port()?,
                controllers: controllers.clone(),
                listeners: Vec::new(),
                replication: 3,
                // Elections that suit a test's patience.
                properties: "controller.quorum.election.timeout.ms=500\n\
                             controller.quorum.fetch.timeout.ms=1000\n\
                             replica.lag.time.max.ms=3000\n\
                             transaction.partition.verification.enable=true\n"
                    .to_owned(),
                format: vec!["--initial-controllers".to_owned(), voters.join(",")],
                heap: "192m",
            };
            let place = folder.path().join(id.to_string());
            formatting.push(thread::spawn(move || Node::format(&plan, place)));
        }
        let mut nodes = Vec::new();
        for thread in formatting {
            let node = thread.join().map_err(|_| anyhow::anyhow!("formatting panicked"))??;
            nodes.push(node);
        }
        let addresses: Vec<&str> = nodes.iter().map(Node::address).collect();
        let cluster = Cluster { clients: Clients::new(addresses.join(",")), nodes, folder };
        for node in &cluster.nodes {
            node.begin()?;
        }
        for node in &cluster.nodes {
            node.wait_until_ready()?;
        }
        Ok(cluster)
    }

    /// A broker by its id.
    ///
    /// # Panics
    /// There is none of that id.
    pub fn node(&self, id: i32) -> &Node {
        let node = self.nodes.iter().find(|node| node.id() == id);
        node.unwrap_or_else(|| panic!("the cluster has no broker {id}"))
    }

    /// All brokers.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Id of the broker that leads a partition.
    ///
    /// # Errors
    /// There is none now, no such topic, or no answer.
    pub fn leader_of(&self, topic: &str, partition: i32) -> Result<i32> {
        let metadata = self.consumer(&[])?.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let partitions = found.context("the topic is not there")?.partitions();
        let found = partitions.iter().find(|found| found.id() == partition);
        let leader = found.context("the partition is not there")?.leader();
        ensure!(leader > 0, "partition {partition} of {topic} has no leader");
        Ok(leader)
    }

    /// Id of the broker that coordinates the transactions of a transactional id.
    ///
    /// # Errors
    /// No transaction has ever been coordinated, or see [`Cluster::leader_of`].
    pub fn coordinator_of(&self, transactional_id: &str) -> Result<i32> {
        // Java's String.hashCode and Kafka's Utils.abs, as TransactionStateManager.partitionFor.
        let hash = transactional_id.encode_utf16().fold(0_i32, |hash, unit| {
            hash.wrapping_mul(31).wrapping_add(i32::from(unit as i16) & 0xffff)
        });
        let partition = (hash & i32::MAX) % TRANSACTION_PARTITIONS;
        self.leader_of("__transaction_state", partition)
    }

    /// Lets paused brokers go on, starts those that are down, and waits until all are ready and
    /// every replica of every partition is in sync.
    ///
    /// # Errors
    /// Some broker does not come back, or stays behind.
    pub fn revive(&self) -> Result<()> {
        for node in &self.nodes {
            if node.is_launched() {
                node.resume()?;
            } else {
                node.begin()?;
            }
        }
        for node in &self.nodes {
            node.wait_until_ready()?;
        }
        self.wait_until_in_sync()
    }

    /// Waits until every replica of every partition is in sync.
    ///
    /// # Errors
    /// Some stay behind.
    pub fn wait_until_in_sync(&self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            let behind = self.partitions_behind();
            match behind {
                Ok(0) => return Ok(()),
                behind if Instant::now() > deadline => {
                    bail!("partitions whose replicas stay behind: {behind:?}")
                }
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn partitions_behind(&self) -> Result<usize> {
        let metadata = self.consumer(&[])?.fetch_metadata(None, REQUEST_TIMEOUT)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        Ok(partitions
            .filter(|found| found.leader() <= 0 || found.isr().len() < found.replicas().len())
            .count())
    }

    /// Runs one of Kafka's own tools, by class, to its end, and gives what it printed.
    ///
    /// # Errors
    /// It fails.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        node::tool(self.folder.path(), class, arguments)
    }

    /// The ends of the brokers' logs, for a failing test to print.
    pub fn log_tails(&self) -> String {
        let tail = |node: &Node| format!("broker {}:\n{}", node.id(), node.log_tail());
        self.nodes.iter().map(tail).collect::<Vec<_>>().join("\n")
    }
}

impl Deref for Cluster {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}
