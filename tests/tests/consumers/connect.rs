//! Kafka Connect's file sink behind Debezium's unwrap writes the table.

use std::collections::BTreeMap;

use offtake_tests::kafka::connect::FileSink;
use offtake_tests::kafka::{Kafka, skipped};

use crate::plain::{PATIENCE, published};

/// A field of a row as Connect's `Struct` prints it; `None`: it is null.
fn field<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let begin = format!("{name}=");
    let inner = line.strip_prefix("Struct{")?.strip_suffix('}')?;
    inner.split(',').find_map(|field| field.strip_prefix(&begin))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connects_file_sink_with_debeziums_unwrap_writes_the_table() {
    if skipped("connects_file_sink_with_debeziums_unwrap_writes_the_table") {
        return;
    }
    let kafka = Kafka::shared();
    let rest = "[kafka.debezium]\nschemas = true";
    let (mut fixture, topic, table) = published(kafka, "connect", rest).await;
    let records = kafka.read_committed(&topic).unwrap();
    // A tombstone says what the delete before it said.
    let rows = records.iter().filter(|record| record.value.is_some()).count();
    let mut sink = FileSink::start(kafka.brokers(), &topic).unwrap();
    let mut written: BTreeMap<i64, Option<String>> = BTreeMap::new();
    for line in sink.rows(rows, PATIENCE).unwrap() {
        let id = field(&line, "id").and_then(|id| id.parse().ok());
        let id: i64 = id.unwrap_or_else(|| panic!("{line}"));
        if field(&line, "__deleted") == Some("true") {
            written.remove(&id);
        } else {
            written.insert(id, field(&line, "note").map(str::to_owned));
        }
    }
    let table: BTreeMap<i64, Option<String>> =
        table.into_iter().map(|(id, note)| (id, note.as_str().map(str::to_owned))).collect();
    assert_eq!(written, table);
    fixture.stop().unwrap();
}
