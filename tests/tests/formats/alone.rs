//! Streams of rows alone (`builtin:flatten`) and of payloads (`builtin:outbox`) on their whole way:
//! from a real database to Kafka and the registry, read back as consumers do.

use offtake_tests::confluent::{Confluent, Form};
use offtake_tests::kafka::{Kafka, Record, skipped};
use offtake_tests::registry::SchemaRegistry;
use serde_json::{Value, json};

use crate::{kafka_has, pipeline, section};

const TABLE: &str = "create table t (id int primary key, note text, amount numeric(10, 2));
    alter table t replica identity full;
    insert into t select i, 'row ' || i, i + 0.25 from generate_series(1, 20) i";
const CHANGES: &str = "update t set note = 'ä \"😀\"', amount = null where id % 3 = 0;
    delete from t where id % 7 = 0;
    update t set id = id + 1000 where id % 10 = 1;
    insert into t values (5000, null, 7.5)";
/// Snapshot, six updates, two deletes, two moved keys, an insert.
const CHANGED: u64 = 20 + 6 + 2 + 2 + 1;
/// A moved key is a tombstone and the row.
const MESSAGES: usize = CHANGED as usize + 2;
const FORMATS: [(&str, Form); 4] = [
    ("debezium_json", Form::Text),
    ("avro", Form::Avro),
    ("protobuf", Form::Protobuf),
    ("json_schema", Form::Json),
];

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Keys and values of a topic as a consumer of the format has them.
fn read(topic: &str, form: Form) -> Vec<(Value, Value)> {
    let kafka = Kafka::shared();
    if form == Form::Text {
        let pair = |it: Record| {
            let value = it.value.map_or(Value::Null, |value| json_of(&value));
            (json_of(&it.key.unwrap()), value)
        };
        return kafka.read_committed(topic).unwrap().into_iter().map(pair).collect();
    }
    let client = Confluent::new(kafka.brokers(), &SchemaRegistry::shared().url()).unwrap();
    let read = client.consume(topic, form, form, MESSAGES).unwrap();
    read.into_iter().map(|it| (it.key, it.value)).collect()
}

/// What a table is that applies every message: the row, or nothing for a tombstone.
fn fold(format: &str, messages: &[(Value, Value)]) -> std::collections::BTreeMap<i64, Value> {
    let mut rows = std::collections::BTreeMap::new();
    for (key, value) in messages {
        let id = key["id"].as_i64().unwrap();
        if value.is_null() {
            rows.remove(&id);
            continue;
        }
        assert!(value.get("after").is_none() && value.get("op").is_none(), "{format}: {value}");
        // A scalar of Protobuf is never null; Confluent's reader leaves it out.
        let text = |name: &str| match &value[name] {
            Value::Null if format == "protobuf" => json!(""),
            other => other.clone(),
        };
        rows.insert(id, json!([text("id"), text("note"), text("amount"), text("__op")]));
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_alone_are_read_back_as_the_table_in_every_format_that_takes_them() {
    if skipped("rows_alone_are_read_back_as_the_table_in_every_format_that_takes_them") {
        return;
    }
    let mut rest =
        "[plugin.rows]\nwasm = \"builtin:flatten\"\nconfig = { add_fields = [\"op\"] }\n"
            .to_owned();
    for (at, (format, _)) in FORMATS.iter().enumerate() {
        rest += &format!(
            "[[route]]\ntables = [\"public.t\"]\nplugins = [\"rows\"]\nformat = \"{format}\"\n\
             stream = \"{{name}}.{format}\"\ncontinue = {}\n",
            at + 1 < FORMATS.len()
        );
    }
    let options = "debezium = { decimal = \"string\" }\n";
    rest += &section(&SchemaRegistry::shared().url(), options);
    let mut fixture = pipeline("alone", TABLE, &rest).await;
    fixture.start().unwrap();
    kafka_has(&fixture, 20 * FORMATS.len() as u64);
    fixture.client.batch_execute(CHANGES).await.unwrap();
    kafka_has(&fixture, CHANGED * FORMATS.len() as u64);
    let sql = "select id::int8, note, amount::text from t order by id";
    let rows = fixture.client.query(sql, &[]).await.unwrap();
    for (format, form) in FORMATS {
        let messages = read(&format!("{}.{format}", fixture.database), form);
        assert_eq!(messages.len(), MESSAGES, "{format}");
        assert_eq!(messages.iter().filter(|it| it.1.is_null()).count(), 2 + 2, "{format}");
        let folded = fold(format, &messages);
        assert_eq!(folded.len(), rows.len(), "{format}");
        for row in &rows {
            let id: i64 = row.get(0);
            let null = || if format == "protobuf" { json!("") } else { Value::Null };
            let text = |at| row.get::<_, Option<String>>(at).map_or_else(null, Value::from);
            let operation = match id {
                5000 => "c",
                1001 | 1011 => "c",
                _ if id % 3 == 0 => "u",
                _ => "r",
            };
            let expected = json!([id, text(1), text(2), operation]);
            assert_eq!(folded[&id], expected, "{format}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_outbox_are_on_their_streams_as_they_were_written() {
    if skipped("events_of_an_outbox_are_on_their_streams_as_they_were_written") {
        return;
    }
    let table = "create table outbox (id uuid primary key, aggregatetype text not null,
        aggregateid text not null, type text not null, payload jsonb not null)";
    let registry = SchemaRegistry::shared();
    let rest = format!(
        "[plugin.events]\nwasm = \"builtin:outbox\"\n\
         config = {{ stream = \"{{}}.${{routedByValue}}\", place = [{{ column = \"type\", in = \"header\", name = \"eventType\" }}] }}\n\
         [[route]]\ntables = [\"public.outbox\"]\nplugins = [\"events\"]\n\
         [[route]]\ntables = [\"public.*\"]\nformat = \"avro\"\n{}\
         [[kafka.topic]]\nstreams = [\"{{}}.order\", \"{{}}.payment\"]\nformat = \"payload\"\n",
        section(&registry.url(), "")
    );
    let mut fixture = pipeline("outbox", table, &rest).await;
    let prefix = format!("{}.events", fixture.database);
    fixture.gateway.edit("{}.", &format!("{prefix}.")).unwrap();
    fixture.client.batch_execute("create table orders (id int primary key)").await.unwrap();
    fixture.start().unwrap();
    let mut sql = String::new();
    for at in 0..30 {
        let kind = if at % 3 == 0 { "payment" } else { "order" };
        sql += &format!(
            "begin; insert into orders values ({at});
             insert into outbox values (gen_random_uuid(), '{kind}', '{}', 'Placed{at}',
                 '{{\"total\": 12.50, \"n\": {at}}}');
             delete from outbox; commit;",
            at % 4
        );
    }
    fixture.client.batch_execute(&sql).await.unwrap();
    // An order and an event each; the deletes of the outbox are housekeeping.
    kafka_has(&fixture, 60);
    let kafka = Kafka::shared();
    let mut seen = 0;
    for kind in ["order", "payment"] {
        let records = kafka.read_committed(&format!("{prefix}.{kind}")).unwrap();
        let mut last = -1;
        for record in &records {
            let value = String::from_utf8(record.value.clone().unwrap()).unwrap();
            let at = json_of(value.as_bytes())["n"].as_i64().unwrap();
            assert_eq!(value, format!("{{\"n\": {at}, \"total\": 12.50}}"), "as the column has it");
            assert_eq!(record.key.as_deref(), Some((at % 4).to_string().as_bytes()));
            let header = |name: &str| {
                let found = record.headers.iter().find(|header| header.0 == name);
                found.map(|header| String::from_utf8(header.1.clone()).unwrap()).unwrap()
            };
            assert_eq!(header("eventType"), format!("Placed{at}"));
            assert_eq!(header("content-type"), "application/json");
            assert_eq!(header("id").len(), 36);
            assert!(at > last, "in the order of their commits");
            last = at;
        }
        seen += records.len();
    }
    assert_eq!(seen, 30);
    let client = Confluent::new(kafka.brokers(), &registry.url()).unwrap();
    let orders = format!("{}.public.orders", fixture.database);
    assert_eq!(client.consume(&orders, Form::Avro, Form::Avro, 30).unwrap().len(), 30);
}
