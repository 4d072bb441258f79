//! A cursor in Kafka that this version cannot use: the sink halts before anybody is shut out or
//! anything is written, and goes on where it was once the record is one that it knows.

use offtake_proto::v1;
use offtake_tests::kafka::{Kafka, skipped};
use prost::Message;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::bench::*;
use crate::{assert_each_once, exactly_once};

/// Writes the record of a key, as somebody else would.
fn put(kafka: &Kafka, topic: &str, key: &str, value: &[u8]) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create().unwrap();
    producer.send(BaseRecord::to(topic).partition(0).key(key).payload(value)).unwrap();
    producer.flush(DEADLINE).unwrap();
}

#[test]
fn a_cursor_record_that_cannot_be_read_or_is_of_a_later_version_halts_and_keeps_the_place() {
    let name =
        "a_cursor_record_that_cannot_be_read_or_is_of_a_later_version_halts_and_keeps_the_place";
    if skipped(name) {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos-record");
    let topic = format!("{}-cursors", bench.options.pipeline);
    kafka.create_topic(&topic, 1, &[("cleanup.policy", "compact")]).unwrap();
    bench.options.delivery = exactly_once();
    bench.options.delivery.cursor_topic = topic.clone();
    let sink = bench.sink();
    bench.commit(&[Write::Insert(0, "a".to_owned())]);
    caught_up(&sink);
    sink.stop(DEADLINE);
    let key = format!("{}/kafka", bench.options.pipeline);
    let right = kafka.read_committed(&topic).unwrap().pop().unwrap();
    assert_eq!(right.key.as_deref(), Some(key.as_bytes()));
    let right = right.value.unwrap();
    let record = v1::SinkCursor::decode(&*right).unwrap();
    let later = v1::SinkCursor { format: record.format + 1, ..record }.encode_to_vec();
    bench.commit(&[Write::Insert(1, "a".to_owned())]);
    for (value, reason) in [
        (&b"\xff no cursor"[..], "it cannot be read"),
        (&later, "it was written by a later version"),
    ] {
        put(kafka, &topic, &key, value);
        let before = kafka.read(&topic).unwrap();
        let sink = bench.sink();
        let halt = halted(&sink);
        assert_eq!(halt.code, "KAFKA_CURSOR_RECORD");
        for words in [&key, &topic, reason] {
            assert!(halt.cause.contains(words), "there is no {words:?} in {halt:?}");
        }
        assert!(halt.next_step.contains("version of offtake"), "{halt:?}");
        sink.stop(DEADLINE);
        assert_eq!(kafka.read(&topic).unwrap(), before, "nothing is written over it");
        assert_each_once(kafka, &bench.topic, 1);
    }
    put(kafka, &topic, &key, &right);
    let sink = bench.sink();
    caught_up(&sink);
    assert_each_once(kafka, &bench.topic, 2);
    sink.stop(DEADLINE);
}
