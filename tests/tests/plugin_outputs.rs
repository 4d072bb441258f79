//! Rows that a plugin emits, with a real database and a real broker: behind the row that they come
//! from, with it or not at all, whatever crashes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::{Seen, Subscriber, text};

const PATIENCE: Duration = Duration::from_secs(60);
const TABLE: &str = "CREATE TABLE people (id int PRIMARY KEY, email text)";
const ROWS: usize = 40_000;

/// Every change beside a row about it on the stream `NAME.audit`; `email` is covered behind that.
fn sections(stream: &str) -> String {
    let component = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/audit.wasm");
    format!(
        "[plugin.audit]
wasm = \"{}\"
config = {{ stream = \"{stream}\" }}

[plugin.hide]
wasm = \"builtin:mask\"
config = {{ columns = [\"email\"], keep_last = 0 }}

[[route]]
tables = [\"public.*\"]
plugins = [\"audit\", \"hide\"]
",
        component.display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_and_what_is_emitted_of_it_are_neighbours_once_whatever_crashes() {
    let postgres = Postgres::shared(Version::System);
    let sections = sections("shop.audit");
    let mut fixture = Fixture::new(postgres, "emitting", TABLE, "", &sections).await.unwrap();
    fixture.start().unwrap();
    fixture.stop().unwrap();
    // One transaction of several pieces in the log, and a small one.
    let write = format!(
        "INSERT INTO people SELECT i, 'secret-' || i FROM generate_series(1, {ROWS}) i;
         DELETE FROM people WHERE id = 1"
    );
    for statement in write.split_inclusive(';') {
        fixture.client.batch_execute(statement).await.unwrap();
    }
    for crash in ["pipeline.before_submit=2", "pipeline.after_submit=2", "log.after_append=2"] {
        fixture.gateway.start(crash).unwrap();
        fixture.gateway.wait_for_exit(PATIENCE).unwrap();
    }
    fixture.gateway.start("").unwrap();
    fixture.gateway.wait_until_ready(PATIENCE).unwrap();
    let people = format!("{}.public.people", fixture.database);
    let all = Subscriber::start(fixture.gateway.grpc, &[]);
    let changes = 2 * (ROWS + 1);
    let everything = |store: &offtake_tests::subscriber::Store| store.changes.len() >= changes;
    all.wait_for("everything", PATIENCE, everything).await.unwrap();
    let received = all.changes();
    assert_eq!(received.len(), changes);
    for (at, pair) in received.chunks(2).enumerate() {
        let [row, audit] = pair else { panic!("a row alone: {pair:?}") };
        assert_eq!((&*row.stream, &*audit.stream), (&*people, "shop.audit"), "pair {at}");
        assert_eq!(audit.sequence, row.sequence + 1);
        let said = audit.after.as_ref().unwrap();
        let operation = if at == ROWS { "delete" } else { "create" };
        assert_eq!(text(said, "operation"), Some(operation));
        assert_eq!(text(said, "table"), Some("public.people"));
        assert!(text(said, "transaction").is_some());
        if let Some(after) = &row.after {
            assert_eq!(text(after, "id"), Some(&*(at + 1).to_string()));
            let email = &after["email"];
            assert!(matches!(email, Seen::Value(email) if email.bytes().all(|it| it == b'*')));
        }
    }
    let mut definitions = all.schemas();
    definitions.retain(|schema| schema.table == "audit");
    assert_eq!(definitions.len(), 1, "one definition over all restarts: {definitions:#?}");
    assert_eq!(definitions[0].changed_by, ["audit"]);
    let status = fixture.gateway.status().unwrap();
    let plugin = &status["plugins"][0];
    assert!(plugin["emitted"].as_u64().unwrap() >= 1, "{status:#}");
    assert_eq!((&plugin["limits"]["fan_out"], &plugin["on_error"]), (&100.into(), &"halt".into()));
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_gets_emitted_rows_on_a_topic_that_no_route_names() {
    if skipped("kafka_gets_emitted_rows_on_a_topic_that_no_route_names") {
        return;
    }
    let kafka = Kafka::shared();
    let postgres = Postgres::shared(Version::System);
    let topic = kafka.prefix("audit");
    let sections = format!("{}[kafka]\nbrokers = [\"{}\"]\n", sections(&topic), kafka.brokers());
    let mut fixture = Fixture::new(postgres, "emitting_kafka", TABLE, "", &sections).await.unwrap();
    fixture.start().unwrap();
    let insert = "INSERT INTO people SELECT i, 'x' FROM generate_series(1, 500) i";
    fixture.client.batch_execute(insert).await.unwrap();
    let everything =
        |status: &serde_json::Value| status["kafka"]["sequence"].as_u64() == Some(1000);
    fixture.gateway.wait_for_status("Kafka to have everything", PATIENCE, everything).unwrap();
    let people = kafka.read_committed(&format!("{}.public.people", fixture.database)).unwrap();
    let audit = kafka.read_committed(&topic).unwrap();
    assert_eq!((people.len(), audit.len()), (500, 500));
    for record in &audit {
        let value: serde_json::Value =
            serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        assert_eq!((&value["op"], &value["after"]["operation"]), (&"c".into(), &"create".into()));
        assert_eq!(value["source"]["table"], "audit");
        assert_eq!(value["after"]["position"].as_str().map(str::is_empty), Some(false));
    }
    fixture.stop().unwrap();
}
