//! What plugins keep agrees with the position, with a real database: after a kill at any hand-over,
//! after retention, and after everything that can become of the file that it is in. By either door.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use offtake_tests::crash_points;
use offtake_tests::fixture::Fixture;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::{Received, Store, Subscriber, text};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const TABLES: &str = "CREATE TABLE events (id serial PRIMARY KEY, event_id int, kind text);
                      CREATE TABLE late (id serial PRIMARY KEY, event_id int, kind text);";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The counter that is a component.
fn component() -> PathBuf {
    repository().join("plugins/dist/counter.wasm")
}

/// The counter that is a core module, built by the SDK for C.
fn core_module(folder: &Path) -> PathBuf {
    let (sdk, module) = (repository().join("sdk"), folder.join("counter.wasm"));
    let mut build = Command::new(sdk.join("c/build.sh"));
    build.arg(&module).arg(sdk.join("conformance/counter/c/counter.c"));
    assert!(build.status().unwrap().success(), "{build:?}");
    module
}

/// Each event once over both tables, and numbered among those of its kind.
fn sections(counter: &Path) -> String {
    format!(
        "[plugin.once]
wasm = \"builtin:dedupe\"
config = {{ by = [\"event_id\"], across_tables = true }}
state = {{}}

[plugin.nth]
wasm = \"{}\"
config = {{ by = \"kind\", into = \"nth\" }}
state = {{ quota = \"1MiB\" }}

[[route]]
tables = [\"public.*\"]
plugins = [\"once\", \"nth\"]
",
        counter.display()
    )
}

async fn fixture_with(counter: &Path, hint: &str) -> Fixture {
    let postgres = Postgres::shared(Version::System);
    Fixture::new(postgres, hint, TABLES, "", &sections(counter)).await.unwrap()
}

async fn fixture(hint: &str) -> Fixture {
    fixture_with(&component(), hint).await
}

/// Events of which a third were there before: many small transactions over both tables, and one of
/// several pieces in the log.
async fn write(fixture: &Fixture, round: usize) {
    let from = round * 9000;
    let small = format!(
        "DO $$ BEGIN FOR i IN 1..300 LOOP
           INSERT INTO events (event_id, kind)
             SELECT e, e % 5 FROM (SELECT {from} + (i * 37 + j * 11) % 4000 AS e
                                   FROM generate_series(1, 4) j) s;
           INSERT INTO late (event_id, kind)
             SELECT e, e % 5 FROM (SELECT {from} + (i * 41 + j * 7) % 4000 AS e
                                   FROM generate_series(1, 3) j) s;
           COMMIT;
         END LOOP; END $$"
    );
    fixture.client.batch_execute(&small).await.unwrap();
    let large = format!(
        "INSERT INTO events (event_id, kind)
           SELECT e, e % 5 FROM (SELECT {from} + (j * 7) % 13000 AS e
                                 FROM generate_series(1, 18000) j) s"
    );
    fixture.client.batch_execute(&large).await.unwrap();
}

/// Both tables' events of a round, as they were committed: each the first time that it was there.
/// `write` is repeated here in plain words, for the database does not say how two tables mix.
fn written(round: usize) -> Vec<usize> {
    let from = round * 9000;
    let mut events = Vec::new();
    for i in 1..=300 {
        events.extend((1..=4).map(|j| from + (i * 37 + j * 11) % 4000));
        events.extend((1..=3).map(|j| from + (i * 41 + j * 7) % 4000));
    }
    events.extend((1..=18_000).map(|j| from + (j * 7) % 13_000));
    events
}

/// Event, kind and number of everything that is to be on the streams, in order.
fn expected(rounds: usize) -> Vec<(usize, usize, usize)> {
    let mut seen = HashSet::new();
    let mut numbers: HashMap<usize, usize> = HashMap::new();
    let first = (0..rounds).flat_map(written).filter(|event| seen.insert(*event));
    let numbered = first.map(|event| {
        let nth = numbers.entry(event % 5).or_default();
        *nth += 1;
        (event, event % 5, *nth)
    });
    numbered.collect()
}

fn received(changes: &[Received]) -> Vec<(usize, usize, usize)> {
    let number = |change: &Received, column| {
        let after = change.after.as_ref().unwrap();
        text(after, column).unwrap_or_else(|| panic!("no {column}: {after:?}")).parse().unwrap()
    };
    let all = changes.iter();
    all.map(|it| (number(it, "event_id"), number(it, "kind"), number(it, "nth"))).collect()
}

/// Waits for the changes that are expected after so many rounds, and compares all of them.
async fn check(fixture: &Fixture, rounds: usize) {
    let expected = expected(rounds);
    let all = Subscriber::start(fixture.gateway.grpc, &[]);
    let enough = |store: &Store| store.changes.len() >= expected.len();
    all.wait_for("every event", PATIENCE, enough).await.unwrap();
    let received = received(&all.changes());
    let differs = received.iter().zip(&expected).position(|(one, other)| one != other);
    if let Some(at) = differs {
        panic!("change {at} is {:?}, and should be {:?}", received[at], expected[at]);
    }
    assert_eq!(received.len(), expected.len());
}

fn state(status: &Value, plugin: &str) -> Value {
    let plugins = status["plugins"].as_array().unwrap();
    plugins.iter().find(|it| it["name"] == plugin).unwrap()["state"].clone()
}

/// Killed once at each of these points, at the given pass of it, with more to do each time.
async fn survives(fixture: &mut Fixture, points: impl Iterator<Item = (&'static str, u32)>) {
    fixture.start().unwrap();
    fixture.stop().unwrap();
    let mut rounds = 0;
    for (point, pass) in points {
        write(fixture, rounds).await;
        rounds += 1;
        fixture.gateway.start(&format!("{point}={pass}")).unwrap();
        let ended = fixture.gateway.wait_for_exit(PATIENCE);
        ended.unwrap_or_else(|error| panic!("{point} was not reached: {error:#}"));
    }
    fixture.gateway.start("").unwrap();
    fixture.gateway.wait_until_ready(PATIENCE).unwrap();
    check(fixture, rounds).await;
    let status = fixture.gateway.status().unwrap();
    let events = expected(rounds).len();
    assert_eq!(state(&status, "once")["keys"], events, "{status:#}");
    assert_eq!(state(&status, "once")["bytes"], 96 * events);
    assert_eq!(state(&status, "nth")["keys"], 5);
    assert_eq!(state(&status, "nth")["quota"], 1 << 20);
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_there_once_and_numbered_without_a_gap_whatever_crashes() {
    let mut fixture = fixture("keeping").await;
    survives(&mut fixture, crash_points::with_state()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_core_module_keeps_agrees_with_the_position_whatever_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let module = core_module(folder.path());
    let mut fixture = fixture_with(&module, "keeping_core").await;
    // What is after the module is one code for both doors; those that differ in what is done again.
    let few =
        ["pipeline.before_submit", "log.after_append", "log.after_fsync", "state.after_rename"];
    let full = std::env::var_os("OFFTAKE_TEST_FULL").is_some();
    survives(
        &mut fixture,
        crash_points::with_state().filter(|(point, _)| full || few.contains(point)),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_outlives_the_part_of_the_log_that_it_came_from() {
    let mut fixture = fixture("outliving").await;
    fixture.gateway.edit("64MiB", "4MiB").unwrap();
    fixture.start().unwrap();
    write(&fixture, 0).await;
    let mut round = 1;
    loop {
        write(&fixture, round).await;
        round += 1;
        // Each event is one change; what is kept is known before its change is durable.
        let events = expected(round).len();
        let taken = |status: &Value| status["log"]["last_sequence"] == events;
        let status = fixture.gateway.wait_for_status("every event", PATIENCE, taken).unwrap();
        assert_eq!(state(&status, "once")["keys"], events);
        if status["log"]["earliest_sequence"].as_u64().unwrap() > 30_000 {
            break;
        }
        assert!(round < 40, "nothing is deleted: {status:#}");
    }
    fixture.gateway.kill().unwrap();
    fixture.start().unwrap();
    // All of this was there before, the first of it in segments that are gone.
    write(&fixture, 0).await;
    fixture
        .client
        .batch_execute("INSERT INTO events (event_id, kind) VALUES (-1, 9)")
        .await
        .unwrap();
    let events = expected(round).len() + 1;
    let taken = |status: &Value| {
        state(status, "nth")["keys"] == 6 && status["log"]["last_sequence"] == events
    };
    fixture.gateway.wait_for_status("the last event alone", PATIENCE, taken).unwrap();
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_taken_away_is_forgotten_and_a_file_that_is_gone_halts() {
    let mut fixture = fixture("forgetting").await;
    fixture.start().unwrap();
    write(&fixture, 0).await;
    check(&fixture, 1).await;
    fixture.stop().unwrap();
    let route = "plugins = [\"once\", \"nth\"]";
    let configuration = std::fs::read_to_string(fixture.gateway.config()).unwrap();
    let (begin, rest) = configuration.split_once("[plugin.nth]").unwrap();
    let (_, end) = rest.split_once("[[route]]").unwrap();
    let without = format!("{begin}[[route]]{end}").replace(route, "plugins = [\"once\"]");
    std::fs::write(fixture.gateway.config(), without).unwrap();
    fixture.start().unwrap();
    assert!(fixture.gateway.output().contains("PLUGIN_STATE_FORGOTTEN"), "no line says so");
    let events = expected(1).len();
    assert_eq!(state(&fixture.gateway.status().unwrap(), "once")["keys"], events);
    fixture.stop().unwrap();
    std::fs::write(fixture.gateway.config(), configuration).unwrap();
    fixture.start().unwrap();
    assert_eq!(state(&fixture.gateway.status().unwrap(), "nth")["keys"], 0);
    fixture.stop().unwrap();
    // Nobody goes on with a state that is not there.
    let file = fixture.folder().join("data/plugins.state");
    let kept = std::fs::read(&file).unwrap();
    for (content, code) in [(None, "PLUGIN_STATE_LOST"), (Some(&kept[..30]), "STATE_DAMAGED")] {
        match content {
            Some(content) => std::fs::write(&file, content).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        fixture.gateway.start("").unwrap();
        let halted = |status: &Value| status["code"] == code;
        fixture.gateway.wait_for_status(code, PATIENCE, halted).unwrap();
        fixture.gateway.stop(PATIENCE).unwrap();
    }
    let (status, _, errors) = fixture.gateway.command(&["resync", "--yes"]).unwrap();
    assert!(status.success(), "{errors}");
    assert!(!file.exists());
    fixture.start().unwrap();
    let events = |status: &Value| state(status, "once")["keys"] == expected(1).len();
    fixture.gateway.wait_for_status("the state of the new copy", PATIENCE, events).unwrap();
    fixture.stop().unwrap();
}
