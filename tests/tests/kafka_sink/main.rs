//! The Kafka sink against a real broker, from a log that the test fills by hand: what arrives, in
//! which order and where, over restarts of either side, and what halts it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod limits;
mod topics;
mod transactions;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_encode::partition_of;
use offtake_log::{CursorFile, LogOptions, Selection};
use offtake_proto::v1;
use offtake_sink_kafka::{
    KafkaOptions, KafkaSink, KafkaState, ProbeOutcome, ProbeStream, StreamRule, probe,
};
use offtake_tests::kafka::{Kafka, Record, skipped};

use crate::bench::*;

/// A stream of which no table is known.
fn of(stream: &str) -> ProbeStream {
    ProbeStream { stream: stream.to_owned(), ..ProbeStream::default() }
}

#[test]
fn kafka_gets_every_change_with_javas_partitions_and_tombstones() {
    if skipped("kafka_gets_every_change_with_javas_partitions_and_tombstones") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "all");
    bench.options.topics.config.insert("retention.ms".to_owned(), "123456789".to_owned());
    bench.options.topics.config.insert("cleanup.policy".to_owned(), "compact,delete".to_owned());
    let sink = bench.sink();
    let inserts: Vec<Write> =
        (0..1000).map(|id| Write::Insert(id, format!("note {id} \u{e9}\n"))).collect();
    bench.commit(&inserts);
    bench.commit(&[Write::Update(1, "changed".to_owned()), Write::Delete(2), Write::Move(3, 5003)]);
    let status = caught_up(&sink);
    assert_eq!(status.state, KafkaState::Running);
    assert_eq!(status.cursor, 1003);
    assert_eq!(status.sent, 1006, "a delete has a tombstone, a moved key is three messages");
    assert_eq!(status.acknowledged, 1006);
    assert_eq!(sink.latency().snapshot().0.iter().sum::<u64>(), 2, "one a transaction here");

    let records = kafka.read(&bench.topic).unwrap();
    assert_eq!(records.len(), 1006);
    for record in &records {
        let key = record.key.as_ref().unwrap();
        assert_eq!(record.partition, partition_of(key, 3));
    }
    assert_eq!(notes(&records, 1), ["note 1 \u{e9}\n", "changed"]);
    let of = |id: i64| -> Vec<&Record> {
        records.iter().filter(|record| record.key.as_deref() == Some(&key(id)[..])).collect()
    };
    let deleted = of(2);
    assert_eq!(deleted.len(), 3);
    assert_eq!(json(deleted[1])["op"], "d");
    assert_eq!(deleted[2].value, None);
    let moved = of(3);
    assert_eq!(json(moved[1])["op"], "d");
    assert_eq!(moved[1].headers, [("__debezium.newkey".to_owned(), key(5003))]);
    assert_eq!(moved[2].value, None);
    let arrived = of(5003);
    assert_eq!(json(arrived[0])["op"], "c");
    assert_eq!(arrived[0].headers, [("__debezium.oldkey".to_owned(), key(3))]);
    assert_eq!(json(arrived[0])["source"]["name"], bench.options.pipeline.as_str());

    let config = kafka.topic_config(&bench.topic).unwrap();
    assert_eq!(config["retention.ms"], "123456789");
    assert_eq!(config["cleanup.policy"], "compact,delete");
    assert_eq!(kafka.partitions(&bench.topic).unwrap(), 3);

    sink.stop(Duration::from_secs(5));
    let cursor = bench.cursor().unwrap();
    assert_eq!(cursor.sequence, 1003);
    assert_eq!(cursor.log_id, bench.log().id()[..]);
    assert!(cursor.source.is_some());
}

#[test]
fn kafka_gets_the_same_bytes_again_from_the_cursor() {
    if skipped("kafka_gets_the_same_bytes_again_from_the_cursor") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "again");
    let sink = bench.sink();
    for round in 0..10 {
        let writes: Vec<Write> =
            (0..50).map(|id| Write::Insert(round * 50 + id, format!("{round}"))).collect();
        bench.commit(&writes);
    }
    caught_up(&sink);
    sink.stop(Duration::from_secs(5));
    let first = kafka.read(&bench.topic).unwrap();
    assert_eq!(first.len(), 500);

    // A restart with the cursor where it is sends nothing twice.
    let sink = bench.sink();
    bench.commit(&[Write::Insert(9000, "after".to_owned())]);
    caught_up(&sink);
    sink.stop(Duration::from_secs(5));
    assert_eq!(kafka.read(&bench.topic).unwrap().len(), 501);

    // A crash that lost the last writes of the cursor: what follows it is sent again, byte-equal.
    let mut cursor = bench.cursor().unwrap();
    assert_eq!(cursor.sequence, 501);
    cursor.sequence = 200;
    CursorFile::new(&bench.options.cursor_path).store(&cursor).unwrap();
    let sink = bench.sink();
    caught_up(&sink);
    sink.stop(Duration::from_secs(5));
    let records = kafka.read(&bench.topic).unwrap();
    assert_eq!(records.len(), 501 + 301);
    for partition in 0..3 {
        let all: Vec<_> = records
            .iter()
            .filter(|record| record.partition == partition)
            .map(|record| (&record.key, &record.value, &record.headers))
            .collect();
        // The first pass, then its tail again, record for record.
        let repeated = (1..all.len())
            .find(|&cut| all.len() - cut <= cut && all[cut..] == all[2 * cut - all.len()..cut])
            .unwrap();
        assert!(repeated < all.len());
    }
}

#[test]
fn kafka_loses_nothing_while_the_broker_stops_hangs_and_dies() {
    if skipped("kafka_loses_nothing_while_the_broker_stops_hangs_and_dies") {
        return;
    }
    // A broker of its own: others are at work on the shared one.
    let kafka = Kafka::start().unwrap();
    let mut bench = bench(&kafka, "storm");
    let sink = bench.sink();
    let mut version = 0u64;
    let mut write = |bench: &mut Bench, count: u64| {
        for _ in 0..count {
            version += 1;
            let writes: Vec<Write> =
                (0..20).map(|id| Write::Update(id, version.to_string())).collect();
            bench.commit(&writes);
        }
    };
    write(&mut bench, 50);
    kafka.stop().unwrap();
    write(&mut bench, 50);
    // The pipeline went on although Kafka is down; the sink says why it waits.
    let status = wait(&sink, "the sink waits", |status| status.state == KafkaState::Waiting);
    assert!(status.last_error.is_some());
    kafka.launch().unwrap();
    wait(&sink, "the sink goes on", |status| status.state == KafkaState::Running);
    caught_up(&sink);
    kafka.pause().unwrap();
    write(&mut bench, 50);
    wait(&sink, "messages hang", |status| status.lag == 1000 && status.sent > status.acknowledged);
    kafka.resume().unwrap();
    write(&mut bench, 50);
    kafka.kill().unwrap();
    write(&mut bench, 50);
    kafka.launch().unwrap();
    caught_up(&sink);
    sink.stop(Duration::from_secs(5));
    let records = kafka.read(&bench.topic).unwrap();
    for id in 0..20 {
        assert_in_order_with_resends(&notes(&records, id), 250);
    }
}

#[test]
fn kafka_refusing_a_large_message_halts_with_a_code_and_keeps_the_place() {
    if skipped("kafka_refusing_a_large_message_halts_with_a_code_and_keeps_the_place") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "large");
    let sink = bench.sink();
    bench.commit(&[Write::Insert(1, "small".to_owned())]);
    caught_up(&sink);
    // Not compressible below the broker's limit of 1 MiB.
    let mut random = 88_172_645_463_325_252u64;
    let noise: String = (0..3_000_000)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            char::from(b' ' + 2 + (random >> 33) as u8 % 90)
        })
        .collect();
    bench.commit(&[Write::Insert(2, noise)]);
    for behind in 0..100 {
        bench.commit(&[Write::Update(2, format!("behind {behind}"))]);
    }
    let halted = halted(&sink);
    assert_eq!(halted.code, "KAFKA_MESSAGE_TOO_LARGE");
    assert!(halted.cause.contains(&bench.topic), "{}", halted.cause);
    assert!(halted.next_step.contains("max.message.bytes"));
    assert_eq!(sink.status().cursor, 1);
    // The log goes on, and keeps what is not published.
    bench.commit(&[Write::Insert(4, "later".to_owned())]);
    assert_eq!(sink.status().lag, 102);
    sink.stop(Duration::from_secs(5));
    assert_eq!(bench.cursor().unwrap().sequence, 1);
    let records = kafka.read(&bench.topic).unwrap();
    let behind = records.iter().any(|record| record.key.as_deref() == Some(&key(2)[..]));
    assert!(!behind, "nothing of the key went past the refused message");

    // Once the topic takes it, the next start goes on from the place that was kept.
    kafka.set_topic_config(&bench.topic, "max.message.bytes", "10000000").unwrap();
    let sink = bench.sink();
    caught_up(&sink);
    sink.stop(Duration::from_secs(5));
    let notes = notes(&kafka.read(&bench.topic).unwrap(), 2);
    assert_eq!(notes.len(), 101);
    assert!(notes[0].len() == 3_000_000 && notes[100] == "behind 99");
}

#[test]
fn kafka_halts_on_a_message_that_can_never_fit_the_clients_queue() {
    if skipped("kafka_halts_on_a_message_that_can_never_fit_the_clients_queue") {
        return;
    }
    let mut bench = bench(Kafka::shared(), "queue");
    bench.options.properties.insert("queue.buffering.max.kbytes".to_owned(), "64".to_owned());
    let sink = bench.sink();
    bench.commit(&[Write::Insert(1, "small".to_owned())]);
    bench.commit(&[Write::Insert(2, "large".repeat(40_000))]);
    assert_eq!(halted(&sink).code, "KAFKA_MESSAGE_TOO_LARGE");
    assert_eq!(sink.status().cursor, 1);
    sink.stop(Duration::from_secs(5));
}

#[test]
fn kafka_takes_many_small_messages_where_a_batch_would_be_too_large() {
    if skipped("kafka_takes_many_small_messages_where_a_batch_would_be_too_large") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "batch");
    bench.options.topics.config.insert("max.message.bytes".to_owned(), "2000".to_owned());
    bench.options.properties.insert("compression.codec".to_owned(), "none".to_owned());
    let writes: Vec<Write> =
        (0..200).map(|id| Write::Insert(id % 7, format!("{}", id / 7 + 1))).collect();
    bench.commit(&writes);
    let sink = bench.sink();
    let status = caught_up(&sink);
    assert!(status.rebuilds > 0);
    sink.stop(Duration::from_secs(5));
    let records = kafka.read(&bench.topic).unwrap();
    for id in 0..7 {
        let versions = (200 - id as u64).div_ceil(7);
        assert_in_order_with_resends(&notes(&records, id), versions);
    }
}

#[test]
fn kafka_without_the_topic_halts_where_it_is_not_to_be_created() {
    if skipped("kafka_without_the_topic_halts_where_it_is_not_to_be_created") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "missing");
    bench.options.topics.create = false;
    let items = probe(&bench.options, &[of(&bench.topic)]);
    assert_eq!(items[0].outcome, ProbeOutcome::Ok, "{items:?}");
    assert_eq!(items[1].code, "KAFKA_TOPIC_MISSING");
    bench.commit(&[Write::Insert(1, "one".to_owned())]);
    let sink = bench.sink();
    assert_eq!(halted(&sink).code, "KAFKA_TOPIC_MISSING");
    sink.stop(Duration::from_secs(5));
    assert_eq!(kafka.partitions(&bench.topic).unwrap(), 0, "asking created nothing");

    // With the topic made by hand the next start goes on from where it was.
    kafka.create_topic(&bench.topic, 2, &[]).unwrap();
    let sink = bench.sink();
    caught_up(&sink);
    sink.stop(Duration::from_secs(5));
    assert_eq!(kafka.read(&bench.topic).unwrap().len(), 1);
}

#[test]
fn kafka_topic_configuration_that_the_broker_refuses_halts() {
    if skipped("kafka_topic_configuration_that_the_broker_refuses_halts") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "refused");
    bench.options.topics.config.insert("cleanup.policy".to_owned(), "shred".to_owned());
    let items = probe(&bench.options, &[of(&bench.topic)]);
    assert_eq!(items[1].code, "KAFKA_TOPIC_CREATE");
    bench.commit(&[Write::Insert(1, "one".to_owned())]);
    let sink = bench.sink();
    assert_eq!(halted(&sink).code, "KAFKA_TOPIC_CREATE");
    sink.stop(Duration::from_secs(5));
}

#[test]
fn kafka_probe_creates_nothing_and_says_what_would_happen() {
    if skipped("kafka_probe_creates_nothing_and_says_what_would_happen") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "probe");
    let rule = |streams| StreamRule { streams: Selection::globs([streams]), ..Default::default() };
    bench.options.topics.rules = vec![rule("*.public.*"), rule("shp.public.*")];
    bench.options.delivery.delivery = None;
    let shared = [format!("{} a", bench.topic), format!("{}_a", bench.topic)];
    let long = "x".repeat(250);
    let topics = [of(&bench.topic), of(&long), of(&shared[0]), of(&shared[1])];
    let items = probe(&bench.options, &topics);
    assert_eq!(items.len(), 7);
    assert_eq!(items[0].outcome, ProbeOutcome::Ok);
    assert_eq!(items[1].outcome, ProbeOutcome::Ok, "{items:?}");
    assert_eq!(items[1].text, "will be created with 3 partition(s)");
    assert_eq!(items[2].code, "KAFKA_TOPIC_INVALID");
    assert_eq!(items[3].outcome, ProbeOutcome::Ok, "{items:?}");
    assert_eq!(items[4].code, "KAFKA_TOPIC_SHARED");
    assert!(shared.iter().all(|name| items[4].text.contains(name)), "{items:?}");
    assert_eq!(items[5].code, "KAFKA_RULE_MATCHES_NOTHING", "{items:?}");
    assert!(items[5].name.contains("shp.public.*"), "{items:?}");
    assert!(items[6].text.starts_with("exactly once"), "{items:?}");
    let optional = ProbeStream { is_optional: true, ..of(&long) };
    let items = probe(&bench.options, &[optional]);
    assert_eq!(items[1].outcome, ProbeOutcome::Warning, "perhaps it is never made: {items:?}");
    assert_eq!(kafka.partitions(&bench.topic).unwrap(), 0);
    let mut nowhere = bench.options.clone();
    nowhere.brokers = vec!["127.0.0.1:1".to_owned()];
    let items = probe(&nowhere, &topics);
    assert_eq!((items.len(), items[0].code), (1, "KAFKA_UNREACHABLE"));
}

#[test]
fn a_kafka_cursor_of_another_log_and_one_ahead_halt_the_sink_alone() {
    // No broker is needed: nothing is sent.
    let folder = tempfile::tempdir().unwrap();
    let opened = offtake_log::open(LogOptions::new(folder.path().join("log"))).unwrap();
    let options = |path: &Path| KafkaOptions {
        delivery: at_least_once(),
        ..KafkaOptions::new("shop", vec!["127.0.0.1:1".to_owned()], path)
    };
    let path = folder.path().join("kafka.cursor");
    let cursor = v1::SinkCursor {
        format: 1,
        pipeline: "shop".to_owned(),
        sink: "kafka".to_owned(),
        log_id: vec![7; 16].into(),
        sequence: 5,
        ..v1::SinkCursor::default()
    };
    CursorFile::new(&path).store(&cursor).unwrap();
    let sink = KafkaSink::start(options(&path), opened.log.clone()).unwrap();
    assert_eq!(halted(&sink).code, "KAFKA_CURSOR_FOREIGN");
    sink.stop(Duration::from_secs(1));
    assert_eq!(CursorFile::load(&path).unwrap(), Some(cursor.clone()), "it was not touched");

    let ours = v1::SinkCursor { log_id: opened.log.id().to_vec().into(), ..cursor };
    CursorFile::new(&path).store(&ours).unwrap();
    let sink = KafkaSink::start(options(&path), opened.log.clone()).unwrap();
    assert_eq!(halted(&sink).code, "KAFKA_CURSOR_AHEAD");
    sink.stop(Duration::from_secs(1));
    assert_eq!(CursorFile::load(&path).unwrap(), Some(ours), "the cursor was not touched");

    let mut wrong = options(&path);
    wrong.properties.insert("no.such.property".to_owned(), "1".to_owned());
    CursorFile::new(&path)
        .store(&v1::SinkCursor {
            format: 1,
            pipeline: "shop".to_owned(),
            sink: "kafka".to_owned(),
            log_id: opened.log.id().to_vec().into(),
            ..v1::SinkCursor::default()
        })
        .unwrap();
    let sink = KafkaSink::start(wrong, opened.log.clone()).unwrap();
    assert_eq!(halted(&sink).code, "KAFKA_PROPERTY");
    sink.stop(Duration::from_secs(1));
}

#[test]
fn a_kafka_that_is_not_there_holds_up_nobody_and_stops_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut opened = offtake_log::open(LogOptions::new(folder.path().join("log"))).unwrap();
    let options = KafkaOptions {
        delivery: at_least_once(),
        ..KafkaOptions::new(
            "shop",
            vec!["127.0.0.1:1".to_owned()],
            folder.path().join("kafka.cursor"),
        )
    };
    let sink = KafkaSink::start(options, opened.log.clone()).unwrap();
    let schema = Arc::new(table(&[0]));
    for id in 0..100 {
        commit(&mut opened.writer, &schema, "t", &[Write::Insert(id, "x".to_owned())]);
    }
    let status = wait(&sink, "the sink waits", |status| status.state == KafkaState::Waiting);
    assert_eq!((status.cursor, status.lag), (0, 100));
    let asked = Instant::now();
    sink.stop(Duration::from_secs(2));
    assert!(asked.elapsed() < Duration::from_secs(4));
}
