//! Avro and Protobuf beside Confluent's own converters: the same Connect data goes through both, and
//! schema text and value have to be equal byte for byte. Records that are kept (the encode crate's
//! golden files), generated ones, and those that Debezium publishes of a database.
//!
//! Confluent's JSON Schema converter is in no package registry, so its answers are golden files only.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cloudevents;
#[path = "../../../gateway/crates/encode/tests/connect_data/mod.rs"]
mod connect_data;
mod generate;
mod oracle;
mod protobuf;
mod recorded;

use std::fs;
use std::path::{Path, PathBuf};

use offtake_encode::EncodeError;
use offtake_encode::avro::{self, Avro};
use offtake_encode::connect::{Format, Node, Schema};
use serde_json::Value;

const AVRO: &str = "io.confluent.connect.avro.AvroConverter";
/// Records that are generated, from seeds that count up from 1.
const GENERATED: u64 = 1_500;

type SchemaText = fn(&Schema) -> Result<String, EncodeError>;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/crates/encode/tests/golden").join(name)
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    text.lines().map(str::to_owned).collect()
}

/// Compares with the converter, record by record. Gives its answers.
fn compare<F: Format>(records: &[String], converter: &str, schema_text: SchemaText) -> Vec<String> {
    let answers = oracle::ask(converter, None, records).unwrap();
    assert_eq!(answers.len(), records.len());
    let mut refused = 0;
    for (number, (record, answer)) in records.iter().zip(&answers).enumerate() {
        let record: Value = serde_json::from_str(record).unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        let (schema, value) = connect_data::read(&record);
        let text = schema_text(&schema);
        if let Some(error) = answer["error"].as_str() {
            assert!(text.is_err(), "record {number}: the converter says {error}: {record}");
            refused += 1;
            continue;
        }
        let Some(expected) = answer["schema"].as_str() else {
            // A null without a schema of its own: a tombstone.
            assert!(record["payload"].is_null(), "record {number}: {record}");
            continue;
        };
        let mut bytes = Vec::new();
        Node::<F>::root(&schema).put(&mut bytes, &value);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text.unwrap(), expected, "record {number}: {record}");
        assert_eq!(hex, answer["bytes"].as_str().unwrap(), "record {number}: {record}");
    }
    println!("{} records, of which {refused} are refused by both", records.len());
    answers
}

fn generated(names: generate::Names) -> Vec<String> {
    (1..=GENERATED).map(|seed| generate::record(seed, names).to_string()).collect()
}

#[test]
fn avro_is_confluents_for_kept_records() {
    let answers = compare::<Avro>(&lines(&golden("connect.jsonl")), AVRO, avro::schema_text);
    assert_eq!(answers, lines(&golden("avro.jsonl")), "the golden file is not what it was");
}

#[test]
fn avro_is_confluents_for_generated_records() {
    for names in [generate::Names::Avro, generate::Names::Any] {
        compare::<Avro>(&generated(names), AVRO, avro::schema_text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn avro_is_confluents_for_debeziums_messages() {
    let records = recorded::records().await;
    compare::<Avro>(&records, AVRO, avro::schema_text);
}
