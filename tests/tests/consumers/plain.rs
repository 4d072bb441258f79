//! `kafka-console-consumer` and `kcat` read the topic, and what they print is the table.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::postgres::{Postgres, Version};
use serde_json::Value;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const TABLE: &str = "create table t (id int primary key, note text, price numeric(10, 2));
    insert into t select i, 'row ' || i, i * 1.25 from generate_series(1, 100) i";

const CHANGES: &str = "update t set note = 'changed \"' || id || '\" ä 😀' where id % 3 = 0;
    delete from t where id % 7 = 0;
    update t set id = id + 1000 where id % 10 = 1;
    insert into t values (5000, null, null)";

/// The table as text, by key.
pub(crate) type Rows = BTreeMap<i64, Value>;

/// A pipeline whose topic holds the table's snapshot and all that happened to it since.
pub(crate) async fn published(kafka: &Kafka, hint: &str, rest: &str) -> (Fixture, String, Rows) {
    let postgres = Postgres::shared(Version::System);
    let section = format!("[kafka]\nbrokers = [\"{}\"]\n{rest}", kafka.brokers());
    let mut fixture = Fixture::new(postgres, hint, TABLE, "", &section).await.unwrap();
    fixture.start().unwrap();
    let snapshot = |status: &Value| status["kafka"]["sequence"] == 100;
    fixture.gateway.wait_for_status("the snapshot", PATIENCE, snapshot).unwrap();
    fixture.client.batch_execute(CHANGES).await.unwrap();
    let everything = |status: &Value| {
        status["kafka"]["sequence"].as_u64() > Some(100)
            && status["kafka"]["sequence"] == status["log"]["last_sequence"]
    };
    let rows = fixture.client.query("select id::int8, note from t", &[]).await.unwrap();
    let table: Rows = rows
        .iter()
        .map(|row| (row.get::<_, i64>(0), Value::from(row.get::<_, Option<String>>(1))))
        .collect();
    let topic = format!("{}.public.t", fixture.database);
    // The last row of all is in the topic.
    kafka
        .read_until(&topic, PATIENCE, |records| {
            let last = br#""id":5000}"#;
            let is = |key: &[u8]| key.windows(last.len()).any(|part| part == last);
            records.iter().any(|record| record.key.as_deref().is_some_and(is))
        })
        .unwrap();
    fixture.gateway.wait_for_status("everything", PATIENCE, everything).unwrap();
    (fixture, topic, table)
}

/// What lines of key, tab and value make of a table. `none`: how a tombstone is printed.
fn fold(lines: &str, none: &str) -> Rows {
    let mut rows = Rows::new();
    for line in lines.lines() {
        let (key, value) = line.split_once('\t').unwrap_or_else(|| panic!("{line:?}"));
        let key: Value = serde_json::from_str(key).unwrap_or_else(|_| panic!("{line:?}"));
        let id = key["id"].as_i64().unwrap();
        let change: Value = if value == none {
            Value::Null
        } else {
            serde_json::from_str(value).unwrap_or_else(|_| panic!("{line:?}"))
        };
        if change["after"].is_null() {
            rows.remove(&id);
        } else {
            assert_eq!(change["after"]["id"], id, "{line}");
            rows.insert(id, change["after"]["note"].clone());
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_console_consumer_prints_the_table() {
    if skipped("kafka_console_consumer_prints_the_table") {
        return;
    }
    let kafka = Kafka::shared();
    let (mut fixture, topic, table) = published(kafka, "console", "").await;
    let records = kafka.read_committed(&topic).unwrap().len().to_string();
    let printed = kafka
        .tool(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            &[
                "--bootstrap-server",
                kafka.brokers(),
                "--topic",
                &topic,
                "--from-beginning",
                "--isolation-level",
                "read_committed",
                "--max-messages",
                &records,
                "--timeout-ms",
                "30000",
                "--formatter-property",
                "print.key=true",
            ],
        )
        .unwrap();
    assert_eq!(fold(&printed, "null"), table);
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kcat_prints_the_table() {
    if skipped("kcat_prints_the_table") {
        return;
    }
    let kafka = Kafka::shared();
    let (mut fixture, topic, table) = published(kafka, "kcat", "").await;
    let output = Command::new("timeout")
        .args(["60", "kcat", "-C", "-b", kafka.brokers(), "-t", &topic, "-e", "-q", "-Z"])
        .args(["-X", "isolation.level=read_committed", "-K", "\t"])
        .output()
        .expect("kcat can be run: install `kcat`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fold(&String::from_utf8(output.stdout).unwrap(), "NULL"), table);
    fixture.stop().unwrap();
}
