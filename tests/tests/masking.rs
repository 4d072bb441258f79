//! What a protecting plugin hides is nowhere to be found: not in the log's files, not on gRPC, not
//! in our own log lines, over snapshot, insert, update, delete and key change.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use offtake_proto::v1::Operation;
use offtake_tests::fixture::files_with;
use offtake_tests::gateway::Gateway;
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::{Seen, Subscriber};

const PATIENCE: Duration = Duration::from_secs(30);
const SECRETS: [&str; 5] =
    ["secret-snapshot@x", "secret-insert@x", "secret-update@x", "secret-key@x", "secret-gone@x"];

const PLUGIN: &str = "
[plugin.mask_people]
wasm = \"builtin:mask\"
config = { columns = [\"email\"], keep_last = 0 }

[[route]]
tables = [\"public.*\"]
plugins = [\"mask_people\"]

[log]
dir = \"data\"
";

async fn masked_gateway(folder: &Path, sql: &str) -> (Gateway, tokio_postgres::Client) {
    let postgres = Postgres::shared(Version::System);
    let database = postgres.create_database("masking").await.unwrap();
    let client = postgres.connect(&database).await.unwrap();
    client.batch_execute(sql).await.unwrap();
    let source = format!("url = \"{}\"\ntables = [\"public.*\"]", postgres.url(&database));
    (Gateway::new(folder, &database, &source, PLUGIN).unwrap(), client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_plain_text_is_left_anywhere_over_snapshot_and_every_operation() {
    let folder = tempfile::tempdir().unwrap();
    // The e-mail is the key, so it is in before images, after images and keys.
    let (mut gateway, client) = masked_gateway(
        folder.path(),
        "create table people (email text primary key, name text, note text);
         alter table people replica identity full;
         insert into people values ('secret-snapshot@x', 'Ada', 'kept');",
    )
    .await;
    gateway.start("").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    let subscriber = Subscriber::start(gateway.grpc, &[]);
    subscriber.wait_for("the snapshot", PATIENCE, |store| !store.changes.is_empty()).await.unwrap();
    client
        .batch_execute(
            "insert into people values ('secret-insert@x', 'Bea', null);
             update people set note = 'secret no more' where email = 'secret-insert@x';
             update people set email = 'secret-key@x' where email = 'secret-insert@x';
             insert into people values ('secret-update@x', 'Cy', null);
             insert into people values ('secret-gone@x', 'Dee', null);
             delete from people where email = 'secret-gone@x';",
        )
        .await
        .unwrap();
    subscriber.wait_for("all", PATIENCE, |store| store.changes.len() == 7).await.unwrap();
    let operations: Vec<Operation> =
        subscriber.changes().iter().map(|change| change.operation).collect();
    use Operation::{Create, Delete, Read, Update};
    assert_eq!(operations, [Read, Create, Update, Update, Create, Create, Delete]);
    for change in subscriber.changes() {
        for image in [&change.before, &change.after].into_iter().flatten() {
            let Some(Seen::Value(email)) = image.get("email") else { panic!("{change:?}") };
            assert!(email.chars().all(|character| character == '*'), "{email}");
            assert!(image.contains_key("name"), "{change:?}");
        }
    }
    gateway.stop(Duration::from_secs(6)).unwrap();
    for secret in SECRETS {
        assert_eq!(files_with(folder.path(), secret), Vec::<std::path::PathBuf>::new(), "{secret}");
    }
    // The search itself works: what is not masked is there.
    assert!(!files_with(folder.path(), "Dee").is_empty());
}

/// The masked column gets another name, and a row comes after it.
const RENAME: &str = "alter table people rename email to mail;
    insert into people values (2, 'secret-update@x');";

/// A run that has covered `email` of `people`.
async fn start_and_take_a_row(gateway: &mut Gateway, client: &tokio_postgres::Client) {
    gateway.start("").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    client.batch_execute("insert into people values (1, 'secret-insert@x')").await.unwrap();
    gateway
        .wait_for_status("the row", PATIENCE, |status| status["log"]["last_sequence"] == 1)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_column_that_no_table_has_halts_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (mut gateway, _client) =
        masked_gateway(folder.path(), "create table people (mail text primary key)").await;
    gateway.start("").unwrap();
    let status = gateway
        .wait_for_status("the halt", PATIENCE, |status| status["state"] == "HALTED")
        .unwrap();
    assert_eq!(status["code"], "PLUGIN_COLUMN_MISSING", "{status:#}");
    assert!(status["cause"].as_str().unwrap().contains("email"), "{status:#}");
    assert_eq!(gateway.get("/readyz").unwrap().0, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_column_that_is_renamed_halts_and_halts_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut gateway, client) = masked_gateway(
        folder.path(),
        "create table people (id int primary key, email text);
         create table staff (id int primary key, email text);",
    )
    .await;
    start_and_take_a_row(&mut gateway, &client).await;
    client.batch_execute(RENAME).await.unwrap();
    let halted = |status: &serde_json::Value| status["code"] == "PLUGIN_COLUMN_LOST";
    gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    gateway.start("").unwrap();
    gateway.wait_for_status("the halt after a restart", PATIENCE, halted).unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    assert!(files_with(folder.path(), "secret-update@x").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_from_before_a_rename_while_down_go_in_masked_before_the_halt() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "create table people (id int primary key, email text);";
    let (mut gateway, client) = masked_gateway(folder.path(), sql).await;
    gateway.start("").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    // Read in one batch, long after the catalogue knows the new name only.
    for statement in [
        "insert into people values (1, 'secret-insert@x')",
        "alter table people rename email to mail",
        "insert into people values (2, 'secret-update@x')",
    ] {
        client.batch_execute(statement).await.unwrap();
    }
    gateway.start("").unwrap();
    let halted = |status: &serde_json::Value| status["code"] == "PLUGIN_COLUMN_LOST";
    gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    gateway.edit("\"email\"", "\"mail\"").unwrap();
    gateway.start("").unwrap();
    let subscriber = Subscriber::start(gateway.grpc, &[]);
    subscriber.wait_for("both", PATIENCE, |store| store.changes.len() == 2).await.unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    for secret in ["secret-insert@x", "secret-update@x"] {
        assert!(files_with(folder.path(), secret).is_empty(), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_while_down_halts_also_when_another_setting_of_the_plugin_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "create table people (id int primary key, email text);
               create table staff (id int primary key, email text, phone text);";
    let (mut gateway, client) = masked_gateway(folder.path(), sql).await;
    start_and_take_a_row(&mut gateway, &client).await;
    gateway.stop(Duration::from_secs(6)).unwrap();
    client.batch_execute(RENAME).await.unwrap();
    gateway.edit("keep_last = 0", "keep_last = 1").unwrap();
    let lost = |status: &serde_json::Value| status["code"] == "PLUGIN_COLUMN_LOST";
    gateway.start("").unwrap();
    gateway.wait_for_status("the halt", PATIENCE, lost).unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    // A further column, which another table has, says nothing about the one that is lost.
    gateway.edit("[\"email\"]", "[\"email\", \"phone\"]").unwrap();
    gateway.start("").unwrap();
    let status = gateway.wait_for_status("the halt again", PATIENCE, lost).unwrap();
    assert_eq!(status["log"]["last_sequence"], 1, "{status:#}");
    gateway.stop(Duration::from_secs(6)).unwrap();
    assert!(files_with(folder.path(), "secret-update@x").is_empty());

    // The way out that the halt names where another table still has the column.
    assert!(status["next_step"].as_str().unwrap().contains("another name"), "{status:#}");
    gateway.edit("[\"email\", \"phone\"]", "[\"email\", \"mail\"]").unwrap();
    gateway.edit("mask_people", "mask_persons").unwrap();
    gateway.start("").unwrap();
    client.batch_execute("insert into staff values (3, 'secret-key@x', '1')").await.unwrap();
    let subscriber = Subscriber::start(gateway.grpc, &[]);
    subscriber.wait_for("all", PATIENCE, |store| store.changes.len() == 3).await.unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    for secret in ["secret-insert@x", "secret-update@x", "secret-key@x"] {
        assert!(files_with(folder.path(), secret).is_empty(), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_changed_in_the_middle_of_a_transaction_halts_until_it_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "create table people (id int primary key, email text);";
    let (mut gateway, client) = masked_gateway(folder.path(), sql).await;
    gateway.start("pipeline.after_submit=12").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    let rows =
        "insert into people select i, 'secret-insert@x' || i from generate_series(1, 100000) i";
    client.batch_execute(rows).await.unwrap();
    gateway.wait_for_exit(PATIENCE).unwrap();
    gateway.edit("keep_last = 0", "keep_last = 1").unwrap();
    gateway.start("").unwrap();
    let halted = |status: &serde_json::Value| status["code"] == "PIPELINE_CHANGED_MIDWAY";
    gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();
    // It stays up and serves what it has.
    assert_eq!(gateway.get("/readyz").unwrap().0, 503);
    let subscriber = Subscriber::start(gateway.grpc, &[]);
    subscriber.wait_for("the piece", PATIENCE, |store| !store.changes.is_empty()).await.unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    gateway.edit("keep_last = 1", "keep_last = 0").unwrap();
    gateway.start("").unwrap();
    gateway
        .wait_for_status("every row", PATIENCE, |status| status["log"]["last_sequence"] == 100_000)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_whose_later_rows_a_plugin_cannot_take_is_finished_by_an_accepted_one() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "create table people (id int primary key, email text);";
    let (mut gateway, client) = masked_gateway(folder.path(), sql).await;
    gateway.start("").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    // Several pieces, and then the column is another one.
    client
        .batch_execute(
            "begin;
             insert into people select i, 'secret-insert@x' || i from generate_series(1, 60000) i;
             alter table people rename email to mail;
             insert into people
             select i, 'secret-update@x' || i from generate_series(60001, 100000) i;
             commit;",
        )
        .await
        .unwrap();
    let halted = |code: &'static str| move |status: &serde_json::Value| status["code"] == code;
    gateway.wait_for_status("the halt", PATIENCE, halted("PLUGIN_COLUMN_LOST")).unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    gateway.edit("\"email\"", "\"mail\"").unwrap();

    gateway.start("").unwrap();
    let status = gateway
        .wait_for_status("the refusal", PATIENCE, halted("PIPELINE_CHANGED_MIDWAY"))
        .unwrap();
    assert_eq!(status["log"]["last_sequence"], 60_000, "{status:#}");
    let next = status["next_step"].as_str().unwrap();
    let transaction = next.split("--accept-plugins-midway ").nth(1).unwrap();
    let transaction: String = transaction.chars().take_while(char::is_ascii_digit).collect();
    gateway.stop(Duration::from_secs(6)).unwrap();
    // Of another transaction it decides nothing.
    gateway.start_with("", &["--accept-plugins-midway", "1"]).unwrap();
    gateway.wait_for_status("the same", PATIENCE, halted("PIPELINE_CHANGED_MIDWAY")).unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();

    gateway.start_with("", &["--accept-plugins-midway", &transaction]).unwrap();
    gateway
        .wait_for_status("every row", PATIENCE, |status| status["log"]["last_sequence"] == 100_000)
        .unwrap();
    let subscriber = Subscriber::start(gateway.grpc, &[]);
    let all = |store: &offtake_tests::subscriber::Store| store.changes.len() == 100_000;
    subscriber.wait_for("all of it", PATIENCE, all).await.unwrap();
    for (change, id) in subscriber.changes().iter().zip(1..) {
        let after = change.after.as_ref().unwrap();
        assert_eq!(after["id"], Seen::Value(i32::to_string(&id)));
    }
    let said = std::fs::read_to_string(folder.path().join("gateway.log")).unwrap();
    assert!(said.contains("PIPELINE_CHANGED_MIDWAY_ACCEPTED"), "{said}");
    gateway.stop(Duration::from_secs(6)).unwrap();
    // Decided once and for all: the next start needs no word.
    gateway.start("").unwrap();
    client.batch_execute("insert into people values (100001, 'secret-key@x')").await.unwrap();
    gateway
        .wait_for_status("more", PATIENCE, |status| status["log"]["last_sequence"] == 100_001)
        .unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    for secret in ["secret-insert@x", "secret-update@x", "secret-key@x"] {
        assert!(files_with(folder.path(), secret).is_empty(), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_renamed_out_of_its_route_halts_instead_of_passing_unmasked() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "create table people (id int primary key, email text);
               create table staff (id int primary key, email text);";
    let (mut gateway, client) = masked_gateway(folder.path(), sql).await;
    // As in the README: the last route takes everything else, without a plugin.
    let everything = "\n[[route]]\ntables = [\"public.*\"]\n\n[log]";
    gateway.edit("\n[log]", everything).unwrap();
    gateway
        .edit(
            "[[route]]\ntables = [\"public.*\"]\nplugins",
            "[[route]]\ntables = [\"public.people\", \"public.staff\"]\nplugins",
        )
        .unwrap();
    gateway.start("").unwrap();
    gateway.wait_until_ready(PATIENCE).unwrap();
    for statement in [
        "insert into people values (1, 'secret-insert@x')",
        "alter table people rename to persons",
        "insert into persons values (2, 'secret-update@x')",
    ] {
        client.batch_execute(statement).await.unwrap();
    }
    let halted = |status: &serde_json::Value| status["code"] == "PG_TABLE_RENAMED";
    gateway.wait_for_status("the halt", PATIENCE, halted).unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    gateway.start("").unwrap();
    gateway.wait_for_status("the halt after a restart", PATIENCE, halted).unwrap();
    gateway.stop(Duration::from_secs(6)).unwrap();
    for secret in ["secret-insert@x", "secret-update@x"] {
        assert!(files_with(folder.path(), secret).is_empty(), "{secret}");
    }
}
