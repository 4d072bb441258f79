//! The pipeline with a real broker: the slot advances while Kafka is stopped, what a plugin hides
//! is in no topic, and a broker that refuses halts the Kafka sink and nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use offtake_tests::checker::{self, Tables};
use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Kafka, Record, skipped};
use offtake_tests::kafka_checker;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;
use offtake_tests::workload::{self, Workload};
use tokio::task::block_in_place;

const PATIENCE: Duration = Duration::from_secs(60);
/// How long Kafka is away: a minute, in the full run ten.
fn outage() -> Duration {
    let full = std::env::var_os("OFFTAKE_TEST_FULL").is_some();
    Duration::from_secs(if full { 600 } else { 60 })
}

/// Resident memory that the gateway may come to meanwhile.
const MEMORY_LIMIT: u64 = 300 << 20;
/// Producers that the sink may begin while a broker comes and goes.
const SESSIONS: usize = 10;

/// The server's log may end with what concerns nobody: that is confirmed when it has been idle.
const SOURCE: &str = "idle_interval = \"1s\"";

/// `[kafka]` with these further lines.
fn section(kafka: &Kafka, rest: &str) -> String {
    format!("[kafka]\nbrokers = [\"{}\"]\n{rest}", kafka.brokers())
}

async fn written(fixture: &Fixture) -> i64 {
    let sql = "select (pg_current_wal_lsn() - '0/0')::int8";
    fixture.client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Waits until the slot has confirmed everything that was written up to now, and says up to where.
async fn slot_advances(fixture: &Fixture, what: &str) -> i64 {
    let written = written(fixture).await;
    let deadline = Instant::now() + PATIENCE;
    while fixture.confirmed().await.unwrap() < Some(written) {
        assert!(Instant::now() < deadline, "the slot does not advance {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    written
}

fn kafka_has_everything(fixture: &Fixture) -> serde_json::Value {
    let everything = |status: &serde_json::Value| {
        status["kafka"]["sequence"] == status["log"]["last_sequence"]
            && status["kafka"]["state"] == "RUNNING"
    };
    fixture.gateway.wait_for_status("Kafka to have everything", PATIENCE, everything).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_stopped_under_load_holds_up_nobody_and_gets_everything_afterwards() {
    if skipped("kafka_stopped_under_load_holds_up_nobody_and_gets_everything_afterwards") {
        return;
    }
    let kafka = Kafka::start().unwrap();
    let postgres = Postgres::shared(Version::System);
    let section = section(&kafka, "topics = { partitions = 3 }");
    let mut fixture =
        Fixture::new(postgres, "outage", workload::TABLES, SOURCE, &section).await.unwrap();
    // What ten minutes write has to stay until Kafka is back.
    fixture.gateway.edit("64MiB", "4GiB").unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    let load = Workload::start(&postgres.url(&fixture.database), 17, 2, Duration::from_millis(10));
    let flows = |status: &serde_json::Value| status["kafka"]["acknowledged"].as_u64() > Some(500);
    fixture.gateway.wait_for_status("Kafka to get changes", PATIENCE, flows).unwrap();

    kafka.stop().unwrap();
    let stopped = Instant::now();
    let (mut advances, mut confirmed) = (0, 0);
    while stopped.elapsed() < outage() {
        let now = slot_advances(&fixture, "while Kafka is stopped").await;
        advances += u32::from(now > confirmed);
        confirmed = now;
        let status = fixture.gateway.status().unwrap();
        assert_eq!(status["state"], "RUNNING", "{status:#}");
    }
    let status = fixture.gateway.status().unwrap();
    assert_eq!(status["kafka"]["state"], "WAITING", "{status:#}");
    assert_eq!(status["kafka"]["code"], "KAFKA_UNREACHABLE", "{status:#}");
    assert!(status["kafka"]["last_error"].is_string(), "{status:#}");
    let peak = fixture.gateway.peak_memory_bytes().unwrap();
    assert!(peak < MEMORY_LIMIT, "{peak} bytes resident");
    let behind = status["kafka"]["lag_changes"].as_u64().unwrap();
    assert!(behind > 0 && advances > 3, "{advances} advances, {behind} changes behind");

    kafka.launch().unwrap();
    let launched = Instant::now();
    let journal = load.stop().await.unwrap();
    let tables = Tables::read(&fixture.client).await.unwrap();
    slot_advances(&fixture, "in the end").await;
    let status = kafka_has_everything(&fixture);
    let catch_up = launched.elapsed();
    let last = status["log"]["last_sequence"].as_u64().unwrap() as usize;
    subscriber.wait_for("everything", PATIENCE, |store| store.changes.len() == last).await.unwrap();
    let changes = subscriber.changes();
    checker::check(&changes, &journal, &tables).unwrap_or_else(|error| panic!("{error:?}"));
    let topics = kafka_checker::read_topics(&kafka, &fixture.database).unwrap();
    let figures = kafka_checker::check(&topics, &changes, &journal, &tables, SESSIONS, false)
        .unwrap_or_else(|error| panic!("{error:?}"));
    println!(
        "{} s without Kafka: {advances} times all of the slot was confirmed, {behind} changes \
         behind in the end, caught up {:.2} s after it was back; {figures:?}",
        outage().as_secs(),
        catch_up.as_secs_f64()
    );
    fixture.stop().unwrap();
}

const MASK: &str = "
[plugin.mask_people]
wasm = \"builtin:mask\"
config = { columns = [\"email\"], keep_last = 0 }

[[route]]
tables = [\"public.*\"]
plugins = [\"mask_people\"]
";

fn holds(record: &Record, text: &str) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let parts = record.key.iter().chain(&record.value);
    parts.chain(record.headers.iter().map(|(_, value)| value)).any(|bytes| holds(bytes))
        || record.headers.iter().any(|(name, _)| holds(name.as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_plain_text_is_in_any_topic_over_snapshot_and_every_operation() {
    if skipped("no_plain_text_is_in_any_topic_over_snapshot_and_every_operation") {
        return;
    }
    let kafka = Kafka::shared();
    let postgres = Postgres::shared(Version::System);
    let rest = format!("{MASK}\n{}", section(kafka, ""));
    // The e-mail is the key of one table, so it is in keys and in the headers of a moved key.
    let sql = "create table people (email text primary key, name text, note text);
        alter table people replica identity full;
        create table staff (id int primary key, email text, name text);
        insert into people values ('secret-snapshot@x', 'Ada', 'kept');
        insert into staff values (1, 'secret-snapshot@x', 'Ada');";
    let mut fixture = Fixture::new(postgres, "unseen", sql, SOURCE, &rest).await.unwrap();
    fixture.start().unwrap();
    fixture
        .gateway
        .wait_for_status("the snapshot", PATIENCE, |status| status["kafka"]["sequence"] == 2)
        .unwrap();
    fixture
        .client
        .batch_execute(
            "insert into people values ('secret-insert@x', 'Bea', null);
             update people set note = 'seen' where email = 'secret-insert@x';
             update people set email = 'secret-key@x' where email = 'secret-insert@x';
             insert into people values ('secret-gone@x', 'Dee', null);
             delete from people where email = 'secret-gone@x';
             insert into staff values (2, 'secret-insert@x', 'Bea');
             update staff set email = 'secret-update@x' where id = 2;
             update staff set id = 3 where id = 2;
             delete from staff where id = 3;",
        )
        .await
        .unwrap();
    slot_advances(&fixture, "with masking").await;
    kafka_has_everything(&fixture);
    let topics = kafka_checker::read_topics(kafka, &fixture.database).unwrap();
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    let expected = ["people", "staff"].map(|table| format!("{}.public.{table}", fixture.database));
    assert_eq!(names, expected);
    let records: Vec<&Record> = topics.iter().flat_map(|topic| &topic.records).collect();
    // people: r c u, d t c for the moved key, c, d t; staff: r c u, the move, d t.
    assert_eq!((topics[0].records.len(), topics[1].records.len()), (9, 8), "{records:?}");
    for record in &records {
        for secret in ["secret-", "@x"] {
            assert!(!holds(record, secret), "{record:?}");
        }
    }
    // The search itself works: what is not masked is found in a key, a value and a header.
    let found = |text: &str| records.iter().filter(|record| holds(record, text)).count();
    assert!(found("Dee") > 0 && found("****") > 10 && found("__debezium.newkey") == 4);
    let masked_header = |record: &&Record| {
        record.headers.iter().any(|(_, value)| value.starts_with(b"{\"email\":\"***"))
    };
    assert_eq!(records.into_iter().filter(masked_header).count(), 3);
    fixture.stop().unwrap();
}

/// Asserts that Kafka has halted with that code, says what to do, and that all else goes on.
async fn only_kafka_is_halted(fixture: &Fixture, subscriber: &Subscriber, code: &str, rows: usize) {
    let halted = |status: &serde_json::Value| status["kafka"]["state"] == "HALTED";
    let status = fixture.gateway.wait_for_status("Kafka to halt", PATIENCE, halted).unwrap();
    let of = |field: &str| status["kafka"][field].as_str().unwrap_or_default();
    assert_eq!(of("code"), code, "{status:#}");
    let topic = format!("{}.public.t", fixture.database);
    assert!(of("cause").contains(&topic) && of("next_step").len() > 10, "{status:#}");
    let kept = status["kafka"]["sequence"].clone();

    let sql = "insert into t select i, 'later' from generate_series(1001, 1500) i";
    fixture.client.batch_execute(sql).await.unwrap();
    slot_advances(fixture, "while Kafka has halted").await;
    let all = rows + 500;
    subscriber
        .wait_for("gRPC to go on", PATIENCE, |store| store.changes.len() == all)
        .await
        .unwrap();
    let status = fixture.gateway.status().unwrap();
    assert_eq!(status["state"], "RUNNING", "{status:#}");
    assert_eq!(
        (&status["kafka"]["state"], &status["kafka"]["sequence"]),
        (&"HALTED".into(), &kept)
    );
    assert_eq!(fixture.gateway.get("/readyz").unwrap().0, 200);
}

/// Starts again once the cause is gone; Kafka then gets every row from where it was, in order.
fn kafka_goes_on(fixture: &mut Fixture, kafka: &Kafka, rows: usize) {
    fixture.stop().unwrap();
    fixture.start().unwrap();
    kafka_has_everything(fixture);
    let records = kafka.read(&format!("{}.public.t", fixture.database)).unwrap();
    let ids: Vec<i64> = records
        .iter()
        .map(|record| {
            let key: serde_json::Value =
                serde_json::from_slice(record.key.as_ref().unwrap()).unwrap();
            key["id"].as_i64().unwrap()
        })
        .collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!((ids.len(), sorted.len()), (rows, rows), "each row once");
    assert_eq!(ids, sorted, "in order of the one partition");
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_refuses_a_large_message_halts_kafka_alone() {
    if skipped("a_topic_that_refuses_a_large_message_halts_kafka_alone") {
        return;
    }
    let kafka = Kafka::shared();
    let postgres = Postgres::shared(Version::System);
    let sql = "create table t (id int primary key, body text)";
    let mut fixture =
        Fixture::new(postgres, "large", sql, SOURCE, &section(kafka, "")).await.unwrap();
    let topic = format!("{}.public.t", fixture.database);
    block_in_place(|| kafka.create_topic(&topic, 1, &[("max.message.bytes", "4000")])).unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("insert into t values (1, 'small')").await.unwrap();
    fixture
        .gateway
        .wait_for_status("the small one", PATIENCE, |status| status["kafka"]["sequence"] == 1)
        .unwrap();
    // Hexadecimal noise compresses to half, which is still too large.
    let sql =
        "insert into t select 2, string_agg(md5(random()::text), '') from generate_series(1, 1000)";
    fixture.client.batch_execute(sql).await.unwrap();
    only_kafka_is_halted(&fixture, &subscriber, "KAFKA_MESSAGE_TOO_LARGE", 2).await;
    assert_eq!(kafka.read(&topic).unwrap().len(), 1, "nothing went past the refused message");
    block_in_place(|| kafka.set_topic_config(&topic, "max.message.bytes", "1000000")).unwrap();
    kafka_goes_on(&mut fixture, kafka, 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_missing_and_not_to_be_created_halts_kafka_alone() {
    if skipped("a_topic_that_is_missing_and_not_to_be_created_halts_kafka_alone") {
        return;
    }
    let kafka = Kafka::shared();
    let postgres = Postgres::shared(Version::System);
    let sql = "create table t (id int primary key, body text)";
    let section = section(kafka, "delivery = \"at_least_once\"\ntopics = { create = false }");
    let mut fixture = Fixture::new(postgres, "missing", sql, SOURCE, &section).await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("insert into t values (1, 'one')").await.unwrap();
    only_kafka_is_halted(&fixture, &subscriber, "KAFKA_TOPIC_MISSING", 1).await;
    let topic = format!("{}.public.t", fixture.database);
    assert_eq!(kafka.partitions(&topic).unwrap(), 0, "nothing was created");
    block_in_place(|| kafka.create_topic(&topic, 1, &[])).unwrap();
    kafka_goes_on(&mut fixture, kafka, 501);
}
