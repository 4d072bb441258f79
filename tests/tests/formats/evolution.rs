//! What every introduction to change data capture shows: a column is added with a default, another
//! is renamed, while rows are written. Each format with each level of compatibility: where the
//! registry takes the schema it goes on, where it refuses it Kafka halts with the registry's reason
//! and goes on once somebody has decided.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use offtake_tests::confluent::{Confluent, Form};
use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::registry::SchemaRegistry;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, block_in_place};

use crate::{PATIENCE, kafka_has, pipeline, section};

const FORMATS: [&str; 3] = ["avro", "protobuf", "json_schema"];
const LEVELS: [&str; 3] = ["BACKWARD", "FORWARD", "FULL"];
const PLAIN: [&str; 4] = ["debezium_json", "json", "cloudevents", BINARY];
const BINARY: &str = "cloudevents_binary";
/// Rows of each table before the start.
const BEFORE: i64 = 5;

const ADD: &str = "add column currency text default 'EUR'";
const RENAME: &str = "rename column amount to total";

/// The one whose `amount` may be null: a reader finds null where a writer knows no such column, so
/// that both names are optional to both sides.
const NULLABLE: &str = "avro_full";

/// What the registry refuses, in order. Its own rules for Protobuf let no field's name change, and
/// those for JSON Schema no object of theirs get another property that old rows could have had.
const REFUSED: [(&str, &str); 11] = [
    ("protobuf_forward", "added"),
    ("json_schema_backward", "added"),
    ("json_schema_full", "added"),
    ("avro_backward", "renamed"),
    ("avro_forward", "renamed"),
    ("protobuf_backward", "renamed"),
    ("protobuf_forward", "renamed"),
    ("protobuf_full", "renamed"),
    ("json_schema_backward", "renamed"),
    ("json_schema_forward", "renamed"),
    ("json_schema_full", "renamed"),
];

fn table(format: &str, level: &str) -> String {
    format!("{format}_{}", level.to_lowercase())
}

/// Every table with the level of its subject; none where there is no subject.
fn tables() -> Vec<(String, Option<&'static str>)> {
    let with =
        FORMATS.iter().flat_map(|format| LEVELS.map(|level| (table(format, level), Some(level))));
    with.chain(PLAIN.map(|format| (table(format, "plain"), None))).collect()
}

/// Writes a row into every table over and over.
struct Load {
    stop: Arc<AtomicBool>,
    /// Id of the row that every table has.
    written: Arc<AtomicI64>,
    task: JoinHandle<i64>,
}

impl Load {
    async fn start(database: &str) -> Load {
        let client = Postgres::shared(Version::System).connect(database).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicI64::new(BEFORE));
        let (asked, done) = (Arc::clone(&stop), Arc::clone(&written));
        let task = tokio::spawn(async move {
            let mut id = BEFORE;
            while !asked.load(Ordering::Relaxed) {
                id += 1;
                let sql: String = tables()
                    .into_iter()
                    .map(|(table, _)| format!("insert into {table} values ({id}, {id}.25);"))
                    .collect();
                // One after the other: a table that is being altered holds up one row.
                for statement in sql.split_inclusive(';') {
                    client.batch_execute(statement).await.unwrap();
                }
                done.store(id, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            id
        });
        Load { stop, written, task }
    }

    /// Waits until every table has a row that was begun after this.
    async fn a_row_more(&self) {
        let (before, deadline) = (self.written.load(Ordering::Relaxed), Instant::now() + PATIENCE);
        while self.written.load(Ordering::Relaxed) < before + 2 {
            assert!(Instant::now() < deadline, "no row is written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it; gives the last row's id.
    async fn end(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

/// Waits until the registry has that many versions of the subject; `Err`: Kafka halts instead.
fn registered(fixture: &Fixture, subject: &str, versions: usize) -> Result<(), Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if SchemaRegistry::shared().versions(subject).unwrap().len() == versions {
            return Ok(());
        }
        let status = fixture.gateway.status().unwrap();
        if status["kafka"]["state"] == "HALTED" {
            return Err(status);
        }
        assert!(Instant::now() < deadline, "{subject}: {status:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Asserts that it is the registry's refusal of this subject, and that nothing is acknowledged past
/// it; then allows the schema, which Kafka notices by itself.
fn allow(fixture: &Fixture, subject: &str, versions: usize, halted: &Value, level: &str) {
    let registry = SchemaRegistry::shared();
    let kafka = &halted["kafka"];
    assert_eq!(kafka["code"], "REGISTRY_INCOMPATIBLE", "{halted:#}");
    let cause = kafka["cause"].as_str().unwrap();
    let begin = format!("subject {subject}: the registry refuses the new schema as incompatible: ");
    let reason = cause.strip_prefix(&begin).unwrap_or_else(|| panic!("{cause}"));
    println!("{subject}: {reason}");
    assert!(reason.len() > 20 && reason != "without a reason", "{cause}");
    assert!(kafka["sequence"].as_u64() < halted["log"]["last_sequence"].as_u64(), "{halted:#}");
    // The source goes on.
    assert_eq!(halted["state"], "RUNNING", "{halted:#}");
    registry.set_compatibility(subject, "NONE").unwrap();
    let goes_on = |status: &Value| status["kafka"]["state"] == "RUNNING";
    fixture.gateway.wait_for_status("Kafka to go on", PATIENCE, goes_on).unwrap();
    registered(fixture, subject, versions).unwrap_or_else(|status| panic!("{status:#}"));
    registry.set_compatibility(subject, level).unwrap();
}

/// Alters every table in turn; gives those whose new schema the registry refused.
async fn alter(fixture: &Fixture, change: &str, versions: usize) -> Vec<String> {
    let mut refused = Vec::new();
    for (table, level) in tables() {
        let sql = format!("alter table {table} {change}");
        fixture.client.batch_execute(&sql).await.unwrap();
        let Some(level) = level else { continue };
        let subject = format!("{}.public.{table}-value", fixture.database);
        if let Err(halted) = block_in_place(|| registered(fixture, &subject, versions)) {
            block_in_place(|| allow(fixture, &subject, versions, &halted, level));
            refused.push(table);
        }
    }
    refused
}

/// Every row once, and the last with the columns that the table has now.
fn expect_rows(fixture: &Fixture, table: &str, form: Form, last: i64) {
    let topic = format!("{}.public.{table}", fixture.database);
    let client = Confluent::new(Kafka::shared().brokers(), &SchemaRegistry::shared().url());
    let read = client.unwrap().consume(&topic, form, form, last as usize).unwrap();
    let ids: Vec<i64> = read.iter().map(|it| it.key["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (1..=last).collect::<Vec<i64>>(), "{topic}");
    let schemas: BTreeSet<i32> = read.iter().filter_map(|it| it.value_id).collect();
    // Where each begins.
    let mut begins: Vec<(i64, Option<i32>)> =
        ids.into_iter().zip(read.iter().map(|it| it.value_id)).collect();
    begins.dedup_by_key(|(_, schema)| *schema);
    assert_eq!(schemas.len(), 3, "{topic}: {begins:?}");
    let rows = [read.first().unwrap(), read.last().unwrap()].map(|it| it.value["after"].clone());
    assert_eq!(rows[0]["amount"], "1.25", "{topic}: {}", rows[0]);
    assert_eq!(rows[1]["total"], format!("{last}.25"), "{topic}: {}", rows[1]);
    assert_eq!(rows[1]["currency"], "EUR", "{topic}: {}", rows[1]);
    assert!(rows[1].get("amount").is_none(), "{topic}: {}", rows[1]);
}

/// Every row once, as an event whose attributes are headers and whose data is the row as it was.
fn expect_events(fixture: &Fixture, last: i64) {
    let topic = format!("{}.public.{}", fixture.database, table(BINARY, "plain"));
    let records = Kafka::shared().read_committed(&topic).unwrap();
    let source = format!("/debezium/postgresql/{}", fixture.database);
    let mut rows = Vec::new();
    for record in &records {
        for (name, expected) in [
            ("ce_specversion", "1.0"),
            ("ce_source", source.as_str()),
            ("content-type", "application/json"),
        ] {
            let has = |header: &&(String, Vec<u8>)| header.0 == name;
            let found = record.headers.iter().find(has).map(|header| header.1.as_slice());
            assert_eq!(found, Some(expected.as_bytes()), "{topic}: {name} in {record:?}");
        }
        let value: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        rows.push(value["after"].clone());
    }
    let keys: Vec<i64> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(keys, (1..=last).collect::<Vec<i64>>(), "{topic}");
    assert_eq!(rows[0], json!({"id": 1, "amount": "1.25"}), "{topic}");
    let newest = json!({"id": last, "total": format!("{last}.25"), "currency": "EUR"});
    assert_eq!(rows.last(), Some(&newest), "{topic}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_change_under_load_with_the_registrys_compatibility_on() {
    if skipped("tables_change_under_load_with_the_registrys_compatibility_on") {
        return;
    }
    let registry = SchemaRegistry::shared();
    let (mut sql, mut rules) = (String::new(), String::new());
    for (table, _) in tables() {
        let null = if table == NULLABLE { "" } else { " not null" };
        sql += &format!(
            "create table {table} (id int primary key, amount numeric(10, 2){null});
             insert into {table} select i, i + 0.25 from generate_series(1, {BEFORE}) i;"
        );
    }
    // "json_schema_full" is none of "json", and there are two of "cloudevents".
    let registered = FORMATS.map(|format| (format, "*"));
    for (format, level) in registered.into_iter().chain(PLAIN.map(|format| (format, "plain"))) {
        let glob = format!("*.public.{}", table(format, level));
        rules += &format!("[[kafka.topic]]\nstreams = [\"{glob}\"]\nformat = \"{format}\"\n");
    }
    let options = "debezium = { decimal = \"string\" }\n";
    let rest = section(&registry.url(), options) + &rules;
    let mut fixture = pipeline("evolution", &sql, &rest).await;
    fixture.start().unwrap();
    let count = tables().len() as u64;
    kafka_has(&fixture, count * BEFORE as u64);
    for (table, level) in tables() {
        if let Some(level) = level {
            let subject = format!("{}.public.{table}-value", fixture.database);
            registry.set_compatibility(&subject, level).unwrap();
        }
    }
    let load = Load::start(&fixture.database).await;
    let added = alter(&fixture, ADD, 2).await;
    let renamed = alter(&fixture, RENAME, 3).await;
    load.a_row_more().await;
    let last = load.end().await;
    let refused: Vec<(&str, &str)> = added
        .iter()
        .map(|table| (table.as_str(), "added"))
        .chain(renamed.iter().map(|table| (table.as_str(), "renamed")))
        .collect();
    println!("{last} rows in each of {count} tables; refused: {refused:?}");
    assert_eq!(refused, REFUSED);
    kafka_has(&fixture, count * last as u64);
    for (format, form) in
        [("avro", Form::Avro), ("protobuf", Form::Protobuf), ("json_schema", Form::Json)]
    {
        expect_rows(&fixture, &table(format, "BACKWARD"), form, last);
    }
    expect_events(&fixture, last);
    for (table, _) in tables() {
        assert_eq!(crate::messages(&fixture, &format!("public.{table}")), last as usize, "{table}");
    }
    fixture.stop().unwrap();
}
