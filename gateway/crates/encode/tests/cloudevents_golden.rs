//! CloudEvents against what Debezium's `CloudEventsConverter` made of messages of Debezium's,
//! recorded in `golden/cloudevents.jsonl`: structured mode byte for byte, binary mode attribute for
//! attribute.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod connect_data;

use std::sync::Arc;

use offtake_change::Operation;
use offtake_encode::cloudevents::{
    Attributes, Content, HeaderAttributes, Headers, Identity, Plan, data_schema, put_data,
    put_data_bytes, schema_uri,
};
use offtake_encode::connect::{Format, Kind, Node, Schema, Value};
use serde_json::Value as Json;

fn lines() -> Vec<Json> {
    let text = include_str!("golden/cloudevents.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A field of the envelope, with its place in a format prepared.
fn block<F: Format + Clone>(schema: &Arc<Schema>, value: &Value, name: &str) -> (Node<F>, Value) {
    let Value::Struct(values) = value else { panic!("an envelope is a struct") };
    let at = schema.fields().iter().position(|field| field.name == name).unwrap();
    (Node::<F>::root(schema).children[at].clone(), values[at].clone())
}

fn identity(payload: &Json) -> Identity<'_> {
    let source = &payload["source"];
    Identity {
        lsn: source["lsn"].as_i64(),
        transaction: source["txId"].as_i64(),
        sequence: source["sequence"].as_str().unwrap().as_bytes(),
        unix_millis: source["ts_ms"].as_i64().unwrap(),
        operation: Operation::from_letter(payload["op"].as_str().unwrap().as_bytes()[0]).unwrap(),
    }
}

fn plan(line: &Json, content: Content) -> Plan {
    Plan::new(line["payload"]["source"]["name"].as_str().unwrap(), content)
}

#[test]
fn structured_mode_is_debeziums() {
    let lines = lines();
    assert!(lines.len() > 8);
    for line in lines {
        let (schema, value) = connect_data::read(&line);
        let mut out = Vec::new();
        plan(&line, Content::json()).put_begin(&mut out, &identity(&line["payload"]));
        for name in ["source", "transaction"] {
            let (node, value) = block::<Attributes>(&schema, &value, name);
            node.put(&mut out, &value);
        }
        // The rows' own text is another format's matter.
        let payload = &line["payload"];
        let data = format!(r#"{{"before":{},"after":{}}}"#, payload["before"], payload["after"]);
        put_data(&mut out, |out| {
            out.extend_from_slice(data.as_bytes());
            Ok::<(), ()>(())
        })
        .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), line["event"].as_str().unwrap());
    }
}

#[test]
fn binary_mode_has_the_same_attributes_in_lower_case() {
    for line in lines() {
        let (schema, value) = connect_data::read(&line);
        let mut out = Vec::new();
        plan(&line, Content::json()).put_headers(&mut out, &identity(&line["payload"]));
        for name in ["source", "transaction"] {
            let (node, value) = block::<HeaderAttributes>(&schema, &value, name);
            node.put(&mut out, &value);
        }
        let headers: Vec<(&str, &str)> = Headers::new(&out)
            .map(|(name, value)| (name, std::str::from_utf8(value).unwrap()))
            .collect();
        let event: Json = serde_json::from_str(line["event"].as_str().unwrap()).unwrap();
        let expected: Vec<(String, String)> = event
            .as_object()
            .unwrap()
            .iter()
            // The transaction block's id would have the name of the source's.
            .filter(|(name, value)| {
                !value.is_null() && *name != "data" && *name != "iodebeziumtxid"
            })
            .map(|(name, value)| match name.as_str() {
                "datacontenttype" => {
                    ("content-type".to_owned(), value.as_str().unwrap().to_owned())
                }
                name => (format!("ce_{}", name.to_lowercase()), value.as_str().unwrap().to_owned()),
            })
            .collect();
        let headers: Vec<(String, String)> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(headers, expected);
        for (name, _) in &headers {
            let attribute = name.strip_prefix("ce_").unwrap_or("contenttype");
            assert!(
                attribute.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            );
        }
    }
}

#[test]
fn data_of_a_registry_is_base64_and_names_its_schema() {
    let schema = Some(schema_uri("http://registry:8081", 7));
    let content = Content { media_type: "application/avro".to_owned(), schema };
    let identity = Identity {
        lsn: Some(1),
        transaction: None,
        sequence: b"[null,\"1\"]",
        unix_millis: 0,
        operation: Operation::Read,
    };
    let mut out = Vec::new();
    let plan = Plan::new("srv", content);
    plan.put_begin(&mut out, &identity);
    put_data_bytes(&mut out, &[0, 0, 0, 0, 7, 2]);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"id":"name:srv;lsn:1;txId:null;sequence:[null,\"1\"]","source":"/debezium/postgresql/srv","#,
            r#""specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent","#,
            r#""time":"1970-01-01T00:00:00.000Z","datacontenttype":"application/avro","#,
            r#""dataschema":"http://registry:8081/schemas/ids/7","iodebeziumop":"r","#,
            r#""data":"AAAAAAcC"}"#
        )
    );
    let mut out = Vec::new();
    plan.put_headers(&mut out, &identity);
    assert!(Headers::new(&out).any(|header| {
        header == ("ce_dataschema", b"http://registry:8081/schemas/ids/7".as_slice())
    }));
    // What is cut off is not read.
    for length in 0..out.len() {
        assert!(Headers::new(&out[..length]).count() < Headers::new(&out).count());
    }
}

#[test]
fn the_datas_schema_is_the_rows_before_and_after() {
    let row = Arc::new(Schema::new(Kind::Struct(Vec::new())).optional());
    let schema = data_schema(&row);
    assert_eq!(schema.name.as_deref(), Some("io.debezium.connector.postgresql.Data"));
    assert!(!schema.optional && schema.version.is_none());
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["before", "after"]);
}
