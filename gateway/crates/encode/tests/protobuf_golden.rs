//! Protobuf against what Confluent's converter registered and wrote, recorded in
//! `golden/protobuf.jsonl`. The end-to-end tests ask the converter itself, for these lines and for
//! generated ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connect_json;

use offtake_encode::connect::Node;
use offtake_encode::protobuf::{Protobuf, message_index, schema_text};
use serde_json::Value as Json;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn schema_and_message_are_those_of_the_converter() {
    let lines = include_str!("golden/protobuf.jsonl").lines();
    let (mut written, mut refused) = (0, 0);
    for line in lines {
        let line: Json = serde_json::from_str(line).unwrap();
        let case = line["case"].as_str().unwrap();
        let (schema, value) = connect_json::read(&line);
        let registered = schema_text(&schema);
        let node = Node::<Protobuf>::root(&schema);
        if line.get("error").is_some() {
            assert!(registered.is_err() || !node.takes(&value), "{case}: the converter refuses it");
            refused += 1;
            continue;
        }
        assert_eq!(registered.unwrap(), line["registered"], "{case}: the registered schema");
        assert!(node.takes(&value), "{case}");
        let mut out = message_index().to_vec();
        node.put(&mut out, &value);
        assert_eq!(hex(&out), line["hex"], "{case}: the message");
        written += 1;
    }
    assert!(written > 50 && refused > 5, "{written} written, {refused} refused");
}
