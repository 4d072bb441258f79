//! What is deleted and what is not.

use super::disk::FakeDisk;
use super::*;
use crate::BlockedReason;

fn small() -> LogOptions {
    LogOptions { segment_bytes: 4 << 10, retain_bytes: 16 << 10, ..options() }
}

#[test]
fn without_pins_the_oldest_segments_go_and_what_is_left_has_no_gap() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open_with(small(), environment(&disk)).unwrap();
    for _ in 0..40 {
        append(&mut writer, "a", &[7; 1000]);
        assert!(log.stats().bytes <= 16 << 10);
    }
    let earliest = log.earliest_sequence();
    assert!(earliest > 20);
    assert_eq!(read_all(&log).len() as u64, 40 - earliest + 1);
    let too_old = log.reader(earliest - 2, Selection::all()).unwrap_err();
    assert_eq!(too_old.code(), "LOG_CURSOR_TOO_OLD");
    assert!(matches!(too_old, ReadError::TooOld { earliest: found } if found == earliest));
    let ahead = log.reader(41, Selection::all()).unwrap_err();
    assert!(matches!(ahead, ReadError::Ahead { latest: 40 }));
    let held = log.stats();
    assert_eq!(held.streams[0].changes, 40 - earliest + 1, "counts follow what is held");
    drop((writer, log));
    let Opened { log, .. } = open_with(small(), environment(&disk)).unwrap();
    assert_eq!(log.earliest_sequence(), earliest);
    assert_eq!(log.stats().streams, held.streams);
}

#[test]
fn a_pin_blocks_a_full_log_until_it_moves() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open_with(small(), environment(&disk)).unwrap();
    let pin = log.pin("kafka", 3);
    let submitting = std::thread::spawn(move || {
        for _ in 0..40 {
            append(&mut writer, "a", &[7; 1000]);
        }
        writer
    });
    let is_blocked = |log: &Log| {
        let reason = BlockedReason::RetainBytes { pin: "kafka".to_owned() };
        log.stats().blocked.is_some_and(|blocked| blocked.reason == reason)
    };
    eventually("blocked", || is_blocked(&log));
    let stuck_at = log.durable().borrow().sequence;
    assert!(stuck_at < 40);
    let seen = read(&log, 3, Selection::all()).unwrap();
    assert_eq!(seen[0].sequence, 4, "what the pin holds is there");
    pin.advance(stuck_at);
    eventually("it went on", || log.durable().borrow().sequence > stuck_at);
    drop(pin);
    let writer = submitting.join().unwrap();
    assert_eq!(log.durable().borrow().sequence, 40);
    assert_eq!(log.stats().blocked, None);
    drop(writer);
}

#[test]
fn a_log_that_was_full_is_blocked_after_a_restart_too_and_keeps_what_a_pin_takes_over() {
    let disk = FakeDisk::new();
    let large = LogOptions { retain_bytes: 1 << 20, ..small() };
    let mut opened = open_with(large, environment(&disk)).unwrap();
    for _ in 0..40 {
        append(&mut opened.writer, "a", &[7; 1000]);
    }
    drop(opened);
    let Opened { mut writer, log, .. } = open_with(small(), environment(&disk)).unwrap();
    let pin = log.pin("kafka", 5);
    let submitting = std::thread::spawn(move || append(&mut writer, "a", b"waits"));
    eventually("blocked", || log.stats().blocked.is_some());
    assert_eq!(read(&log, 5, Selection::all()).unwrap().len(), 35);
    pin.advance(40);
    assert_eq!(submitting.join().unwrap(), 41);
    assert!(log.stats().bytes <= 16 << 10);
}

#[test]
fn age_deletes_closed_segments_but_not_past_a_pin() {
    let disk = FakeDisk::new();
    let clock = Clock::default();
    let options = LogOptions { retain_age: Some(Duration::from_secs(100)), ..options() };
    let Opened { mut writer, log, .. } = open_with(options, environment_at(&disk, &clock)).unwrap();
    let pin = log.pin("kafka", 2);
    for _ in 0..10 {
        append(&mut writer, "a", b"a quiet log");
        clock.advance(Duration::from_secs(30));
    }
    assert!(log.earliest_sequence() <= 3);
    assert_eq!(read(&log, 2, Selection::all()).unwrap().len(), 8);
    pin.advance(10);
    append(&mut writer, "a", b"the next one");
    assert!(log.earliest_sequence() >= 6, "{}", log.earliest_sequence());
    assert!(log.earliest_sequence() <= 8, "younger than the age");
}

#[test]
fn a_reader_in_a_deleted_segment_reads_it_to_its_end_and_is_then_told() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open_with(small(), environment(&disk)).unwrap();
    append(&mut writer, "a", &[7; 1000]);
    let mut reader = log.reader(0, Selection::all()).unwrap();
    for _ in 0..40 {
        append(&mut writer, "a", &[7; 1000]);
    }
    assert_eq!(reader.next_group().unwrap().unwrap().last_sequence, 1);
    let error = loop {
        match reader.next_group() {
            Ok(Some(group)) => assert!(group.last_sequence < log.earliest_sequence()),
            Ok(None) => panic!("the reader was not told"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "LOG_CURSOR_TOO_OLD");
}
