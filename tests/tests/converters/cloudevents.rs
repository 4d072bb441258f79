//! The golden file of CloudEvents beside Debezium's own converter: it is what that converter says.
//! The encode crate's tests compare with the file.

use serde_json::{Value, json};

use super::{golden, lines, oracle};

#[test]
fn kept_events_are_debeziums() {
    let kept: Vec<Value> = lines(&golden("cloudevents.jsonl"))
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let records: Vec<String> = kept
        .iter()
        .map(|line| json!({ "schema": line["schema"], "payload": line["payload"] }).to_string())
        .collect();
    let events = oracle::ask_class("CloudEventsOracle", "false", None, &records).unwrap();
    assert_eq!(events.len(), kept.len());
    for (line, event) in kept.iter().zip(&events) {
        assert_eq!(line["event"].as_str().unwrap(), event);
    }
}
