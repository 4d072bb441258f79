//! What the real Debezium publishes of a real PostgreSQL, as Connect data: every type, table shape and
//! operation of the differential test, recorded once for all tests here.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use offtake_tests::debezium::{Debezium, Recorder};
use offtake_tests::postgres::{Postgres, Setup, Version};
use serde_json::Value;
use tokio::sync::OnceCell;

const TABLES: [&str; 2] =
    [include_str!("../debezium/sql/types.sql"), include_str!("../debezium/sql/tables.sql")];
const CHANGES: &str = include_str!("../debezium/sql/changes.sql");
/// How long a step may take until its last record is there.
const PATIENCE: Duration = Duration::from_secs(60);
/// The records that say how far the engine is.
const MARKER: &str = "\"topic\":\"recorded.public.zz_marker\"";

/// Keys and values, each with its schema, as Connect's `JsonConverter` writes them.
pub(crate) async fn records() -> Vec<String> {
    static RECORDS: OnceCell<Vec<String>> = OnceCell::const_new();
    RECORDS.get_or_init(async || record().await.unwrap()).await.clone()
}

async fn record() -> Result<Vec<String>> {
    // As the differential test has them: Debezium does not state what it reads.
    let settings = [
        ("timezone", "UTC"),
        ("datestyle", "ISO, MDY"),
        ("intervalstyle", "postgres"),
        ("bytea_output", "hex"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let postgres = Postgres::start_with(Version::System, &Setup { settings, ..Setup::default() })?;
    let database = postgres.create_database("recorded").await?;
    let client = postgres.connect(&database).await?;
    for paragraph in TABLES.iter().flat_map(|tables| tables.split("\n\n")) {
        client.batch_execute(paragraph).await.with_context(|| paragraph.to_owned())?;
    }
    let publication =
        "CREATE PUBLICATION recorded FOR ALL TABLES WITH (publish_via_partition_root = true)";
    client.batch_execute(publication).await?;
    let folder = tempfile::tempdir()?;
    let lines = folder.path().join("records.jsonl");
    fs::write(&lines, "")?;
    let properties = folder.path().join("recorded.properties");
    fs::write(&properties, properties_of(postgres.port(), &database, &lines))?;
    let log = folder.path().join("engine.log");
    let mut recorder = Recorder::start(&Debezium::get()?, &[properties], &log)?;
    wait(&mut recorder, &lines, 0)?;
    for (number, step) in (1_usize..).zip(CHANGES.split("\n-- step ").skip(1)) {
        let (_, statements) = step.split_once('\n').unwrap_or((step, ""));
        // Each statement is a transaction of its own.
        for statement in statements.split_inclusive(";\n").map(str::trim) {
            client.batch_execute(statement).await.with_context(|| statement.to_owned())?;
        }
        let marker = format!("INSERT INTO zz_marker VALUES ({number}, '')");
        client.batch_execute(&marker).await?;
        wait(&mut recorder, &lines, number)?;
    }
    drop(recorder);
    let mut records = Vec::new();
    for line in fs::read_to_string(&lines)?.lines() {
        let message: Value = serde_json::from_str(line)?;
        let halves = ["key", "value"].map(|half| message[half].as_str().map(str::to_owned));
        records.extend(halves.into_iter().flatten());
    }
    ensure!(records.len() > 500, "only {} records", records.len());
    Ok(records)
}

/// Waits until the engine has recorded the marker of that number.
fn wait(recorder: &mut Recorder, lines: &Path, number: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while fs::read_to_string(lines)?.matches(MARKER).count() <= number {
        recorder.check()?;
        ensure!(Instant::now() < deadline, "step {number} is not there:\n{}", recorder.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn properties_of(port: u16, database: &str, lines: &Path) -> String {
    format!(
        "name=recorded\nconnector.class=io.debezium.connector.postgresql.PostgresConnector\n\
         plugin.name=pgoutput\ndatabase.hostname=127.0.0.1\ndatabase.port={port}\n\
         database.user=postgres\ndatabase.password=none\ndatabase.dbname={database}\n\
         topic.prefix=recorded\nslot.name=recorded\npublication.name=recorded\n\
         publication.autocreate.mode=disabled\nschema.include.list=public,Odd Schema\n\
         table.exclude.list=public.parts_.*\nsnapshot.mode=initial\npoll.interval.ms=20\n\
         offset.storage=org.apache.kafka.connect.storage.MemoryOffsetBackingStore\n\
         recorder.outputs=all\nrecorder.all.file={}\n\
         recorder.all.key.converter.schemas.enable=true\n\
         recorder.all.value.converter.schemas.enable=true\n",
        lines.display()
    )
}
