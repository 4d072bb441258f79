//! Real Kafka brokers for tests: nodes in KRaft mode, fetched by Maven, started in a folder and on
//! ports of their own, stopped on drop; and clients that read a topic to its end.
//!
//! Nothing here knows the gateway. A broker that cannot be had is an error, so that the test fails
//! instead of skipping itself; only `SKIP_KAFKA=1` lets it be left out, and says so. An address in
//! `OFFTAKE_TEST_KAFKA` names a running broker instead, which can be neither stopped nor paused.

mod clients;
mod cluster;
pub mod connect;
mod node;
pub mod security;
pub mod tokens;

use std::ops::Deref;
use std::sync::OnceLock;

use anyhow::{Context, Result};

pub use clients::{Clients, Record};
pub use cluster::Cluster;
pub use node::Node;

use node::Plan;
pub(crate) use node::{Folder, spawn_from_lasting_thread, target_folder};

use crate::ports::free_port;

/// One broker that runs until it is dropped.
#[derive(Debug)]
pub struct Kafka {
    clients: Clients,
    // Dropped before the folder that it lies in.
    node: Option<Node>,
    folder: Option<Folder>,
}

/// Whether the user left Kafka out; then a line says which test did not run.
pub fn skipped(test: &str) -> bool {
    let skip = std::env::var("SKIP_KAFKA").is_ok_and(|value| value == "1");
    if skip {
        println!("SKIP_KAFKA=1: {test} did not run");
    }
    skip
}

impl Kafka {
    /// Starts a broker in a folder of its own.
    ///
    /// # Errors
    /// It cannot be had or does not become ready; the text says why.
    pub fn start() -> Result<Kafka> {
        if let Ok(brokers) = std::env::var("OFFTAKE_TEST_KAFKA") {
            return Ok(Kafka { clients: Clients::new(brokers), node: None, folder: None });
        }
        Kafka::start_with("")
    }

    /// Starts a broker with further lines of `server.properties`, also where a running broker is
    /// named, for that has them not.
    ///
    /// # Errors
    /// See [`Kafka::start`].
    pub fn start_with(properties: &str) -> Result<Kafka> {
        let folder = Folder::new()?;
        let plan = Plan {
            id: 1,
            port: free_port()?,
            controllers: vec![(1, free_port()?)],
            listeners: Vec::new(),
            replication: 1,
            properties: properties.to_owned(),
            format: vec!["--standalone".to_owned()],
            heap: "512m",
        };
        let node = Node::format(&plan, folder.path().to_path_buf())?;
        node.launch()?;
        let clients = Clients::new(node.address().to_owned());
        Ok(Kafka { clients, node: Some(node), folder: Some(folder) })
    }

    /// A broker that every test of this process shares; it ends with the process. Never stop it.
    ///
    /// # Panics
    /// It cannot be had.
    pub fn shared() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| Kafka::start().unwrap_or_else(|error| panic!("{error:#}")))
    }

    /// Starts a stopped broker again, on the same port and data.
    ///
    /// # Errors
    /// It does not become ready, or is not ours.
    pub fn launch(&self) -> Result<()> {
        self.node()?.launch()
    }

    /// Stops the broker as an administrator does.
    ///
    /// # Errors
    /// It does not end in time, or is not ours.
    pub fn stop(&self) -> Result<()> {
        self.node()?.stop()
    }

    /// Kills the broker.
    ///
    /// # Errors
    /// See [`Kafka::stop`].
    pub fn kill(&self) -> Result<()> {
        self.node()?.kill()
    }

    /// Stops and starts the broker.
    ///
    /// # Errors
    /// See [`Kafka::stop`] and [`Kafka::launch`].
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.launch()
    }

    /// Lets the broker hang: connections stay open, nothing is answered.
    ///
    /// # Errors
    /// It is not ours, or not running.
    pub fn pause(&self) -> Result<()> {
        self.node()?.pause()
    }

    /// Ends [`Kafka::pause`].
    ///
    /// # Errors
    /// See there.
    pub fn resume(&self) -> Result<()> {
        self.node()?.resume()
    }

    /// The end of the broker's log, for a failing test to print.
    pub fn log_tail(&self) -> String {
        self.node.as_ref().map_or(String::new(), Node::log_tail)
    }

    /// Runs one of Kafka's own tools, by class, to its end, and gives what it printed.
    ///
    /// # Errors
    /// It fails.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        let folder = self.folder.as_ref().context("a broker from the environment is not ours")?;
        node::tool(folder.path(), class, arguments)
    }

    fn node(&self) -> Result<&Node> {
        self.node.as_ref().context("a broker from the environment is not ours")
    }
}

impl Deref for Kafka {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}
