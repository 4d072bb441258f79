//! How `offtake run` ends: by SIGTERM under load, by a second one, by a halt; and how it stays when
//! a halt does not end it.

use std::process::Command;
use std::time::{Duration, Instant};

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::ports::free_address;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

use crate::TABLE;

/// What a service manager waits before it kills.
const STOP: Duration = Duration::from_secs(5);

fn terminate(fixture: &Fixture) {
    let pid = fixture.gateway.pid().unwrap().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_ends_in_time_and_loses_nothing() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "sigterm", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    let writer = postgres.connect(&fixture.database).await.unwrap();
    let load = tokio::spawn(async move {
        for first in (2..30_000).step_by(20) {
            let insert = format!("INSERT INTO t SELECT generate_series({first}, {})", first + 19);
            writer.batch_execute(&insert).await.unwrap();
        }
    });
    for stop in 1..=3 {
        let wanted = stop * 2_000;
        subscriber
            .wait_for("some load", PATIENCE, |store| store.changes.len() >= wanted)
            .await
            .unwrap();
        let begin = Instant::now();
        terminate(&fixture);
        let status = fixture.gateway.wait_for_exit(2 * STOP).unwrap();
        assert!(begin.elapsed() < STOP, "it took {:?}", begin.elapsed());
        assert_eq!(status.code(), Some(0), "{}", fixture.gateway.output());
        fixture.start().unwrap();
    }
    load.await.unwrap();
    fixture.expect_ids(&subscriber, 1..=30_001).await.unwrap();
}

/// A gateway whose log is at its limit because Kafka, which is not there, needs all of it: it
/// cannot drain.
async fn blocked_fixture(hint: &str) -> Fixture {
    let postgres = Postgres::shared(Version::System);
    let kafka = format!("[kafka]\nbrokers = [\"{}\"]", free_address());
    let sql = "CREATE TABLE t (id int PRIMARY KEY, body text)";
    let mut fixture = Fixture::new(postgres, hint, sql, "", &kafka).await.unwrap();
    fixture.gateway.edit("size = \"64MiB\"", "size = \"4MiB\"").unwrap();
    fixture.start().unwrap();
    let much = "INSERT INTO t SELECT i, repeat(md5(i::text), 60) FROM generate_series(1, 6000) i";
    fixture.client.batch_execute(much).await.unwrap();
    let blocked = |status: &serde_json::Value| !status["log"]["blocked"].is_null();
    fixture.gateway.wait_for_status("BLOCKED", PATIENCE, blocked).unwrap();
    fixture
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_in_time_also_when_the_log_is_blocked() {
    let mut fixture = blocked_fixture("blocked_stop").await;
    let begin = Instant::now();
    terminate(&fixture);
    let status = fixture.gateway.wait_for_exit(2 * STOP).unwrap();
    assert!(begin.elapsed() < STOP, "it took {:?}", begin.elapsed());
    assert_eq!(status.code(), Some(0), "{}", fixture.gateway.output());
    assert!(fixture.unacknowledged_rows().await.unwrap() > 0, "nothing undurable was confirmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sigterm_ends_at_once() {
    let mut fixture = blocked_fixture("second").await;
    terminate(&fixture);
    let stopping = |status: &serde_json::Value| status["state"] == "STOPPING";
    fixture.gateway.wait_for_status("STOPPING", PATIENCE, stopping).unwrap();
    assert_eq!(fixture.gateway.get("/readyz").unwrap().0, 503);
    let begin = Instant::now();
    terminate(&fixture);
    let status = fixture.gateway.wait_for_exit(2 * STOP).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "it took {:?}", begin.elapsed());
    assert_eq!(status.code(), Some(1), "{}", fixture.gateway.output());
    assert!(fixture.gateway.output().contains("ended without draining"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halted_gateway_stays_and_serves_its_log_unless_it_is_to_exit() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "halted", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    let first = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    fixture.expect_ids(&first, 1..=2).await.unwrap();
    fixture.stop().unwrap();
    fixture.drop_slot().await.unwrap();

    fixture.gateway.start("").unwrap();
    let halted = |status: &serde_json::Value| status["state"] == "HALTED";
    let status = fixture.gateway.wait_for_status("HALTED", PATIENCE, halted).unwrap();
    assert_eq!(status["code"], "PG_SLOT_MISSING", "{status:#}");
    assert!(status["cause"].as_str().unwrap().contains(&fixture.slot), "{status:#}");
    let (code, page) = fixture.gateway.get("/readyz").unwrap();
    assert_eq!(code, 503);
    for text in ["HALTED", "PG_SLOT_MISSING", &fixture.slot, "next: ", "offtake resync"] {
        assert!(page.contains(text), "there is no {text:?} in {page}");
    }
    assert_eq!(fixture.gateway.get("/livez").unwrap().0, 200);
    let state = "offtake_state{state=\"HALTED\"} 1\n";
    assert!(fixture.gateway.get("/metrics").unwrap().1.contains(state));
    let texts = ["HALTED", "PG_SLOT_MISSING", "next: ", "offtake resync"];
    fixture.command(&["status"]).unwrap().expect(1, &texts);
    fixture.command(&["status", "--json"]).unwrap().expect(1, &["\"HALTED\""]);
    // A new subscriber gets the log as ever.
    let second = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&second, 1..=2).await.unwrap();
    let line = fixture.gateway.output();
    let line = line.lines().rev().find(|line| line.contains("\"HALTED\"")).unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["code"], "PG_SLOT_MISSING", "{line}");
    assert!(line["next"].as_str().unwrap().contains("offtake resync"), "{line}");
    let begin = Instant::now();
    fixture.stop().unwrap();
    assert!(begin.elapsed() < STOP, "a halted gateway took {:?} to stop", begin.elapsed());

    fixture.exit_on_halt().unwrap();
    let ended = fixture.run_to_its_end().unwrap();
    ended.expect_error(3, "PG_SLOT_MISSING", &[&fixture.slot, "offtake resync"]);
}
