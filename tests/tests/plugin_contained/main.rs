//! What goes wrong in a plugin, or around it, stays where the configuration says: with a real database,
//! one gateway and more than one route.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod column;
mod hostile;
mod quota;
mod routes;

use std::time::Duration;

use offtake_tests::fixture::Fixture;
use offtake_tests::subscriber::{Received, Subscriber, text};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// A column of a row after its change.
fn value<'c>(change: &'c Received, column: &str) -> &'c str {
    let after = change.after.as_ref().and_then(|after| text(after, column));
    after.unwrap_or_else(|| panic!("no {column}: {change:?}"))
}

/// What a subscriber that begins at the beginning gets of these streams (none: all), once there are
/// so many changes.
async fn changes(fixture: &Fixture, streams: &[&str], count: usize) -> Vec<Received> {
    let streams: Vec<String> =
        streams.iter().map(|stream| format!("{}.{stream}", fixture.database)).collect();
    let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &streams);
    let enough = |store: &offtake_tests::subscriber::Store| store.changes.len() >= count;
    let arrived = subscriber.wait_for("the changes", PATIENCE, enough).await;
    arrived.unwrap_or_else(|error| panic!("{error:#}\n{}", fixture.gateway.output()));
    let changes = subscriber.changes();
    assert_eq!(changes.len(), count, "{:?}", changes.last());
    changes
}

/// Each change as the place that it has in a test: `TABLE ID` of a row, the code of a dead letter.
fn told(changes: &[Received]) -> Vec<String> {
    let tell = |change: &Received| {
        if change.stream.ends_with(".dead_letters") {
            value(change, "code").to_owned()
        } else {
            format!("{} {}", change.table, value(change, "id"))
        }
    };
    changes.iter().map(tell).collect()
}

/// Waits until so many changes are in the log, and gives the status.
fn wait_for_sequence(fixture: &Fixture, last: u64) -> Value {
    let there = |status: &Value| status["log"]["last_sequence"].as_u64() == Some(last);
    fixture.gateway.wait_for_status("the changes in the log", PATIENCE, there).unwrap()
}

/// Waits until the pipeline has halted with that code, and has this many changes in the log.
fn wait_for_halt(fixture: &Fixture, code: &str, last: u64) -> Value {
    let halted = |status: &Value| status["state"] == "HALTED";
    let status = fixture.gateway.wait_for_status(code, PATIENCE, halted).unwrap();
    assert_eq!(status["code"], code, "{status:#}");
    assert_eq!(status["log"]["last_sequence"].as_u64(), Some(last), "{status:#}");
    assert_eq!(fixture.gateway.get("/readyz").unwrap().0, 503);
    status
}

/// The words of a status.
fn said<'s>(status: &'s Value, key: &str) -> &'s str {
    status[key].as_str().unwrap_or_else(|| panic!("no {key}: {status:#}"))
}
