//! The topics that are about no row: where transactions begin and end, and heartbeats; and streams
//! whose names Kafka does not allow.

use std::time::Duration;

use offtake_log::CursorFile;
use offtake_proto::v1;
use offtake_tests::kafka::{Kafka, Record, skipped};

use crate::bench::*;

/// Keys and values.
fn bytes(records: &[Record]) -> Vec<[Option<Vec<u8>>; 2]> {
    records.iter().map(|record| [record.key.clone(), record.value.clone()]).collect()
}

#[test]
fn transactions_are_told_and_a_resend_from_inside_of_one_says_the_same() {
    if skipped("transactions_are_told_and_a_resend_from_inside_of_one_says_the_same") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "transactions");
    bench.options.debezium.transactions = true;
    bench.options.topics.partitions = 1;
    let topic = format!("{}.transaction", bench.options.pipeline);
    let insert = |id| Write::Insert(id, "new".to_owned());
    bench.commit(&[insert(1), insert(2), insert(3)]);
    bench.commit(&[insert(4), Write::Move(4, 5)]);
    let sink = bench.sink();
    caught_up(&sink);
    sink.stop(DEADLINE);
    let told = kafka.read(&topic).unwrap();
    let keys = told.iter().map(|record| String::from_utf8(record.key.clone().unwrap()).unwrap());
    let expected = ["758:50", "758:100", "758:350", "758:400"];
    assert_eq!(keys.collect::<Vec<_>>(), expected.map(|id| format!("{{\"id\":\"{id}\"}}")));
    let value = String::from_utf8(told[1].value.clone().unwrap()).unwrap();
    assert_eq!(
        value,
        "{\"status\":\"END\",\"id\":\"758:100\",\"event_count\":3,\"data_collections\":\
         [{\"data_collection\":\"public.orders\",\"event_count\":3}],\"ts_ms\":1795217028924}"
    );
    assert_eq!(json(&told[3])["event_count"], 3, "a moved key counts twice");
    let changes = kafka.read(&bench.topic).unwrap();
    assert_eq!(json(&changes[2])["transaction"]["total_order"], 3);

    // A crash, with the cursor after the second change.
    let mut cursor = bench.cursor().unwrap();
    assert_eq!(cursor.open_transaction, None);
    cursor.sequence = 2;
    cursor.open_transaction = Some(v1::OpenTransaction {
        id: "758".to_owned(),
        commit: Some(v1::Position { at: Some(v1::position::At::Lsn(100)) }),
        commit_unix_us: 1_795_217_028_924_622,
        collections: vec![v1::CollectionCount {
            collection: "public.orders".to_owned(),
            events: 2,
        }],
    });
    CursorFile::new(&bench.options.cursor_path).store(&cursor).unwrap();
    let sink = bench.sink();
    caught_up(&sink);
    sink.stop(DEADLINE);
    let told_again = kafka.read(&topic).unwrap();
    assert_eq!(bytes(&told_again[4..]), bytes(&told[1..]));
    let changes_again = kafka.read(&bench.topic).unwrap();
    assert_eq!(bytes(&changes_again[changes.len()..]), bytes(&changes[2..]));
}

#[test]
fn heartbeats_come_while_nothing_changes() {
    if skipped("heartbeats_come_while_nothing_changes") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "heartbeats");
    let interval = Duration::from_millis(300);
    bench.options.heartbeat_interval = interval;
    let topic = format!("__debezium-heartbeat.{}", bench.options.pipeline);
    let sink = bench.sink();
    wait_until("three heartbeats", || {
        kafka.partitions(&topic).unwrap() > 0 && kafka.read(&topic).unwrap().len() >= 3
    });
    let status = sink.status();
    assert_eq!((status.cursor, status.sent), (0, 0), "nothing counts them");
    sink.stop(DEADLINE);
    let beats = kafka.read(&topic).unwrap();
    let key = format!("{{\"serverName\":\"{}\"}}", bench.options.pipeline);
    let times: Vec<i64> = beats.iter().map(|beat| json(beat)["ts_ms"].as_i64().unwrap()).collect();
    assert!(beats.iter().all(|beat| beat.key.as_deref() == Some(key.as_bytes())));
    assert!(beats.iter().all(|beat| beat.partition == 0));
    let least = i64::try_from(interval.as_millis()).unwrap() - 5;
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= least), "{times:?}");
}

#[test]
fn a_stream_gets_the_topic_that_kafka_allows_and_a_second_one_halts() {
    if skipped("a_stream_gets_the_topic_that_kafka_allows_and_a_second_one_halts") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "named");
    let topic = format!("{}.Odd_Schema.or_ders", bench.options.pipeline);
    bench.topic = format!("{}.Odd Schema.or\"ders", bench.options.pipeline);
    bench.commit(&[Write::Insert(1, "one".to_owned())]);
    let sink = bench.sink();
    caught_up(&sink);
    assert_eq!(kafka.read(&topic).unwrap().len(), 1);
    bench.topic = topic.clone();
    bench.commit(&[Write::Insert(2, "two".to_owned())]);
    assert_eq!(halted(&sink).code, "KAFKA_TOPIC_SHARED");
    sink.stop(DEADLINE);
    assert_eq!(kafka.read(&topic).unwrap().len(), 1, "nothing of it is published");
}
