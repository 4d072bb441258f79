//! The peer: Debezium's engine, driven by a small Java class of ours that is compiled when the
//! benchmark runs.
//!
//! Default settings and tuned ones are both measured. JSON without schemas, as Offtake writes it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use offtake_tests::debezium;
use offtake_tests::postgres::Postgres;

use super::process::{Sampler, Talker, now_unix_ns, threads};
use super::record::Record;
use super::{Bench, latency};

/// How long a drain may take.
const DEADLINE: Duration = Duration::from_secs(900);
/// The class that drives the engine.
const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/DebeziumPeer.java");

/// A way to run it.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Kafka, or nowhere.
    pub kafka: bool,
    /// Larger batches and queues, shorter waits, and batches sent without waiting for the one
    /// before; or everything as it comes.
    pub tuned: bool,
}

impl Variant {
    /// All of them.
    pub const ALL: [Variant; 4] = [
        Variant { kafka: false, tuned: false },
        Variant { kafka: false, tuned: true },
        Variant { kafka: true, tuned: false },
        Variant { kafka: true, tuned: true },
    ];

    /// As it is called in tables.
    pub fn name(self) -> String {
        let to = if self.kafka { "to Kafka" } else { "to nowhere" };
        format!("Debezium {to}, {}", if self.tuned { "tuned" } else { "defaults" })
    }

    /// As it is called in slots and topics.
    pub fn slot(self) -> String {
        let to = if self.kafka { "kafka" } else { "nowhere" };
        format!("debezium_{to}_{}", if self.tuned { "tuned" } else { "defaults" })
    }
}

/// The engine, unpacked, and our class, compiled.
pub struct Debezium {
    class_path: String,
}

impl Debezium {
    /// Fetches what is not there yet.
    ///
    /// # Errors
    /// pip, python3 or javac cannot be run or fail.
    pub fn get() -> Result<Debezium> {
        let class_path = debezium::Debezium::get()?.compile(Path::new(PEER))?;
        Ok(Debezium { class_path })
    }

    /// Starts it on a slot that waits; it reports as consumers do.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, bench: &Bench, variant: Variant, work: &Work<'_>) -> Result<Talker> {
        let path = bench.folder().join(format!("{}.properties", work.slot));
        fs::write(&path, properties(bench, variant, work)?)?;
        let mut command = Command::new("java");
        // What the environment says about Java machines is meant for the broker.
        command.env_remove("_JAVA_OPTIONS").args([
            "-Xmx2g",
            "-cp",
            &self.class_path,
            "DebeziumPeer",
        ]);
        Talker::spawn({
            command.arg(path);
            command
        })
    }

    /// Drains a slot.
    ///
    /// # Errors
    /// It fails, or does not get every change in time.
    pub fn drain(&self, bench: &Bench, variant: Variant, table: &str) -> Result<Record> {
        let slot = variant.slot();
        bench.create_topic(&format!("{slot}.public.{table}"))?;
        let sampler = Sampler::start(bench.database.server_pid()?);
        bench.watch_broker(&sampler, variant.kafka);
        let start = now_unix_ns();
        let work = Work { slot: &slot, table, changes: bench.changes, skip: 0 };
        let engine = self.start(bench, variant, &work)?;
        sampler.watch_new("debezium", engine.pid());
        let first = engine.wait_for_number("first", DEADLINE)?;
        let done = engine.wait_for_number("done", DEADLINE)?;
        let threads = threads(engine.pid());
        let usage = sampler.finish();
        Ok(Record::new("drain", &variant.name())
            .with_times(bench.changes, start, first, done)
            .with_usage("debezium", &usage)
            .with_threads(threads))
    }

    /// Latency at a steady rate: to the engine's callback, or to a Kafka consumer.
    ///
    /// # Errors
    /// As [`Debezium::drain`].
    pub fn latency(&self, bench: &Bench, variant: Variant, table: &str) -> Result<Record> {
        let slot = format!("{}_steady", variant.slot());
        let topic = format!("{slot}.public.{table}");
        bench.create_topic(&topic)?;
        bench.database.create_slot(&slot)?;
        let load = latency::Load::new(bench, table);
        let work = Work { slot: &slot, table, changes: load.changes(), skip: load.skip() };
        let engine = self.start(bench, variant, &work)?;
        let record = if variant.kafka {
            let consumer = bench.kafka_consumer(&topic, load.changes(), load.skip())?;
            load.measure(bench, &consumer)?
        } else {
            load.measure(bench, &engine)?
        };
        drop(engine);
        Ok(Record { system: variant.name(), ..record })
    }
}

/// What the engine is to do.
#[derive(Clone, Copy, Debug)]
pub struct Work<'w> {
    /// Slot, and prefix of the topics.
    pub slot: &'w str,
    /// Table and publication.
    pub table: &'w str,
    /// Changes to take.
    pub changes: u64,
    /// Of them, warm-up before latency is measured; 0: it is not.
    pub skip: u64,
}

fn properties(bench: &Bench, variant: Variant, work: &Work<'_>) -> Result<String> {
    let postgres: &Postgres = &bench.database.postgres;
    let config: tokio_postgres::Config = bench.database.url().parse()?;
    let password = String::from_utf8_lossy(config.get_password().unwrap_or(b"none")).into_owned();
    let Work { slot, table, changes, skip } = work;
    let brokers = if variant.kafka { bench.brokers()? } else { String::new() };
    let mut text = format!(
        "name={slot}\nconnector.class=io.debezium.connector.postgresql.PostgresConnector\n\
         plugin.name=pgoutput\ndatabase.hostname=127.0.0.1\ndatabase.port={}\n\
         database.user={}\ndatabase.password={password}\ndatabase.dbname={}\n\
         topic.prefix={slot}\nslot.name={slot}\npublication.name={table}\n\
         publication.autocreate.mode=disabled\ntable.include.list=public.{table}\n\
         snapshot.mode=no_data\nconverter.schemas.enable=false\n\
         offset.storage=org.apache.kafka.connect.storage.MemoryOffsetBackingStore\n\
         bench.count={changes}\nbench.skip={skip}\nbench.brokers={brokers}\nbench.pipeline={}\n",
        postgres.port(),
        config.get_user().unwrap_or("postgres"),
        bench.database.name,
        variant.tuned && *skip == 0,
    );
    if variant.tuned {
        let poll = if *skip == 0 { 50 } else { 10 };
        text.push_str(&format!(
            "max.batch.size=20000\nmax.queue.size=100000\npoll.interval.ms={poll}\n\
             record.processing.threads=AVAILABLE_CORES\n"
        ));
    }
    Ok(text)
}
