//! A schema that the registry has not got, or refuses: what came before it is published and committed,
//! nothing after it, and Kafka goes on by itself once the registry takes it.

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::registry::SchemaRegistry;
use serde_json::{Value, json};

use crate::gate::{Gate, Mode};
use crate::{PATIENCE, kafka_has, kafka_is, messages, pipeline, section};

/// `json` needs no registry, `t` does.
const TABLES: &str = "create table json (id int primary key, note text);
    create table t (id int primary key, note text)";
const RULE: &str = "[[kafka.topic]]\nstreams = [\"*.t\"]\nformat = \"avro\"\n";

/// Transactions that last, so that what came before is in one that is open when the registry has to
/// be asked.
fn kafka(delivery: &str, registry: &str) -> String {
    let brokers = Kafka::shared().brokers();
    format!(
        "[kafka]\nbrokers = [\"{brokers}\"]\ntopics = {{ partitions = 1 }}\n\
         delivery = \"{delivery}\"\ntransaction_interval = \"2s\"\n\
         registry = {{ url = \"{}\", {registry} }}\n{RULE}",
        SchemaRegistry::shared().url()
    )
}

/// Waits until the log has that many changes: what comes next is in a later group.
fn logged(fixture: &Fixture, changes: u64) {
    let there = |status: &Value| status["log"]["last_sequence"].as_u64() >= Some(changes);
    fixture.gateway.wait_for_status("the log to have it", PATIENCE, there).unwrap();
}

/// Waits until Kafka's cursor is there and no further.
fn published(fixture: &Fixture, sequence: u64) {
    let there = |status: &Value| status["kafka"]["sequence"].as_u64() >= Some(sequence);
    let status = fixture.gateway.wait_for_status("what came before", PATIENCE, there).unwrap();
    assert_eq!(status["kafka"]["sequence"], sequence, "{status:#}");
}

/// What the gateway says that the registry lacks, newest last: subject and schema.
fn lacking(fixture: &Fixture) -> Vec<(String, String)> {
    let output = fixture.gateway.output();
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines = lines.filter(|line| line["message"] == "the registry lacks a schema");
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    lines.map(|line| (text(&line, "subject"), text(&line, "schema"))).collect()
}

async fn execute(fixture: &Fixture, sql: &str) {
    fixture.client.batch_execute(sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_not_registered_yet_holds_back_nothing_before_it() {
    if skipped("a_schema_that_is_not_registered_yet_holds_back_nothing_before_it") {
        return;
    }
    for delivery in ["exactly_once", "at_least_once"] {
        let rest = kafka(delivery, "auto_register = false");
        let mut fixture = pipeline("lacks", TABLES, &rest).await;
        fixture.start().unwrap();
        execute(&fixture, "insert into json values (1, 'a')").await;
        kafka_has(&fixture, 1);
        // Its own group of the log; a transaction began a moment ago.
        execute(&fixture, "insert into json values (2, 'b')").await;
        logged(&fixture, 2);
        // A group in several pieces, the last of which needs a schema.
        let many = "begin; insert into json select n, repeat('x', 2000)
            from generate_series(3, 502) n; insert into t values (1, 'a'); commit";
        execute(&fixture, many).await;
        let status = kafka_is(&fixture, "HALTED", "REGISTRY_NOT_REGISTERED");
        assert_eq!(status["state"], "RUNNING", "the source goes on: {status:#}");
        published(&fixture, 2);
        assert_eq!((messages(&fixture, "public.json"), messages(&fixture, "public.t")), (2, 0));

        // By hand, as they are told: the key's schema first, then the value's.
        let registry = SchemaRegistry::shared();
        for part in ["key", "value"] {
            let subject = format!("{}.public.t-{part}", fixture.database);
            let begins = format!("subject {subject}: ");
            let is_it = |status: &Value| {
                status["kafka"]["cause"].as_str().is_some_and(|cause| cause.starts_with(&begins))
            };
            fixture.gateway.wait_for_status(part, PATIENCE, is_it).unwrap();
            let lacking = lacking(&fixture);
            let (found, schema) = lacking.last().unwrap();
            assert_eq!(found, &subject, "{lacking:?}");
            let body = json!({ "schema": schema });
            let path = format!("/subjects/{subject}/versions");
            let (code, answer) = registry.request("POST", &path, Some(&body)).unwrap();
            assert_eq!(code, 200, "{answer}");
        }
        kafka_has(&fixture, 503);
        assert_eq!((messages(&fixture, "public.json"), messages(&fixture, "public.t")), (502, 1));
        assert_eq!(lacking(&fixture).len(), 2, "told once each, however often it is asked");
        execute(&fixture, "insert into t values (2, 'b')").await;
        kafka_has(&fixture, 504);
        fixture.stop().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_refused_goes_on_when_its_compatibility_is_relaxed() {
    if skipped("a_schema_that_is_refused_goes_on_when_its_compatibility_is_relaxed") {
        return;
    }
    let registry = SchemaRegistry::shared();
    for delivery in ["exactly_once", "at_least_once"] {
        let rest = kafka(delivery, "timeout = \"5s\"");
        let mut fixture = pipeline("relaxed", TABLES, &rest).await;
        fixture.start().unwrap();
        execute(&fixture, "insert into t values (1, 'a')").await;
        kafka_has(&fixture, 1);
        let subject = format!("{}.public.t-value", fixture.database);
        registry.set_compatibility(&subject, "BACKWARD").unwrap();
        execute(&fixture, "insert into t values (2, 'b')").await;
        logged(&fixture, 2);
        let change = "alter table t alter column note type int using 0;
            insert into t values (3, 3); insert into json values (1, 'a')";
        execute(&fixture, change).await;
        let status = kafka_is(&fixture, "HALTED", "REGISTRY_INCOMPATIBLE");
        let kafka = &status["kafka"];
        let begin = format!("subject {subject}: the registry refuses the new schema as incompat");
        assert!(kafka["cause"].as_str().unwrap().starts_with(&begin), "{status:#}");
        assert!(kafka["next_step"].as_str().unwrap().contains("by itself"), "{status:#}");
        published(&fixture, 2);
        assert_eq!((messages(&fixture, "public.json"), messages(&fixture, "public.t")), (0, 2));
        assert_eq!(registry.versions(&subject).unwrap(), [1]);

        let process = fixture.gateway.pid();
        registry.set_compatibility(&subject, "NONE").unwrap();
        kafka_has(&fixture, 4);
        assert_eq!(fixture.gateway.pid(), process, "without a restart");
        assert_eq!((messages(&fixture, "public.json"), messages(&fixture, "public.t")), (1, 3));
        assert_eq!(registry.versions(&subject).unwrap(), [1, 2]);
        fixture.stop().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_outlives_a_registry_that_goes_away_and_a_stop() {
    if skipped("a_refusal_outlives_a_registry_that_goes_away_and_a_stop") {
        return;
    }
    let gate = Gate::new(Mode::Unauthorized);
    let mut fixture = pipeline("outlives", TABLES, &section(&gate.url(), RULE)).await;
    fixture.start().unwrap();
    execute(&fixture, "insert into t values (1, 'a')").await;
    kafka_is(&fixture, "HALTED", "REGISTRY_UNAUTHORIZED");
    gate.set(Mode::Shut);
    let waits = |status: &Value| status["kafka"]["code"] == "KAFKA_REGISTRY";
    let status = fixture.gateway.wait_for_status("waiting", PATIENCE, waits).unwrap();
    assert_eq!(status["kafka"]["state"], "WAITING", "{status:#}");
    gate.set(Mode::Unauthorized);
    kafka_is(&fixture, "HALTED", "REGISTRY_UNAUTHORIZED");
    // A halt that asks again is not in the way of a stop.
    fixture.stop().unwrap();
    fixture.start().unwrap();
    kafka_is(&fixture, "HALTED", "REGISTRY_UNAUTHORIZED");
    gate.set(Mode::Open);
    kafka_has(&fixture, 1);
    assert_eq!(messages(&fixture, "public.t"), 1);
    fixture.stop().unwrap();
}
