//! `offtake check`: one line an item, exit status by the worst of them, and nothing is created.

use std::path::PathBuf;

use offtake_tests::fixture::{Ended, Fixture, PATIENCE};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;

use crate::TABLE;

/// What goes past the mask is told; here is nothing that could.
const NO_MESSAGES: &str = "messages = false";
const MASKED: &str = "[plugin.hide]
wasm = \"builtin:mask\"
config = { columns = [\"email\"] }

[[route]]
tables = [\"public.*\"]
plugins = [\"hide\"]";

fn files(fixture: &Fixture) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(fixture.folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Every line is an item with its level, or the summary at the end.
fn expect_lines(ended: &Ended) {
    let (items, summary) = ended.out.trim_end().split_once("\n\n").unwrap();
    for line in items.lines() {
        let level = line.split(' ').next().unwrap();
        assert!(["ok", "warning", "error"].contains(&level), "{line:?}");
        assert!(level == "ok" || line.contains("; next: "), "what to do is missing: {line}");
        assert!(level == "ok" || line.contains('['), "the code is missing: {line}");
    }
    assert!(summary.contains(" ok, ") && summary.lines().count() == 1, "{summary}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_line_an_item_the_worst_decides_the_exit_status_and_nothing_is_created() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text)";
    let fixture = Fixture::new(postgres, "check", sql, NO_MESSAGES, MASKED).await.unwrap();
    let before = files(&fixture);
    let check = || {
        let ended = fixture.command(&["check"]).unwrap();
        expect_lines(&ended);
        ended
    };
    // The server of all tests sets no limit on what a slot holds back, and is told so at most.
    let ended = check().expect(0, &["0 warnings, 0 errors"]);
    let items = [
        "configuration",
        "log ",
        "wal_level",
        "walsenders",
        "replica",
        "slot",
        "publication",
        "disk",
        "plugin hide",
        "people",
    ];
    for item in items {
        assert!(ended.out.contains(item), "there is no {item:?} in {}", ended.out);
    }
    assert!(!ended.out.contains('\x1b'), "colours without a terminal");

    let keyless = "CREATE TABLE keyless (id int); ALTER TABLE keyless REPLICA IDENTITY FULL";
    fixture.client.batch_execute(keyless).await.unwrap();
    check().expect(1, &["PG_NO_KEY", "public.keyless", "1 warning, 0 errors"]);
    fixture.client.batch_execute("CREATE TABLE broken (id int)").await.unwrap();
    let texts = ["PG_TABLE", "public.broken", "1 warning, 1 error"];
    check().expect(2, &texts);

    assert_eq!(fixture.created().await.unwrap(), (0, 0));
    assert_eq!(files(&fixture), before, "check made a file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_looks_at_a_running_pipeline_without_disturbing_it() {
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "check_live", TABLE, "", "").await.unwrap();
    fixture.start().unwrap();
    let ended = fixture.command(&["check"]).unwrap();
    expect_lines(&ended);
    // The slot is taken, and by the gateway that holds this configuration's log.
    let texts = ["holds a log up to sequence", "in use by this pipeline's gateway", "0 warnings"];
    ended.expect(0, &texts);
    // Not so with a log elsewhere: that would be a second reader.
    let elsewhere = fixture.folder().join("elsewhere.toml");
    let text = std::fs::read_to_string(fixture.gateway.config()).unwrap();
    std::fs::write(&elsewhere, text.replace("dir = \"data\"", "dir = \"other\"")).unwrap();
    let output = std::process::Command::new(offtake_tests::gateway::binary())
        .args(["check", "-c"])
        .arg(&elsewhere)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("in use by this pipeline's gateway"), "{text}");
    assert_eq!(output.status.code(), Some(2), "{text}");
    let status = fixture.gateway.status().unwrap();
    assert_eq!(status["state"], "RUNNING", "{status:#}");
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_plugin_is_judged_and_every_table_has_its_way_listed() {
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text); \
               CREATE TABLE orders (id int PRIMARY KEY, status text)";
    let rest = "[plugin.refused]
wasm = \"builtin:mask\"
config = { colums = [\"email\"] }

[plugin.missing]
wasm = \"builtin:mask\"
config = { columns = [\"emial\"] }

[plugin.hide]
wasm = \"builtin:mask\"
config = { columns = [\"email\"] }

[plugin.drop]
wasm = \"builtin:filter\"
config = { drop = [{ column = \"statsu\", equals = \"x\" }] }

[[route]]
tables = [\"public.people\"]
plugins = [\"refused\", \"missing\", \"hide\"]

[[route]]
tables = [\"public.*\"]
plugins = [\"drop\"]";
    let postgres = Postgres::shared(Version::System);
    let fixture = Fixture::new(postgres, "check_plugins", sql, NO_MESSAGES, rest).await.unwrap();
    let ended = fixture.command(&["check"]).unwrap();
    expect_lines(&ended);
    let name = &fixture.database;
    let people = format!("refused, missing, hide -> stream {name}.public.people");
    let orders = format!("drop -> stream {name}.public.orders");
    let ended = ended.expect(
        2,
        &[
            "its `config` is wrong, as shown at its place",
            "error[CONFIG_UNKNOWN_KEY]: unknown key `colums` in [plugin.refused] config",
            "PLUGIN_COLUMN_MISSING",
            "did you mean email?",
            "plugin hide",
            "PLUGIN_COLUMN_UNKNOWN",
            "did you mean status?",
            "rows unknown",
            &people,
            &orders,
            "1 warning, 2 errors",
        ],
    );
    assert!(!ended.out.contains("about 0 rows"), "{}", ended.out);

    // Without a look at the database nothing is said of tables.
    fixture.gateway.edit(&postgres.url(&fixture.database), "postgres://me@127.0.0.1:1/x").unwrap();
    let ended = fixture.command(&["check"]).unwrap().expect(2, &["PG_UNREACHABLE"]);
    let line = ended.out.lines().find(|line| line.contains("plugin hide")).unwrap();
    assert!(line.starts_with("ok ") && line.contains("not looked at"), "{line}");
    assert!(!ended.out.contains("PLUGIN_COLUMN_"), "{}", ended.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_that_a_plugin_refuses_are_said_as_the_run_will_say_it() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text); \
               CREATE TABLE staff (id int PRIMARY KEY, email int)";
    let mut fixture =
        Fixture::new(postgres, "check_refused", sql, NO_MESSAGES, MASKED).await.unwrap();
    let ended = fixture.command(&["check"]).unwrap().expect(2, &["0 warnings, 1 error"]);
    expect_lines(&ended);
    fixture.start().unwrap();
    fixture.client.batch_execute("INSERT INTO staff VALUES (1, 2)").await.unwrap();
    let (cause, next) = halt_of(&fixture, "PLUGIN_REFUSED");
    let said = format!("{cause} [PLUGIN_REFUSED]; next: {next}");
    assert!(ended.out.contains(said.as_str()), "there is no {said:?} in {}", ended.out);
    assert!(cause.contains("public.staff"), "{cause}");
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_that_compares_different_types_is_an_error() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE orders (id int PRIMARY KEY, is_test bool)";
    let rest = "[plugin.drop]
wasm = \"builtin:filter\"
config = { drop = [{ column = \"is_test\", equals = \"yes\" }] }

[[route]]
tables = [\"public.*\"]
plugins = [\"drop\"]";
    let fixture = Fixture::new(postgres, "check_compared", sql, "", rest).await.unwrap();
    let texts = ["PLUGIN_REFUSED", "is_test", "0 warnings, 1 error"];
    fixture.command(&["check"]).unwrap().expect(2, &texts);
    fixture.gateway.edit("\"yes\"", "true").unwrap();
    fixture.command(&["check"]).unwrap().expect(0, &["plugin drop", "on 1 table"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_matches_nothing_is_not_taken_for_a_misspelt_column() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text)";
    let rest =
        MASKED.replace("public.*", "public.poeple") + "\n\n[[route]]\ntables = [\"public.*\"]";
    let fixture = Fixture::new(postgres, "check_no_route", sql, "", &rest).await.unwrap();
    let texts =
        ["ROUTE_MATCHES_NOTHING", "no captured table goes through it [PLUGIN_COLUMN_MISSING]"];
    let ended = fixture.command(&["check"]).unwrap().expect(2, &texts);
    expect_lines(&ended);
    assert!(!ended.out.contains("spelling"), "{}", ended.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_no_table_has_is_a_warning_and_the_near_one_is_proposed() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY); CREATE TABLE orders (id int PRIMARY KEY); \
               CREATE TABLE spare (id int PRIMARY KEY); CREATE UNLOGGED TABLE scratch (id int)";
    let mut fixture = Fixture::new(postgres, "check_absent", sql, "", "").await.unwrap();
    let tables = "tables = [\"public.people\", \"public.ordres\", \"public.unheard_of\", \"public.z*\", \
                  \"public.spare\", \"public.old\", \"public.scratch\"]\n\
                  exclude = [\"public.spare\", \"public.old\"]";
    fixture.gateway.edit("tables = [\"public.*\"]", tables).unwrap();
    let texts = [
        "public.ordres in `tables` is no table of the database [PG_TABLE_ABSENT]; next: did you mean \
         public.orders?",
        "public.unheard_of in `tables` is no table of the database [PG_TABLE_ABSENT]; next: create",
        "PG_NOT_CAPTURED",
        "3 warnings, 0 errors",
    ];
    let ended = fixture.command(&["check"]).unwrap().expect(1, &texts);
    expect_lines(&ended);
    // The run goes on without them; and what was renamed is said once.
    fixture.start().unwrap();
    fixture.stop().unwrap();
    fixture.wait_until_slot_is_free().await.unwrap();
    fixture.gateway.edit("\"public.unheard_of\"", "\"public.orders\"").unwrap();
    fixture.client.batch_execute("ALTER TABLE people RENAME TO clients").await.unwrap();
    let ended = fixture.command(&["check"]).unwrap().expect(2, &["PG_TABLE_RENAMED"]);
    let absent: Vec<&str> =
        ended.out.lines().filter(|line| line.contains("PG_TABLE_ABSENT")).collect();
    assert!(absent.len() == 1 && absent[0].contains("public.ordres"), "{}", ended.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_rename_it_says_what_was_renamed() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text); \
               INSERT INTO people VALUES (1, 'x')";
    let rest =
        MASKED.replace("public.*", "public.people") + "\n\n[[route]]\ntables = [\"public.*\"]";
    let mut fixture =
        Fixture::new(postgres, "check_renamed", sql, NO_MESSAGES, &rest).await.unwrap();
    fixture.start().unwrap();
    fixture.stop().unwrap();
    fixture.wait_until_slot_is_free().await.unwrap();
    fixture.command(&["check"]).unwrap().expect(0, &["plugin hide"]);

    let rename = "ALTER TABLE people RENAME email TO mail";
    fixture.client.batch_execute(rename).await.unwrap();
    let texts =
        ["PLUGIN_COLUMN_LOST", "column \"email\" of public.people", "new in the table: mail"];
    let ended = fixture.command(&["check"]).unwrap().expect(2, &texts);
    assert!(!ended.out.contains("spelling"), "{}", ended.out);

    let rename = "ALTER TABLE people RENAME mail TO email; ALTER TABLE people RENAME TO clients";
    fixture.client.batch_execute(rename).await.unwrap();
    let texts =
        ["it matched public.people, which is called public.clients now", "PG_TABLE_RENAMED"];
    let ended = fixture.command(&["check"]).unwrap().expect(2, &texts);
    assert!(!ended.out.contains("spelling"), "{}", ended.out);
}

/// What a halted gateway says of itself, but for the place of the row, which `check` has not seen.
fn halt_of(fixture: &Fixture, code: &'static str) -> (String, String) {
    let halted = |status: &serde_json::Value| status["code"] == code;
    let status = fixture.gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();
    let text = |field: &str| status[field].as_str().unwrap().to_owned();
    let (cause, place) = (text("cause"), "; its first row in this form is at ");
    (cause.split(place).next().unwrap_or_default().to_owned(), text("next_step"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_column_that_was_retyped_is_said_as_the_run_will_say_it() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text); \
               CREATE TABLE staff (id int PRIMARY KEY, email text); \
               INSERT INTO people VALUES (1, 'x')";
    let mut fixture =
        Fixture::new(postgres, "check_retyped", sql, NO_MESSAGES, MASKED).await.unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=1).await.unwrap();
    // Beside the running gateway, and after it.
    let retype = "ALTER TABLE people ALTER email TYPE varchar(40)";
    fixture.client.batch_execute(retype).await.unwrap();
    fixture.command(&["check"]).unwrap().expect(2, &["PLUGIN_COLUMN_LOST"]);
    fixture.stop().unwrap();
    fixture.wait_until_slot_is_free().await.unwrap();
    let ended = fixture.command(&["check"]).unwrap().expect(2, &["0 warnings, 1 error"]);
    expect_lines(&ended);

    fixture.client.batch_execute("INSERT INTO people VALUES (2, 'y')").await.unwrap();
    fixture.gateway.start("").unwrap();
    let (cause, next) = halt_of(&fixture, "PLUGIN_COLUMN_LOST");
    let said = format!("{cause} [PLUGIN_COLUMN_LOST]; next: {next}");
    assert!(ended.out.contains(said.as_str()), "there is no {said:?} in {}", ended.out);
    assert!(cause.ends_with("was text and is now varchar(40)"), "{cause}");
    fixture.stop().unwrap();
    fixture.wait_until_slot_is_free().await.unwrap();
    // Another setting of the plugin decides nothing, another plugin does, for check as for run.
    fixture.gateway.edit("[\"email\"]", "[\"email\", \"id\"]").unwrap();
    fixture.command(&["check"]).unwrap().expect(2, &["PLUGIN_COLUMN_LOST"]);
    fixture.gateway.edit("[plugin.hide]", "[plugin.veil]").unwrap();
    fixture.gateway.edit("plugins = [\"hide\"]", "plugins = [\"veil\"]").unwrap();
    let ended = fixture.command(&["check"]).unwrap();
    assert!(!ended.out.contains("PLUGIN_COLUMN_LOST"), "{}", ended.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_changed_in_the_middle_of_a_transaction_are_said_as_the_run_will_say_it() {
    let postgres = Postgres::shared(Version::System);
    let sql = "CREATE TABLE people (id int PRIMARY KEY, email text)";
    let mut fixture =
        Fixture::new(postgres, "check_midway", sql, NO_MESSAGES, MASKED).await.unwrap();
    fixture.gateway.start("pipeline.after_submit=12").unwrap();
    fixture.gateway.wait_until_ready(PATIENCE).unwrap();
    let rows = "INSERT INTO people SELECT i, 'secret-' || i FROM generate_series(1, 100000) i";
    fixture.client.batch_execute(rows).await.unwrap();
    fixture.gateway.wait_for_exit(PATIENCE).unwrap();
    fixture.wait_until_slot_is_free().await.unwrap();
    fixture.command(&["check"]).unwrap().expect(0, &["0 warnings, 0 errors"]);

    fixture.gateway.edit("[\"email\"] }", "[\"email\"], keep_last = 1 }").unwrap();
    let ended = fixture.command(&["check"]).unwrap().expect(2, &["0 warnings, 1 error"]);
    expect_lines(&ended);
    fixture.gateway.start("").unwrap();
    let (cause, next) = halt_of(&fixture, "PIPELINE_CHANGED_MIDWAY");
    let said = format!("{cause} [PIPELINE_CHANGED_MIDWAY]; next: {next}");
    assert!(ended.out.contains(said.as_str()), "there is no {said:?} in {}", ended.out);
    assert!(next.contains("--accept-plugins-midway "), "{next}");
    fixture.stop().unwrap();
    // Nor do other routes finish it.
    fixture.gateway.edit("[\"email\"], keep_last = 1 }", "[\"email\"] }").unwrap();
    fixture.command(&["check"]).unwrap().expect(0, &["0 errors"]);
    fixture
        .gateway
        .edit("tables = [\"public.*\"]\nplugins", "tables = [\"public.p*\"]\nplugins")
        .unwrap();
    fixture.command(&["check"]).unwrap().expect(2, &["PIPELINE_CHANGED_MIDWAY"]);
}
