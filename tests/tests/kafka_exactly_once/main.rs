//! Exactly once to a real broker: what a consumer that reads committed records alone gets, who may
//! write, how a running pipeline changes between the two ways of delivering, and how a consumer knows
//! that it has a source transaction whole.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with the tests of the sink, which need more of it")]
#[path = "../kafka_sink/bench.rs"]
mod bench;
mod cursor_record;
mod gateway;
mod halts;
mod headers;
mod kill;
mod letters;
mod stopped;
mod switch;
mod whole;

use std::time::Duration;

use offtake_sink_kafka::{Delivery, DeliveryOptions, KafkaSink, KafkaState, TransactionLevel};
use offtake_tests::kafka::{Kafka, Record, skipped};

use crate::bench::*;

/// Brokers are asked, and a refusal halts.
pub(crate) fn exactly_once() -> DeliveryOptions {
    DeliveryOptions { delivery: Some(Delivery::ExactlyOnce), ..DeliveryOptions::default() }
}

/// The ids of the topic's rows, in the order of each partition, the partitions one after the other.
pub(crate) fn ids(records: &[Record]) -> Vec<i64> {
    records.iter().filter_map(|record| json(record)["after"]["id"].as_i64()).collect()
}

/// What a consumer that reads committed records gets has each of these ids once.
#[track_caller]
pub(crate) fn assert_each_once(kafka: &Kafka, topic: &str, expected: i64) {
    let mut found = ids(&kafka.read_committed(topic).unwrap());
    found.sort_unstable();
    let all: Vec<i64> = (0..expected).collect();
    assert_eq!(found, all);
}

#[test]
fn every_change_arrives_once_and_its_cursor_with_it() {
    if skipped("every_change_arrives_once_and_its_cursor_with_it") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos");
    bench.options.delivery = exactly_once();
    bench.options.delivery.cursor_topic = format!("{}-cursors", bench.options.pipeline);
    let sink = bench.sink();
    let inserts: Vec<Write> = (0..1000).map(|id| Write::Insert(id, "a".to_owned())).collect();
    bench.commit(&inserts);
    let status = caught_up(&sink);
    assert_eq!(status.delivery, Some(Delivery::ExactlyOnce));
    assert_eq!(status.level, TransactionLevel::Guarded);
    assert_eq!((status.cursor, status.acknowledged), (1000, 1000));
    assert!(status.transactions.committed >= 2, "{status:?}");
    assert_eq!((status.transactions.aborted, status.transactions.cut), (0, 0));
    bench.commit(&[Write::Update(1, "b".to_owned()), Write::Delete(2), Write::Move(3, 5003)]);
    assert_eq!(caught_up(&sink).cursor, 1003);
    let records = kafka.read_committed(&bench.topic).unwrap();
    assert_eq!(records.len(), 1006);
    assert_eq!(notes(&records, 1), ["a", "b"]);
    let cursors = kafka.read_committed(&bench.options.delivery.cursor_topic).unwrap();
    let last = cursors.last().unwrap();
    let key = format!("{}/kafka", bench.options.pipeline);
    assert_eq!(last.key.as_deref(), Some(key.as_bytes()));
    assert_eq!(last.headers[0].0, "offtake.instance");
    let record: offtake_proto::v1::SinkCursor =
        prost::Message::decode(last.value.as_deref().unwrap()).unwrap();
    assert_eq!(record.sequence, 1003);
    assert_eq!(record.log_id, bench.log().id().to_vec());
    let config = kafka.topic_config(&bench.options.delivery.cursor_topic).unwrap();
    assert_eq!(config["cleanup.policy"], "compact");
    assert_eq!(bench.cursor(), None, "the cursor is in the topic alone");
    sink.stop(Duration::from_secs(5));
}

#[test]
fn a_sink_that_is_dropped_in_the_middle_leaves_nothing_twice() {
    if skipped("a_sink_that_is_dropped_in_the_middle_leaves_nothing_twice") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos-drop");
    bench.options.delivery = exactly_once();
    bench.options.delivery.transaction_interval = Duration::from_millis(5);
    let mut next = 0;
    for _ in 0..5 {
        let sink = bench.sink();
        let before = sink.status().cursor;
        for _ in 0..40 {
            let inserts: Vec<Write> =
                (next..next + 50).map(|id| Write::Insert(id, "a".to_owned())).collect();
            next += 50;
            bench.commit(&inserts);
        }
        wait(&sink, "something is committed", |status| status.cursor > before);
        // The next one begins while this one may still be at it.
        drop(sink);
    }
    let sink = bench.sink();
    caught_up(&sink);
    assert_each_once(kafka, &bench.topic, next);
    sink.stop(Duration::from_secs(5));
}

#[test]
fn a_second_gateway_shuts_out_the_first_which_halts_and_writes_nothing() {
    if skipped("a_second_gateway_shuts_out_the_first_which_halts_and_writes_nothing") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos-two");
    bench.options.delivery = exactly_once();
    let first = bench.sink();
    bench.commit(&[Write::Insert(0, "a".to_owned())]);
    caught_up(&first);
    let second = bench.sink();
    let mut next = 1;
    // It notices when it next has something to send.
    wait_until("the first is shut out", || {
        bench.commit(&[Write::Insert(next, "a".to_owned())]);
        next += 1;
        matches!(first.status().state, KafkaState::Halted(_))
    });
    let halt = halted(&first);
    assert_eq!(halt.code, "KAFKA_FENCED");
    assert!(halt.next_step.contains("takes over"), "{halt:?}");
    caught_up(&second);
    assert_each_once(kafka, &bench.topic, next);
    // A person decided: started again, it takes over.
    drop(first);
    let first = bench.sink();
    wait_until("the second is shut out", || {
        bench.commit(&[Write::Insert(next, "a".to_owned())]);
        next += 1;
        matches!(second.status().state, KafkaState::Halted(_))
    });
    caught_up(&first);
    assert_each_once(kafka, &bench.topic, next);
    first.stop(Duration::from_secs(5));
}

#[test]
fn of_two_gateways_that_start_at_once_one_publishes_and_the_other_halts() {
    if skipped("of_two_gateways_that_start_at_once_one_publishes_and_the_other_halts") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos-both");
    bench.options.delivery = exactly_once();
    bench.commit(&[Write::Insert(0, "a".to_owned())]);
    let both = [bench.sink(), bench.sink()];
    let is_halted = |sink: &KafkaSink| matches!(sink.status().state, KafkaState::Halted(_));
    let mut next = 1;
    wait_until("one of them is shut out", || {
        bench.commit(&[Write::Insert(next, "a".to_owned())]);
        next += 1;
        both.iter().any(is_halted)
    });
    let (shut_out, publishing): (Vec<_>, Vec<_>) = both.into_iter().partition(is_halted);
    assert_eq!((shut_out.len(), publishing.len()), (1, 1));
    assert_eq!(halted(&shut_out[0]).code, "KAFKA_FENCED");
    caught_up(&publishing[0]);
    assert_each_once(kafka, &bench.topic, next);
    for sink in publishing {
        sink.stop(DEADLINE);
    }
}

#[test]
fn a_cursor_topic_that_was_lost_halts_instead_of_doubling() {
    if skipped("a_cursor_topic_that_was_lost_halts_instead_of_doubling") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos-lost");
    bench.options.delivery = exactly_once();
    bench.options.delivery.cursor_topic = format!("{}-cursors", bench.options.pipeline);
    let sink = bench.sink();
    bench.commit(&[Write::Insert(0, "a".to_owned())]);
    caught_up(&sink);
    sink.stop(Duration::from_secs(5));
    bench.options.delivery.cursor_topic = format!("{}-others", bench.options.pipeline);
    let sink = bench.sink();
    let halt = halted(&sink);
    assert_eq!(halt.code, "KAFKA_CURSOR_LOST");
    assert!(halt.cause.contains("sequence 1"), "{halt:?}");
    assert_each_once(kafka, &bench.topic, 1);
}

#[test]
fn a_pipelines_cursor_in_kafka_that_is_another_logs_halts_before_anybody_is_shut_out() {
    if skipped("a_pipelines_cursor_in_kafka_that_is_another_logs_halts_before_anybody_is_shut_out")
    {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos-foreign");
    bench.options.delivery = exactly_once();
    let sink = bench.sink();
    bench.commit(&[Write::Insert(0, "a".to_owned())]);
    caught_up(&sink);
    // The same pipeline on a log of its own.
    let folder = tempfile::tempdir().unwrap();
    let mut options = offtake_log::LogOptions::new(folder.path().join("log"));
    options.segment_bytes = 1 << 20;
    let mut other = offtake_log::open(options).unwrap();
    commit(&mut other.writer, &bench.schema, &bench.topic, &[Write::Insert(7, "x".to_owned())]);
    let mut foreign = bench.options.clone();
    foreign.cursor_path = folder.path().join("kafka.cursor");
    let second = offtake_sink_kafka::KafkaSink::start(foreign, other.log.clone()).unwrap();
    assert_eq!(halted(&second).code, "KAFKA_CURSOR_FOREIGN");
    bench.commit(&[Write::Insert(1, "a".to_owned())]);
    caught_up(&sink);
    assert_each_once(kafka, &bench.topic, 2);
    sink.stop(Duration::from_secs(5));
}
