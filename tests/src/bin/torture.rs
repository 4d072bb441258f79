//! `make torture`: some hundred kills under load, over several runs with seeds of their own, half of
//! them with Kafka and faults of its broker, on two versions of PostgreSQL.
//!
//! `TORTURE_KILLS` says how many kills (200), `TORTURE_EXACTLY_ONCE_KILLS` how many with exactly-once
//! delivery to three brokers come on top (300), `TORTURE_SEED` the first run's seed (1),
//! `SKIP_KAFKA=1` leaves Kafka out. Each run prints its seed and figures; a run with the same seed
//! visits the same crash points in the same order. The whole fails when a run fails or when a crash
//! point was never hit. The folder of a run that failed is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use offtake_tests::brokers::Brokers;
use offtake_tests::crash_points::{
    CRASH_POINTS, GRPC_CRASH_POINTS, KAFKA_CRASH_POINTS, KAFKA_EXACTLY_ONCE_CRASH_POINTS,
    SEGMENT_CRASH_POINT, START_CRASH_POINTS, WORKERS_CRASH_POINT,
};
use offtake_tests::gateway::binary;
use offtake_tests::kafka::{Cluster, Kafka, skipped};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::torture::{Plan, Report, Torture};

/// Kills of one run: enough for each crash point to come once.
const KILLS_OF_A_RUN: u32 = 25;

/// Everything over all runs.
#[derive(Default)]
struct Total {
    passed: u32,
    failed: u32,
    kills: BTreeMap<&'static str, u32>,
    recoveries: Vec<Duration>,
    samples: u64,
    changes: usize,
    records: usize,
    resent: usize,
    broker_faults: u32,
}

impl Total {
    fn add(&mut self, report: Report) {
        for (point, kills) in report.kills {
            *self.kills.entry(point).or_default() += kills;
        }
        self.recoveries.extend(report.recoveries);
        self.samples += report.acks.samples;
        self.changes += report.figures.changes;
        self.broker_faults += report.broker_faults;
        if let Some(kafka) = report.kafka {
            self.records += kafka.records;
            self.resent += kafka.resent;
        }
    }

    fn print(&mut self, points: &[&'static str]) {
        self.recoveries.sort();
        println!("\nkills at each crash point:");
        for point in points.iter().chain(&["random"]) {
            println!("  {point:32} {:4}", self.kills.get(point).unwrap_or(&0));
        }
        let at = |hundredths: usize| {
            let last = self.recoveries.len().saturating_sub(1);
            self.recoveries.get(last * hundredths / 100).copied().unwrap_or_default().as_secs_f64()
        };
        println!(
            "{} kills; {} changes, in the runs that passed missing 0, doubled 0, out of order 0; \
             recovery p50 {:.2} s, p99 {:.2} s, slowest {:.2} s; {} ack-ahead samples; Kafka: {} \
             records, {} sent again ({:.2} %), {} faults of the broker",
            self.kills.values().sum::<u32>(),
            self.changes,
            at(50),
            at(99),
            at(100),
            self.samples,
            self.records,
            self.resent,
            100.0 * self.resent as f64 / (self.records - self.resent).max(1) as f64,
            self.broker_faults,
        );
    }
}

fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number")),
        Err(_) => Ok(default),
    }
}

/// Every crash point that a run passes, but for those of the start.
fn points(with_kafka: bool, exactly_once: bool) -> Vec<&'static str> {
    let mut points: Vec<&'static str> = CRASH_POINTS.to_vec();
    points.extend(GRPC_CRASH_POINTS);
    points.push(SEGMENT_CRASH_POINT);
    match (with_kafka, exactly_once) {
        (false, _) => {}
        (true, false) => points.extend(KAFKA_CRASH_POINTS),
        (true, true) => points.extend(KAFKA_EXACTLY_ONCE_CRASH_POINTS),
    }
    points
}

/// A folder of its own for a run, anew.
fn folder(seed: u64) -> Result<PathBuf> {
    let target = binary().parent().and_then(|release| release.parent()).map(PathBuf::from);
    let folder =
        target.context("the binary is in no target folder")?.join(format!("torture/{seed}"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

async fn run(
    seed: u64,
    kills: u32,
    postgres: &Postgres,
    kafka: Option<Brokers<'_>>,
    exactly_once: bool,
) -> Result<Report> {
    let folder = folder(seed)?;
    // Half of the runs, of each kind, have a plugin in several threads.
    let workers = if seed % 4 < 2 { 3 } else { 1 };
    let mut points = points(kafka.is_some(), exactly_once);
    points.extend((workers > 1).then_some(WORKERS_CRASH_POINT));
    let plan = Plan {
        seed,
        kills,
        mutation: String::new(),
        // Small segments, so that they are changed under load.
        configuration: "[log]\ndir = \"data\"\nsegment = \"1MiB\"\n".to_owned(),
        crash_points: points,
        kafka,
        workers,
        exactly_once,
        broker_faults: kafka.is_some(),
    };
    let report = Torture::prepare(postgres, &folder, plan.clone()).await?.run(postgres).await;
    match &report {
        Ok(report) => {
            println!("{}", report.line(&plan));
            std::fs::remove_dir_all(&folder)?;
        }
        Err(_) => println!("the folder of seed {seed} is kept: {}", folder.display()),
    }
    report
}

/// The same with exactly-once delivery to three brokers, of which one after the other fails. `false`:
/// not wanted.
async fn exactly_once(total: &mut Total, seed: u64) -> Result<bool> {
    let kills = u32::try_from(number("TORTURE_EXACTLY_ONCE_KILLS", 300)?)?;
    let runs = kills.div_ceil(KILLS_OF_A_RUN);
    if runs == 0 {
        return Ok(false);
    }
    let cluster = Cluster::start()?;
    for run_number in 0..runs {
        let kills = kills / runs + u32::from(run_number < kills % runs);
        let seed = seed + 1000 + u64::from(run_number);
        let begin = Instant::now();
        println!(
            "\nrun {} of {runs}: exactly once to three brokers with faults, seed {seed}, {kills} kills",
            run_number + 1
        );
        let postgres = Postgres::shared(Version::System);
        match run(seed, kills, postgres, Some(Brokers::Three(&cluster)), true).await {
            Ok(report) => {
                total.passed += 1;
                total.add(report);
            }
            Err(error) => {
                total.failed += 1;
                println!("FAILED with seed {seed}: {error:?}\n{}", cluster.log_tails());
                // The next run must find them well.
                cluster.revive()?;
            }
        }
        println!("took {:.0} s", begin.elapsed().as_secs_f64());
    }
    Ok(true)
}

async fn all() -> Result<Total> {
    let kills = u32::try_from(number("TORTURE_KILLS", 200)?)?;
    let seed = number("TORTURE_SEED", 1)?;
    let runs = (kills / KILLS_OF_A_RUN).max(1);
    let kafka = if skipped("Kafka in the torture") { None } else { Some(Kafka::start()?) };
    let mut total = Total::default();
    for run_number in 0..runs {
        // Two runs with each server, one of them with Kafka.
        let version = if run_number % 4 < 2 { Version::System } else { Version::V18 };
        let kafka = kafka.as_ref().filter(|_| run_number % 2 == 0);
        let brokers = kafka.map(Brokers::One);
        let kills = kills / runs + u32::from(run_number < kills % runs);
        let seed = seed + u64::from(run_number);
        let begin = Instant::now();
        println!(
            "\nrun {} of {runs}: PostgreSQL {version:?}, Kafka {}, seed {seed}, {kills} kills",
            run_number + 1,
            if kafka.is_some() { "4 with faults" } else { "none" },
        );
        match run(seed, kills, Postgres::shared(version), brokers, false).await {
            Ok(report) => {
                total.passed += 1;
                total.add(report);
            }
            Err(error) => {
                total.failed += 1;
                println!("FAILED with seed {seed}: {error:?}");
                if let Some(kafka) = kafka {
                    println!("the broker's last words:\n{}", kafka.log_tail());
                    // The next run must not find it stopped.
                    let _ = kafka.resume();
                }
            }
        }
        println!("took {:.0} s", begin.elapsed().as_secs_f64());
    }
    let mut points: Vec<&str> = START_CRASH_POINTS.to_vec();
    points.push(WORKERS_CRASH_POINT);
    points.extend(self::points(kafka.is_some(), false));
    drop(kafka);
    if !skipped("exactly-once delivery in the torture") && exactly_once(&mut total, seed).await? {
        points.extend(KAFKA_EXACTLY_ONCE_CRASH_POINTS);
    }
    points.sort_unstable();
    points.dedup();
    total.print(&points);
    for point in points.iter().filter(|point| !total.kills.contains_key(*point)) {
        total.failed += 1;
        println!("FAILED: crash point {point} was never hit");
    }
    Ok(total)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let total = match all().await {
        Ok(total) => total,
        Err(error) => {
            println!("FAILED: {error:?}\ntest result: FAILED. 0 passed, 1 failed");
            return ExitCode::FAILURE;
        }
    };
    let word = if total.failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {} passed, {} failed", total.passed, total.failed);
    if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
