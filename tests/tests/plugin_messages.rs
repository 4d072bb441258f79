//! Logical messages through plugins, with a real database: a route that takes them has them filtered,
//! covered and kept in the order of the rows; one that a plugin fails at becomes a dead letter, which
//! is sent again as it was and no other way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::time::Duration;

use offtake_proto::v1::Operation;
use offtake_tests::crash_points;
use offtake_tests::fixture::{Ended, Fixture, files_with};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::{Received, Subscriber, text};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const TABLE: &str = "CREATE TABLE people (id int PRIMARY KEY, email text)";
/// `***`, as `hide` writes it.
const COVERED: &str = "2a2a2a";
/// More than a plugin with 4 MiB has memory for.
const LARGE: &str = "repeat('secret-', 1000000)";

/// What covers columns of tables alone.
const COVERING_TABLES: &str = r#"
[plugin.hide_email]
wasm = "builtin:mask"
config = { columns = ["email"] }

[[route]]
tables = ["public.*"]
plugins = ["hide_email"]"#;

/// Tables go one way; of messages some are left out and all are covered.
const COVERING: &str = r#"
[plugin.hide_email]
wasm = "builtin:mask"
config = { columns = ["email"] }

[plugin.quiet]
wasm = "builtin:filter"
config = { where = "prefix <> 'debug'" }

[plugin.hide]
wasm = "builtin:mask"
config = { columns = ["content"], strategy = "constant", value = "\\x2a2a2a" }

[[route]]
tables = ["public.*"]
plugins = ["hide_email"]

[[route]]
messages = true
stream = "{name}.audit"
plugins = ["quiet", "hide"]"#;

/// Each prefix once, covered; rows are counted where they are, without a memory of their own.
const ONCE: &str = r#"
[plugin.once]
wasm = "builtin:dedupe"
config = { by = ["prefix"], operations = ["message"] }
state = {}

[plugin.hide]
wasm = "builtin:mask"
config = { columns = ["content"], strategy = "constant", value = "\\x2a2a2a" }

[[route]]
tables = ["public.*"]

[[route]]
messages = true
plugins = ["hide", "once"]"#;

/// A plugin that looks at contents in too little memory for some.
fn looking(wasm: &str, config: &str) -> String {
    format!(
        "[plugin.small]
wasm = \"builtin:{wasm}\"
config = {{ {config} }}
memory = \"4MiB\"
on_error = \"dead_letter\"

[[route]]
tables = [\"public.*\"]

[[route]]
messages = true
plugins = [\"small\"]"
    )
}

async fn fixture(name: &str, rest: &str) -> Fixture {
    let postgres = Postgres::shared(Version::System);
    Fixture::new(postgres, name, TABLE, "", rest).await.unwrap()
}

/// A change as `id` or `prefix content`.
fn brief(change: &Received) -> String {
    let after = change.after.as_ref().unwrap();
    let column = |name| text(after, name).unwrap_or("-");
    match change.operation {
        Operation::Message => format!("{} {}", column("prefix"), column("content")),
        _ => column("id").to_owned(),
    }
}

/// The first so many changes of all streams but that of dead letters.
async fn first(fixture: &Fixture, count: usize) -> Vec<Received> {
    let name = &fixture.database;
    let streams = ["public.people", "audit", "message"].map(|it| format!("{name}.{it}"));
    let all = Subscriber::start(fixture.gateway.grpc, &streams.each_ref().map(String::as_str));
    all.wait_for("the changes", PATIENCE, |it| it.changes.len() >= count).await.unwrap();
    all.changes()
}

fn answer(ended: &Ended) -> Value {
    serde_json::from_str(ended.out.lines().next().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_filtered_and_covered_in_the_order_of_the_rows() {
    for workers in [1, 3] {
        let mut fixture = fixture(&format!("messages_{workers}"), COVERING).await;
        let edit = format!("\nworkers = {workers}\n\n[source]");
        fixture.gateway.edit("\n\n[source]", &edit).unwrap();
        let check = fixture.command(&["check"]).unwrap();
        let ways = format!("quiet, hide -> stream {}.audit", fixture.database);
        let check = check.expect(0, &[&ways, "plugin hide", "on logical messages"]);
        assert!(!check.out.contains("MESSAGES_UNPROTECTED"), "{check:?}");
        fixture.start().unwrap();
        let sql = "INSERT INTO people VALUES (1, 'secret-');
            BEGIN;
            INSERT INTO people VALUES (2, 'secret-');
            SELECT pg_logical_emit_message(true, 'audit', 'secret-in');
            SELECT pg_logical_emit_message(true, 'debug', 'secret-noise');
            INSERT INTO people VALUES (3, 'secret-');
            COMMIT;
            SELECT pg_logical_emit_message(false, 'audit', 'secret-out');
            SELECT pg_logical_emit_message(false, 'debug', 'secret-noise');
            INSERT INTO people VALUES (4, 'secret-');";
        for statement in sql.split_inclusive(";\n") {
            fixture.client.batch_execute(statement).await.unwrap();
        }
        let covered = format!("audit {COVERED}");
        let expected = ["1", "2", &covered, "3", &covered, "4"].map(str::to_owned);
        let changes = first(&fixture, expected.len()).await;
        assert_eq!(changes.iter().map(brief).collect::<Vec<_>>(), expected);
        let audit = format!("{}.audit", fixture.database);
        assert_eq!((&changes[2].stream, &changes[4].stream), (&audit, &audit));
        assert_eq!(changes[2].transaction, changes[1].transaction);
        assert_eq!((changes[2].order, changes[4].transaction.as_str()), (2, ""));

        // In one batch with rows around each, and none twice after a restart.
        fixture.stop().unwrap();
        let sql = "DO $$ BEGIN FOR i IN 100..399 LOOP
              INSERT INTO people VALUES (i, 'secret-');
              PERFORM pg_logical_emit_message(i % 2 = 0, CASE WHEN i % 3 = 0 THEN 'debug'
                ELSE i::text END, 'secret-');
              COMMIT;
            END LOOP; END $$";
        fixture.client.batch_execute(sql).await.unwrap();
        fixture.start().unwrap();
        let mut expected = expected.to_vec();
        for id in 100..400 {
            // Outside of a transaction it comes where it was written: before the commit around it.
            let row = id.to_string();
            let message = (id % 3 != 0).then(|| format!("{id} {COVERED}"));
            match id % 2 {
                0 => expected.extend([row].into_iter().chain(message)),
                _ => expected.extend(message.into_iter().chain([row])),
            }
        }
        let changes = first(&fixture, expected.len()).await;
        assert_eq!(changes.iter().map(brief).collect::<Vec<_>>(), expected, "{workers} workers");
        fixture.stop().unwrap();
        fixture.start().unwrap();
        fixture.client.batch_execute("INSERT INTO people VALUES (5, '')").await.unwrap();
        expected.push("5".to_owned());
        let changes = first(&fixture, expected.len()).await;
        assert_eq!(changes.iter().map(brief).collect::<Vec<_>>(), expected, "{workers} workers");
        fixture.stop().unwrap();
        let plain = files_with(fixture.folder(), "secret-");
        assert!(plain.is_empty(), "{plain:?}");
    }
}

/// Small transactions with messages in them and past them, of which a third have a prefix that was there
/// before, and one of several pieces in the log; and, as `brief` has it, what is to come of them.
async fn write_with_messages(fixture: &Fixture, round: usize, expected: &mut Vec<String>) {
    let from = round * 10_000;
    let small = format!(
        "DO $$ BEGIN FOR i IN {from} + 1 .. {from} + 300 LOOP
           INSERT INTO people VALUES (i, 'a');
           PERFORM pg_logical_emit_message(i % 2 = 0, ({from} + i % 200)::text, 'secret-');
           COMMIT;
         END LOOP; END $$"
    );
    let large = format!(
        "DO $$ BEGIN FOR i IN {from} + 1001 .. {from} + 7000 LOOP
           INSERT INTO people VALUES (i, 'a');
           PERFORM pg_logical_emit_message(true, ({from} + 1000 + i % 4000)::text, 'secret-');
         END LOOP; END $$"
    );
    for sql in [small, large] {
        fixture.client.batch_execute(&sql).await.unwrap();
    }
    let mut seen = HashSet::new();
    for id in (from + 1..=from + 300).chain(from + 1001..=from + 7000) {
        let is_small = id <= from + 300;
        let prefix = if is_small { from + id % 200 } else { from + 1000 + id % 4000 };
        let message = seen.insert(prefix).then(|| format!("{prefix} {COVERED}"));
        let row = id.to_string();
        match is_small && id % 2 == 1 {
            true => expected.extend(message.into_iter().chain([row])),
            false => expected.extend([row].into_iter().chain(message)),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_message_comes_once_in_its_place_and_is_remembered_whatever_crashes() {
    let mut fixture = fixture("messages_kept", ONCE).await;
    fixture.start().unwrap();
    fixture.stop().unwrap();
    let mut expected = Vec::new();
    for (round, (point, pass)) in crash_points::with_state().enumerate() {
        write_with_messages(&fixture, round, &mut expected).await;
        fixture.gateway.start(&format!("{point}={pass}")).unwrap();
        let ended = fixture.gateway.wait_for_exit(PATIENCE);
        ended.unwrap_or_else(|error| panic!("{point} was not reached: {error:#}"));
    }
    fixture.start().unwrap();
    let changes: Vec<String> = first(&fixture, expected.len()).await.iter().map(brief).collect();
    let differs = changes.iter().zip(&expected).position(|(one, other)| one != other);
    if let Some(at) = differs {
        panic!("change {at} is {:?}, and should be {:?}", changes[at], expected[at]);
    }
    assert_eq!(changes.len(), expected.len());
    let status = fixture.gateway.status().unwrap();
    let messages = expected.iter().filter(|it| it.contains(' ')).count();
    let plugins = status["plugins"].as_array().unwrap();
    let once = plugins.iter().find(|it| it["name"] == "once").unwrap();
    assert_eq!(once["state"]["keys"], messages, "{status:#}");
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_that_go_past_what_protects_are_told_by_check_and_at_the_start() {
    let mut fixture = fixture("messages_open", COVERING_TABLES).await;
    let stream = format!("{}.message", fixture.database);
    let texts = ["MESSAGES_UNPROTECTED", "hide_email", &stream, "1 warning, 0 errors"];
    fixture.command(&["check"]).unwrap().expect(1, &texts);
    fixture.start().unwrap();
    assert!(fixture.gateway.output().contains("MESSAGES_UNPROTECTED"));
    let emit = "SELECT pg_logical_emit_message(true, 'a', 'hi')";
    fixture.client.batch_execute(emit).await.unwrap();
    assert_eq!(first(&fixture, 1).await.iter().map(brief).collect::<Vec<_>>(), ["a 6869"]);
    // A route with plugins that do not cover contents is no protection.
    fixture.stop().unwrap();
    let route = "[[route]]\nmessages = true\nplugins = [\"hide_email\"]\n\n[log]";
    fixture.gateway.edit("[log]", route).unwrap();
    fixture.command(&["check"]).unwrap().expect(1, &texts);
    fixture.gateway.edit("[source]", "[source]\nmessages = false").unwrap();
    let check = fixture.command(&["check"]).unwrap().expect(1, &["CONFIG_ROUTE_EMPTY"]);
    assert!(!check.out.contains("MESSAGES_UNPROTECTED"), "{check:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_plugin_fails_at_is_a_dead_letter_that_comes_again_only_as_it_was() {
    let sections = looking("filter", "where = \"content is not null and prefix <> 'debug'\"");
    let mut fixture = fixture("messages_dead", &sections).await;
    fixture.start().unwrap();
    let sql = format!(
        "BEGIN;
         INSERT INTO people VALUES (1, 'a');
         SELECT pg_logical_emit_message(true, 'in', {LARGE});
         SELECT pg_logical_emit_message(true, 'ok', 'x');
         COMMIT;
         SELECT pg_logical_emit_message(false, 'out', {LARGE});
         INSERT INTO people VALUES (2, 'b');"
    );
    for statement in sql.split_inclusive("COMMIT;") {
        fixture.client.batch_execute(statement).await.unwrap();
    }
    let changes = first(&fixture, 3).await;
    assert_eq!(changes.iter().map(brief).collect::<Vec<_>>(), ["1", "ok 78", "2"]);
    let list = fixture.command(&["dead-letters", "list"]).unwrap();
    list.expect(0, &["logical messages", "PLUGIN_MEMORY", "kept"]);
    let list = fixture.command(&["dead-letters", "list", "--json"]).unwrap().expect(0, &[]);
    let letters: Vec<Value> =
        list.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters.len(), 2, "{letters:?}");
    let numbers: Vec<String> = letters.iter().map(|it| it["sequence"].to_string()).collect();
    let show = ["dead-letters", "show", &numbers[0], "--json"];
    let shown = answer(&fixture.command(&show).unwrap().expect(0, &[]));
    let change = &shown["change"];
    assert_eq!((&change["op"], &change["after"]["prefix"]), (&"m".into(), &"in".into()));
    let person = fixture.command(&["dead-letters", "show", &numbers[1]]).unwrap();
    person.expect(0, &["logical message", "\"out\""]);

    let replay = |more: &[&str]| {
        let start = ["dead-letters", "replay", "--json"];
        fixture.command(&[&start, more].concat()).unwrap()
    };
    let refused = replay(&[&numbers[0]]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    refused.expect(1, &["REPLAY_MESSAGE", "--as-it-was", "pg_logical_emit_message"]);
    let again = replay(&["--as-it-was", "--yes", &numbers[0]]);
    assert_eq!(answer(&again)["outcome"], "failed_again", "{again:?}");
    fixture.stop().unwrap();
    fixture.gateway.edit("4MiB", "64MiB").unwrap();
    fixture.start().unwrap();
    let replay = |more: &[&str]| {
        let start = ["dead-letters", "replay", "--json", "--as-it-was", "--yes"];
        fixture.command(&[&start, more].concat()).unwrap()
    };
    for number in &numbers {
        let sent = replay(&[number]).expect(0, &[]);
        assert_eq!(answer(&sent)["outcome"], "sent", "{sent:?}");
    }
    // They move no position: what comes then comes once, also after a restart.
    fixture.client.batch_execute("INSERT INTO people VALUES (3, 'c')").await.unwrap();
    let large: String = "secret-".repeat(1_000_000).bytes().map(|it| format!("{it:02x}")).collect();
    let (inside, outside) = (format!("in {large}"), format!("out {large}"));
    let expected = ["1", "ok 78", "2", &inside, &outside, "3"];
    for _ in 0..2 {
        let changes = first(&fixture, expected.len()).await;
        let is_as_expected = changes.iter().map(brief).eq(expected.iter().copied());
        assert!(is_as_expected, "{} changes", changes.len());
        assert!(changes[3].transaction.is_empty(), "it is sent again in none");
        fixture.stop().unwrap();
        fixture.start().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_of_a_route_that_covers_contents_holds_none() {
    let sections = looking("mask", "columns = [\"content\"], strategy = \"fixed\"");
    let mut fixture = fixture("messages_closed", &sections).await;
    fixture.start().unwrap();
    let sql = format!(
        "SELECT pg_logical_emit_message(false, 'out', {LARGE});
         SELECT pg_logical_emit_message(true, 'ok', 'secret-')"
    );
    fixture.client.batch_execute(&sql).await.unwrap();
    let changes = first(&fixture, 1).await;
    assert_eq!(changes.iter().map(brief).collect::<Vec<_>>(), ["ok "]);
    let list = fixture.command(&["dead-letters", "list", "--json"]).unwrap().expect(0, &[]);
    let letter = answer(&list);
    assert_eq!((&letter["op"], &letter["holds_change"]), (&"m".into(), &false.into()));
    let replay =
        ["dead-letters", "replay", "--as-it-was", "--yes", &letter["sequence"].to_string()];
    fixture.command(&replay).unwrap().expect(1, &["REPLAY_CHANGE_NOT_KEPT"]);
    fixture.stop().unwrap();
    let plain = files_with(fixture.folder(), "secret-");
    assert!(plain.is_empty(), "{plain:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expression_of_columns_that_messages_lack_is_told_before_the_first_comes() {
    let sections = looking("filter", "where = \"email is not null\"");
    let fixture = fixture("messages_unfit", &sections).await;
    let check = fixture.command(&["check"]).unwrap();
    check.expect(2, &["plugin small", "logical messages", "no column email"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_in_trials_and_recordings_and_a_reload_is_told_of_them_before_it_switches() {
    let mut fixture = fixture("messages_reload", COVERING).await;
    fixture.start().unwrap();
    let refuse = |text: &str| {
        let refused = fixture.command(&["plugin", "reload"]).unwrap();
        refused.expect(1, &["PLUGIN_REFUSED", "logical messages", text]);
    };
    // No message came yet, and what refuses them does not get to work.
    fixture.gateway.edit("prefix <> 'debug'", "prefiks <> 'debug'").unwrap();
    refuse("did you mean prefix?");
    fixture.gateway.edit("prefiks <> 'debug'", "prefix <> 'debug'").unwrap();
    let emit = |prefix: &str| {
        let sql = format!("SELECT pg_logical_emit_message(true, '{prefix}', 'secret-')");
        let client = &fixture.client;
        async move { client.batch_execute(&sql).await.unwrap() }
    };
    emit("a").await;
    first(&fixture, 1).await;
    let record =
        ["plugin", "test", "builtin:filter", "--record", "9", "--fixtures", "kept/messages"];
    fixture.command(&record).unwrap().expect_error(1, "RECORD_PROTECTED", &["logical messages"]);
    let uncovered = [&record[..], &["--include-protected-values"]].concat();
    let recorded = fixture.command(&uncovered).unwrap();
    recorded.expect(0, &["recorded 1 changes of logical messages", "updated  messages"]);
    let component = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins/dist/mask.wasm");
    let tried = fixture.command(&["plugin", "try", "hide", "--new", component]).unwrap();
    tried.expect(0, &["on 1 recent changes: 0 come out otherwise, failures 0 -> 0"]);

    fixture.gateway.edit("x2a2a2a", "x2b").unwrap();
    fixture.command(&["plugin", "reload"]).unwrap().expect(0, &["hide", "at work from"]);
    emit("b").await;
    let changes = first(&fixture, 2).await;
    assert_eq!(changes.iter().map(brief).collect::<Vec<_>>(), ["a 2a2a2a", "b 2b"]);
}
