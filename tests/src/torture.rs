//! Kills the gateway under load, over and over, and checks what its subscriber and Kafka received.
//!
//! One run: a database of its own, the seeded load, a subscriber that stores cursor and data
//! together, and a gateway that is started with one crash point after the other (or killed at a
//! random moment) until it was killed often enough; then it may catch up, and everything is
//! checked. `make test` does a small run, `make torture` a long one; both print seed and figures.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::checker::{self, Figures, Tables};
use crate::gateway::Gateway;
use crate::postgres::Postgres;
use crate::subscriber::Subscriber;
use crate::workload::{self, Journal, Random, Workload};

/// Crash points of hand-overs that every run passes.
pub const CRASH_POINTS: [&str; 8] = [
    "pipeline.before_submit",
    "pipeline.after_submit",
    "log.before_append",
    "log.after_append",
    "log.before_fsync",
    "log.after_fsync",
    "source.before_feedback",
    "source.after_feedback",
];

/// Crash points of the time before streaming: each is the first kill of some gateway.
pub const START_CRASH_POINTS: [&str; 3] =
    ["source.before_slot_create", "source.after_slot_create", "source.snapshot_chunk"];

/// Crash points of the Kafka sink.
pub const KAFKA_CRASH_POINTS: [&str; 6] = [
    "kafka.before_send",
    "kafka.after_send",
    "kafka.before_delivery_report",
    "kafka.after_delivery_report",
    "cursor.before_write",
    "cursor.after_write",
];

/// How long a gateway may take to become ready or to catch up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Seed of everything random.
    pub seed: u64,
    /// Kills.
    pub kills: u32,
    /// Mutations of the gateway (`mutate.drop=every:10000`), to prove that the checker can fail.
    pub mutation: String,
    /// Lines of the configuration after `[source]`.
    pub configuration: String,
    /// Crash points beside those of every run.
    pub crash_points: Vec<&'static str>,
}

/// What was done and seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Kills at each crash point; `random` counts those at a random moment.
    pub kills: BTreeMap<String, u32>,
    /// The checker's count.
    pub figures: Figures,
    /// Longest time from a start to readiness.
    pub slowest_start: Duration,
    /// Times that the subscriber had to subscribe.
    pub subscriptions: u32,
}

impl Report {
    /// One line for the log of a run.
    pub fn line(&self, plan: &Plan) -> String {
        format!(
            "seed {} kills {} {:?}; {} changes ({} of snapshots) in {} transactions, {} committed by \
             the load; lost 0, doubled 0, invented 0, out of order 0; slowest start {:.2} s; \
             {} subscriptions",
            plan.seed,
            self.kills.values().sum::<u32>(),
            self.kills,
            self.figures.changes,
            self.figures.snapshot_rows,
            self.figures.transactions,
            self.figures.committed,
            self.slowest_start.as_secs_f64(),
            self.subscriptions,
        )
    }
}

/// A pipeline with its load, between kills.
pub struct Torture {
    /// The gateway.
    pub gateway: Gateway,
    /// The database's name.
    pub database: String,
    plan: Plan,
    random: Random,
    subscriber: Subscriber,
    report: Report,
}

impl Torture {
    /// Creates the database and the configuration.
    pub async fn prepare(postgres: &Postgres, folder: &Path, plan: Plan) -> Result<Torture> {
        let database = postgres.create_database("torture").await?;
        let client = postgres.connect(&database).await?;
        client.batch_execute(workload::TABLES).await?;
        let source = format!("url = \"{}\"\ntables = [\"public.*\"]", postgres.url(&database));
        let gateway = Gateway::new(folder, &database, &source, &plan.configuration)?;
        let subscriber = Subscriber::start(gateway.grpc, &[]);
        let random = Random::new(plan.seed);
        Ok(Torture { gateway, database, plan, random, subscriber, report: Report::default() })
    }

    /// Kills under load, lets it catch up, checks.
    pub async fn run(mut self, postgres: &Postgres) -> Result<Report> {
        let url = postgres.url(&self.database);
        let load = Workload::start(&url, self.plan.seed, 2, Duration::from_millis(2));
        for kill in 0..self.plan.kills {
            self.kill(kill).await.with_context(|| format!("seed {}, kill {kill}", self.plan.seed))?;
        }
        self.start(&self.plan.mutation.clone())?;
        self.gateway.wait_until_ready(PATIENCE)?;
        let journal = load.stop().await?;
        self.catch_up(postgres, journal).await
    }

    /// Runs without kills until that many changes were received, then checks.
    pub async fn run_until_changes(
        mut self,
        postgres: &Postgres,
        changes: usize,
        timeout: Duration,
    ) -> Result<Report> {
        let mutation = self.plan.mutation.clone();
        self.start(&mutation)?;
        self.gateway.wait_until_ready(PATIENCE)?;
        let url = postgres.url(&self.database);
        let load = Workload::start(&url, self.plan.seed, 3, Duration::ZERO);
        let enough = self
            .subscriber
            .wait_for("enough changes", timeout, |store| store.changes.len() >= changes)
            .await;
        let journal = load.stop().await?;
        enough?;
        self.catch_up(postgres, journal).await
    }

    /// Starts with one crash point, waits for the crash, or kills at a random moment.
    async fn kill(&mut self, number: u32) -> Result<()> {
        let points: Vec<&str> =
            CRASH_POINTS.iter().chain(&self.plan.crash_points).copied().collect();
        let (point, pass) = match START_CRASH_POINTS.get(number as usize) {
            Some(point) => (*point, 1),
            None => {
                let index = self.random.below(points.len() as u64 + 2) as usize;
                (points.get(index).copied().unwrap_or("random"), 1 + self.random.below(40))
            }
        };
        let mut switches = format!("{point}={pass}");
        if !self.plan.mutation.is_empty() {
            switches = format!("{switches},{}", self.plan.mutation);
        }
        self.start(&switches)?;
        let patience = match point {
            "random" => Duration::from_millis(100 + self.random.below(900)),
            _ => Duration::from_secs(5),
        };
        let deadline = Instant::now() + patience;
        let mut crashed = false;
        while Instant::now() < deadline {
            if let Some(status) = self.gateway.exited()? {
                use std::os::unix::process::ExitStatusExt;
                ensure!(
                    status.signal() == Some(9),
                    "the gateway ended by itself with {status}\n{}",
                    self.gateway.output()
                );
                crashed = true;
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.gateway.kill()?;
        let name = if crashed { point } else { "random" };
        *self.report.kills.entry(name.to_owned()).or_default() += 1;
        Ok(())
    }

    fn start(&mut self, switches: &str) -> Result<()> {
        self.gateway.start(switches)
    }

    /// A last transaction as a marker, then the check of everything before it.
    async fn catch_up(mut self, postgres: &Postgres, mut journal: Journal) -> Result<Report> {
        const MARKER: i64 = -1;
        let client = postgres.connect(&self.database).await?;
        client.execute("insert into journal values (-1, 0)", &[]).await?;
        journal.committed.insert(MARKER);
        let tables = Tables::read(&client).await?;
        let begin = Instant::now();
        let marker = |change: &crate::subscriber::Received| {
            change.table == "journal"
                && change.after.as_ref().and_then(|row| crate::subscriber::text(row, "tx")) == Some("-1")
        };
        self.subscriber
            .wait_for("the marker", PATIENCE, |store| store.changes.iter().rev().take(50).any(marker))
            .await
            .with_context(|| self.gateway.output())?;
        self.report.slowest_start = self.report.slowest_start.max(begin.elapsed());
        let changes = self.subscriber.changes();
        self.report.subscriptions = self.subscriber.store.lock().expect("no panic").subscriptions;
        self.report.figures = checker::check(&changes, &journal, &tables)
            .with_context(|| format!("seed {}", self.plan.seed))?;
        self.gateway.stop(Duration::from_secs(6))?;
        Ok(self.report)
    }
}
