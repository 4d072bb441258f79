//! Full and broken disks: the log waits or the process ends, and nothing is lost.

use super::disk::FakeDisk;
use super::*;
use crate::{BlockedReason, CursorFile};

#[test]
fn a_full_disk_blocks_and_the_log_goes_on_by_itself() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open(&disk);
    append(&mut writer, "a", b"fits");
    disk.set_capacity(Some(disk.used() + 1000));
    let waiting = std::thread::spawn(move || {
        for number in 0..10u8 {
            push(&mut writer, "a", &[number; 700]);
            writer.submit().unwrap();
        }
        writer.flush().unwrap();
        writer
    });
    eventually("blocked", || {
        log.stats().blocked.is_some_and(|blocked| blocked.reason == BlockedReason::DiskFull)
    });
    let durable = log.durable().borrow().sequence;
    assert!(durable <= 2);
    assert_eq!(read_all(&log).len() as u64, durable, "reading goes on");
    disk.set_capacity(None);
    let writer = waiting.join().unwrap();
    assert_eq!(log.stats().blocked, None);
    assert_eq!(read_all(&log).len(), 11);
    drop((writer, log));
    assert_eq!(read_all(&open(&disk).log).len(), 11);
}

#[test]
fn a_full_disk_at_the_start_opens_blocks_and_goes_on() {
    let disk = FakeDisk::new();
    append(&mut open(&disk).writer, "a", b"before");
    disk.set_capacity(Some(disk.used()));
    let Opened { mut writer, log, recovered } = open(&disk);
    assert_eq!(recovered.next_sequence, 2);
    let waiting = std::thread::spawn(move || append(&mut writer, "a", b"after"));
    eventually("blocked", || log.stats().blocked.is_some());
    disk.set_capacity(None);
    assert_eq!(waiting.join().unwrap(), 2);
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn a_full_disk_still_takes_control_records_from_the_reserve() {
    let disk = FakeDisk::new();
    let options = LogOptions { reserve_bytes: 64 << 10, ..options() };
    let Opened { mut writer, log, .. } = open_with(options, environment(&disk)).unwrap();
    append(&mut writer, "a", b"before");
    disk.set_capacity(Some(disk.used()));
    writer.control(Control::SourcePosition(position(77)));
    writer.flush().unwrap();
    assert_eq!(log.durable().borrow().position.as_deref(), Some(&position(77)));
}

#[test]
fn closing_a_blocked_log_lets_a_waiting_submit_go() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open(&disk);
    disk.set_capacity(Some(disk.used()));
    push(&mut writer, "a", b"waits");
    let waiting = std::thread::spawn(move || writer.flush().unwrap_err().code());
    eventually("blocked", || log.stats().blocked.is_some());
    log.close();
    assert_eq!(waiting.join().unwrap(), "LOG_CLOSED");
    drop(log);
    disk.set_capacity(None);
    let Opened { recovered, .. } = open(&disk);
    assert!(recovered.is_empty);
}

#[test]
fn a_failed_sync_publishes_nothing_and_stops_the_writer() {
    let disk = FakeDisk::new();
    let Opened { mut writer, log, .. } = open(&disk);
    append(&mut writer, "a", b"durable");
    disk.fail_sync(true);
    push(&mut writer, "a", b"not durable");
    let error = writer.flush().unwrap_err();
    assert_eq!(error.code(), "LOG_IO");
    assert_eq!(log.durable().borrow().sequence, 1);
    assert_eq!(read_all(&log).len(), 1);
    disk.fail_sync(false);
    push(&mut writer, "a", b"never again");
    assert_eq!(writer.submit().unwrap_err().code(), "LOG_IO", "no sync is tried twice");
}

const CHILD: &str = "OFFTAKE_LOG_TEST_FAILED_SYNC";

#[test]
fn a_failed_sync_ends_the_process() {
    let name = "tests::full::a_failed_sync_ends_the_process";
    if std::env::var_os(CHILD).is_some() {
        let disk = FakeDisk::new();
        let mut environment = environment(&disk);
        environment.on_sync_failure = crate::options::end_process;
        let Opened { mut writer, .. } = open_with(options(), environment).unwrap();
        append(&mut writer, "a", b"durable");
        disk.fail_sync(true);
        push(&mut writer, "a", b"not durable");
        let _ = writer.flush();
        // Reached only when the process went on.
        std::process::exit(0);
    }
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap()
        .status;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "{status}");
}

#[test]
fn a_crash_while_a_cursor_is_stored_leaves_the_old_or_the_new_one() {
    for seed in 0..300 {
        let disk = FakeDisk::new();
        let store = |sequence| {
            let cursor = v1::SinkCursor { sequence, ..Default::default() };
            CursorFile::on(Arc::new(disk.clone()), "kafka.cursor").store(&cursor)
        };
        store(1).unwrap();
        disk.fail_sync(seed % 2 == 0);
        let stored = store(2).is_ok();
        let disk = disk.crash(&mut super::disk::Dice(seed));
        let found = CursorFile::on(Arc::new(disk), "kafka.cursor").read().unwrap().unwrap();
        assert!(found.sequence == 2 || (!stored && found.sequence == 1), "{}", found.sequence);
    }
}
