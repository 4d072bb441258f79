//! The benchmark: Offtake beside `pg_recvlogical` and Debezium's engine, on one machine in one run.
//!
//! `bench [--profile] [drain] [latency] [start] [snapshot] [limit] [debezium] [offtake]`: without
//! names everything. Prints tables and what was expected, and writes `target/bench/WORK.json`, each a
//! list of records. `BENCH_CHANGES` (1,000,000) and `BENCH_SECONDS` (20) choose the size of drains and
//! the length of latency runs; `BENCH_PROFILE=1` is `--profile`; `BENCH_VARIANTS`
//! (slots with commas between) drains with these gateways alone; `BENCH_KAFKA_PROPERTIES` (inside of a
//! TOML inline table) tries other settings of the gateway's Kafka client. Timings never decide the exit
//! status; it tells whether every measurement could be made.

#![allow(unreachable_pub, reason = "`pub` says what a module offers to the other ones")]

mod consumer;
mod database;
mod debezium;
mod drain;
mod expect;
mod latency;
mod limit;
mod offtake;
mod process;
mod profile;
mod quantile;
mod record;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use offtake_tests::kafka::{self, Kafka};
use offtake_tests::registry::SchemaRegistry;

use database::Database;
use process::{Sampler, Talker};
use record::Record;

/// Kinds of work.
const WORKS: [&str; 4] = ["drain", "latency", "start", "snapshot"];
/// Systems.
const SYSTEMS: [&str; 3] = ["limit", "debezium", "offtake"];

/// What every measurement needs.
pub struct Bench {
    /// The database that is read.
    pub database: Database,
    /// Changes that a drain drains.
    pub changes: u64,
    /// Seconds that a latency run lasts.
    pub seconds: u64,
    /// Whether the gateway is profiled.
    pub profiles: bool,
    chosen: BTreeSet<String>,
    kafka: Option<Kafka>,
    registry: Option<SchemaRegistry>,
    scratch: tempfile::TempDir,
    next_number: Cell<u64>,
}

impl Bench {
    fn start(arguments: &[String]) -> Result<Bench> {
        let (chosen, profiles) = choose(arguments)?;
        let folder = target_folder()?;
        let scratch = tempfile::Builder::new().prefix("run-").tempdir_in(&folder)?;
        let with_kafka = !kafka::skipped("everything with Kafka")
            && ["drain", "latency"].iter().any(|work| chosen.contains(*work))
            && ["offtake", "debezium"].iter().any(|system| chosen.contains(*system));
        Ok(Bench {
            database: Database::start()?,
            changes: number("BENCH_CHANGES", 1_000_000)?,
            seconds: number("BENCH_SECONDS", 20)?,
            profiles,
            kafka: if with_kafka { Some(Kafka::start()?) } else { None },
            registry: if with_kafka && chosen.contains("drain") && chosen.contains("offtake") {
                Some(SchemaRegistry::start()?)
            } else {
                None
            },
            chosen,
            scratch,
            next_number: Cell::new(1),
        })
    }

    /// Whether a kind of work or a system is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.chosen.contains(name)
    }

    /// Whether a way to run the gateway, by its slot, is to be measured.
    pub fn wants_variant(&self, slot: &str) -> bool {
        std::env::var("BENCH_VARIANTS")
            .map_or(true, |chosen| chosen.split(',').any(|name| name == slot))
    }

    /// Whether there is a broker.
    pub fn has_kafka(&self) -> bool {
        self.kafka.is_some()
    }

    /// Where files of this run go.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Addresses of the broker.
    ///
    /// # Errors
    /// There is none.
    pub fn brokers(&self) -> Result<String> {
        Ok(self.kafka.as_ref().context("there is no broker")?.brokers().to_owned())
    }

    /// Address of the schema registry.
    ///
    /// # Errors
    /// There is none.
    pub fn registry(&self) -> Result<String> {
        Ok(self.registry.as_ref().context("there is no schema registry")?.url())
    }

    /// Makes a topic of one partition, where there is a broker.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn create_topic(&self, topic: &str) -> Result<()> {
        self.kafka.as_ref().map_or(Ok(()), |kafka| kafka.create_topic(topic, 1, &[]))
    }

    /// Watches the broker's process when it takes part.
    pub fn watch_broker(&self, sampler: &Sampler, takes_part: bool) {
        if let Some(pid) = process::child_with("kafka.Kafka").filter(|_| takes_part) {
            sampler.watch("broker", pid);
        }
    }

    /// A consumer of a topic, as a process of its own.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn kafka_consumer(&self, topic: &str, changes: u64, skip: u64) -> Result<Talker> {
        let mut command = Command::new(process::OWN_BINARY);
        command.args(["consume-kafka", &self.brokers()?, topic]);
        command.args([changes.to_string(), skip.to_string()]);
        Talker::spawn(command)
    }

    /// The first of so many row numbers that nobody else uses.
    pub fn take_numbers(&self, count: u64) -> u64 {
        self.next_number.replace(self.next_number.get() + count)
    }
}

fn choose(arguments: &[String]) -> Result<(BTreeSet<String>, bool)> {
    let mut profiles = std::env::var("BENCH_PROFILE").is_ok_and(|value| value == "1");
    let mut chosen = BTreeSet::new();
    for argument in arguments {
        match argument.as_str() {
            "--profile" => profiles = true,
            name if WORKS.contains(&name) || SYSTEMS.contains(&name) => {
                chosen.insert(name.to_owned());
            }
            other => bail!("no such work or system: {other}; there are {WORKS:?} and {SYSTEMS:?}"),
        }
    }
    for names in [&WORKS[..], &SYSTEMS[..]] {
        if !names.iter().any(|name| chosen.contains(*name)) {
            chosen.extend(names.iter().map(|name| (*name).to_owned()));
        }
    }
    Ok((chosen, profiles))
}

fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name} is no number")),
        Err(_) => Ok(default),
    }
}

fn target_folder() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.canonicalize()?)
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((word, rest)) if word == "consume-grpc" => return consumer::grpc(rest),
        Some((word, rest)) if word == "consume-kafka" => return consumer::kafka(rest),
        _ => {}
    }
    let bench = Bench::start(&arguments)?;
    println!(
        "PostgreSQL {}, {} changes, {} CPUs",
        bench.database.version()?,
        bench.changes,
        std::thread::available_parallelism()?
    );
    let mut records = Vec::new();
    if bench.wants("drain") || bench.wants("snapshot") {
        records.extend(drain::run(&bench)?);
    }
    if bench.wants("latency") {
        records.extend(latencies(&bench)?);
    }
    if bench.wants("start") && bench.wants("offtake") {
        println!("Starts …");
        bench.database.create_table("starts")?;
        records.extend(offtake::starts(&bench, "starts", 5)?);
    }
    record::print(&records);
    expect::print(&records);
    record::write(&target_folder()?, &records)?;
    println!("\nWritten to target/bench/*.json");
    Ok(())
}

fn latencies(bench: &Bench) -> Result<Vec<Record>> {
    const TABLE: &str = "steady";
    println!("Latency at a steady rate …");
    bench.database.create_table(TABLE)?;
    let mut records = vec![latency::sync(bench.folder())?];
    if bench.wants("offtake") {
        records.extend(offtake::latency(bench, offtake::Variant::Grpc, TABLE)?);
        if bench.has_kafka() {
            records.extend(offtake::latency(bench, offtake::Variant::AtLeastOnce, TABLE)?);
            records.extend(offtake::latency(bench, offtake::Variant::ExactlyOnce, TABLE)?);
        }
    }
    if bench.wants("debezium") {
        let debezium = debezium::Debezium::get()?;
        for variant in debezium::Variant::ALL {
            if bench.has_kafka() || !variant.kafka {
                records.push(debezium.latency(bench, variant, TABLE)?);
            }
        }
    }
    Ok(records)
}
