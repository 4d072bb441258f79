//! A change that cannot be published, with others before it that are not committed yet: they are
//! committed, and the halt stands behind them.

use std::sync::Arc;

use offtake_change::{Batch, Image, Lsn, Operation, Row};
use offtake_log::Selection;
use offtake_sink_kafka::StreamRule;
use offtake_tests::kafka::{Kafka, skipped};

use crate::bench::*;
use crate::{assert_each_once, exactly_once};

/// Rows before the one that cannot be published.
const ROWS: i64 = 20;

/// Everything is in the log when the sink begins, so that all of it comes into one transaction.
fn good_rows_then(bench: &mut Bench, last: Write) {
    for id in 0..ROWS {
        bench.commit(&[Write::Insert(id, "a".to_owned())]);
    }
    bench.commit(&[Write::Insert(ROWS, "with it".to_owned()), last]);
    bench.commit(&[Write::Insert(ROWS + 1, "after it".to_owned())]);
}

#[track_caller]
fn assert_halts_behind_them(kafka: &Kafka, bench: &Bench, code: &str) {
    // Again after a restart: nothing more, nothing twice.
    for _ in 0..2 {
        let sink = bench.sink();
        assert_eq!(halted(&sink).code, code);
        assert_eq!(sink.status().cursor, ROWS as u64);
        assert_each_once(kafka, &bench.topic, ROWS);
        sink.stop(DEADLINE);
    }
}

/// A row whose bytes in the log are damaged before their checksum is made, with good ones before it.
fn good_rows_then_damaged(bench: &mut Bench, damage: fn(&mut [u8])) {
    for id in 0..ROWS {
        bench.commit(&[Write::Insert(id, "a".to_owned())]);
    }
    let mut batch = Batch::new();
    let schema = batch.schema_index(&bench.schema);
    let after = image(&mut batch, ROWS, Some("a"));
    batch.rows.push(Row { schema, lsn: Lsn(1), ..Row::new(Operation::Create, Image::NONE, after) });
    batch.set_headers(0, [("tier", &b"gold"[..])].into_iter());
    let writer = &mut bench.opened.writer;
    let stream = writer.register_stream(&bench.topic);
    let schema = writer.register_schema(&bench.schema);
    writer.push(stream, schema, |sequence, out| {
        let begin = out.len();
        batch.encode(&batch.rows[0], sequence, stream, schema, out);
        damage(&mut out[begin..]);
    });
    writer.flush().unwrap();
    bench.commit(&[Write::Insert(ROWS + 1, "after it".to_owned())]);
}

#[test]
fn what_lies_before_a_change_that_cannot_be_read_is_committed() {
    if skipped("what_lies_before_a_change_that_cannot_be_read_is_committed") {
        return;
    }
    let kafka = Kafka::shared();
    let no_varint: fn(&mut [u8]) = |change| change.fill(0xff);
    let no_text: fn(&mut [u8]) = |change| {
        let name = change.windows(4).position(|bytes| bytes == b"tier").unwrap();
        change[name] = 0xff;
    };
    for (hint, damage, code, words) in [
        ("eos-damaged", no_varint, "ENCODE_CHANGE_DAMAGED", "a change in the log cannot be read: "),
        ("eos-header", no_text, "ENCODE_HEADER_NAME", "a header of a change in the log has a name"),
    ] {
        let mut bench = bench(kafka, hint);
        bench.options.delivery = exactly_once();
        good_rows_then_damaged(&mut bench, damage);
        assert_halts_behind_them(kafka, &bench, code);
        let sink = bench.sink();
        let halt = halted(&sink);
        assert!(halt.cause.contains(words), "{halt:?}");
        assert!(halt.next_step.contains("the log's folder"), "{halt:?}");
    }
}

#[test]
fn what_lies_before_a_row_without_a_partition_is_committed() {
    if skipped("what_lies_before_a_row_without_a_partition_is_committed") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos-unknown");
    bench.options.delivery = exactly_once();
    bench.options.topics.rules = vec![StreamRule {
        streams: Selection::globs([bench.topic.clone()]),
        partition_by: vec!["note".to_owned()],
        ..StreamRule::default()
    }];
    // A deleted row has its key alone.
    good_rows_then(&mut bench, Write::Delete(1));
    assert_halts_behind_them(kafka, &bench, "KAFKA_PARTITION_UNKNOWN");
}

#[test]
fn what_lies_before_a_row_that_is_too_large_is_committed() {
    if skipped("what_lies_before_a_row_that_is_too_large_is_committed") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos-large");
    bench.options.delivery = exactly_once();
    let plain = ("compression.codec".to_owned(), "none".to_owned());
    bench.options.properties.extend([plain]);
    kafka.create_topic(&bench.topic, 1, &[("max.message.bytes", "20000")]).unwrap();
    good_rows_then(&mut bench, Write::Insert(ROWS + 9, "a".repeat(50_000)));
    assert_halts_behind_them(kafka, &bench, "KAFKA_MESSAGE_TOO_LARGE");
}

#[test]
fn a_row_without_a_key_on_a_compacted_topic_is_refused_with_a_code() {
    if skipped("a_row_without_a_key_on_a_compacted_topic_is_refused_with_a_code") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "eos-keyless");
    bench.options.delivery = exactly_once();
    kafka.create_topic(&bench.topic, 1, &[("cleanup.policy", "compact")]).unwrap();
    bench.schema = Arc::new(table(&[]));
    bench.commit(&[Write::Insert(0, "a".to_owned())]);
    let sink = bench.sink();
    let halt = halted(&sink);
    assert_eq!(halt.code, "KAFKA_REFUSED");
    assert!(halt.cause.contains(&bench.topic), "{halt:?}");
    sink.stop(DEADLINE);
}
