//! One table in every format at once: snapshot, insert, update, a moved key and delete, read back
//! and folded into the table. Formats with a registry are read by Confluent's Python client.

use std::collections::BTreeMap;

use offtake_tests::confluent::{Confluent, Form};
use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::registry::SchemaRegistry;
use serde_json::{Value, json};

use crate::{kafka_has, pipeline, section};

const TABLE: &str = "create table t (id int primary key, note text, amount numeric(10, 2),
        flag boolean not null, raw bytea, tags text[] not null);
    insert into t select i, 'row ' || i, i + 0.25, i % 2 = 0, '\\xff00', '{a,\"b c\"}'
        from generate_series(1, 20) i";
const SNAPSHOT: u64 = 20;

const CHANGES: &str = "update t set note = 'ä \"😀\"', amount = amount - 0.50 where id % 3 = 0;
    delete from t where id % 7 = 0;
    update t set id = id + 1000 where id % 10 = 1;
    insert into t values (5000, null, null, false, null, '{}')";
/// Six updates, two deletes, two moved keys, an insert.
const CHANGED: u64 = 11;
/// A message each, a tombstone after each delete, and three messages for a moved key.
const MESSAGES: usize = 20 + 6 + 2 * 2 + 2 * 3 + 1;

/// Format, how a program reads it, and whether it is chosen by the route.
const FORMATS: [(&str, Form, bool); 7] = [
    ("debezium_json", Form::Text, true),
    ("json", Form::Text, false),
    ("avro", Form::Avro, true),
    ("protobuf", Form::Protobuf, false),
    ("json_schema", Form::Json, true),
    ("cloudevents", Form::Text, false),
    (BINARY, Form::Text, true),
];
const BINARY: &str = "cloudevents_binary";

type Rows = BTreeMap<i64, Value>;

/// The table as the database has it.
async fn table(fixture: &Fixture) -> Rows {
    let sql = "select id::int8, jsonb_build_object('id', id, 'note', note, 'amount', amount::text,
            'flag', flag, 'raw', encode(raw, 'base64'), 'tags', to_jsonb(tags))::text from t";
    let rows = fixture.client.query(sql, &[]).await.unwrap();
    let row = |text: String| serde_json::from_str(&text).unwrap();
    rows.iter().map(|it| (it.get(0), row(it.get(1)))).collect()
}

/// The table as Protobuf tells it, where a scalar field is never null: Confluent's converter leaves
/// NULL out, and whoever reads that has the type's default.
fn without_null(table: &Rows) -> Rows {
    let mut table = table.clone();
    for row in table.values_mut() {
        for column in ["note", "amount", "raw"] {
            if row[column].is_null() {
                row[column] = json!("");
            }
        }
    }
    table
}

/// A row as a message has it, with what a program makes of bytes taken back.
fn row(of: &Value) -> Value {
    let mut row = json!({});
    for column in ["id", "note", "amount", "flag", "raw", "tags"] {
        let value = &of[column];
        row[column] = value.get("bytes").unwrap_or(value).clone();
    }
    row
}

/// The row that a value tells; `None`: it is deleted.
fn after(format: &str, value: &Value) -> Option<Value> {
    let after = match format {
        "json" if value["_op"] == "d" => return None,
        "json" => value,
        "debezium_json" => &value["payload"]["after"],
        "cloudevents" => value["data"].get("payload").unwrap_or(&value["data"]).get("after")?,
        BINARY => value.get("payload").unwrap_or(value).get("after")?,
        _ => &value["after"],
    };
    (!after.is_null()).then(|| row(after))
}

/// What keys and values make of a table, in order.
fn fold(format: &str, messages: &[(Value, Value)]) -> Rows {
    let mut rows = Rows::new();
    for (key, value) in messages {
        let id = key.get("payload").unwrap_or(key)["id"].as_i64().unwrap();
        let after = if value.is_null() { None } else { after(format, value) };
        match after {
            Some(row) => {
                assert_eq!(row["id"], id, "{format}: {value}");
                rows.insert(id, row);
            }
            None => drop(rows.remove(&id)),
        }
    }
    rows
}

fn read(topic: &str, form: Form) -> Vec<(Value, Value)> {
    let kafka = Kafka::shared();
    if form != Form::Text {
        let client = Confluent::new(kafka.brokers(), &SchemaRegistry::shared().url()).unwrap();
        let read = client.consume(topic, form, form, MESSAGES).unwrap();
        assert!(read.iter().all(|it| it.key_id.is_some() && it.key_id != it.value_id));
        return read.into_iter().map(|it| (it.key, it.value)).collect();
    }
    let json = |bytes: Option<Vec<u8>>| {
        bytes.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
    };
    let records = kafka.read_committed(topic).unwrap().into_iter();
    records.map(|record| (json(record.key), json(record.value))).collect()
}

/// What an event in binary mode is stands in its headers, and agrees with its data.
fn expect_attributes(fixture: &Fixture) {
    let topic = format!("{}.{BINARY}", fixture.database);
    let source = format!("/debezium/postgresql/{}", fixture.database);
    let id = format!("name:{};lsn:", fixture.database);
    let mut operations = BTreeMap::new();
    for record in Kafka::shared().read_committed(&topic).unwrap() {
        let header = |name: &str| {
            let mut found = record.headers.iter().filter(|header| header.0 == name);
            let text = found.next().map(|header| String::from_utf8(header.1.clone()).unwrap());
            assert!(found.next().is_none(), "{name} twice: {record:?}");
            text.unwrap_or_default()
        };
        let Some(value) = &record.value else {
            assert_eq!(header("ce_id"), "", "a tombstone is no event: {record:?}");
            continue;
        };
        for (name, expected) in [
            ("ce_specversion", "1.0"),
            ("ce_source", source.as_str()),
            ("ce_type", "io.debezium.connector.postgresql.DataChangeEvent"),
            ("content-type", "application/json"),
            ("ce_iodebeziumtable", "t"),
        ] {
            assert_eq!(header(name), expected, "{name}: {record:?}");
        }
        assert!(header("ce_id").starts_with(&id), "{record:?}");
        assert!(header("ce_time").ends_with('Z'), "{record:?}");
        let operation = header("ce_iodebeziumop");
        let is_gone = after(BINARY, &serde_json::from_slice(value).unwrap()).is_none();
        assert_eq!(is_gone, operation == "d", "{record:?}");
        *operations.entry(operation).or_default() += 1;
    }
    // A moved key is a delete and a create.
    let expected = [("c", 1 + 2), ("d", 2 + 2), ("r", 20), ("u", 6)];
    let expected = expected.map(|(operation, count)| (operation.to_owned(), count));
    assert_eq!(operations, BTreeMap::<String, usize>::from(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_table_in_every_format_is_read_back_as_the_table() {
    if skipped("one_table_in_every_format_is_read_back_as_the_table") {
        return;
    }
    let registry = SchemaRegistry::shared();
    let (mut routes, mut rules) = (String::new(), String::new());
    for (at, (format, _, by_route)) in FORMATS.iter().enumerate() {
        let goes_on = at + 1 < FORMATS.len();
        routes += &format!(
            "[[route]]\ntables = [\"public.t\"]\nstream = \"{{name}}.{format}\"\n\
             continue = {goes_on}\n"
        );
        if *by_route {
            routes += &format!("format = \"{format}\"\n");
        } else {
            rules +=
                &format!("[[kafka.topic]]\nstreams = [\"*.{format}\"]\nformat = \"{format}\"\n");
        }
    }
    let options = "debezium = { schemas = true, decimal = \"string\" }\n";
    let rest = format!("{routes}\n{}{rules}", section(&registry.url(), options));
    let mut fixture = pipeline("formats", TABLE, &rest).await;
    fixture.start().unwrap();
    let streams = FORMATS.len() as u64;
    kafka_has(&fixture, streams * SNAPSHOT);
    fixture.client.batch_execute(CHANGES).await.unwrap();
    kafka_has(&fixture, streams * (SNAPSHOT + CHANGED));
    let table = table(&fixture).await;
    for (format, form, _) in FORMATS {
        let topic = format!("{}.{format}", fixture.database);
        let messages = read(&topic, form);
        assert_eq!(messages.len(), MESSAGES, "{format}");
        let expected = if format == "protobuf" { without_null(&table) } else { table.clone() };
        assert_eq!(fold(format, &messages), expected, "{format}");
        let expected: &[i64] = if form == Form::Text { &[] } else { &[1] };
        for part in ["key", "value"] {
            assert_eq!(registry.versions(&format!("{topic}-{part}")).unwrap(), expected);
        }
    }
    expect_attributes(&fixture);
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logical_message_has_schemas_under_subjects_by_topic_and_record() {
    if skipped("a_logical_message_has_schemas_under_subjects_by_topic_and_record") {
        return;
    }
    let registry = SchemaRegistry::shared();
    let kafka = Kafka::shared();
    let (brokers, url) = (kafka.brokers(), registry.url());
    let rest = format!(
        "[kafka]\nbrokers = [\"{brokers}\"]\nformat = \"avro\"\n\
         registry = {{ url = \"{url}\", subject_names = \"topic_record_name\" }}"
    );
    let sql = "create table t (id int primary key)";
    let mut fixture = pipeline("message", sql, &rest).await;
    fixture.start().unwrap();
    let emit = "select pg_logical_emit_message(true, 'audit', 'hello')";
    fixture.client.batch_execute(emit).await.unwrap();
    kafka_has(&fixture, 1);
    let topic = format!("{}.message", fixture.database);
    let client = Confluent::new(brokers, &url).unwrap();
    let read = client.consume(&topic, Form::Avro, Form::Avro, 1).unwrap();
    assert_eq!(read[0].key, json!({"prefix": "audit"}));
    assert_eq!(read[0].value["op"], "m");
    let content = json!({"prefix": "audit", "content": {"bytes": "aGVsbG8="}});
    assert_eq!(read[0].value["message"], content);
    for part in ["Key", "Value"] {
        let subject = format!("{topic}-io.debezium.connector.postgresql.Message{part}");
        assert_eq!(registry.versions(&subject).unwrap(), [1], "{subject}");
    }
    fixture.stop().unwrap();
}
