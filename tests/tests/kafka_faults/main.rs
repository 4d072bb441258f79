//! Real faults of brokers under a running pipeline: a leader that dies, a quota, brokers that all
//! come back at once, a deleted topic. Nothing is lost, memory stays flat, and the status tells
//! which of them it is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod deleted;
mod quota;

use std::collections::BTreeMap;
use std::time::Duration;

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::Clients;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(90);
/// Resident memory that a gateway may come to while a broker is away: its own and its queues'.
const MEMORY_LIMIT: u64 = 250 << 20;

const TABLE: &str = "create table t (id int primary key, ver int not null, note text)";

/// Everything that is in the log is in Kafka.
fn kafka_has_everything(fixture: &Fixture, least: u64) -> Value {
    let everything = |status: &Value| {
        status["kafka"]["sequence"].as_u64() >= Some(least)
            && status["kafka"]["sequence"] == status["log"]["last_sequence"]
            && status["kafka"]["state"] == "RUNNING"
    };
    fixture.gateway.wait_for_status("Kafka to have everything", PATIENCE, everything).unwrap()
}

/// Waits until Kafka waits for that.
fn waits_for(fixture: &Fixture, code: &str) -> Value {
    let waits =
        |status: &Value| status["kafka"]["state"] == "WAITING" && status["kafka"]["code"] == code;
    fixture.gateway.wait_for_status(code, PATIENCE, waits).unwrap()
}

/// The versions of every key, in the order of the topic: each of them once and rising.
fn expect_versions(clients: &Clients, topic: &str, keys: usize, versions: usize) {
    let mut of_key: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for record in clients.read_committed(topic).unwrap() {
        let json: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
        let after = &json["after"];
        let id = after["id"].as_i64().unwrap();
        of_key.entry(id).or_default().push(after["ver"].as_i64().unwrap());
    }
    assert_eq!(of_key.len(), keys);
    let expected: Vec<i64> = (1..=versions as i64).collect();
    for (id, found) in of_key {
        assert_eq!(found, expected, "versions of key {id}");
    }
}

/// One transaction: the rows of all keys in their first version, or the next version of each.
async fn write(fixture: &Fixture, keys: usize, version: usize) {
    let sql = if version == 1 {
        format!("insert into t select i, 1, repeat('x', 200) from generate_series(1, {keys}) i")
    } else {
        format!("update t set ver = {version}")
    };
    fixture.client.batch_execute(&sql).await.unwrap();
}
