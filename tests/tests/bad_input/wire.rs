//! What the server sends and the gateway cannot take: a message that it does not know, a text that
//! is none. Both halt; nothing is skipped and nothing past them is acknowledged.

use std::sync::atomic::Ordering;

use offtake_tests::fixture::Fixture;
use offtake_tests::ports::free_address;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::{Seen, Subscriber};

use crate::proxy::Proxy;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_message_halts_and_everything_arrives_once_it_is_understood() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    let mut fixture = Fixture::new(postgres, "unknown", sql, "", "").await.unwrap();
    let address = free_address();
    let proxy = Proxy::start(address, postgres.port());
    let direct = postgres.url(&fixture.database);
    let detour = format!("postgres://postgres@{address}/{}?sslmode=disable", fixture.database);
    fixture.gateway.edit(&direct, &detour).unwrap();
    fixture.exit_on_halt().unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
    fixture.stop().unwrap();

    proxy.altering.store(true, Ordering::Relaxed);
    let more = "INSERT INTO t SELECT generate_series(3, 5); INSERT INTO t VALUES (6)";
    fixture.client.batch_execute(more).await.unwrap();
    let ended = fixture.run_to_its_end().unwrap();
    let message =
        ended.expect_error(3, "PG_UNKNOWN_MESSAGE", &["0x7a", "pgoutput protocol 1", "upgrade"]);
    assert!(message.contains("at "), "the message says where: {message}");
    assert_eq!(fixture.unacknowledged_rows().await.unwrap(), 4);

    proxy.altering.store(false, Ordering::Relaxed);
    fixture.start().unwrap();
    fixture.expect_ids(&subscriber, 1..=6).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_text_halts_without_being_shown_and_a_resync_goes_on_once_it_is_corrected() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "text", "", "", "").await.unwrap();
    let ascii = format!("{}_ascii", fixture.database);
    let create = format!(
        "CREATE DATABASE {ascii} ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    fixture.client.batch_execute(&create).await.unwrap();
    fixture.gateway.edit(&format!("/{}\"", fixture.database), &format!("/{ascii}\"")).unwrap();
    fixture.client = postgres.connect(&ascii).await.unwrap();
    let table = "CREATE TABLE people (id int PRIMARY KEY, name text);
                 INSERT INTO people VALUES (1, 'Ada')";
    fixture.client.batch_execute(table).await.unwrap();
    fixture.exit_on_halt().unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("INSERT INTO people VALUES (2, 'Bea')").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
    fixture.stop().unwrap();

    let bad = "SET client_encoding = 'SQL_ASCII';
               INSERT INTO people VALUES (3, convert_from('\\xff', 'SQL_ASCII') || 'hidden-text')";
    fixture.client.batch_execute(bad).await.unwrap();
    fixture.client.batch_execute("INSERT INTO people VALUES (4, 'Dee')").await.unwrap();
    let ended = fixture.run_to_its_end().unwrap();
    let texts = ["at 0/", "column \"name\" of table public.people", "offtake resync"];
    ended.expect_error(3, "PG_INVALID_TEXT", &texts);
    assert_eq!(fixture.unacknowledged_rows().await.unwrap(), 2);
    // The row stays where it is: another start says the same.
    fixture.run_to_its_end().unwrap().expect_error(3, "PG_INVALID_TEXT", &texts);
    assert_eq!(fixture.unacknowledged_rows().await.unwrap(), 2);
    for hidden in ["hidden-text", "0xff", "xff"] {
        assert!(!fixture.gateway.output().contains(hidden), "{hidden}: a value was shown");
    }

    fixture.client.batch_execute("UPDATE people SET name = 'Cy' WHERE id = 3").await.unwrap();
    fixture.command(&["resync", "--yes"]).unwrap().expect(0, &["dropped slot"]);
    fixture.start().unwrap();
    drop(subscriber);
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    subscriber
        .wait_for("four rows", offtake_tests::fixture::PATIENCE, |store| store.changes.len() >= 4)
        .await
        .unwrap();
    let mut names: Vec<Seen> = subscriber
        .changes()
        .iter()
        .map(|change| change.after.as_ref().unwrap()["name"].clone())
        .collect();
    names.sort_by_key(|name| format!("{name:?}"));
    assert_eq!(names, ["Ada", "Bea", "Cy", "Dee"].map(|name| Seen::Value(name.to_owned())));
}
