//! Kills the gateway under load, over and over, and checks what its subscriber and Kafka received.
//!
//! One run: a database of its own, the seeded load, a subscriber that stores cursor and data
//! together, and a gateway that is started with one crash point after the other (or killed at a
//! random moment) until it was killed often enough; then it may catch up, and everything is
//! checked. A crash point that is not reached fails the run, so nothing rests on how fast a machine
//! is. `make test` does small runs, `make torture` a long one; both print seed and figures.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::ack_monitor::{AckMonitor, AckTally};
use crate::brokers::{Brokers, Fault};
use crate::checker::{self, Figures, Tables};
use crate::crash_points::{START_CRASH_POINTS, Schedule, Step};
use crate::gateway::Gateway;
use crate::kafka_checker::{self, KafkaFigures};
use crate::postgres::Postgres;
use crate::subscriber::{Received, Subscriber, text};
use crate::workload::{self, Journal, Workload};

/// How long a gateway may take to become ready, to reach a crash point, or to catch up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a gateway.
const LOOK: Duration = Duration::from_millis(5);
/// Faults of the broker in a run with them.
const FAULTS: u32 = 4;
/// Looks for the answer to a commit after which the gateway is killed: half a second and more, in which
/// the request is long sent.
const LOOKS_FOR_AN_ANSWER: u32 = 3000;
/// At most so many producers that the sink may begin because of one fault of the broker.
const SESSIONS_OF_A_FAULT: usize = 8;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan<'k> {
    /// Seed of everything random.
    pub seed: u64,
    /// Kills.
    pub kills: u32,
    /// Mutations of the gateway (`mutate.drop=every:10000`), to prove that the checker can fail.
    pub mutation: String,
    /// Lines of the configuration after `[source]`, but for `[kafka]`.
    pub configuration: String,
    /// Threads that run plugins. More than one: a plugin that reads every change and leaves it as it
    /// is stands on every way.
    pub workers: u32,
    /// Crash points beside those of the start; the same one twice comes twice as often.
    pub crash_points: Vec<&'static str>,
    /// The broker of a run with Kafka.
    pub kafka: Option<Brokers<'k>>,
    /// Deliver exactly once to it; else at least once.
    pub exactly_once: bool,
    /// Kills, stops and continues the broker as well. It must be nobody else's.
    pub broker_faults: bool,
}

/// A plugin that lets everything pass.
const ALL_THROUGH_A_PLUGIN: &str = r#"
[plugin.all]
wasm = "builtin:filter"
config = { where = "$op is not null" }

[[route]]
tables = ["*.*"]
plugins = ["all"]

[[route]]
messages = true
plugins = ["all"]
"#;

/// What was done and seen.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Kills at each crash point; `random` counts those at a random moment.
    pub kills: BTreeMap<&'static str, u32>,
    /// The checker's count.
    pub figures: Figures,
    /// The checker's count of Kafka.
    pub kafka: Option<KafkaFigures>,
    /// What the monitor of acknowledgements saw.
    pub acks: AckTally,
    /// Times from a start to readiness, in order of length.
    pub recoveries: Vec<Duration>,
    /// From the last transaction to its arrival everywhere, after the last start.
    pub catch_up: Duration,
    /// Times that the subscriber had to subscribe.
    pub subscriptions: u32,
    /// Faults of the broker.
    pub broker_faults: u32,
    /// Peak resident memory of the last gateway, in bytes.
    pub peak_memory: u64,
}

impl Report {
    /// Time from a start to readiness that so many hundredths of the starts do not exceed.
    pub fn recovery(&self, hundredths: usize) -> Duration {
        let last = self.recoveries.len().saturating_sub(1);
        self.recoveries.get(last * hundredths / 100).copied().unwrap_or_default()
    }

    /// The figures of a run that found nothing wrong, for its log.
    pub fn line(&self, plan: &Plan<'_>) -> String {
        let figures = &self.figures;
        let mut line = format!(
            "seed {}: {} kills {:?}\n  {} transactions committed by the load, {} received with {} \
             changes ({} of snapshots, {} messages outside of transactions); missing 0, doubled 0, \
             invented 0, out of order 0\n  ack-ahead violations {} ({} samples); recovery p50 {:.2} s, p99 {:.2} s, slowest {:.2} s; caught \
             up in {:.2} s; {} subscriptions; peak memory {} MiB",
            plan.seed,
            self.kills.values().sum::<u32>(),
            self.kills,
            figures.committed,
            figures.transactions,
            figures.changes,
            figures.snapshot_rows,
            figures.messages,
            self.acks.violations,
            self.acks.samples,
            self.recovery(50).as_secs_f64(),
            self.recovery(99).as_secs_f64(),
            self.recovery(100).as_secs_f64(),
            self.catch_up.as_secs_f64(),
            self.subscriptions,
            self.peak_memory >> 20,
        );
        if let Some(kafka) = &self.kafka {
            line.push_str(&format!(
                "\n  Kafka: {} records in {} topics ({} tombstones, {} keys moved), {} sent again in \
                 {} runs (amplification {:.2} %), all equal to the byte; missing 0, out of order 0; \
                 {} faults of the broker",
                kafka.records,
                kafka.topics,
                kafka.tombstones,
                kafka.moved,
                kafka.resent,
                kafka.restarts,
                kafka.amplification(),
                self.broker_faults,
            ));
            if plan.exactly_once {
                line.push_str(&format!(
                    "\n  {} source transactions put together again from the headers, the bank's sum \
                     held at each",
                    kafka.transactions
                ));
            }
        }
        line
    }
}

/// A pipeline with its load, between kills.
pub struct Torture<'k> {
    /// The gateway.
    pub gateway: Gateway,
    /// The database's name.
    pub database: String,
    plan: Plan<'k>,
    schedule: Schedule,
    subscriber: Subscriber,
    monitor: AckMonitor,
    report: Report,
    starts: usize,
}

impl<'k> Torture<'k> {
    /// Creates the database and the configuration.
    pub async fn prepare(
        postgres: &Postgres,
        folder: &Path,
        plan: Plan<'k>,
    ) -> Result<Torture<'k>> {
        let database = postgres.create_database("torture").await?;
        let client = postgres.connect(&database).await?;
        client.batch_execute(workload::TABLES).await?;
        let source = format!("url = \"{}\"\ntables = [\"public.*\"]", postgres.url(&database));
        let mut configuration = plan.configuration.clone();
        if let Some(kafka) = plan.kafka {
            let listed: Vec<String> =
                kafka.clients().brokers().split(',').map(|one| format!("\"{one}\"")).collect();
            let lines = match plan.exactly_once {
                true => "delivery = \"exactly_once\"\nheaders = [\"transaction\"]",
                false => "delivery = \"at_least_once\"",
            };
            configuration.push_str(&format!(
                "\n[kafka]\nbrokers = [{}]\n{lines}\ntopics = {{ partitions = 3 }}\n",
                listed.join(", "),
            ));
        }
        if plan.workers > 1 {
            configuration.push_str(ALL_THROUGH_A_PLUGIN);
        }
        let gateway = Gateway::new(folder, &database, &source, &configuration)?;
        if plan.workers > 1 {
            let workers = format!("\nworkers = {}\n\n[source]", plan.workers);
            gateway.edit("\n\n[source]", &workers)?;
        }
        let slot = format!("offtake_{database}");
        Ok(Torture {
            subscriber: Subscriber::start(gateway.grpc, &[]),
            monitor: AckMonitor::start(&postgres.url(&database), &slot, gateway.admin),
            schedule: Schedule::new(plan.seed, &plan.crash_points),
            gateway,
            database,
            plan,
            report: Report::default(),
            starts: 0,
        })
    }

    /// Kills under load, lets it catch up, checks.
    pub async fn run(mut self, postgres: &Postgres) -> Result<Report> {
        let url = postgres.url(&self.database);
        let load = Workload::start(&url, self.plan.seed, 2, Duration::from_millis(2));
        for kill in 0..self.plan.kills {
            let killed = self.kill().await;
            killed.with_context(|| format!("seed {}, kill {kill}", self.plan.seed))?;
            let due = (1..=FAULTS).find(|part| kill + 1 == fault_after(self.plan.kills, *part));
            if let (true, Some(due)) = (self.plan.broker_faults, due) {
                let brokers = self.plan.kafka.context("a run without Kafka has no broker")?;
                // Other faults with another seed, where there are more than a run has.
                let fault = brokers.fault(self.plan.seed * u64::from(FAULTS) + u64::from(due) - 1);
                let outcome = self.broker_fault(brokers, fault);
                outcome.with_context(|| format!("seed {}, {fault:?}", self.plan.seed))?;
            }
        }
        self.start("")?;
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
        self.start("")?;
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

    /// Starts the gateway and lets it be killed, as the schedule says.
    async fn kill(&mut self) -> Result<()> {
        let step = self.schedule.step();
        let (name, switch, until) = match step {
            Step::Point(name, passes) => (name, format!("{name}={passes}"), PATIENCE),
            Step::Random(after) => ("random", String::new(), after),
        };
        self.start(&switch)?;
        let begin = Instant::now();
        let mut ready = false;
        while begin.elapsed() < until {
            if let Some(status) = self.gateway.exited()? {
                use std::os::unix::process::ExitStatusExt;
                let asked = status.signal() == Some(9) && name != "random";
                ensure!(asked, "it ended by itself with {status}\n{}", self.gateway.output());
                *self.report.kills.entry(name).or_default() += 1;
                return Ok(());
            }
            if let (false, Ok((code, body))) = (ready, self.gateway.get("/readyz")) {
                ensure!(!body.contains("HALTED"), "{body}\n{}", self.gateway.output());
                ready = code == 200;
                if ready {
                    self.report.recoveries.push(begin.elapsed());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        if let Step::Point(..) = step {
            bail!("{step:?} was not reached in {PATIENCE:?}\n{}", self.gateway.output());
        }
        self.gateway.kill()?;
        *self.report.kills.entry(name).or_default() += 1;
        Ok(())
    }

    /// Starts with these switches beside the plan's mutation.
    fn start(&mut self, switches: &str) -> Result<()> {
        self.starts += 1;
        self.gateway.start(&format!("{switches},{}", self.plan.mutation))
    }

    /// Lets the broker fail while the gateway runs: the log must go on, and Kafka must catch up.
    fn broker_fault(&mut self, brokers: Brokers<'_>, fault: Fault) -> Result<()> {
        if fault == Fault::CoordinatorStoppedInCommit {
            self.fail_in_commit(brokers, fault)?;
        } else {
            self.start("")?;
            self.gateway.wait_until_ready(PATIENCE)?;
            self.kafka_passes(sequence(&self.gateway.status()?))?;
            brokers.fail(fault, &self.database)?;
        }
        let before = sequence(&self.gateway.status()?);
        let since = Instant::now();
        let goes_on = |status: &serde_json::Value| {
            sequence(status) > before + 300 && since.elapsed() > fault.length()
        };
        self.gateway.wait_for_status("the log to go on without a broker", PATIENCE, goes_on)?;
        if fault.kills_gateway() {
            self.gateway.kill()?;
            *self.report.kills.entry("random").or_default() += 1;
            self.start("")?;
            self.gateway.wait_until_ready(PATIENCE)?;
        }
        brokers.recover(fault)?;
        self.report.broker_faults += 1;
        self.kafka_passes(sequence(&self.gateway.status()?))?;
        self.gateway.kill()?;
        *self.report.kills.entry("random").or_default() += 1;
        Ok(())
    }

    /// The coordinator is paused with a transaction whole but for its commit; the commit is asked for
    /// and not answered; the gateway is killed while it waits, and started again.
    fn fail_in_commit(&mut self, brokers: Brokers<'_>, fault: Fault) -> Result<()> {
        // The first commit of a start claims the cursor; the second one has changes.
        let switches =
            format!("kafka.before_commit=stop:2,kafka.during_commit={LOOKS_FOR_AN_ANSWER}");
        let deadline = Instant::now() + PATIENCE;
        self.start(&switches)?;
        while !self.gateway.wait_until_stopped(PATIENCE)? {
            // The brokers were slow to answer the first one.
            ensure!(Instant::now() < deadline, "no commit is reached\n{}", self.gateway.output());
            self.start(&switches)?;
        }
        brokers.fail(fault, &self.database)?;
        self.gateway.resume()?;
        self.gateway.wait_for_exit(PATIENCE)?;
        *self.report.kills.entry("kafka.during_commit").or_default() += 1;
        self.start("")?;
        self.gateway.wait_until_ready(PATIENCE)
    }

    /// Waits until everything up to a sequence is acknowledged by Kafka.
    fn kafka_passes(&self, sequence: u64) -> Result<()> {
        let passed =
            |status: &serde_json::Value| status["kafka"]["sequence"].as_u64() >= Some(sequence);
        self.gateway.wait_for_status("Kafka to catch up", PATIENCE, passed).map(|_| ())
    }

    /// A last transaction as a marker, then the check of everything before it.
    async fn catch_up(mut self, postgres: &Postgres, mut journal: Journal) -> Result<Report> {
        const MARKER: i64 = -1;
        let client = postgres.connect(&self.database).await?;
        client.execute("insert into journal values (-1, 0)", &[]).await?;
        journal.committed.insert(MARKER);
        let tables = Tables::read(&client).await?;
        let begin = Instant::now();
        let marker = |change: &Received| {
            let row = change.after.as_ref().filter(|_| change.table == "journal");
            row.and_then(|row| text(row, "tx")) == Some("-1")
        };
        self.subscriber
            .wait_for("the marker", PATIENCE, |store| {
                store.changes.iter().rev().take(50).any(marker)
            })
            .await
            .with_context(|| self.gateway.output())?;
        let changes = self.subscriber.changes();
        if self.plan.kafka.is_some() {
            self.kafka_passes(changes.last().map_or(0, |change| change.sequence))?;
        }
        self.report.catch_up = begin.elapsed();
        self.report.recoveries.sort();
        self.report.subscriptions = self.subscriber.store.lock().expect("no panic").subscriptions;
        self.report.peak_memory = self.gateway.peak_memory_bytes()?;
        self.report.acks = self.monitor.tally();
        let seed = self.plan.seed;
        self.report.figures =
            checker::check(&changes, &journal, &tables).with_context(|| format!("seed {seed}"))?;
        self.gateway.stop(Duration::from_secs(6))?;
        if let Some(kafka) = self.plan.kafka {
            let topics = kafka_checker::read_topics(kafka.clients(), &self.database)?;
            let sessions = self.starts + SESSIONS_OF_A_FAULT * self.report.broker_faults as usize;
            let has_headers = self.plan.exactly_once;
            let figures =
                kafka_checker::check(&topics, &changes, &journal, &tables, sessions, has_headers);
            let figures = figures.with_context(|| format!("Kafka, seed {seed}"))?;
            let again = (figures.resent, figures.restarts);
            ensure!(
                !self.plan.exactly_once || again == (0, 0),
                "Kafka, seed {seed}: exactly once, and something is there twice: {figures:?}"
            );
            self.report.kafka = Some(figures);
        }
        let acks = &self.report.acks;
        if let Some(first) = &acks.first {
            bail!("acknowledged early {} times of {}: {first}", acks.violations, acks.samples);
        }
        Ok(self.report)
    }
}

/// After how many of the kills a fault of the broker comes: not before those of the start.
fn fault_after(kills: u32, part: u32) -> u32 {
    let start = START_CRASH_POINTS.len() as u32;
    start + kills.saturating_sub(start) * part / (FAULTS + 1)
}

fn sequence(status: &serde_json::Value) -> u64 {
    status["log"]["last_sequence"].as_u64().unwrap_or(0)
}
