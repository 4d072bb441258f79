//! Slot and log do not fit each other: each way halts with its own code, leaves the slot as it is,
//! and names a way out that works.

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

/// A gateway that has the rows 1 and 2 in its log and is down; a halt ends it.
async fn fixture_with_two_rows(hint: &str) -> (Fixture, Subscriber) {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let mut fixture = Fixture::new(postgres, hint, sql, "", "").await.unwrap();
    fixture.exit_on_halt().unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
    fixture.stop().unwrap();
    (fixture, subscriber)
}

/// `offtake resync`, and then every row is there again, once.
async fn resync_brings_all_rows(mut fixture: Fixture, rows: i64) {
    fixture.command(&["resync", "--yes"]).unwrap().expect(0, &["next: offtake run"]);
    assert_eq!(fixture.created().await.unwrap().0, 0);
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    let insert = format!("INSERT INTO t VALUES ({})", rows + 1);
    fixture.client.batch_execute(&insert).await.unwrap();
    fixture.expect_ids(&subscriber, 1..=rows + 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_was_dropped_halts_and_a_resync_starts_over() {
    let (mut fixture, subscriber) = fixture_with_two_rows("dropped").await;
    drop(subscriber);
    fixture.drop_slot().await.unwrap();
    fixture.client.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    let slot = fixture.slot.clone();
    fixture.command(&["check"]).unwrap().expect(2, &["PG_SLOT_MISSING", &slot, "offtake resync"]);
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "PG_SLOT_MISSING", &[&slot, "offtake resync"]);
    assert_eq!(fixture.created().await.unwrap().0, 0, "no slot is made in its place");
    resync_brings_all_rows(fixture, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_somebody_advanced_halts_and_a_resync_starts_over() {
    let (mut fixture, subscriber) = fixture_with_two_rows("ahead").await;
    drop(subscriber);
    fixture.client.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    fixture.wait_until_slot_is_free().await.unwrap();
    let advance = "SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())";
    fixture.client.execute(advance, &[&fixture.slot]).await.unwrap();
    let confirmed = fixture.confirmed().await.unwrap();
    let slot = fixture.slot.clone();
    fixture.command(&["check"]).unwrap().expect(2, &["PG_SLOT_AHEAD", &slot, "offtake resync"]);
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "PG_SLOT_AHEAD", &[&slot, "the log ends at", "offtake resync"]);
    assert_eq!(fixture.confirmed().await.unwrap(), confirmed, "the slot is left as it is");
    resync_brings_all_rows(fixture, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_without_a_log_halts_until_it_is_dropped() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let mut fixture = Fixture::new(postgres, "exists", sql, "", "").await.unwrap();
    fixture.exit_on_halt().unwrap();
    let create = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')";
    fixture.client.execute(create, &[&fixture.slot]).await.unwrap();
    let confirmed = fixture.confirmed().await.unwrap();
    let slot = fixture.slot.clone();
    fixture.command(&["check"]).unwrap().expect(2, &["PG_SLOT_EXISTS", &slot, "slot drop"]);
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "PG_SLOT_EXISTS", &[&slot, "offtake slot drop", "offtake resync"]);
    assert_eq!(fixture.confirmed().await.unwrap(), confirmed);

    let dropped = format!("slot {slot} is dropped");
    fixture.command(&["slot", "drop", "--yes"]).unwrap().expect(0, &[&dropped]);
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_another_server_halts_and_goes_on_at_its_own() {
    let (mut fixture, subscriber) = fixture_with_two_rows("system").await;
    let other = Postgres::start(Version::System).unwrap();
    let client = other.connect("postgres").await.unwrap();
    client.batch_execute(&format!("CREATE DATABASE {}", fixture.database)).await.unwrap();
    let there = other.connect(&fixture.database).await.unwrap();
    there.batch_execute("CREATE TABLE t (id int PRIMARY KEY)").await.unwrap();
    let (own, wrong) =
        (Postgres::shared(Version::System).url(&fixture.database), other.url(&fixture.database));
    fixture.gateway.edit(&own, &wrong).unwrap();
    fixture.command(&["check"]).unwrap().expect(2, &["PG_SYSTEM_MISMATCH", "system identifier"]);
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "PG_SYSTEM_MISMATCH", &["system identifier", "point `url` back"]);
    let made = "SELECT (SELECT count(*) FROM pg_replication_slots) + \
                (SELECT count(*) FROM pg_publication)";
    assert_eq!(there.query_one(made, &[]).await.unwrap().get::<_, i64>(0), 0);

    fixture.gateway.edit(&wrong, &own).unwrap();
    fixture.client.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    fixture.start().unwrap();
    fixture.expect_ids(&subscriber, 1..=3).await.unwrap();
    let confirmed = |status: &serde_json::Value| status["source"]["state"] == "streaming";
    fixture.gateway.wait_for_status("streaming", PATIENCE, confirmed).unwrap();
}
