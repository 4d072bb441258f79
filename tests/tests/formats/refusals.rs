//! A registry that is away is waited for and named; a registry or a format that refuses halts Kafka
//! with the reason, and nothing is acknowledged past it.

use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::registry::SchemaRegistry;
use serde_json::Value;

use crate::gate::{Gate, Mode};
use crate::{PATIENCE, halted, kafka_has, kafka_is, messages, pipeline, section};

const ONE: &str = "create table t (id int primary key, note text); insert into t values (1, 'a')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_is_away_at_the_start_and_midway_is_waited_for() {
    if skipped("a_registry_that_is_away_at_the_start_and_midway_is_waited_for") {
        return;
    }
    let gate = Gate::new(Mode::Shut);
    let sql = format!("{ONE}; create table plain (id int primary key)");
    let rules = "[[kafka.topic]]\nstreams = [\"*.t\"]\nformat = \"avro\"\n";
    let mut fixture = pipeline("away", &sql, &section(&gate.url(), rules)).await;
    fixture.start().unwrap();
    let named = |status: &Value| {
        let cause = status["kafka"]["cause"].as_str().unwrap();
        assert!(cause.starts_with(&format!("schema registry {} ", gate.url())), "{cause}");
        assert_eq!(status["state"], "RUNNING", "{status:#}");
    };
    named(&kafka_is(&fixture, "WAITING", "KAFKA_REGISTRY"));
    gate.set(Mode::Open);
    kafka_has(&fixture, 1);

    gate.set(Mode::Shut);
    // What is registered needs no registry.
    fixture.client.batch_execute("insert into t values (2, 'b')").await.unwrap();
    kafka_has(&fixture, 2);
    for statement in ["insert into plain values (1)", "insert into t values (3, 'c')"] {
        fixture.client.batch_execute(statement).await.unwrap();
    }
    // In the log before the next begins: one group of the log is sent as a whole.
    let logged = |status: &Value| status["log"]["last_sequence"].as_u64() >= Some(4);
    fixture.gateway.wait_for_status("both in the log", PATIENCE, logged).unwrap();
    for statement in ["alter table t add column more text", "insert into t values (4, 'd', 'e')"] {
        fixture.client.batch_execute(statement).await.unwrap();
    }
    named(&kafka_is(&fixture, "WAITING", "KAFKA_REGISTRY"));
    // What came before is there already, for consumers that read what is committed.
    let before = |status: &Value| status["kafka"]["sequence"].as_u64() >= Some(4);
    fixture.gateway.wait_for_status("what came before", PATIENCE, before).unwrap();
    assert_eq!((messages(&fixture, "public.t"), messages(&fixture, "public.plain")), (3, 1));
    gate.set(Mode::Open);
    kafka_has(&fixture, 5);
    assert_eq!((messages(&fixture, "public.t"), messages(&fixture, "public.plain")), (4, 1));
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_the_registry_refuses_halts() {
    if skipped("a_login_that_the_registry_refuses_halts") {
        return;
    }
    let gate = Gate::new(Mode::Unauthorized);
    let rest = section(&gate.url(), "format = \"avro\"");
    let (mut fixture, cause) = halted("login", ONE, &rest, "REGISTRY_UNAUTHORIZED").await;
    assert!(cause.contains("refuses the login"), "{cause}");
    fixture.stop().unwrap();
    gate.set(Mode::Open);
    fixture.start().unwrap();
    kafka_has(&fixture, 1);
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_auto_register_an_unknown_schema_halts_and_is_told() {
    if skipped("without_auto_register_an_unknown_schema_halts_and_is_told") {
        return;
    }
    let registry = SchemaRegistry::shared();
    let (brokers, url) = (Kafka::shared().brokers(), registry.url());
    let rest = format!(
        "[kafka]\nbrokers = [\"{brokers}\"]\nformat = \"avro\"\n\
         registry = {{ url = \"{url}\", auto_register = false }}"
    );
    let (mut fixture, cause) = halted("unknown", ONE, &rest, "REGISTRY_NOT_REGISTERED").await;
    let subject = format!("{}.public.t-key", fixture.database);
    assert!(cause.starts_with(&format!("subject {subject}: ")), "{cause}");
    assert_eq!(registry.versions(&subject).unwrap(), [0; 0]);
    // What is to be registered is in the log of the process.
    let output = fixture.gateway.output();
    let line = output.lines().find(|line| line.contains("the registry lacks a schema"));
    let line = line.unwrap_or_else(|| panic!("{output}"));
    assert!(line.contains(&subject) && line.contains("record") && line.contains("AVRO"), "{line}");

    fixture.stop().unwrap();
    fixture.gateway.edit("auto_register = false", "auto_register = true").unwrap();
    fixture.start().unwrap();
    kafka_has(&fixture, 1);
    fixture.stop().unwrap();
    fixture.gateway.edit("auto_register = true", "auto_register = false").unwrap();
    fixture.client.batch_execute("insert into t values (2, 'b')").await.unwrap();
    fixture.start().unwrap();
    kafka_has(&fixture, 2);
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_avro_does_not_allow_halt_unless_they_are_adjusted() {
    if skipped("names_that_avro_does_not_allow_halt_unless_they_are_adjusted") {
        return;
    }
    let registry = SchemaRegistry::shared();
    let sql = "create table \"order-items\" (id int primary key, \"unit price\" int);
        insert into \"order-items\" values (1, 2)";
    let rest = section(&registry.url(), "format = \"avro\"\ndebezium = { tombstones = true }");
    // Confluent's converter hands such a namespace to the registry as well, which refuses it.
    let (mut fixture, cause) = halted("names", sql, &rest, "REGISTRY_SCHEMA_INVALID").await;
    assert!(cause.contains("public.order-items-key: the registry does not take"), "{cause}");
    let next = fixture.gateway.status().unwrap()["kafka"]["next_step"].to_string();
    assert!(next.contains("field_names") && next.contains("schema_names"), "{next}");

    fixture.stop().unwrap();
    let edit = |from: &str, to: &str| fixture.gateway.edit(from, to).unwrap();
    edit("{ tombstones = true }", "{ schema_names = \"avro\" }");
    fixture.start().unwrap();
    let status = kafka_is(&fixture, "HALTED", "ENCODE_SCHEMA");
    let cause = status["kafka"]["cause"].as_str().unwrap();
    assert!(cause.contains("Avro") && cause.contains("unit price"), "{cause}");
    assert_eq!(status["kafka"]["sequence"], 0, "{status:#}");

    fixture.stop().unwrap();
    let adjusted = "{ schema_names = \"avro\", field_names = \"avro\" }";
    fixture.gateway.edit("{ schema_names = \"avro\" }", adjusted).unwrap();
    fixture.start().unwrap();
    kafka_has(&fixture, 1);
    let subject = format!("{}.public.order-items-value", fixture.database);
    let path = format!("/subjects/{subject}/versions/latest");
    let (_, latest) = registry.request("GET", &path, None).unwrap();
    let schema = latest["schema"].as_str().unwrap();
    assert!(schema.contains("unit_price") && schema.contains("order_items"), "{schema}");
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_a_format_cannot_hold_halts_before_it() {
    if skipped("a_value_that_a_format_cannot_hold_halts_before_it") {
        return;
    }
    let sql = "create table t (id int primary key, tags text[]); insert into t values (1, '{a}')";
    let rest = section(&SchemaRegistry::shared().url(), "format = \"protobuf\"");
    let mut fixture = pipeline("unfit", sql, &rest).await;
    fixture.start().unwrap();
    kafka_has(&fixture, 1);
    let more = "insert into t values (2, '{secret,null}'); insert into t values (3, '{b}')";
    fixture.client.batch_execute(more).await.unwrap();
    let status = kafka_is(&fixture, "HALTED", "ENCODE_VALUE");
    assert_eq!(status["kafka"]["sequence"], 1, "{status:#}");
    let cause = status["kafka"]["cause"].as_str().unwrap();
    assert!(cause.contains("Protobuf") && !cause.contains("secret"), "{cause}");
    assert_eq!(messages(&fixture, "public.t"), 1);
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_no_payload() {
    if skipped("rows_are_no_payload") {
        return;
    }
    let brokers = Kafka::shared().brokers();
    let rest = format!("[kafka]\nbrokers = [\"{brokers}\"]\nformat = \"payload\"");
    let (mut fixture, cause) = halted("rows", ONE, &rest, "ENCODE_SCHEMA").await;
    assert!(cause.contains("changes of public.t are rows, not payloads"), "{cause}");
    fixture.stop().unwrap();
}
