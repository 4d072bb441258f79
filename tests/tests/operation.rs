//! The pipeline in operation: the slot advances whatever the consumers do, trouble of the server is
//! survived without a person, and memory stays bounded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use offtake_tests::gateway::Gateway;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

const PATIENCE: Duration = Duration::from_secs(60);

async fn confirmed(client: &tokio_postgres::Client, slot: &str) -> i64 {
    let sql =
        "select (confirmed_flush_lsn - '0/0')::int8 from pg_replication_slots where slot_name = $1";
    client.query_one(sql, &[&slot]).await.unwrap().get(0)
}

async fn written(client: &tokio_postgres::Client) -> i64 {
    client.query_one("select (pg_current_wal_lsn() - '0/0')::int8", &[]).await.unwrap().get(0)
}

async fn wait_until_confirmed(client: &tokio_postgres::Client, slot: &str, lsn: i64, what: &str) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while confirmed(client, slot).await < lsn {
        assert!(std::time::Instant::now() < deadline, "the slot does not advance {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn prepare(
    postgres: &Postgres,
    folder: &std::path::Path,
    sql: &str,
    rest: &str,
) -> (Gateway, tokio_postgres::Client, String) {
    let database = postgres.create_database("operation").await.unwrap();
    let client = postgres.connect(&database).await.unwrap();
    client.batch_execute(sql).await.unwrap();
    let source = format!(
        "url = \"{}\"\ntables = [\"public.*\"]\nexclude = [\"public.unseen\"]",
        postgres.url(&database)
    );
    let gateway = Gateway::new(folder, &database, &source, rest).unwrap();
    (gateway, client, format!("offtake_{database}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slot_advances_while_a_subscriber_does_not_read_and_while_kafka_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::shared(Version::System);
    // Nobody listens on the broker's port: it is as good as stopped.
    let broker = offtake_tests::ports::free_address();
    let rest = format!("[log]\ndir = \"data\"\n\n[kafka]\nbrokers = [\"{broker}\"]");
    let (mut gateway, client, slot) =
        prepare(postgres, folder.path(), "create table t (id int primary key, body text)", &rest)
            .await;
    gateway.start("").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    let mut reader = offtake_proto::v1::offtake_client::OfftakeClient::connect(format!(
        "http://{}",
        gateway.grpc
    ))
    .await
    .unwrap();
    let _stalled = reader.subscribe(offtake_proto::v1::SubscribeRequest::default()).await.unwrap();
    for round in 0..20 {
        client
            .batch_execute(&format!(
                "insert into t select {round} * 2000 + i, repeat('x', 500) from generate_series(1, 2000) i"
            ))
            .await
            .unwrap();
    }
    let end = written(&client).await;
    wait_until_confirmed(&client, &slot, end, "with stalled consumers").await;
    let status = gateway.status().unwrap();
    assert_eq!(status["state"], "RUNNING", "{status:#}");
    assert_eq!(status["log"]["last_sequence"], 40_000);
    assert!(
        gateway.peak_memory_bytes().unwrap() < 200 << 20,
        "{}",
        gateway.peak_memory_bytes().unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_slot_advances_when_only_unpublished_tables_or_another_database_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(Version::System).unwrap();
    let sql = "create table t (id int primary key); create table unseen (id int, body text);";
    let rest = "idle_interval = \"1s\"\n\n[log]\ndir = \"data\"";
    let (mut gateway, client, slot) = prepare(&postgres, folder.path(), sql, rest).await;
    gateway.start("").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    let fill = "insert into unseen select i, repeat('y', 1000) from generate_series(1, 20000) i";
    client.batch_execute(fill).await.unwrap();
    let end = written(&client).await;
    wait_until_confirmed(&client, &slot, end, "past unpublished tables").await;

    let other = postgres.create_database("other").await.unwrap();
    let other = postgres.connect(&other).await.unwrap();
    other
        .batch_execute("create table elsewhere as select i, repeat('z', 1000) from generate_series(1, 20000) i")
        .await
        .unwrap();
    let end = written(&client).await;
    wait_until_confirmed(&client, &slot, end, "past another database").await;

    // An idle position that was confirmed does not look like a slot that ran ahead.
    gateway.kill().unwrap();
    gateway.start("").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    client.batch_execute("insert into t values (1)").await.unwrap();
    gateway
        .wait_for_status("the row", PATIENCE, |status| status["log"]["last_sequence"] == 1)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_and_a_terminated_walsender_are_survived_without_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::start(Version::System).unwrap();
    let (mut gateway, client, _) = prepare(
        &postgres,
        folder.path(),
        "create table t (id int primary key)",
        "[log]\ndir = \"data\"",
    )
    .await;
    gateway.start("").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    let subscriber = Subscriber::start(gateway.grpc, &[]);
    client.batch_execute("insert into t select generate_series(1, 10)").await.unwrap();
    subscriber.wait_for("ten rows", PATIENCE, |store| store.changes.len() == 10).await.unwrap();
    client
        .batch_execute(
            "select pg_terminate_backend(active_pid) from pg_replication_slots where active",
        )
        .await
        .unwrap();
    client.batch_execute("insert into t select generate_series(11, 20)").await.unwrap();
    subscriber.wait_for("twenty rows", PATIENCE, |store| store.changes.len() == 20).await.unwrap();
    drop(client);
    postgres.restart().unwrap();
    let database = gateway.status().unwrap()["name"].as_str().unwrap().to_owned();
    let client = postgres.connect(&database).await.unwrap();
    client.batch_execute("insert into t select generate_series(21, 30)").await.unwrap();
    subscriber.wait_for("thirty rows", PATIENCE, |store| store.changes.len() == 30).await.unwrap();
    let ids: Vec<_> = subscriber
        .changes()
        .iter()
        .map(|change| change.after.as_ref().unwrap()["id"].clone())
        .collect();
    let expected: Vec<_> =
        (1..=30).map(|id| offtake_tests::subscriber::Seen::Value(id.to_string())).collect();
    assert_eq!(ids, expected);
    let status = gateway.status().unwrap();
    assert!(status["source"]["reconnects"].as_u64().unwrap() >= 2, "{status:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_of_a_million_rows_passes_in_bounded_memory_also_when_killed_midway() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::shared(Version::System);
    let (mut gateway, client, slot) = prepare(
        postgres,
        folder.path(),
        "create table t (id int primary key, a text, b text)",
        "[log]\ndir = \"data\"",
    )
    .await;
    gateway.start("log.after_fsync=60").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    client
        .batch_execute(
            "insert into t select i, md5(i::text), md5((i + 1)::text) from generate_series(1, 1000000) i",
        )
        .await
        .unwrap();
    gateway.wait_for_exit(PATIENCE).unwrap();
    gateway.start("").unwrap();
    let status = gateway
        .wait_for_status("a million rows", Duration::from_secs(120), |status| {
            status["log"]["last_sequence"].as_u64() >= Some(1_000_000)
        })
        .unwrap();
    assert_eq!(status["log"]["last_sequence"], 1_000_000, "{status:#}");
    let end = written(&client).await;
    wait_until_confirmed(&client, &slot, end.min(confirmed(&client, &slot).await + 1), "after it")
        .await;
    let peak = gateway.peak_memory_bytes().unwrap();
    assert!(peak < 200 << 20, "{} MiB", peak >> 20);
    println!("peak memory {} MiB", peak >> 20);
}
