//! Every format of messages from a real database through the gateway to a real broker and a real
//! schema registry: what is read back is the table, tables change under load with the registry's
//! compatibility on, and what a registry or a format refuses halts Kafka and loses nothing.
//!
//! The bytes of the formats are compared with their oracles elsewhere; here it is the whole way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alone;
mod check;
mod evolution;
mod gate;
mod held;
mod refusals;
mod whole;

use std::time::Duration;

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::Kafka;
use offtake_tests::postgres::{Postgres, Version};
use serde_json::Value;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// `[kafka]` with the registry at this address and further lines.
pub(crate) fn section(registry: &str, rest: &str) -> String {
    let brokers = Kafka::shared().brokers();
    format!(
        "[kafka]\nbrokers = [\"{brokers}\"]\ntopics = {{ partitions = 1 }}\n\
         registry = {{ url = \"{registry}\" }}\n{rest}"
    )
}

/// A pipeline that is configured and not yet started.
pub(crate) async fn pipeline(hint: &str, sql: &str, rest: &str) -> Fixture {
    let postgres = Postgres::shared(Version::System);
    Fixture::new(postgres, hint, sql, "", rest).await.unwrap()
}

/// Waits until the log has that many changes and Kafka has all of them.
pub(crate) fn kafka_has(fixture: &Fixture, changes: u64) -> Value {
    let everything = |status: &Value| {
        let sequence = status["kafka"]["sequence"].as_u64().unwrap_or_default();
        sequence >= changes
            && status["log"]["last_sequence"].as_u64() == Some(sequence)
            && status["kafka"]["state"] == "RUNNING"
    };
    fixture.gateway.wait_for_status("Kafka to have everything", PATIENCE, everything).unwrap()
}

/// Waits until Kafka is in that state for that reason.
pub(crate) fn kafka_is(fixture: &Fixture, state: &str, code: &str) -> Value {
    let is = |status: &Value| {
        let kafka = &status["kafka"];
        assert!(state == "HALTED" || kafka["state"] != "HALTED", "{status:#}");
        kafka["state"] == state && (state == "HALTED" || kafka["code"] == code)
    };
    let status = fixture.gateway.wait_for_status(state, PATIENCE, is).unwrap();
    assert_eq!(status["kafka"]["code"], code, "{status:#}");
    status
}

/// A pipeline that Kafka's sink halts for that reason before anything is published, and why.
pub(crate) async fn halted(hint: &str, sql: &str, rest: &str, code: &str) -> (Fixture, String) {
    let mut fixture = pipeline(hint, sql, rest).await;
    fixture.start().unwrap();
    let status = kafka_is(&fixture, "HALTED", code);
    assert_eq!(status["kafka"]["sequence"], 0, "nothing is acknowledged: {status:#}");
    let cause = status["kafka"]["cause"].as_str().unwrap().to_owned();
    assert!(status["kafka"]["next_step"].as_str().unwrap().len() > 10, "{status:#}");
    (fixture, cause)
}

/// Messages of a topic as a consumer sees them.
pub(crate) fn messages(fixture: &Fixture, stream: &str) -> usize {
    let topic = format!("{}.{stream}", fixture.database);
    Kafka::shared().read_committed(&topic).unwrap().len()
}
