//! Both sides on one database: Debezium's engines and the gateways, each with slots and publications
//! of its own, over a snapshot and the steps of a script.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use offtake_tests::debezium::{Debezium, Recorder};
use offtake_tests::gateway::Gateway;
use offtake_tests::kafka::Kafka;
use offtake_tests::postgres::{Postgres, Setup, Version};
use tokio_postgres::Client;

use crate::compare::{Record, TRANSACTIONS, Topics, remove_empty_transactions};
use crate::follower::Follower;
use crate::sets::Set;

/// How long the slowest side may take for a step.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long one look for new records takes.
const LOOK: Duration = Duration::from_millis(30);
/// After which nothing more is expected to come, once everybody has got the last marker.
const SILENCE: Duration = Duration::from_secs(3);
/// The table whose rows say how far a side is.
const MARKER: &str = "public.zz_marker";
/// What the database holds and what happens to it.
#[derive(Debug)]
pub(crate) struct Script {
    /// Tables and their first rows, paragraph by paragraph.
    pub(crate) tables: &'static [&'static str],
    /// What happens while both sides stream, step by step.
    pub(crate) changes: &'static str,
}

/// Every type and table shape of PostgreSQL's own.
pub(crate) const POSTGRES: Script = Script {
    // Tables by their shape, after those by their types.
    tables: &[include_str!("sql/types.sql"), include_str!("sql/tables.sql")],
    changes: include_str!("sql/changes.sql"),
};

/// The types of pgvector, which the server must have.
pub(crate) const VECTORS: Script = Script {
    tables: &[include_str!("sql/vectors.sql")],
    changes: include_str!("sql/vector_changes.sql"),
};

/// The stream of the table with odd characters has the name that Debezium's topic has.
const ROUTES: &str = "[[route]]\ntables = ['\"Odd Schema\".\"Table.with \"\"quotes\"\" and-dashes\"']\n\
    stream = \"{name}.Odd_Schema.Table.with__quotes__and-dashes\"\n\
    [[route]]\ntables = [\"public.*\"]\n";

/// A set with schemas on or off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The options.
    pub(crate) set: &'static Set,
    /// `schemas.enable`.
    pub(crate) schemas: bool,
}

impl Run {
    /// As it is called in reports.
    pub(crate) fn name(&self) -> String {
        format!("{}{}", self.set.name, if self.schemas { "_schemas" } else { "" })
    }
}

/// What both sides published in a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The run.
    pub(crate) run: Run,
    /// Debezium's topics.
    pub(crate) debezium: Topics,
    /// Offtake's.
    pub(crate) offtake: Topics,
}

/// A run under way.
struct Side {
    run: Run,
    /// Debezium's `topic.prefix`.
    prefix: String,
    /// The pipeline's name, the prefix of Offtake's topics about rows: the same, or another one.
    name: String,
    gateway: Gateway,
    recording: Recording,
}

/// A script as that version takes it: before PostgreSQL 15 a numeric's scale lay within its precision.
fn known_to(version: Version, sql: &str) -> String {
    match version {
        Version::V14 => {
            sql.replace("numeric(3, -2)", "numeric(8)").replace("numeric(2, 5)", "numeric(8, 5)")
        }
        _ => sql.to_owned(),
    }
}

/// Runs both sides under all the sets side by side.
pub(crate) async fn record(
    version: Version,
    script: &Script,
    runs: &[Run],
) -> Result<Vec<Outcome>> {
    let setup = Setup {
        // As a server is set up that one wants to read: Debezium does not state what it reads.
        settings: [
            ("timezone", "UTC"),
            ("datestyle", "ISO, MDY"),
            ("intervalstyle", "postgres"),
            ("bytea_output", "hex"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        ..Setup::default()
    };
    let postgres = Postgres::start_with(version, &setup)?;
    let kafka = Kafka::shared();
    let debezium = Debezium::get()?;
    let folder = tempfile::tempdir()?;
    let database = postgres.create_database("differential").await?;
    let client = postgres.connect(&database).await?;
    // Paragraph by paragraph: one text is one transaction, and a new label of an enum can only be
    // used in a later one.
    for paragraph in script.tables.iter().flat_map(|tables| tables.split("\n\n")) {
        let paragraph = known_to(version, paragraph);
        client.batch_execute(&paragraph).await.with_context(|| paragraph.clone())?;
    }
    let word = kafka.prefix("diff");
    let mut follower = Follower::new(kafka, &word)?;
    let mut sides = Vec::new();
    for run in runs {
        let prefix = format!("{word}-{}", run.name().replace('_', "-"));
        sides.push(
            Side::new(*run, &prefix, &postgres, &database, kafka, folder.path(), &client).await?,
        );
    }
    let properties: Vec<PathBuf> =
        sides.iter().map(|side| properties_file(folder.path(), &side.prefix)).collect();
    let mut recorder = Recorder::start(&debezium, &properties, &folder.path().join("engines.log"))?;
    for side in &mut sides {
        side.gateway.start("")?;
    }
    wait(&mut sides, &mut follower, &mut recorder, 0, "the snapshot")?;
    for (number, step) in (1_usize..).zip(script.changes.split("\n-- step ").skip(1)) {
        let (name, statements) = step.split_once('\n').unwrap_or((step, ""));
        // Statement by statement: several in one text would be one transaction.
        for statement in statements.split_inclusive(";\n").map(str::trim) {
            if !statement.is_empty() {
                client.batch_execute(statement).await.with_context(|| statement.to_owned())?;
            }
        }
        let number_text = i32::try_from(number)?;
        let marker = "INSERT INTO zz_marker VALUES ($1, $2)";
        client.execute(marker, &[&number_text, &name]).await?;
        wait(&mut sides, &mut follower, &mut recorder, number, name)?;
    }
    drop(recorder);
    // A gateway that runs writes its heartbeats for ever: there would be no silence to wait for.
    for side in &mut sides {
        let status = side.gateway.stop(PATIENCE)?;
        ensure!(status.success(), "{}: {}", side.run.name(), side.gateway.output());
    }
    follower.poll_rest(SILENCE)?;
    let mut outcomes: Vec<Outcome> =
        sides.into_iter().map(|side| side.outcome(&follower)).collect();
    if version == Version::V14 {
        // Later servers send nothing of a transaction without a change of a published table.
        for Outcome { debezium, offtake, .. } in &mut outcomes {
            if let (Some(theirs), Some(ours)) =
                (debezium.get_mut(TRANSACTIONS), offtake.get(TRANSACTIONS))
            {
                remove_empty_transactions(theirs, ours);
            }
        }
    }
    Ok(outcomes)
}

/// Waits until every side has published the marker of that number.
fn wait(
    sides: &mut [Side],
    follower: &mut Follower,
    recorder: &mut Recorder,
    number: usize,
    step: &str,
) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        recorder.check()?;
        follower.poll(LOOK)?;
        let mut behind = Vec::new();
        for side in &mut *sides {
            side.recording.read_on()?;
            let topic = |prefix: &str| format!("{prefix}.{MARKER}");
            let theirs = side.recording.topics.get(&topic(&side.prefix)).map_or(0, Vec::len);
            let ours = follower.topics.get(&(topic(&side.name), 0)).map_or(0, Vec::len);
            if theirs <= number {
                behind.push(format!("Debezium, {}", side.run.name()));
            }
            if ours <= number {
                side.check_gateway()?;
                behind.push(format!("Offtake, {}", side.run.name()));
            }
        }
        if behind.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            for side in &*sides {
                let status = side.gateway.status().unwrap_or_default();
                println!("{}: {status:#}\n{}", side.run.name(), side.gateway.output());
            }
            bail!("step {number} ({step}) is not there: {behind:?}\n{}", recorder.log());
        }
    }
}

impl Side {
    /// Writes both sides' settings and makes Debezium's publication; starts nothing.
    async fn new(
        run: Run,
        prefix: &str,
        postgres: &Postgres,
        database: &str,
        kafka: &Kafka,
        folder: &Path,
        client: &Client,
    ) -> Result<Side> {
        let excluded: Vec<String> =
            run.set.exclude.iter().map(|table| format!("\"public.{table}\"")).collect();
        let slot = prefix.replace('-', "_");
        let source = format!(
            "url = \"{}\"\ntables = [\"public.*\", '\"Odd Schema\".*']\nexclude = [{}]\n\
             slot = \"offtake_{slot}\"\npublication = \"offtake_{slot}\"",
            postgres.url(database),
            excluded.join(", ")
        );
        let mut options = run.set.offtake.to_owned();
        if run.schemas {
            options.push_str("\nschemas = true");
        }
        let mut name = prefix.to_owned();
        if run.set.renamed {
            name.push_str("-renamed");
            options.push_str(&format!("\ntopic_prefix = \"{prefix}\""));
        }
        let options = match options.as_str() {
            "" => String::new(),
            options => format!("[kafka.debezium]\n{options}\n"),
        };
        let rest = format!(
            "{ROUTES}[kafka]\nbrokers = [\"{}\"]\n[kafka.topics]\npartitions = 1\nreplication = 1\n\
             {options}{}[log]\ndir = \"data\"\nsegment = \"4MiB\"\nretain = {{ size = \"64MiB\" }}",
            kafka.brokers(),
            run.set.topics.replace("PREFIX", &name)
        );
        let gateway = Gateway::new(&folder.join(prefix), &name, &source, &rest)?;
        for name in ["debezium", "offtake"] {
            publish(client, &format!("{name}_{slot}"), run.set.exclude).await?;
        }
        let recorded = folder.join(format!("{prefix}.jsonl"));
        fs::write(&recorded, "")?;
        let text = properties(run, prefix, &slot, postgres.port(), database, &recorded);
        fs::write(properties_file(folder, prefix), text)?;
        let recording = Recording::new(&recorded)?;
        Ok(Side { run, prefix: prefix.to_owned(), name, gateway, recording })
    }

    /// Fails once the gateway has ended or cannot go on.
    fn check_gateway(&mut self) -> Result<()> {
        let ended = self.gateway.exited()?;
        // It is not asked before its admin listener is open.
        let status = self.gateway.status().unwrap_or_default();
        let halted = status["state"] == "HALTED" || status["kafka"]["state"] == "HALTED";
        let name = self.run.name();
        ensure!(ended.is_none(), "{name}: the gateway ended:\n{}", self.gateway.output());
        ensure!(!halted, "{name}: the gateway halted: {status:#}\n{}", self.gateway.output());
        Ok(())
    }

    fn outcome(self, follower: &Follower) -> Outcome {
        let short = |topic: &String| {
            topic
                .strip_prefix(&format!("{}.", self.prefix))
                .map(str::to_owned)
                .or_else(|| topic.strip_suffix(&format!(".{}", self.prefix)).map(str::to_owned))
        };
        // Topics about no row are named by `topic_prefix`.
        let of_rows =
            |topic: &String| topic.strip_prefix(&format!("{}.", self.name)).map(str::to_owned);
        let mut offtake = Topics::new();
        for ((topic, _), records) in &follower.topics {
            if let Some(name) = of_rows(topic).or_else(|| short(topic)) {
                offtake.entry(name).or_default().extend(records.iter().cloned());
            }
        }
        let debezium = self.recording.topics.iter();
        let debezium =
            debezium.filter_map(|(topic, records)| Some((short(topic)?, records.clone())));
        Outcome { run: self.run, debezium: debezium.collect(), offtake }
    }
}

/// A publication of the tables, partitions by their root. The gateway gets one too: it makes none
/// that would let updates of a table fail, and such tables are among these.
async fn publish(client: &Client, name: &str, exclude: &[&str]) -> Result<()> {
    let tables = "SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ') \
                  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname IN ('public', 'Odd Schema') AND c.relkind IN ('r', 'p') \
                  AND NOT c.relispartition AND c.relname <> ALL ($1)";
    let exclude: Vec<String> = exclude.iter().map(|name| (*name).to_owned()).collect();
    let tables: String = client.query_one(tables, &[&exclude]).await?.get(0);
    let create = format!(
        "CREATE PUBLICATION {name} FOR TABLE {tables} \
         WITH (publish_via_partition_root = true)"
    );
    client.batch_execute(&create).await?;
    Ok(())
}

fn properties_file(folder: &Path, prefix: &str) -> PathBuf {
    folder.join(format!("{prefix}.properties"))
}

fn properties(
    run: Run,
    prefix: &str,
    slot: &str,
    port: u16,
    database: &str,
    file: &Path,
) -> String {
    let mut excluded: Vec<String> = vec!["public.parts_.*".to_owned()];
    excluded.extend(run.set.exclude.iter().map(|table| format!("public.{table}")));
    let mut text = format!(
        "name={prefix}\nconnector.class=io.debezium.connector.postgresql.PostgresConnector\n\
         plugin.name=pgoutput\ndatabase.hostname=127.0.0.1\ndatabase.port={port}\n\
         database.user=postgres\ndatabase.password=none\ndatabase.dbname={database}\n\
         topic.prefix={prefix}\nslot.name=debezium_{slot}\npublication.name=debezium_{slot}\n\
         publication.autocreate.mode=disabled\nschema.include.list=public,Odd Schema\n\
         table.exclude.list={}\nsnapshot.mode=initial\npoll.interval.ms=20\n\
         offset.storage=org.apache.kafka.connect.storage.MemoryOffsetBackingStore\n\
         recorder.outputs=all\nrecorder.all.file={}\n",
        excluded.join(","),
        file.display()
    );
    for part in ["key", "value"] {
        text.push_str(&format!("recorder.all.{part}.converter.schemas.enable={}\n", run.schemas));
    }
    for (name, value) in run.set.debezium {
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}

/// What an engine has written so far.
struct Recording {
    file: BufReader<fs::File>,
    /// Bytes read, all of them whole lines.
    end: u64,
    topics: BTreeMap<String, Vec<Record>>,
}

#[derive(serde::Deserialize)]
struct Line {
    topic: String,
    #[serde(flatten)]
    record: Record,
}

impl Recording {
    fn new(path: &Path) -> Result<Recording> {
        let file = BufReader::new(fs::File::open(path)?);
        Ok(Recording { file, end: 0, topics: BTreeMap::new() })
    }

    fn read_on(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(self.end))?;
        let mut line = String::new();
        loop {
            line.clear();
            let length = self.file.read_line(&mut line)?;
            if !line.ends_with('\n') {
                return Ok(());
            }
            self.end += u64::try_from(length)?;
            let read: Line = serde_json::from_str(&line).context("a recorded line")?;
            ensure!(!read.topic.is_empty(), "a record without a topic");
            self.topics.entry(read.topic).or_default().push(read.record);
        }
    }
}
