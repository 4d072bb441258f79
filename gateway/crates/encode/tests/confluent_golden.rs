//! Avro, JSON Schema and Protobuf against what Confluent's converters 7.0.16 gave for the same Connect data:
//! schema text and value, byte for byte. The answers are in `golden/`, a line for each record of
//! `golden/connect.jsonl` (Protobuf: `golden/protobuf.records.jsonl`); the test `converters` of the workspace's harness asks the converters
//! themselves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connect_data;

use std::sync::Arc;

use offtake_encode::EncodeError;
use offtake_encode::avro::{self, Avro};
use offtake_encode::connect::{Format, Node, Schema};
use offtake_encode::json_schema::{self, JsonSchema};
use offtake_encode::protobuf::{self, Protobuf};
use serde_json::{Value, json};

const RECORDS: &str = include_str!("golden/connect.jsonl");

fn answers<F: Format>(
    schema_text: fn(&Schema) -> Result<String, EncodeError>,
    golden: &str,
) -> usize {
    let mut count = 0;
    for (line, (record, expected)) in RECORDS.lines().zip(golden.lines()).enumerate() {
        let record: Value = serde_json::from_str(record).unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        let (schema, value) = connect_data::read(&record);
        let text = schema_text(&schema);
        if expected.get("error").is_some() {
            assert!(text.is_err(), "line {}: the converter refuses it: {expected}", line + 1);
            continue;
        }
        let mut bytes = Vec::new();
        Node::<F>::root(&Arc::clone(&schema)).put(&mut bytes, &value);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = json!({ "schema": text.unwrap(), "bytes": hex });
        assert_eq!(answer, expected, "line {}", line + 1);
        count += 1;
    }
    assert_eq!(RECORDS.lines().count(), golden.lines().count());
    count
}

#[test]
fn avro_is_what_confluents_converter_wrote() {
    assert!(answers::<Avro>(avro::schema_text, include_str!("golden/avro.jsonl")) > 20);
}

#[test]
fn json_schema_is_what_confluents_converter_wrote() {
    let golden = include_str!("golden/json_schema.jsonl");
    assert!(answers::<JsonSchema>(json_schema::schema_text, golden) > 20);
}

#[test]
fn protobuf_is_what_confluents_converter_wrote() {
    let records = include_str!("golden/protobuf.records.jsonl").lines();
    let golden = include_str!("golden/protobuf.jsonl").lines();
    let (mut written, mut refused) = (0, 0);
    for (record, expected) in records.zip(golden) {
        let record: Value = serde_json::from_str(record).unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        let case = &record["schema"]["doc"];
        let (schema, value) = connect_data::read(&record);
        let text = protobuf::schema_text(&schema);
        let node = Node::<Protobuf>::root(&schema);
        if expected.get("error").is_some() {
            assert!(text.is_err() || !node.takes(&value), "{case}: the converter refuses it");
            refused += 1;
            continue;
        }
        assert!(node.takes(&value), "{case}");
        let mut bytes = protobuf::message_index().to_vec();
        node.put(&mut bytes, &value);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(json!({ "schema": text.unwrap(), "bytes": hex }), expected, "{case}");
        written += 1;
    }
    assert!(written > 60 && refused > 20, "{written} written, {refused} refused");
}
