//! Topics with a real database and a real broker: five hundred tables, what `check` says of topics
//! and tables before anything is touched, and messages that are larger than their topic takes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::{Image, Subscriber, text};
use tokio::task::block_in_place;

const PATIENCE: Duration = Duration::from_secs(60);
const TABLES: usize = 500;
const ROWS: usize = 10;
/// Updates of every row after the snapshot.
const ROUNDS: usize = 4;
const MIB: u64 = 1 << 20;

fn section(kafka: &Kafka, rest: &str) -> String {
    format!("[kafka]\nbrokers = [\"{}\"]\n{rest}", kafka.brokers())
}

fn kafka_has(fixture: &Fixture, changes: usize) -> serde_json::Value {
    let everything = |status: &serde_json::Value| {
        let sequence = status["kafka"]["sequence"].as_u64().unwrap_or_default();
        sequence >= changes as u64 && status["log"]["last_sequence"].as_u64() == Some(sequence)
    };
    fixture.gateway.wait_for_status("Kafka to have everything", PATIENCE, everything).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_tables_get_their_topics_at_once_and_memory_stays_flat() {
    if skipped("five_hundred_tables_get_their_topics_at_once_and_memory_stays_flat") {
        return;
    }
    let kafka = Kafka::shared();
    let sql = format!(
        "do $$ begin for t in 1..{TABLES} loop
           execute format('create table t%s (id int primary key, note text)', t);
           execute format('insert into t%s select i, ''snapshot'' from generate_series(1, {ROWS}) i', t);
         end loop; end $$;
         create procedure touch(round int) language plpgsql as $$ begin
           for t in 1..{TABLES} loop
             execute format('update t%s set note = ''round %s''', t, round);
           end loop; end $$;"
    );
    let rest = section(kafka, "topics = { partitions = 2 }");
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "many", &sql, "", &rest).await.unwrap();
    let started = Instant::now();
    fixture.start().unwrap();
    kafka_has(&fixture, TABLES * ROWS);
    let took = started.elapsed();
    assert_eq!(kafka.topics(&fixture.database).unwrap().len(), TABLES);
    fixture.client.batch_execute("call touch(0)").await.unwrap();
    kafka_has(&fixture, 2 * TABLES * ROWS);
    let before = fixture.gateway.peak_memory_bytes().unwrap();
    let rounds = Instant::now();
    for round in 1..=ROUNDS {
        fixture.client.batch_execute(&format!("call touch({round})")).await.unwrap();
    }
    kafka_has(&fixture, (2 + ROUNDS) * TABLES * ROWS);
    let after = fixture.gateway.peak_memory_bytes().unwrap();
    println!(
        "{TABLES} tables: snapshot and topics in {:.1} s, peak memory {} MiB, {} MiB after {ROUNDS} \
         more rounds over every table in {:.1} s",
        took.as_secs_f64(),
        before / MIB,
        after / MIB,
        rounds.elapsed().as_secs_f64()
    );
    assert!(after < 256 * MIB, "{} MiB", after / MIB);
    assert!(after < before + 24 * MIB, "{} MiB, then {} MiB", before / MIB, after / MIB);
    for table in [1, TABLES / 2, TABLES] {
        let topic = format!("{}.public.t{table}", fixture.database);
        let records = kafka.read(&topic).unwrap();
        assert_eq!(records.len(), (2 + ROUNDS) * ROWS, "{topic}");
    }
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_what_is_wrong_with_topics_keys_and_partitions() {
    if skipped("check_tells_what_is_wrong_with_topics_keys_and_partitions") {
        return;
    }
    let kafka = Kafka::shared();
    let postgres = Postgres::shared(Version::System);
    let sql = "create table keyless (note text);
               alter table keyless replica identity full;
               create table chosen (id int primary key, tenant text);
               create table spread (id int primary key, tenant text);
               create table settled (id int primary key);
               create table absent (id int primary key);";
    let mut fixture = Fixture::new(postgres, "judged", sql, "", "").await.unwrap();
    let name = fixture.database.clone();
    let settled = format!("{name}.public.settled");
    block_in_place(|| kafka.create_topic(&settled, 2, &[("retention.ms", "5000")])).unwrap();
    let rules = "topics = { partitions = 4 }
         [[kafka.topic]]
         streams = [\"*.keyless\"]
         config = { \"cleanup.policy\" = \"compact\" }
         [[kafka.topic]]
         streams = [\"*.chosen\"]
         key = [\"tenant\", \"tenat\"]
         [[kafka.topic]]
         streams = [\"*.spread\"]
         partition_by = [\"tenant\"]
         config = { \"min.insync.replicas\" = 2 }
         [[kafka.topic]]
         streams = [\"*.settled\"]
         retention = \"10s\"
         [[kafka.topic]]
         streams = [\"*.absent\"]
         create = false";
    fixture.gateway.edit("\n\n[log]", &format!("\n\n{}\n\n[log]", section(kafka, rules))).unwrap();
    fixture.command(&["check"]).unwrap().expect(
        2,
        &[
            "the table has no key: the broker refuses its messages [KAFKA_COMPACT_NO_KEY]",
            "table public.chosen has no column \"tenat\", which `key` names [KAFKA_KEY_COLUMN]",
            "column tenant of the key may be NULL: such rows share a key [KAFKA_KEY_NULLABLE]",
            "a delete's key has NULL or zero for it [KAFKA_KEY_IDENTITY]",
            "Kafka would halt at the first delete [KAFKA_PARTITION_IDENTITY]",
            "min.insync.replicas is 2 and there are 1 replica(s): nothing can be written \
             [KAFKA_TOO_FEW_REPLICAS]",
            "2 partition(s) instead of 4, retention.ms is 5000 instead of 10000 \
             [KAFKA_TOPIC_DIFFERS]",
            "public.absent does not exist [KAFKA_TOPIC_MISSING]",
        ],
    );
    assert_eq!(kafka.topics(&name).unwrap().len(), 1, "nothing was created");
    // The run says the same of what it cannot do.
    let halted = |status: &serde_json::Value| status["kafka"]["state"] == "HALTED";
    fixture.client.batch_execute("insert into chosen values (1, 'a')").await.unwrap();
    fixture.start().unwrap();
    let status = fixture.gateway.wait_for_status("Kafka to halt", PATIENCE, halted).unwrap();
    assert_eq!(status["kafka"]["code"], "KAFKA_KEY_COLUMN", "{status:#}");
    fixture.stop().unwrap();
}

/// Text that no compression of the client makes smaller.
const LARGE: &str = "(select string_agg(md5(random()::text), '') from generate_series(1, 100000))";

const MASK: &str = "
[plugin.mask_people]
wasm = \"builtin:mask\"
config = { columns = [\"email\"], keep_last = 0 }

[[route]]
tables = [\"public.people\"]
plugins = [\"mask_people\"]

[[route]]
tables = [\"public.*\"]
";

const DOCUMENTS: &str = "create table documents (id int primary key, body text);
    create table people (id int primary key, email text, body text);
    insert into documents values (0, 'before');";

async fn write_large(fixture: &Fixture) {
    let sql = format!(
        "begin; insert into documents values (1, 'small'), (2, {LARGE}), (3, 'small'); commit;
         insert into people values (4, 'secret@x', {LARGE});
         insert into documents values (5, 'after')"
    );
    fixture.client.batch_execute(&sql).await.unwrap();
}

fn letters(subscriber: &Subscriber) -> Vec<Image> {
    let changes = subscriber.changes().into_iter();
    let letters = changes.filter(|change| change.stream.ends_with(".dead_letters"));
    letters.map(|change| change.after.unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_too_large_for_kafka_is_a_dead_letter_for_subscribers_and_in_kafka() {
    if skipped("a_row_too_large_for_kafka_is_a_dead_letter_for_subscribers_and_in_kafka") {
        return;
    }
    let kafka = Kafka::shared();
    let postgres = Postgres::shared(Version::System);
    let rest = format!("{MASK}\n{}", section(kafka, "oversize = \"dead_letter\""));
    let mut fixture = Fixture::new(postgres, "letters", DOCUMENTS, "", &rest).await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    write_large(&fixture).await;
    let status = kafka_has(&fixture, 8);
    assert_eq!(status["kafka"]["dead_letters"], 2, "{status:#}");
    subscriber
        .wait_for("the dead letters", PATIENCE, |store| store.changes.len() == 8)
        .await
        .unwrap();
    let letters = letters(&subscriber);
    let changes = subscriber.changes();
    let sequence = |id: &str| {
        let of = |change: &&offtake_tests::subscriber::Received| {
            change.after.as_ref().and_then(|after| text(after, "id")) == Some(id)
        };
        changes.iter().find(of).unwrap().sequence.to_string()
    };
    assert_eq!(letters.len(), 2);
    for (letter, id, table) in [(&letters[0], "2", "documents"), (&letters[1], "4", "people")] {
        let of = |column: &str| text(letter, column).unwrap_or_default();
        assert_eq!((of("origin"), of("code")), ("kafka", "KAFKA_MESSAGE_TOO_LARGE"));
        assert_eq!((of("sequence"), of("table")), (sequence(id).as_str(), table));
        assert_eq!(of("stream"), format!("{}.public.{table}", fixture.database));
        assert!(of("position").contains('/') && of("commit_position").contains('/'));
        assert_eq!(of("key_hash").len(), 64);
        assert!(of("error").contains("larger than the broker takes"), "{}", of("error"));
    }
    // Of a table with a plugin that protects nothing of the row is kept.
    assert!(text(&letters[0], "change").unwrap().len() > 6_000_000, "as hexadecimal");
    assert_eq!(text(&letters[1], "change"), None);

    let read =
        |stream: &str| kafka.read_committed(&format!("{}.{stream}", fixture.database)).unwrap();
    let keys = |stream: &str| -> Vec<String> {
        let keys = read(stream).into_iter();
        keys.map(|record| String::from_utf8(record.key.unwrap()).unwrap()).collect()
    };
    let ids = [0, 1, 3, 5].map(|id| format!("{{\"id\":{id}}}"));
    assert_eq!(keys("public.documents"), ids);
    assert!(keys("public.people").is_empty());
    let dead = read("dead_letters");
    assert_eq!(dead.len(), 2);
    let value = String::from_utf8(dead[0].value.clone().unwrap()).unwrap();
    assert!(value.len() < 4000 && value.contains("KAFKA_MESSAGE_TOO_LARGE"), "{value}");
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_place_leaves_one_dead_letter_and_no_gap() {
    if skipped("a_kill_at_any_place_leaves_one_dead_letter_and_no_gap") {
        return;
    }
    let kafka = Kafka::shared();
    let postgres = Postgres::shared(Version::System);
    let rest = format!("{MASK}\n{}", section(kafka, "oversize = \"dead_letter\""));
    for point in [
        "kafka.before_dead_letter",
        "pipeline.before_dead_letter",
        "pipeline.after_dead_letter",
        "kafka.after_dead_letter",
    ] {
        let mut fixture = Fixture::new(postgres, "killed", DOCUMENTS, "", &rest).await.unwrap();
        fixture.gateway.start(&format!("{point}=1")).unwrap();
        fixture.gateway.wait_until_ready(PATIENCE).unwrap();
        write_large(&fixture).await;
        let ended = fixture.gateway.wait_for_exit(PATIENCE).unwrap();
        assert!(ended.code().is_none(), "{point}: {ended}");
        fixture.start().unwrap();
        let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
        kafka_has(&fixture, 8);
        subscriber
            .wait_for("everything", PATIENCE, |store| store.changes.len() >= 8)
            .await
            .unwrap();
        assert_eq!((letters(&subscriber).len(), subscriber.changes().len()), (2, 8), "{point}");
        let topic = format!("{}.public.documents", fixture.database);
        let records = kafka.read_committed(&topic).unwrap().into_iter();
        let keys: Vec<String> =
            records.map(|it| String::from_utf8(it.key.unwrap()).unwrap()).collect();
        assert_eq!(keys, [0, 1, 3, 5].map(|id| format!("{{\"id\":{id}}}")), "{point}");
        fixture.stop().unwrap();
    }
}
