//! Confluent's Python client reads what the encoders write: the golden files of `offtake-encode`,
//! whose bytes Confluent's own converters wrote and Offtake's encoders write too, framed with the
//! ids of a real registry.

use offtake_registry::{
    Registry, RegistryOptions, SchemaId, SchemaType, write_frame, write_protobuf_frame,
};
use offtake_tests::confluent::{Confluent, Form, Message};
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::registry::SchemaRegistry;
use serde_json::{Value, json};

use crate::confluent::{send_all, topic};

const AVRO: &str = include_str!("../../../gateway/crates/encode/tests/golden/avro.jsonl");
const PROTOBUF: &str = include_str!("../../../gateway/crates/encode/tests/golden/protobuf.jsonl");
const PROTOBUF_RECORDS: &str =
    include_str!("../../../gateway/crates/encode/tests/golden/protobuf.records.jsonl");
const JSON: &str = include_str!("../../../gateway/crates/encode/tests/golden/json_schema.jsonl");

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Sends every record of a golden file and has the client read it. The lines come too.
fn read(
    schema_type: SchemaType,
    form: Form,
    golden: &str,
    names: (&str, &str),
    frame: fn(SchemaId, &mut Vec<u8>),
) -> Vec<(Value, Message)> {
    let server = SchemaRegistry::shared();
    let options = RegistryOptions { urls: vec![server.url()], ..RegistryOptions::default() };
    let registry = Registry::new(&options).unwrap();
    let lines: Vec<Value> = golden
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line.get("error").is_none())
        .filter(|line| form != Form::Json || is_object(line[names.0].as_str().unwrap()))
        .collect();
    let mut values = Vec::new();
    for line in &lines {
        let schema = line[names.0].as_str().unwrap();
        let subject = server.subject("golden");
        let id = registry.register(&subject, schema_type, schema, &[]).unwrap();
        let mut value = Vec::new();
        frame(id, &mut value);
        value.extend(bytes(line[names.1].as_str().unwrap()));
        values.push(value);
    }
    let topic = topic("golden");
    send_all(&topic, &values);
    let client = Confluent::new(Kafka::shared().brokers(), &server.url()).unwrap();
    let messages = client.try_consume(&topic, Form::Text, form, values.len()).unwrap();
    assert!(messages.len() == lines.len() && lines.len() > 20);
    lines.into_iter().zip(messages).collect()
}

/// Whether the schema is one that Apicurio takes: of an object, as every message's root is.
fn is_object(schema: &str) -> bool {
    serde_json::from_str::<Value>(schema).unwrap()["type"] == "object"
}

/// What the client refuses: records and its words.
fn refused(read: &[(Value, Message)]) -> Vec<(&Value, &str)> {
    let errors = read.iter();
    errors.filter_map(|(line, message)| Some((line, message.error.as_deref()?))).collect()
}

#[test]
fn every_avro_record_of_a_valid_schema_is_read() {
    if skipped("every_avro_record_of_a_valid_schema_is_read") {
        return;
    }
    let read = read(SchemaType::Avro, Form::Avro, AVRO, ("schema", "bytes"), write_frame);
    for (line, error) in refused(&read) {
        // Avro has no decimal of a larger scale than precision; Confluent's converter writes one
        // all the same. And a record without fields has no bytes, of which the client wants one.
        let scale = error.contains("decimal scale must be less than or equal to the precision");
        assert!(scale || line["bytes"] == "", "{error}: {line}");
    }
}

/// The answers, each with what its record is about.
fn with_cases(answers: &str, records: &str) -> String {
    let lines = answers.lines().zip(records.lines()).map(|(answer, record)| {
        let mut answer: Value = serde_json::from_str(answer).unwrap();
        let record: Value = serde_json::from_str(record).unwrap();
        answer["case"] = record["schema"]["doc"].as_str().unwrap_or_default().into();
        answer.to_string() + "\n"
    });
    lines.collect()
}

#[test]
fn every_protobuf_record_of_a_valid_schema_is_read() {
    if skipped("every_protobuf_record_of_a_valid_schema_is_read") {
        return;
    }
    // Here the golden bytes begin with the message's place.
    let names = ("schema", "bytes");
    let golden = with_cases(PROTOBUF, PROTOBUF_RECORDS);
    let read = read(SchemaType::Protobuf, Form::Protobuf, &golden, names, write_frame);
    for (line, error) in refused(&read) {
        // Confluent's converter registers a package that is none; no protoc takes it.
        let is_package = line["case"].as_str().unwrap().starts_with("package with a");
        assert!(is_package, "{error}: {line}");
    }
    let numbers = read.iter().find(|(line, _)| line["case"] == "int8 required").unwrap();
    assert_eq!(numbers.1.value, json!({"v0": 0, "v1": 1, "v2": -1, "v3": 127, "v4": -128}));
    let mut frame = Vec::new();
    write_protobuf_frame(SchemaId(1), &[0], &mut frame);
    assert_eq!(frame[5..], bytes(read[0].0["bytes"].as_str().unwrap())[..1]);
}

#[test]
fn every_json_record_that_fits_its_schema_is_read() {
    if skipped("every_json_record_that_fits_its_schema_is_read") {
        return;
    }
    let read = read(SchemaType::Json, Form::Json, JSON, ("schema", "bytes"), write_frame);
    for (line, error) in refused(&read) {
        // Confluent's converter writes a precise decimal as Base64 and calls it a number.
        let is_decimal = line["schema"].as_str().unwrap().contains("connect.data.Decimal");
        assert!(is_decimal && error.contains("'AeIT'"), "{error}: {line}");
    }
}
