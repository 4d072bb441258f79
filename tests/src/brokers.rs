//! The brokers of a run of kills, one or three, and how they fail while a gateway publishes to them.

use std::time::Duration;

use anyhow::Result;

use crate::kafka::{Clients, Cluster, Kafka};

/// The brokers of a run. Whoever lets them fail has them alone.
#[derive(Clone, Copy, Debug)]
pub enum Brokers<'k> {
    /// One broker.
    One(&'k Kafka),
    /// Three, of which two must have every record.
    Three(&'k Cluster),
}

/// How brokers fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of the only one, and started again.
    Killed,
    /// SIGSTOP, and SIGCONT some seconds later.
    Stopped,
    /// The same, and the gateway is killed meanwhile with messages on their way.
    StoppedAndGatewayKilled,
    /// SIGKILL of the one that coordinates the transactions.
    CoordinatorKilled,
    /// SIGSTOP of it for longer than a request is waited for: a commit is answered late or never.
    CoordinatorStopped,
    /// The same, and the gateway is killed meanwhile.
    CoordinatorStoppedAndGatewayKilled,
    /// SIGSTOP of it after a commit's last message is acknowledged and before the commit is asked for:
    /// the gateway is killed between the request and its answer.
    CoordinatorStoppedInCommit,
    /// SIGKILL of the one that leads a partition of the data.
    LeaderKilled,
    /// SIGSTOP of it.
    LeaderStopped,
}

const ONE: [Fault; 3] = [Fault::Killed, Fault::Stopped, Fault::StoppedAndGatewayKilled];
const THREE: [Fault; 6] = [
    Fault::CoordinatorStopped,
    Fault::CoordinatorStoppedInCommit,
    Fault::LeaderKilled,
    Fault::CoordinatorKilled,
    Fault::CoordinatorStoppedAndGatewayKilled,
    Fault::LeaderStopped,
];

impl Fault {
    /// Whether the gateway is killed while it lasts.
    pub fn kills_gateway(self) -> bool {
        matches!(self, Fault::StoppedAndGatewayKilled | Fault::CoordinatorStoppedAndGatewayKilled)
    }

    /// How long it lasts at least.
    pub fn length(self) -> Duration {
        match self {
            // Longer than the sink waits for an answer.
            Fault::CoordinatorStopped
            | Fault::CoordinatorStoppedInCommit
            | Fault::LeaderStopped => Duration::from_secs(12),
            _ => Duration::from_secs(3),
        }
    }
}

impl<'k> Brokers<'k> {
    /// What is asked of any of them.
    pub fn clients(self) -> &'k Clients {
        match self {
            Brokers::One(kafka) => kafka,
            Brokers::Three(cluster) => cluster,
        }
    }

    /// The fault of that number; they come in turn.
    pub fn fault(self, number: u64) -> Fault {
        let of = |faults: &[Fault]| faults[(number % faults.len() as u64) as usize];
        match self {
            Brokers::One(_) => of(&ONE),
            Brokers::Three(_) => of(&THREE),
        }
    }

    /// Lets them fail.
    ///
    /// # Errors
    /// They are not ours or cannot be reached.
    pub fn fail(self, fault: Fault, pipeline: &str) -> Result<()> {
        let cluster = match self {
            Brokers::Three(cluster) => cluster,
            Brokers::One(kafka) if fault == Fault::Killed => return kafka.kill(),
            Brokers::One(kafka) => return kafka.pause(),
        };
        let id = match fault {
            Fault::LeaderKilled | Fault::LeaderStopped => {
                cluster.leader_of(&format!("{pipeline}.public.kv"), 0)?
            }
            _ => cluster.coordinator_of(&format!("offtake.{pipeline}"))?,
        };
        match fault {
            Fault::CoordinatorKilled | Fault::LeaderKilled => cluster.node(id).kill(),
            _ => cluster.node(id).pause(),
        }
    }

    /// Ends the fault.
    ///
    /// # Errors
    /// They do not come back.
    pub fn recover(self, fault: Fault) -> Result<()> {
        match self {
            Brokers::Three(cluster) => cluster.revive(),
            Brokers::One(kafka) if fault == Fault::Killed => kafka.launch(),
            Brokers::One(kafka) => kafka.resume(),
        }
    }
}
