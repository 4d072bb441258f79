//! New versions of a plugin that keeps state, with a real database: each goes on with what the one
//! before kept, exactly, whatever crashes meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use offtake_tests::fixture::{Fixture, PATIENCE};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::{Received, Store, Subscriber, text};

const SQL: &str = "create table events (id serial primary key, kind int)";
const TEN_ROWS: &str = "insert into events (kind) select 1 from generate_series(1, 10)";

/// Events numbered by their kind, by a plugin in a file of its own.
async fn fixture(hint: &str) -> Fixture {
    let rest = "[plugin.nth]\nwasm = \"nth.wasm\"\nconfig = { by = \"kind\", into = \"nth\" }\n\
                state = { quota = \"1MiB\" }\n\n[[route]]\ntables = [\"public.*\"]\n\
                plugins = [\"nth\"]\n";
    let postgres = Postgres::shared(Version::System);
    let fixture = Fixture::new(postgres, hint, SQL, "", rest).await.unwrap();
    put(&fixture, 0);
    fixture
}

/// Puts the counter there, told from others by a custom section that says nothing.
fn put(fixture: &Fixture, version: u8) {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/counter.wasm");
    let mut component = std::fs::read(built).unwrap();
    component.extend([0, 3, 1, b'v', version]);
    let unfinished = fixture.folder().join("nth.new");
    std::fs::write(&unfinished, component).unwrap();
    std::fs::rename(&unfinished, fixture.folder().join("nth.wasm")).unwrap();
}

/// The column that has the number, and the number.
fn numbered(change: &Received) -> (&'static str, u64) {
    let after = change.after.as_ref().unwrap();
    let column = ["nth", "number"].into_iter().find(|column| text(after, column).is_some());
    let column = column.unwrap_or_else(|| panic!("{change:?}"));
    (column, text(after, column).unwrap().parse().unwrap())
}

/// Waits for so many changes, which are numbered from 1 without a gap, first in one column and then in
/// the other, with no transaction in both.
async fn expect_numbers(fixture: &Fixture, count: u64) {
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    let enough = |store: &Store| store.changes.len() as u64 >= count;
    subscriber.wait_for("the numbers", PATIENCE, enough).await.unwrap();
    let changes = subscriber.changes();
    let found: Vec<(&str, u64)> = changes.iter().map(numbered).collect();
    let numbers: Vec<u64> = found.iter().map(|it| it.1).collect();
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{}", fixture.gateway.output());
    let at = found.iter().position(|it| it.0 == "number").expect("the new version");
    assert!(at > 0 && found[at..].iter().all(|it| it.0 == "number"));
    assert_ne!(changes[at - 1].transaction, changes[at].transaction, "a transaction has both");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_version_goes_on_with_what_the_one_before_kept() {
    let mut fixture = fixture("reload_keeps").await;
    fixture.start().unwrap();
    for _ in 0..30 {
        fixture.client.batch_execute(TEN_ROWS).await.unwrap();
    }
    put(&fixture, 1);
    fixture.gateway.edit("into = \"nth\"", "into = \"number\"").unwrap();
    let writing = async {
        for _ in 0..100 {
            fixture.client.batch_execute(TEN_ROWS).await.unwrap();
        }
    };
    let reloading = async {
        let said = tokio::task::block_in_place(|| fixture.command(&["plugin", "reload"]));
        said.unwrap().expect(0, &["nth: ", "keeps state, and was tried with none"])
    };
    tokio::join!(writing, reloading);
    fixture.client.batch_execute(TEN_ROWS).await.unwrap();
    expect_numbers(&fixture, 1310).await;
    // A quota alone is a difference too, and the trial left nothing in the state.
    fixture.gateway.edit("1MiB", "2MiB").unwrap();
    let said = fixture.command(&["plugin", "reload"]).unwrap();
    said.expect(0, &["nth: the same component, other settings"]);
    let state = fixture.gateway.status().unwrap()["plugins"][0]["state"].clone();
    assert_eq!((&state["keys"], &state["quota"]), (&1.into(), &(2 << 20).into()), "{state:#}");
    fixture.command(&["plugin", "rollback", "nth"]).unwrap().expect(0, &["nth: "]);
    fixture.client.batch_execute(TEN_ROWS).await.unwrap();
    // Over a restart, by the log.
    fixture.stop().unwrap();
    fixture.start().unwrap();
    fixture.client.batch_execute(TEN_ROWS).await.unwrap();
    expect_numbers(&fixture, 1330).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_and_position_agree_after_a_kill_at_a_switch() {
    for point in ["pipeline.before_switch", "pipeline.after_switch"] {
        let mut fixture = fixture("reload_keeps_killed").await;
        fixture.gateway.start(&format!("{point}=1")).unwrap();
        fixture.gateway.wait_until_ready(PATIENCE).unwrap();
        for _ in 0..30 {
            fixture.client.batch_execute(TEN_ROWS).await.unwrap();
        }
        put(&fixture, 1);
        fixture.gateway.edit("into = \"nth\"", "into = \"number\"").unwrap();
        // What is there when the switch is asked for is of the version before, or a part of it.
        let taken = |status: &serde_json::Value| status["log"]["last_sequence"] == 300;
        fixture.gateway.wait_for_status("the rows", PATIENCE, taken).unwrap();
        let writing = async {
            for _ in 0..50 {
                fixture.client.batch_execute(TEN_ROWS).await.unwrap();
            }
        };
        let reloading = async {
            let said = tokio::task::block_in_place(|| fixture.command(&["plugin", "reload"]));
            assert_eq!(said.unwrap().status, Some(1), "it was killed");
        };
        tokio::join!(writing, reloading);
        fixture.gateway.wait_for_exit(PATIENCE).unwrap();
        fixture.start().unwrap();
        fixture.client.batch_execute(TEN_ROWS).await.unwrap();
        expect_numbers(&fixture, 810).await;
        fixture.stop().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_left_in_its_middle_is_finished_with_its_state_and_its_component() {
    let mut fixture = fixture("reload_keeps_midway").await;
    fixture.gateway.start("pipeline.after_submit=12").unwrap();
    fixture.gateway.wait_until_ready(PATIENCE).unwrap();
    let rows = "insert into events (kind) select 1 from generate_series(1, 100000)";
    fixture.client.batch_execute(rows).await.unwrap();
    fixture.gateway.wait_for_exit(PATIENCE).unwrap();
    put(&fixture, 1);
    fixture.start().unwrap();
    fixture.client.batch_execute(TEN_ROWS).await.unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    let enough = |store: &Store| store.changes.len() >= 100_010;
    subscriber.wait_for("every number", PATIENCE * 2, enough).await.unwrap();
    let changes = subscriber.changes();
    let numbers: Vec<u64> = changes.iter().map(|change| numbered(change).1).collect();
    assert!(numbers.iter().copied().eq(1..=100_010), "{}", fixture.gateway.output());
    let said = fixture.gateway.output();
    assert!(said.contains("a plugin takes over") && !said.contains("HALTED"), "{said}");
    let status = fixture.gateway.status().unwrap();
    let counted = status["plugins"][0]["changes"].as_u64().unwrap_or_else(|| panic!("{status:#}"));
    assert!(counted > 10, "a plugin goes on counting after the switch: {status:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_begin_or_to_end_keeping_state_needs_a_restart() {
    let mut fixture = fixture("reload_state").await;
    fixture.start().unwrap();
    let keeps = "wasm = \"nth.wasm\"\nconfig = { by = \"kind\", into = \"nth\" }\n\
                 state = { quota = \"1MiB\" }";
    let audits = "wasm = \"audit.wasm\"\nconfig = { stream = \"trail\" }";
    let audit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/audit.wasm");
    std::fs::copy(audit, fixture.folder().join("audit.wasm")).unwrap();
    fixture.gateway.edit(keeps, audits).unwrap();
    fixture.command(&["plugin", "reload"]).unwrap().expect_error(1, "RELOAD_STATE", &["nth"]);
    fixture.stop().unwrap();
    fixture.start().unwrap();
    fixture.gateway.edit(audits, keeps).unwrap();
    fixture.command(&["plugin", "reload"]).unwrap().expect_error(1, "RELOAD_STATE", &["nth"]);
}
