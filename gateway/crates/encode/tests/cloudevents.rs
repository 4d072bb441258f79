//! CloudEvents through the encoder that a sink uses: whole messages of both modes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod build;

use build::{Value, change, column, schema, text};
use offtake_change::wire::ChangeView;
use offtake_change::{Kind, Operation, TableSchema};
use offtake_encode::EncodeError;
use offtake_encode::cloudevents::Headers;
use offtake_encode::debezium::{Encoder, MessageFormat, Options, Plan, PlanOptions};
use serde_json::{Value as Json, json};

/// Key, value and attributes of a message.
type Written = (String, Option<String>, Vec<(String, String)>);

fn table() -> TableSchema {
    let mut id = column("id", Kind::Integer, "int4", 23, -1);
    id.nullable = false;
    schema(vec![id, column("name", Kind::Text, "text", 25, -1)], &[0])
}

fn options(format: MessageFormat, schemas: bool) -> PlanOptions {
    PlanOptions {
        format,
        prefix: "srv".to_owned(),
        debezium: Options { schemas, ..Options::default() },
        ..PlanOptions::default()
    }
}

fn messages(plan: &Plan, encoded: &[u8]) -> Vec<Written> {
    let mut out = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Encoder::default()
        .messages(plan, &ChangeView::parse(encoded).unwrap(), |message| {
            let attributes = Headers::new(message.attributes)
                .map(|(name, value)| (name.to_owned(), text(value)))
                .collect();
            out.push((text(message.key.unwrap()), message.value.map(text), attributes));
            Ok::<(), EncodeError>(())
        })
        .unwrap();
    out
}

fn row(id: i64) -> [Value; 2] {
    [Value::Integer(id), text("\u{1F40E}")]
}

#[test]
fn a_structured_event_is_one_document_with_the_header_that_says_so() {
    let plan = Plan::new(&options(MessageFormat::CloudEvents, false), &table()).unwrap();
    let content_type = b"application/cloudevents+json; charset=UTF-8".as_slice().into();
    assert_eq!(plan.context_headers(), [("content-type", content_type)]);
    let written = messages(&plan, &change(Operation::Create, None, Some(&row(1))));
    let [(key, Some(value), attributes)] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!((key.as_str(), attributes.len()), (r#"{"id":1}"#, 0));
    assert!(value.starts_with(
        r#"{"id":"name:srv;lsn:24962808;txId:758;sequence:[null,\"24962808\"]","source":"/debezium/postgresql/srv","specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent","time":"2026-11-20T23:23:48.924Z","datacontenttype":"application/json","iodebeziumop":"c","#
    ), "{value}");
    // As Jackson writes it into bytes.
    assert!(
        value.ends_with(r#","data":{"before":null,"after":{"id":1,"name":"\uD83D\uDC0E"}}}"#),
        "{value}"
    );
    let parsed: Json = serde_json::from_str(value).unwrap();
    assert_eq!(parsed["iodebeziumlsn"], "24962808");
    assert_eq!(parsed["iodebeziumtxid"], Json::Null);
}

#[test]
fn a_moved_key_is_two_events_around_a_tombstone() {
    let encoded = change(Operation::Update, Some(&row(1)), Some(&row(2)));
    for format in [MessageFormat::CloudEvents, MessageFormat::CloudEventsBinary] {
        let plan = Plan::new(&options(format, false), &table()).unwrap();
        let written = messages(&plan, &encoded);
        let keys: Vec<&str> = written.iter().map(|(key, ..)| key.as_str()).collect();
        assert_eq!(keys, [r#"{"id":1}"#, r#"{"id":1}"#, r#"{"id":2}"#]);
        assert!(written[1].1.is_none() && written[1].2.is_empty(), "a tombstone is no event");
        let operation = |(_, value, attributes): &Written| match format {
            MessageFormat::CloudEvents => {
                let event: Json = serde_json::from_str(value.as_deref().unwrap()).unwrap();
                event["iodebeziumop"].as_str().unwrap().to_owned()
            }
            _ => {
                let found = attributes.iter().find(|(name, _)| name == "ce_iodebeziumop");
                found.unwrap().1.clone()
            }
        };
        assert_eq!((operation(&written[0]), operation(&written[2])), ("d".into(), "c".into()));
    }
}

#[test]
fn a_binary_event_is_its_data_with_attributes_in_headers() {
    let plan = Plan::new(&options(MessageFormat::CloudEventsBinary, false), &table()).unwrap();
    assert!(plan.context_headers().is_empty(), "the content type is the data's");
    let written = messages(&plan, &change(Operation::Create, None, Some(&row(1))));
    let [(_, Some(value), attributes)] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!(value, r#"{"before":null,"after":{"id":1,"name":"\uD83D\uDC0E"}}"#);
    let has = |name: &str, value: &str| {
        attributes.iter().any(|(found, text)| found == name && text == value)
    };
    assert!(has("ce_id", r#"name:srv;lsn:24962808;txId:758;sequence:[null,"24962808"]"#));
    assert!(has("ce_source", "/debezium/postgresql/srv"));
    assert!(has("ce_specversion", "1.0"));
    assert!(has("ce_type", "io.debezium.connector.postgresql.DataChangeEvent"));
    assert!(has("ce_time", "2026-11-20T23:23:48.924Z"));
    assert!(has("content-type", "application/json"));
    assert!(has("ce_iodebeziumtxid", "758"));
    assert!(has("ce_iodebeziumsnapshot", "false"));
    let mut names: Vec<&str> = attributes.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), attributes.len(), "no header twice");
}

#[test]
fn the_data_has_its_schema_beside_it_where_schemas_are_on() {
    let plan = Plan::new(&options(MessageFormat::CloudEvents, true), &table()).unwrap();
    let written = messages(&plan, &change(Operation::Create, None, Some(&row(1))));
    let event: Json = serde_json::from_str(written[0].1.as_deref().unwrap()).unwrap();
    let data = &event["data"];
    assert_eq!(data["payload"]["after"]["id"], json!(1));
    assert_eq!(data["schema"]["name"], "io.debezium.connector.postgresql.Data");
    assert_eq!(data["schema"]["fields"][1]["field"], "after");
    assert_eq!(data["schema"]["fields"][1]["name"], "srv.public.cash_table.Value");
}
