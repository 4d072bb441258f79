//! A log that is full and a disk that is full: the sink lets go of nothing before its cursor is
//! durable, and goes on by itself. A log that was let go of without it halts the sink.

use std::os::unix::fs::symlink;

use offtake_log::CursorFile;
use offtake_sink_kafka::KafkaState;
use offtake_tests::kafka::{Kafka, skipped};

use crate::bench::*;

const CHANGES: i64 = 4000;

#[test]
fn a_kafka_cursor_on_the_disk_never_lies_before_what_a_full_log_has_deleted() {
    if skipped("a_kafka_cursor_on_the_disk_never_lies_before_what_a_full_log_has_deleted") {
        return;
    }
    let kafka = Kafka::shared();
    let Bench { folder, opened, options, schema, topic } =
        bench_with(kafka, "limit", |log| log.retain_bytes = 256 << 10);
    let (log, mut writer) = (opened.log.clone(), opened.writer);
    let held = log.pin("test", 0);
    let load = std::thread::spawn(move || {
        for id in 0..CHANGES {
            let note = "n".repeat(1000);
            commit(&mut writer, &schema, &topic, &[Write::Insert(id, note)]);
        }
        writer
    });
    wait_until("the log is full", || log.stats().blocked.is_some());
    let sink = offtake_sink_kafka::KafkaSink::start(options.clone(), log.clone()).unwrap();
    drop(held);
    let mut deleted = 0;
    while !load.is_finished() {
        // What is deleted first, what the cursor says second: it can only be further.
        let gone = log.earliest_sequence() - 1;
        if gone > deleted {
            deleted = gone;
            let cursor = CursorFile::load(&options.cursor_path).unwrap();
            let cursor = cursor.map_or(0, |cursor| cursor.sequence);
            assert!(cursor >= gone, "a start would go on after {cursor}, {gone} are gone");
        }
    }
    assert!(deleted > 1000, "{deleted}");
    let writer = load.join().unwrap();
    caught_up(&sink);
    assert_eq!(kafka.read(&format!("{}.public.orders", options.pipeline)).unwrap().len(), 4000);
    drop((writer, folder));
}

#[test]
fn kafka_goes_on_while_the_disk_is_full_and_writes_its_cursor_when_there_is_space() {
    if skipped("kafka_goes_on_while_the_disk_is_full_and_writes_its_cursor_when_there_is_space") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "full_disk");
    let sink = bench.sink();
    bench.commit(&[Write::Insert(1, "before".to_owned())]);
    wait_until("the cursor is written", || bench.cursor().is_some());
    // The file that is to take its place cannot be written.
    let aside = bench.options.cursor_path.with_extension("cursor.tmp");
    symlink("/dev/full", &aside).unwrap();
    for id in 2..200 {
        bench.commit(&[Write::Insert(id, "while it is full".to_owned())]);
    }
    let status = wait(&sink, "the full disk is told", |status| {
        status.lag == 0 && status.state == KafkaState::Waiting
    });
    assert!(status.last_error.unwrap().contains("cursor"), "the reason is told");
    assert_eq!(bench.cursor().unwrap().sequence, 1);
    assert_eq!(kafka.read(&bench.topic).unwrap().len(), 199);

    std::fs::remove_file(&aside).unwrap();
    wait(&sink, "the sink runs", |status| status.state == KafkaState::Running);
    wait_until("the cursor is written", || bench.cursor().unwrap().sequence == 199);
    sink.stop(DEADLINE);
}

#[test]
fn a_log_that_no_longer_holds_what_follows_the_cursor_halts_kafka_until_somebody_decides() {
    let name =
        "a_log_that_no_longer_holds_what_follows_the_cursor_halts_kafka_until_somebody_decides";
    if skipped(name) {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench_with(kafka, "too_old", |log| log.retain_bytes = 64 << 10);
    let sink = bench.sink();
    for id in 1..=5 {
        bench.commit(&[Write::Insert(id, "before".to_owned())]);
    }
    caught_up(&sink);
    sink.stop(DEADLINE);
    assert_eq!(bench.cursor().unwrap().sequence, 5);
    // Nobody holds the log, as where Kafka was taken out of the configuration for a while.
    let log = bench.log();
    let mut id = 5;
    wait_until("what follows the cursor is deleted", || {
        id += 1;
        bench.commit(&[Write::Insert(id, "n".repeat(1000))]);
        log.earliest_sequence() > 6
    });
    let earliest = log.earliest_sequence();
    let sink = bench.sink();
    let halt = halted(&sink);
    assert_eq!(halt.code, "KAFKA_CURSOR_TOO_OLD");
    for words in ["at sequence 5,".to_owned(), format!("begins at {earliest}")] {
        assert!(halt.cause.contains(&words), "{halt:?}");
    }
    assert!(halt.next_step.contains("resync") && halt.next_step.contains("gap"), "{halt:?}");
    sink.stop(DEADLINE);
    assert_eq!(bench.cursor().unwrap().sequence, 5, "the place is kept");
    assert_eq!(kafka.read(&bench.topic).unwrap().len(), 5);
    assert_eq!(log.earliest_sequence(), earliest);
    // Decided: on with a gap.
    std::fs::remove_file(&bench.options.cursor_path).unwrap();
    let sink = bench.sink();
    caught_up(&sink);
    let records = kafka.read(&bench.topic).unwrap();
    assert_eq!(records.len() as u64, 5 + (id as u64 - earliest + 1));
    sink.stop(DEADLINE);
}
