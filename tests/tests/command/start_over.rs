//! `slot drop` and `resync`: what is removed for good is removed only when asked for, and the
//! pipeline begins anew.

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

use crate::TABLE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_terminal_and_without_yes_nothing_is_done() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "unasked", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=1).await.unwrap();
    // Not while it runs, also when confirmed: the log is in use, and the slot stays with it.
    let ended = fixture.command(&["resync", "--yes"]).unwrap();
    ended.expect_error(1, "LOG_LOCKED", &["in use by another process", "stop the other process"]);
    let ended = fixture.command(&["slot", "drop", "--yes"]).unwrap();
    ended.expect_error(1, "PG_SLOT_ACTIVE", &[&fixture.slot, "stop the other reader"]);
    fixture.stop().unwrap();

    let slot = fixture.slot.clone();
    for command in [&["resync"][..], &["slot", "drop"]] {
        fixture.command(command).unwrap().expect(1, &["nothing was done", "--yes", &slot]);
    }
    assert_eq!(fixture.created().await.unwrap(), (1, 1));
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    fixture.start().unwrap();
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resync_makes_a_new_snapshot_and_old_cursors_end_with_their_reason() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "resync", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    fixture.client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    let tail = ["tail", "--from", "earliest", "--count", "2", "--cursors"];
    let ended = fixture.command(&tail).unwrap().expect(0, &["cursor: "]);
    let cursor = ended.errors.trim().strip_prefix("cursor: ").unwrap().to_owned();
    fixture.stop().unwrap();

    let slot = format!("dropped slot {}", fixture.slot);
    let texts = ["removed ", &slot, "next: offtake run"];
    fixture.command(&["resync", "--yes"]).unwrap().expect(0, &texts);
    assert_eq!(fixture.created().await.unwrap(), (0, 1), "the publication stays");
    // Again, cut off or not: nothing is left to do.
    fixture.command(&["resync", "--yes"]).unwrap().expect(0, &["there was no slot"]);

    fixture.start().unwrap();
    let ended = fixture.command(&["tail", "--from", &cursor, "--count", "1"]).unwrap();
    ended.expect_error(1, "CURSOR_FROM_ANOTHER_LOG", &["another log", "--from earliest"]);
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.client.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    fixture.expect_ids(&subscriber, 1..=3).await.unwrap();
    let read = offtake_proto::v1::Operation::Read;
    let operations: Vec<bool> =
        subscriber.changes().iter().map(|change| change.operation == read).collect();
    assert_eq!(operations, [true, true, false], "two rows of a snapshot and a change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_slot_is_gone_and_the_next_run_says_how_to_go_on() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "drop", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    fixture.stop().unwrap();
    let dropped = format!("slot {} is dropped", fixture.slot);
    fixture.command(&["slot", "drop", "--yes"]).unwrap().expect(0, &[&dropped]);
    let none = format!("there is no slot {}", fixture.slot);
    fixture.command(&["slot", "drop", "--yes"]).unwrap().expect(0, &[&none]);
    assert_eq!(fixture.created().await.unwrap(), (0, 1));
    fixture.gateway.start("").unwrap();
    let halted = |status: &serde_json::Value| status["code"] == "PG_SLOT_MISSING";
    let status = fixture.gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();
    assert!(status["next_step"].as_str().unwrap().contains("offtake resync"), "{status:#}");
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halted_gateway_serves_its_log_so_nobody_removes_or_opens_it() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "held", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=1).await.unwrap();
    fixture.stop().unwrap();
    fixture.wait_until_slot_is_free().await.unwrap();
    let drop = format!("SELECT pg_drop_replication_slot('{}')", fixture.slot);
    fixture.client.batch_execute(&drop).await.unwrap();
    fixture.gateway.start("").unwrap();
    let halted = |status: &serde_json::Value| status["code"] == "PG_SLOT_MISSING";
    fixture.gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();

    let ended = fixture.command(&["resync", "--yes"]).unwrap();
    ended.expect_error(1, "LOG_LOCKED", &["in use by another process"]);
    let tail = ["tail", "--from", "earliest", "--count", "1"];
    fixture.command(&tail).unwrap().expect(0, &["\"id\":1"]);
    fixture.stop().unwrap();
    fixture.command(&["resync", "--yes"]).unwrap().expect(0, &["next: offtake run"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_that_cannot_be_written_is_no_panic() {
    let postgres = Postgres::shared(Version::System);
    let fixture = Fixture::new(postgres, "unwritable", TABLE, "", "").await.unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let check = std::process::Command::new(offtake_tests::gateway::binary())
        .args(["check", "-c"])
        .arg(fixture.folder().join("offtake.toml"))
        .stdin(std::process::Stdio::null())
        .stdout(full)
        .status()
        .unwrap();
    assert_eq!(check.code(), Some(0), "{check}");
}
