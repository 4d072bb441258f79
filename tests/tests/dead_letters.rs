//! `offtake dead-letters` with a real database: letters are listed and shown, and a replay puts the
//! row that is there now into its right place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use offtake_proto::v1::Operation;
use offtake_tests::fixture::{Ended, Fixture};
use offtake_tests::postgres::{Postgres, Setup, Version};
use offtake_tests::subscriber::{Received, Subscriber, text};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const TABLE: &str = "CREATE TABLE people (id int PRIMARY KEY, n int NOT NULL, note text);
    ALTER TABLE people REPLICA IDENTITY FULL";
/// More than the plugin has memory for, until it is given more.
const LARGE: &str = "repeat('secret-', 1000000)";

/// A plugin that looks at `note`, in a memory that is too small for some.
fn sections() -> String {
    "[plugin.small]
wasm = \"builtin:filter\"
config = { where = \"note is null or note != 'skip'\" }
memory = \"4MiB\"
on_error = \"dead_letter\"

[[route]]
tables = [\"public.*\"]
plugins = [\"small\"]"
        .to_owned()
}

/// A gateway that wrote so many dead letters of what the SQL does.
async fn with_letters(name: &str, sql: &str, count: usize) -> Fixture {
    with_letters_on(Postgres::shared(Version::System), name, sql, count).await
}

async fn with_letters_on(postgres: &Postgres, name: &str, sql: &str, count: usize) -> Fixture {
    let mut fixture = Fixture::new(postgres, name, TABLE, "", &sections()).await.unwrap();
    fixture.start().unwrap();
    fixture.client.batch_execute(sql).await.unwrap();
    let stream = format!("{}.dead_letters", fixture.database);
    let letters = Subscriber::start(fixture.gateway.grpc, &[&stream]);
    letters.wait_for("the letters", PATIENCE, |it| it.changes.len() >= count).await.unwrap();
    assert_eq!(letters.changes().len(), count);
    fixture
}

/// The plugin gets the memory that it lacked.
fn mend(fixture: &mut Fixture) {
    fixture.stop().unwrap();
    fixture.gateway.edit("4MiB", "64MiB").unwrap();
    fixture.start().unwrap();
}

fn letters(fixture: &Fixture, more: &[&str]) -> Vec<Value> {
    let list = [&["dead-letters", "list", "--json"], more].concat();
    let ended = fixture.command(&list).unwrap().expect(0, &[]);
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn replay(fixture: &Fixture, arguments: &[&str]) -> Ended {
    fixture.command(&[&["dead-letters", "replay", "--json"], arguments].concat()).unwrap()
}

fn answers(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn rows(
    fixture: &Fixture,
    what: &str,
    enough: impl Fn(&[Received]) -> bool,
) -> Vec<Received> {
    let stream = format!("{}.public.people", fixture.database);
    let rows = Subscriber::start(fixture.gateway.grpc, &[&stream]);
    rows.wait_for(what, PATIENCE, |store| enough(&store.changes)).await.unwrap();
    rows.changes()
}

fn column<'c>(change: &'c Received, name: &str) -> &'c str {
    let image = change.after.as_ref().or(change.before.as_ref()).unwrap();
    text(image, name).unwrap_or("-")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_are_listed_without_values_shown_whole_and_their_rows_come_as_they_are_now() {
    let sql = format!(
        "INSERT INTO people VALUES (1, 0, 'one');
         INSERT INTO people VALUES (2, 0, {LARGE});
         INSERT INTO people VALUES (3, 0, {LARGE});
         DELETE FROM people WHERE id = 3;"
    );
    let mut fixture = with_letters("letters", &sql, 3).await;
    let all = letters(&fixture, &[]);
    let operations: Vec<&str> = all.iter().map(|letter| letter["op"].as_str().unwrap()).collect();
    assert_eq!(operations, ["c", "c", "d"]);
    for letter in &all {
        assert_eq!(
            (&letter["origin"], &letter["table"]),
            (&"small".into(), &"public.people".into())
        );
        assert_eq!(
            (&letter["code"], &letter["holds_change"]),
            (&"PLUGIN_MEMORY".into(), &true.into())
        );
        assert!(!letter.to_string().contains("secret-"), "{letter}");
    }
    assert_eq!(letters(&fixture, &["--limit", "1"]), all[2..]);
    assert_eq!(letters(&fixture, &["--table", "public.p*", "--since", "1h"]), all);
    assert!(letters(&fixture, &["--plugin", "kafka"]).is_empty());
    let listed = fixture.command(&["dead-letters", "list"]).unwrap();
    let listed = listed.expect(0, &["SEQUENCE", "PLUGIN_MEMORY", "public.people", "kept"]);
    assert!(!listed.out.contains("secret-"), "{listed:?}");

    let numbers: Vec<String> = all.iter().map(|letter| letter["sequence"].to_string()).collect();
    let shown = fixture.command(&["dead-letters", "show", &numbers[0], "--json"]).unwrap();
    let shown: Value = serde_json::from_str(&shown.expect(0, &[]).out).unwrap();
    fixture.stop().unwrap();
    assert_eq!(letters(&fixture, &[]), all, "they are in the folder while no gateway runs");
    let again = fixture.command(&["dead-letters", "show", &numbers[0], "--json"]).unwrap();
    let again = again.expect(0, &["no gateway runs"]);
    assert_eq!(serde_json::from_str::<Value>(&again.out).unwrap(), shown);
    fixture.start().unwrap();
    assert_eq!((&shown["change"]["op"], &shown["change"]["after"]["id"]), (&"c".into(), &2.into()));
    let note = shown["change"]["after"]["note"].as_str().unwrap();
    assert_eq!(note.len(), 7_000_000);
    let unknown = fixture.command(&["dead-letters", "show", "999999"]).unwrap();
    unknown.expect_error(1, "DEAD_LETTER_UNKNOWN", &["999999", "list"]);

    // With as little memory as before it fails as before, and says so.
    let again = replay(&fixture, &[&numbers[0]]);
    let outcome = &answers(&again)[0];
    assert_eq!((again.status, &outcome["outcome"]), (Some(1), &"failed_again".into()), "{again:?}");
    mend(&mut fixture);
    fixture
        .client
        .batch_execute("UPDATE people SET n = 1, note = 'new' WHERE id = 2")
        .await
        .unwrap();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let ended = replay(&fixture, &numbers);
    let told = answers(&ended);
    let outcomes: Vec<&str> = told.iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(
        (ended.status, &outcomes[..]),
        (Some(0), &["sent", "gone", "sent"][..]),
        "{ended:?}"
    );
    let found = rows(&fixture, "the rows", |rows| rows.len() >= 4).await;
    let seen: Vec<(Operation, &str, &str)> =
        found.iter().map(|row| (row.operation, column(row, "id"), column(row, "n"))).collect();
    use Operation::{Create, Delete, Read, Update};
    let expected = [(Create, "1", "0"), (Update, "2", "1"), (Read, "2", "1"), (Delete, "3", "0")];
    assert_eq!(seen, expected);
    assert_eq!(told[0]["entered"], serde_json::json!([found[2].sequence]));

    // What was, after what came since: only when it is confirmed.
    let as_it_was = ["dead-letters", "replay", numbers[0], "--as-it-was"];
    fixture.command(&as_it_was).unwrap().expect(1, &["--yes", "older rows"]);
    let ended = fixture.command(&[&as_it_was[..], &["--yes"]].concat()).unwrap();
    ended.expect(0, &["sent, op c"]);
    let found = rows(&fixture, "the old row", |rows| rows.len() >= 5).await;
    assert_eq!((found[4].operation, column(&found[4], "note").len()), (Create, 7_000_000));
    assert_eq!(found.len(), 5);
    fixture.stop().unwrap();
    fixture.command(&["dead-letters", "replay", numbers[0]]).unwrap().expect_error(
        1,
        "CONTROL_UNREACHABLE",
        &["offtake run"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_read_again_under_load_never_comes_after_a_newer_one() {
    const WRITES: i32 = 600;
    let sql = format!("INSERT INTO people VALUES (1, 0, {LARGE})");
    let mut fixture = with_letters("reread", &sql, 1).await;
    let letter = letters(&fixture, &[])[0]["sequence"].to_string();
    mend(&mut fixture);
    fixture.client.batch_execute("UPDATE people SET note = 'small'").await.unwrap();
    let writer = Postgres::shared(Version::System).connect(&fixture.database).await.unwrap();
    let writing = tokio::spawn(async move {
        for n in 1..=WRITES {
            // Positions of begin and commit cross those of another row's transactions.
            let write = format!(
                "BEGIN; INSERT INTO people VALUES ({}, 0, 'other'); UPDATE people SET n = {n} \
                 WHERE id = 1; COMMIT",
                n + 1
            );
            writer.batch_execute(&write).await.unwrap();
        }
    });
    let mut replays = 0;
    while !writing.is_finished() || replays < 3 {
        let ended = replay(&fixture, &[&letter]);
        assert_eq!(
            answers(&ended)[0]["outcome"],
            "sent",
            "{ended:?}\n{}",
            fixture.gateway.output()
        );
        replays += 1;
    }
    writing.await.unwrap();
    let is_last = |row: &Received| {
        row.operation == Operation::Update && column(row, "n") == WRITES.to_string()
    };
    let found = rows(&fixture, "the last update and the replays", |rows| {
        rows.iter().any(is_last)
            && rows.iter().filter(|row| row.operation == Operation::Read).count() == replays
    })
    .await;
    let of_row: Vec<&Received> = found.iter().filter(|row| column(row, "id") == "1").collect();
    let mut newest = 0;
    for row in &of_row {
        let n: i32 = column(row, "n").parse().unwrap();
        match row.operation {
            // It shows what was told last, and nothing that is told later.
            Operation::Read => assert_eq!(n, newest, "{row:?}"),
            _ => assert_eq!(n, if newest == 0 && n == 0 { 0 } else { newest + 1 }, "{row:?}"),
        }
        newest = n;
    }
    assert_eq!(newest, WRITES);
    assert_eq!(
        found.iter().filter(|row| row.operation == Operation::Create).count(),
        WRITES as usize
    );
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_the_database_delays_is_refused_and_the_stream_goes_on() {
    let sql = format!("INSERT INTO people VALUES (1, 0, {LARGE})");
    // A server of its own: an open transaction holds up every snapshot of the server.
    let postgres = Postgres::start_with(Version::System, &Setup::default()).unwrap();
    let mut fixture = with_letters_on(&postgres, "delayed", &sql, 1).await;
    let letter = letters(&fixture, &[])[0]["sequence"].to_string();
    let open = postgres.connect(&fixture.database).await.unwrap();
    open.batch_execute("BEGIN; INSERT INTO people VALUES (2, 0, 'open')").await.unwrap();
    let ended = replay(&fixture, &[&letter]);
    let answer = &answers(&ended)[0];
    assert_eq!(
        (ended.status, &answer["code"]),
        (Some(1), &"PG_SNAPSHOT_STALE".into()),
        "{ended:?}"
    );
    assert!(answer["cause"].as_str().unwrap().contains("a transaction is open"), "{answer}");
    // What was given up holds nothing at the server, though the transaction is still open.
    let slots = "SELECT count(*) FROM pg_replication_slots WHERE temporary";
    let deadline = Instant::now() + PATIENCE;
    while fixture.client.query_one(slots, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(Instant::now() < deadline, "the slot of a replay that was given up stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fixture.client.batch_execute("INSERT INTO people VALUES (3, 0, 'on')").await.unwrap();
    rows(&fixture, "the next row", |rows| rows.len() == 1).await;
    open.batch_execute("COMMIT").await.unwrap();
    rows(&fixture, "the open one", |rows| rows.len() == 2).await;
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_letter_does_not_hold_is_neither_shown_nor_sent() {
    let postgres = Postgres::shared(Version::System);
    let sections = "[plugin.hide]
wasm = \"builtin:mask\"
config = { columns = [\"note\"], keep_last = 0 }
output = \"1MiB\"
on_error = \"dead_letter\"

[[route]]
tables = [\"public.*\"]
plugins = [\"hide\"]";
    let mut fixture = Fixture::new(postgres, "unheld", TABLE, "", sections).await.unwrap();
    fixture.start().unwrap();
    let insert = format!("INSERT INTO people VALUES (1, 0, {LARGE})");
    fixture.client.batch_execute(&insert).await.unwrap();
    let one = |status: &Value| status["log"]["last_sequence"].as_u64() == Some(1);
    fixture.gateway.wait_for_status("the letter", PATIENCE, one).unwrap();
    let shown = fixture.command(&["dead-letters", "show", "1"]).unwrap();
    let shown = shown.expect(0, &["PLUGIN_OUTPUT", "not kept", "key hash"]);
    assert!(!shown.out.contains("secret-"), "{shown:?}");
    let refused = fixture.command(&["dead-letters", "replay", "1", "7"]).unwrap();
    refused.expect(1, &["REPLAY_CHANGE_NOT_KEPT", "offtake resync", "DEAD_LETTER_UNKNOWN"]);
    fixture.command(&["dead-letters", "replay"]).unwrap().expect(2, &["--since"]);
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_a_plugin_with_state_took_in_is_not_replayed_past_it() {
    let keeping = sections()
        .replace("[[route]]", "[plugin.once]\nwasm = \"builtin:dedupe\"\nconfig = { by = [\"id\"] }\nstate = {}\n\n[[route]]")
        .replace("[\"small\"]", "[\"once\", \"small\"]");
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "letters_state", TABLE, "", &keeping).await.unwrap();
    fixture.start().unwrap();
    let sql = format!(
        "INSERT INTO people VALUES (1, 0, {LARGE}); INSERT INTO people VALUES (2, 0, 'two')"
    );
    fixture.client.batch_execute(&sql).await.unwrap();
    rows(&fixture, "the row behind it", |rows| rows.len() == 1).await;
    let letter = letters(&fixture, &[])[0]["sequence"].to_string();
    mend(&mut fixture);
    for arguments in [&[letter.as_str()][..], &[letter.as_str(), "--as-it-was", "--yes"]] {
        let ended = replay(&fixture, arguments);
        let ended = ended.expect(1, &["REPLAY_STATEFUL"]);
        assert_eq!(answers(&ended)[0]["outcome"], "refused", "{ended:?}");
    }
    assert_eq!(rows(&fixture, "only the row behind it", |rows| rows.len() == 1).await.len(), 1);
}
