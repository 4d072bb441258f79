//! Plugins whose configuration does not fit: the plugin's own schema, the columns of its tables, and
//! tables that change under it.

use std::time::Duration;

use offtake_tests::fixture::Fixture;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

const TABLES: &str = "CREATE TABLE people (id int PRIMARY KEY, email text, status text);";

const WRONG: &str = "[plugin.mask_people]
wasm = \"builtin:mask\"

[plugin.mask_people.config]
colums = [\"email\"]
keep_last = \"4\"

[[plugin.mask_people.config.rules]]
columns = [\"status\"]
stratgy = \"fixed\"

[plugin.hash_people]
wasm = \"builtin:hash\"
config = { columns = [\"email\"], secret_key = \"hunter2hunter2\", output = \"hx\", lenght = 9 }

[[route]]
tables = [\"public.*\"]
plugins = [\"mask_people\", \"hash_people\"]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_in_plugins_configurations_is_shown_at_its_place_before_anything_is_touched()
{
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "plugin_config", TABLES, "", WRONG).await.unwrap();
    let text = std::fs::read_to_string(fixture.gateway.config()).unwrap();
    let line = |part: &str| text.lines().position(|line| line.contains(part)).unwrap() + 1;
    let path = fixture.gateway.config().display().to_string();
    let place = |part: &str, column: usize| format!("--> {path}:{}:{column}", line(part));
    let texts = [
        "error[CONFIG_UNKNOWN_KEY]: unknown key `colums` in [plugin.mask_people] config".to_owned(),
        place("colums", 1),
        format!("{} | colums = [\"email\"]", line("colums")),
        "| ^^^^^^\n".to_owned(),
        "help: did you mean `columns`?".to_owned(),
        "error[CONFIG_WRONG_TYPE]: `keep_last` must be a whole number, and this is a text"
            .to_owned(),
        place("keep_last", 13),
        "unknown key `rules[0].stratgy`".to_owned(),
        place("stratgy", 1),
        "help: did you mean `strategy`?".to_owned(),
        "error[CONFIG_BAD_VALUE]: `output` must be \"hex\", \"base64\" or \"base64url\"".to_owned(),
        "help: did you mean \"hex\"?".to_owned(),
        "unknown key `lenght` in [plugin.hash_people] config".to_owned(),
    ];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let ended = fixture.run_to_its_end().unwrap().expect(2, &texts);
    assert!(ended.errors.contains("5 errors"), "{}", ended.errors);
    assert!(!format!("{ended:?}").contains("hunter2"), "the key is shown: {ended:?}");
    assert_eq!(fixture.created().await.unwrap(), (0, 0));
    assert!(!fixture.folder().join("data/meta").exists(), "no log was begun");
    // Each plugin by itself, with its line in the report.
    let ended = fixture.command(&["check"]).unwrap().expect(2, &texts);
    ended.expect(2, &["CONFIG_INVALID", "plugin mask_people", "plugin hash_people"]);
}

fn filtering(more: &str) -> String {
    format!(
        "[plugin.rename]
wasm = \"builtin:project\"
config = {{ rename = {{ status = \"state\" }} }}

[plugin.live]
wasm = \"builtin:filter\"
config = {{ drop = [{{ column = \"state\", equals = \"x\" }}, {{ column = \"emial\", equals = \"x\" }}] }}
{more}

[[route]]
tables = [\"public.*\"]
plugins = [\"rename\", \"live\"]"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_no_table_has_is_told_or_refused_as_configured() {
    let postgres = Postgres::shared(Version::System);
    let rest = filtering("unknown_columns = \"warn\"");
    let mut fixture = Fixture::new(postgres, "unknown_column", TABLES, "", &rest).await.unwrap();
    let texts = [
        "plugin \"live\" names the column \"emial\" (",
        "offtake.toml:",
        "which none of its tables has",
        "PLUGIN_COLUMN_UNKNOWN",
        "did you mean email?",
    ];
    let ended = fixture.command(&["check"]).unwrap().expect(1, &texts);
    assert!(!ended.out.contains("\"state\""), "it is there once renamed: {}", ended.out);
    fixture.start().unwrap();
    // That alone is a difference too.
    fixture.gateway.edit("unknown_columns = \"warn\"", "unknown_columns = \"error\"").unwrap();
    let refused = fixture.command(&["plugin", "reload"]).unwrap();
    refused.expect_error(1, "PLUGIN_COLUMN_UNKNOWN", &["emial", "did you mean email?"]);
    fixture.stop().unwrap();
    let output = fixture.gateway.output();
    assert!(output.contains("PLUGIN_COLUMN_UNKNOWN") && output.contains("emial"), "{output}");

    fixture.command(&["check"]).unwrap().expect(2, &texts);
    fixture.gateway.start("").unwrap();
    let halted = |status: &Value| status["code"] == "PLUGIN_COLUMN_UNKNOWN";
    let status = fixture.gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();
    assert!(status["cause"].as_str().unwrap().contains("offtake.toml:"), "{status:#}");
    assert!(status["next_step"].as_str().unwrap().contains("did you mean email?"), "{status:#}");
    fixture.gateway.stop(PATIENCE).unwrap();
    fixture.gateway.edit("\"emial\"", "\"email\"").unwrap();
    fixture.start().unwrap();
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_protects_is_refused_with_an_unknown_column_whatever_is_configured() {
    let rest = "[plugin.tokens]
wasm = \"builtin:tokenise\"
unknown_columns = \"warn\"

[plugin.tokens.config]
columns = [\"email\"]
alphabet = \"lower\"
tweak_column = \"tenant\"
secret_key = \"2b7e151628aed2a6abf7158809cf4f3c\"

[[route]]
tables = [\"public.*\"]
plugins = [\"tokens\"]";
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "protects", TABLES, "", rest).await.unwrap();
    fixture.command(&["check"]).unwrap().expect(2, &["PLUGIN_COLUMN_UNKNOWN", "\"tenant\""]);
    fixture.gateway.start("").unwrap();
    let halted = |status: &Value| status["code"] == "PLUGIN_COLUMN_UNKNOWN";
    fixture.gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();
    fixture.gateway.stop(PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_a_plugin_needs_and_that_is_dropped_halts_with_its_name_and_loses_nothing() {
    let rest = "[plugin.live]
wasm = \"builtin:filter\"
config = { where = \"status = 'live'\" }

[[route]]
tables = [\"public.*\"]
plugins = [\"live\"]";
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "needed", TABLES, "", rest).await.unwrap();
    fixture.start().unwrap();
    let sql = "INSERT INTO people VALUES (1, 'a@x', 'live');
               ALTER TABLE people DROP COLUMN status;
               INSERT INTO people VALUES (2, 'b@x');";
    for statement in sql.split_inclusive(';').filter(|statement| !statement.trim().is_empty()) {
        fixture.client.batch_execute(statement).await.unwrap();
    }
    let halted = |status: &Value| status["code"] == "PLUGIN_REFUSED";
    let status = fixture.gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();
    let cause = status["cause"].as_str().unwrap();
    for words in ["plugin live", "public.people", "status"] {
        assert!(cause.contains(words), "{cause}");
    }
    assert!(!status["next_step"].as_str().unwrap().is_empty(), "{status:#}");
    assert_eq!(status["log"]["last_sequence"], 1, "what came before is in the log: {status:#}");
    fixture.gateway.stop(PATIENCE).unwrap();
    // The person decides: rows without the column are not known, and pass.
    fixture.gateway.edit("'live'\" }", "'live'\", missing_columns = \"unknown\" }").unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    fixture.expect_ids(&subscriber, 1..=2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_a_plugin_are_shown_by_their_keys() {
    let rest = "[plugin.live]
wasm = \"builtin:filter\"
config = { where = \"true\" }
stack = \"1MiB\"
table = 50_000

[[route]]
tables = [\"public.*\"]
plugins = [\"live\"]";
    let postgres = Postgres::shared(Version::System);
    let mut fixture = Fixture::new(postgres, "limits", TABLES, "", rest).await.unwrap();
    fixture.start().unwrap();
    let status = fixture.gateway.status().unwrap();
    let limits = &status["plugins"][0]["limits"];
    assert_eq!((limits["stack"].as_u64(), limits["table"].as_u64()), (Some(1 << 20), Some(50_000)));
    let ended = fixture.command(&["status"]).unwrap();
    ended.expect(0, &["stack 1.0 MiB", "table 50000", "deadline 100 ms", "memory 64.0 MiB"]);
    fixture.stop().unwrap();
}
