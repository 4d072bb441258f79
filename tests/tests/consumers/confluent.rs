//! Confluent's Python client: first by itself, written and read, so that what it reads of Offtake's
//! is a statement about Offtake; then frames of Offtake's around bytes of known schemas.

use std::time::Duration;

use offtake_registry::{Registry, RegistryOptions, SchemaType, write_frame, write_protobuf_frame};
use offtake_tests::confluent::{Confluent, Form, Record};
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::registry::SchemaRegistry;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

const AVRO: &str = r#"{"type":"record","name":"Value","namespace":"shop.payments","fields":[
    {"name":"id","type":"long"},{"name":"note","type":["null","string"],"default":null},
    {"name":"raw","type":"bytes"}]}"#;
const PROTOBUF: &str = "syntax = \"proto3\";\npackage shop.payments;\n\nmessage Value {\n  int64 id = 1;\n  \
     optional string note = 2;\n  bytes raw = 3;\n  message Inner {\n    int32 x = 1;\n  }\n}\n";
const JSON: &str = r#"{"$schema":"http://json-schema.org/draft-07/schema#","title":"Value","type":"object",
    "properties":{"id":{"type":"integer"},"note":{"type":["null","string"]}}}"#;

fn client() -> Confluent {
    Confluent::new(Kafka::shared().brokers(), &SchemaRegistry::shared().url()).unwrap()
}

/// A topic that nobody else uses.
pub(crate) fn topic(hint: &str) -> String {
    let topic = Kafka::shared().prefix(hint);
    Kafka::shared().create_topic(&topic, 2, &[]).unwrap();
    topic
}

#[test]
fn the_client_reads_what_it_wrote_itself() {
    if skipped("the_client_reads_what_it_wrote_itself") {
        return;
    }
    let client = client();
    let forms = [
        (
            Form::Avro,
            AVRO,
            json!({"id": 1, "note": "\u{e9}", "raw": {"bytes": "/w=="}}),
            json!({"bytes": "/w=="}),
        ),
        (
            Form::Protobuf,
            PROTOBUF,
            json!({"id": "1", "note": "\u{e9}", "raw": "/w=="}),
            json!("/w=="),
        ),
        (Form::Json, JSON, json!({"id": 1, "note": null}), Value::Null),
    ];
    for (form, schema, value, raw) in forms {
        let topic = topic("own");
        let records = [
            Record { key: "a".to_owned(), value: value.clone() },
            Record { key: "a".to_owned(), value: Value::Null },
        ];
        client.produce(&topic, form, schema, &records).unwrap();
        let read = client.consume(&topic, Form::Text, form, 2).unwrap();
        assert_eq!(read.len(), 2, "{form:?}");
        assert_eq!(read[0].key, "a");
        assert_eq!(read[0].value["id"], value["id"], "{form:?}");
        assert_eq!(read[0].value["note"], value["note"], "{form:?}");
        assert_eq!(read[0].value.get("raw").cloned().unwrap_or_default(), raw, "{form:?}");
        let id = read[0].value_id.unwrap();
        let (language, _) = SchemaRegistry::shared().schema(id).unwrap();
        assert_eq!(language.to_lowercase(), format!("{form:?}").to_lowercase());
        assert_eq!((&read[1].value, read[1].value_id), (&Value::Null, None));
    }
}

fn producer() -> BaseProducer {
    let brokers = Kafka::shared().brokers();
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

/// Writes one message to partition 0.
fn send(topic: &str, key: &[u8], value: &[u8]) {
    let producer = producer();
    producer.send(BaseRecord::to(topic).partition(0).key(key).payload(value)).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
}

/// Writes messages to partition 0, in order.
pub(crate) fn send_all(topic: &str, values: &[Vec<u8>]) {
    let producer = producer();
    for value in values {
        producer.send(BaseRecord::to(topic).partition(0).key("k").payload(value)).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

#[test]
fn the_client_reads_frames_with_ids_that_offtakes_registry_client_got() {
    if skipped("the_client_reads_frames_with_ids_that_offtakes_registry_client_got") {
        return;
    }
    let urls = vec![SchemaRegistry::shared().url()];
    let registry = Registry::new(&RegistryOptions { urls, ..RegistryOptions::default() }).unwrap();
    let client = client();
    let register = |topic: &str, schema_type, schema: &str| {
        registry.register(&format!("{topic}-value"), schema_type, schema, &[]).unwrap()
    };

    let avro = topic("frame-avro");
    let key_id =
        registry.register(&format!("{avro}-key"), SchemaType::Avro, "\"string\"", &[]).unwrap();
    let id = register(&avro, SchemaType::Avro, AVRO);
    let (mut key, mut value) = (Vec::new(), Vec::new());
    write_frame(key_id, &mut key);
    key.extend_from_slice(b"\x02a");
    write_frame(id, &mut value);
    // 7 as a zigzag varint; the union's second branch and "x"; one byte.
    value.extend_from_slice(b"\x0e\x02\x02x\x02\xff");
    send(&avro, &key, &value);
    let read = client.consume(&avro, Form::Avro, Form::Avro, 1).unwrap();
    assert_eq!((read[0].key_id, read[0].value_id), (Some(key_id.0), Some(id.0)));
    assert_eq!(read[0].key, "a");
    assert_eq!(read[0].value, json!({"id": 7, "note": "x", "raw": {"bytes": "/w=="}}));

    let protobuf = topic("frame-protobuf");
    let id = register(&protobuf, SchemaType::Protobuf, PROTOBUF);
    for (message, body) in [(&[0][..], &b"\x08\x07\x12\x01x"[..]), (&[0, 0], b"\x08\x05")] {
        let mut value = Vec::new();
        write_protobuf_frame(id, message, &mut value);
        value.extend_from_slice(body);
        send(&protobuf, b"a", &value);
    }
    let read = client.consume(&protobuf, Form::Text, Form::Protobuf, 2).unwrap();
    assert_eq!(read[0].value, json!({"id": "7", "note": "x", "raw": ""}));
    assert_eq!(read[1].value, json!({"x": 5}));

    let schema = topic("frame-json");
    let id = register(&schema, SchemaType::Json, JSON);
    let mut value = Vec::new();
    write_frame(id, &mut value);
    value.extend_from_slice(br#"{"id":7,"note":null}"#);
    send(&schema, b"a", &value);
    let read = client.consume(&schema, Form::Text, Form::Json, 1).unwrap();
    assert_eq!(read[0].value, json!({"id": 7, "note": null}));
    let mut wrong = Vec::new();
    write_frame(id, &mut wrong);
    wrong.extend_from_slice(br#"{"id":"seven"}"#);
    send(&schema, b"a", &wrong);
    let refused = client.consume(&schema, Form::Text, Form::Json, 2).unwrap_err();
    assert!(
        format!("{refused:#}").contains("seven"),
        "the client holds values to the schema: {refused:#}"
    );
}
