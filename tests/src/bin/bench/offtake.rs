//! The gateway as it is measured: log only, with the masking plugin and a gRPC subscriber, and with
//! Kafka as well.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use offtake_tests::gateway::Gateway;
use serde_json::Value;

use super::process::{OWN_BINARY, Sampler, Talker, now_unix_ns, threads};
use super::profile::Profile;
use super::record::Record;
use super::{Bench, latency};

/// How long the gateway may take to become ready or to stop.
const READY: Duration = Duration::from_secs(30);
/// How long a drain may take.
const DEADLINE: Duration = Duration::from_secs(600);
/// Between two looks at `/status` during a drain.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A way to run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// No plugin, nobody reads.
    LogOnly,
    /// `builtin:mask` on one column, and one gRPC subscriber.
    Grpc,
    /// The same, and Kafka at least once.
    Kafka,
    /// `builtin:mask` and Kafka at least once, as Debezium writes it.
    AtLeastOnce,
    /// The same in transactions of 100 ms.
    ExactlyOnce,
    /// `builtin:mask` and Kafka at least once, in Avro with a schema registry.
    Avro,
}

impl Variant {
    /// All of them.
    pub const ALL: [Variant; 6] = [
        Variant::LogOnly,
        Variant::Grpc,
        Variant::Kafka,
        Variant::AtLeastOnce,
        Variant::ExactlyOnce,
        Variant::Avro,
    ];

    /// As it is called in tables.
    pub fn name(self) -> &'static str {
        match self {
            Variant::LogOnly => "Offtake, log only",
            Variant::Grpc => "Offtake, mask, gRPC",
            Variant::Kafka => "Offtake, mask, gRPC, Kafka",
            Variant::AtLeastOnce => "Offtake, mask, Kafka at least once",
            Variant::ExactlyOnce => "Offtake, mask, Kafka exactly once",
            Variant::Avro => "Offtake, mask, Kafka, Avro",
        }
    }

    /// As it is called in slots and topics.
    pub fn slot(self) -> &'static str {
        match self {
            Variant::LogOnly => "offtake_log",
            Variant::Grpc => "offtake_grpc",
            Variant::Kafka => "offtake_kafka",
            Variant::AtLeastOnce => "offtake_kafka_at_least_once",
            Variant::ExactlyOnce => "offtake_kafka_exactly_once",
            Variant::Avro => "offtake_kafka_avro",
        }
    }

    /// As it is called where its latency is told.
    fn latency_name(self) -> String {
        if self.has_kafka() {
            format!("{}, to a read_committed consumer", self.name())
        } else {
            "Offtake to the subscriber".to_owned()
        }
    }

    /// Whether it publishes to Kafka.
    pub fn has_kafka(self) -> bool {
        !matches!(self, Variant::LogOnly | Variant::Grpc)
    }

    /// Whether it has a gRPC subscriber.
    fn has_subscriber(self) -> bool {
        matches!(self, Variant::Grpc | Variant::Kafka)
    }

    /// Keys of `[kafka]` beyond the brokers and topics.
    fn kafka_keys(self, bench: &Bench) -> Result<String> {
        Ok(match self {
            Variant::ExactlyOnce => {
                "delivery = \"exactly_once\"\ntransaction_interval = \"100ms\"\n".to_owned()
            }
            Variant::Avro => format!(
                "delivery = \"at_least_once\"\nformat = \"avro\"\nregistry = {{ url = \"{}\" }}\n",
                bench.registry()?
            ),
            _ => "delivery = \"at_least_once\"\n".to_owned(),
        })
    }
}

/// A gateway with a name and slot of its own for a table.
///
/// # Errors
/// Its configuration cannot be written.
fn gateway(
    bench: &Bench,
    variant: Variant,
    name: &str,
    table: &str,
    snapshot: &str,
) -> Result<Gateway> {
    let source = format!(
        "url = \"{}\"\ntables = [\"public.{table}\"]\nslot = \"{name}\"\n\
         publication = \"{table}\"\nsnapshot = \"{snapshot}\"\nmessages = false",
        bench.database.url()
    );
    let mut rest = String::new();
    if variant != Variant::LogOnly {
        rest.push_str(
            "[plugin.mask]\nwasm = \"builtin:mask\"\nconfig = { columns = [\"email\"] }\n\n\
             [[route]]\ntables = [\"public.*\"]\nplugins = [\"mask\"]\n",
        );
    }
    if variant.has_kafka() {
        rest.push_str(&format!(
            "\n[kafka]\nbrokers = [\"{}\"]\ntopics = {{ partitions = 1 }}\nproperties = {{ {} }}\n{}",
            bench.brokers()?,
            std::env::var("BENCH_KAFKA_PROPERTIES").unwrap_or_default(),
            variant.kafka_keys(bench)?,
        ));
    }
    Gateway::new(&bench.folder().join(name), name, &source, &rest)
}

/// Makes the slot: starts the gateway once, waits until it streams, and stops it.
///
/// # Errors
/// It does not get that far.
pub fn prepare(bench: &Bench, variant: Variant, slot: &str, table: &str) -> Result<Gateway> {
    let mut gateway = gateway(bench, variant, slot, table, "never")?;
    start_and_stop(&mut gateway)?;
    Ok(gateway)
}

/// Starts, waits until it streams, stops.
///
/// # Errors
/// It does not get that far.
pub fn start_and_stop(gateway: &mut Gateway) -> Result<()> {
    gateway.start("")?;
    wait_until_streaming(gateway)?;
    gateway.stop(READY)?;
    Ok(())
}

/// Waits until it streams.
///
/// # Errors
/// It does not get that far.
pub fn wait_until_streaming(gateway: &mut Gateway) -> Result<()> {
    gateway.wait_until_ready(READY)?;
    gateway
        .wait_for_status("streaming", READY, |status| status["source"]["state"] == "streaming")?;
    Ok(())
}

/// A subscriber to everything, as a process of its own. `changes` is what it is to get, with a `+`
/// where more may come.
///
/// # Errors
/// It cannot be started.
pub fn subscriber(gateway: &Gateway, changes: &str, skip: u64) -> Result<Talker> {
    let mut command = Command::new(OWN_BINARY);
    command.args(["consume-grpc", &gateway.grpc.to_string()]);
    command.args([changes, &skip.to_string()]);
    Talker::spawn(command)
}

/// Drains what waits for this gateway.
///
/// # Errors
/// It does not take every change in time.
pub fn drain(bench: &Bench, variant: Variant, gateway: &mut Gateway) -> Result<Record> {
    let sampler = Sampler::start(bench.database.server_pid()?);
    bench.watch_broker(&sampler, variant.has_kafka());
    let consumer = if variant.has_subscriber() {
        Some(subscriber(gateway, &bench.changes.to_string(), 0)?)
    } else {
        None
    };
    if let Some(consumer) = &consumer {
        sampler.watch_new("subscriber", consumer.pid());
    }
    let start = now_unix_ns();
    gateway.start("")?;
    let pid = gateway.pid().context("the gateway runs")?;
    sampler.watch_new("gateway", pid);
    let first = match &consumer {
        None => reached(gateway, |status| count(&status["changes"]["source"]) > 0)?,
        Some(consumer) => consumer.wait_for_number("first", DEADLINE)?,
    };
    let profile = Profile::start_if(bench, pid, variant.slot())?;
    let mut done = match &consumer {
        None => reached(gateway, |status| count(&status["log"]["last_sequence"]) >= bench.changes)?,
        Some(consumer) => consumer.wait_for_number("done", DEADLINE)?,
    };
    if variant.has_kafka() {
        let sent = |status: &Value| count(&status["kafka"]["sequence"]) >= bench.changes;
        done = done.max(reached(gateway, sent)?);
    }
    let threads = threads(pid);
    let usage = sampler.finish();
    if let Some(profile) = profile {
        println!("{}", profile.finish(variant.name())?);
    }
    let log = gateway.status()?["log"].clone();
    let (_, metrics) = gateway.get("/metrics")?;
    gateway.stop(READY)?;
    let mut record = Record::new("drain", variant.name())
        .with_times(bench.changes, start, first, done)
        .with_usage("gateway", &usage)
        .with_threads(threads);
    record.sync_share =
        log["fsync_seconds"].as_f64().zip(record.total_s).map(|(sync, all)| sync / all);
    record.changes_per_sync =
        log["fsyncs"].as_f64().map(|syncs| bench.changes as f64 / syncs.max(1.0));
    if variant == Variant::ExactlyOnce {
        let commits = metric(&metrics, "offtake_kafka_commit_seconds_count");
        record.transactions = commits.map(|commits| commits as u64);
        record.commit_ms = metric(&metrics, "offtake_kafka_commit_seconds_sum")
            .zip(commits)
            .map(|(seconds, commits)| seconds * 1000.0 / commits.max(1.0));
    }
    Ok(record)
}

/// A figure of the metrics' page.
fn metric(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Waits until `/status` says so; the moment in nanoseconds since the Unix epoch.
fn reached(gateway: &mut Gateway, condition: impl Fn(&Value) -> bool) -> Result<u64> {
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        match gateway.status() {
            Ok(status) if condition(&status) => return Ok(now_unix_ns()),
            Ok(status) if status["state"] == "HALTED" => bail!("the gateway halted: {status:#}"),
            Ok(status) if status["kafka"]["state"] == "HALTED" => {
                bail!("the Kafka sink halted: {:#}", status["kafka"])
            }
            Ok(_) => {}
            Err(_) => {
                if let Some(status) = gateway.exited()? {
                    bail!("the gateway ended with {status}");
                }
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    bail!("the gateway did not take every change: {:#}", gateway.status()?)
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Latency at a steady rate: to the subscriber, or to a Kafka consumer. The log's own syncs are a
/// record as well.
///
/// # Errors
/// As [`drain`].
pub fn latency(bench: &Bench, variant: Variant, table: &str) -> Result<Vec<Record>> {
    let name = format!("{}_steady", variant.slot());
    let mut gateway = gateway(bench, variant, &name, table, "never")?;
    let topic = format!("{name}.public.{table}");
    if variant.has_kafka() {
        bench.create_topic(&topic)?;
    }
    gateway.start("")?;
    wait_until_streaming(&mut gateway)?;
    let load = latency::Load::new(bench, table);
    let consumer = match variant {
        _ if variant.has_kafka() => bench.kafka_consumer(&topic, load.changes(), load.skip())?,
        _ => subscriber(&gateway, &load.changes().to_string(), load.skip())?,
    };
    let record = load.measure(bench, &consumer)?;
    let log = gateway.status()?["log"].clone();
    let mean = log["fsync_seconds"].as_f64().unwrap_or(0.0) * 1000.0
        / log["fsyncs"].as_f64().unwrap_or(0.0).max(1.0);
    gateway.stop(READY)?;
    let sync = Record {
        p50_ms: Some(mean),
        system: format!("  of it the log's sync (mean), {}", variant.slot()),
        ..Record::new("latency", "")
    };
    Ok(vec![Record { system: variant.latency_name(), ..record }, sync])
}

/// First change after the process' start, with changes waiting in the slot: `times` starts with the
/// plugin's compiled code kept, and one without it.
///
/// # Errors
/// As [`drain`].
pub fn starts(bench: &Bench, table: &str, times: usize) -> Result<Vec<Record>> {
    /// Rows that wait for each start.
    const WAITING: u64 = 1000;
    let mut gateway = gateway(bench, Variant::Grpc, "offtake_starts", table, "never")?;
    start_and_stop(&mut gateway)?;
    let mut records: Vec<Record> = Vec::new();
    for round in 0..=times as u64 {
        let before = round * WAITING;
        bench.database.insert_steadily(table, before + 1, WAITING, 1_000_000)?;
        if round == times as u64 {
            remove_compiled_code(&gateway)?;
        }
        // What earlier starts received comes from the log again; the first of the new is counted.
        let subscriber = subscriber(&gateway, &format!("{}+", before + 1), 0)?;
        let start = now_unix_ns();
        gateway.start("")?;
        let first = subscriber.wait_for_number("done", DEADLINE)?;
        let peak = gateway.peak_memory_bytes()?;
        gateway.wait_for_status("the rest", DEADLINE, |status| {
            count(&status["log"]["last_sequence"]) >= before + WAITING
        })?;
        gateway.stop(READY)?;
        let cold = round == times as u64;
        let mut record = Record::new("start", "Offtake, plugin's code kept (median)");
        if cold {
            record.system = "Offtake, plugin compiled anew".to_owned();
        }
        record.first_change_s = Some(first.saturating_sub(start) as f64 / 1e9);
        record.peak_rss_mib = Some(peak as f64 / f64::from(1 << 20));
        records.push(record);
    }
    let cold = records.pop().context("at least one start")?;
    records.sort_by(|a, b| {
        a.first_change_s.partial_cmp(&b.first_change_s).unwrap_or(std::cmp::Ordering::Equal)
    });
    let median = records.swap_remove(records.len() / 2);
    Ok(vec![median, cold])
}

fn remove_compiled_code(gateway: &Gateway) -> Result<()> {
    let folder = gateway.folder.join("data/compiled");
    std::fs::remove_dir_all(&folder).with_context(|| format!("{}", folder.display()))
}

/// Snapshot of a table that is full, into the log.
///
/// # Errors
/// As [`drain`].
pub fn snapshot(bench: &Bench, table: &str) -> Result<Record> {
    let mut gateway = gateway(bench, Variant::LogOnly, "offtake_snapshot", table, "initial")?;
    let sampler = Sampler::start(bench.database.server_pid()?);
    let start = now_unix_ns();
    gateway.start("")?;
    let pid = gateway.pid().context("the gateway runs")?;
    sampler.watch_new("gateway", pid);
    let first = reached(&mut gateway, |status| count(&status["changes"]["source"]) > 0)?;
    let profile = Profile::start_if(bench, pid, "snapshot")?;
    let done =
        reached(&mut gateway, |status| count(&status["log"]["last_sequence"]) >= bench.changes)?;
    let threads = threads(pid);
    let usage = sampler.finish();
    if let Some(profile) = profile {
        println!("{}", profile.finish("Offtake, snapshot")?);
    }
    gateway.stop(READY)?;
    Ok(Record::new("snapshot", "Offtake, snapshot into the log")
        .with_times(bench.changes, start, first, done)
        .with_usage("gateway", &usage)
        .with_threads(threads))
}
