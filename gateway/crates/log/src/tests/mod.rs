//! Behaviours over the fake disk. What they share stands here: how a change is made and how a whole
//! log is read.

mod disk;
mod full;
mod golden;
mod model;
mod reading;
mod recovery;
mod retention;
mod walking;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use offtake_change::{Column, Kind, TableSchema};
use offtake_proto::v1;
use prost::Message;

use self::disk::FakeDisk;
use crate::options::Environment;
use crate::recover::open_with;
use crate::{Control, Log, LogError, LogOptions, LogWriter, Opened, ReadError, Selection};

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

/// A clock that a test moves.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as i64, Ordering::SeqCst);
    }
}

fn environment_at(disk: &FakeDisk, clock: &Clock) -> Environment {
    let clock = clock.clone();
    Environment {
        disk: Arc::new(disk.clone()),
        now: Arc::new(move || clock.0.load(Ordering::SeqCst)),
        on_sync_failure: |_| {},
    }
}

fn environment(disk: &FakeDisk) -> Environment {
    environment_at(disk, &Clock::default())
}

fn options() -> LogOptions {
    LogOptions { reserve_bytes: 0, retain_age: None, ..LogOptions::new("fake") }
}

fn open(disk: &FakeDisk) -> Opened {
    try_open(disk).expect("the log opens")
}

fn try_open(disk: &FakeDisk) -> Result<Opened, LogError> {
    open_with(options(), environment(disk))
}

fn schema(table: &str, version: u32) -> Arc<TableSchema> {
    Arc::new(TableSchema {
        version,
        ..TableSchema::new(
            "shop",
            "public",
            table,
            vec![Column::new("id", Kind::Integer, "int8")],
            &[0],
        )
    })
}

/// Pushes a change of a stream with a payload; registers both.
fn push(writer: &mut LogWriter, stream: &str, payload: &[u8]) -> u64 {
    let schema = writer.register_schema(&schema(stream, 1));
    let stream = writer.register_stream(stream);
    writer.push(stream, schema, |sequence, out| {
        let change = v1::Change {
            sequence,
            stream,
            schema,
            operation: 1,
            payload: payload.to_vec().into(),
            ..v1::Change::default()
        };
        change.encode(out).unwrap();
    })
}

fn position(lsn: u64) -> v1::SourcePosition {
    let at = Some(v1::position::At::Lsn(lsn));
    v1::SourcePosition { end: Some(v1::Position { at }), ..v1::SourcePosition::default() }
}

/// One group with one change and a position, durable.
fn append(writer: &mut LogWriter, stream: &str, payload: &[u8]) -> u64 {
    let sequence = push(writer, stream, payload);
    writer.control(Control::SourcePosition(position(sequence)));
    writer.flush().expect("the group becomes durable");
    sequence
}

/// A change as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    sequence: u64,
    stream: String,
    payload: Vec<u8>,
}

/// Everything durable after a sequence, with every promise of a reader checked on the way.
fn read(log: &Log, after: u64, selection: Selection) -> Result<Vec<Seen>, ReadError> {
    let mut reader = log.reader(after, selection)?;
    let mut seen = Vec::new();
    while let Some(group) = reader.next_group()? {
        let first = seen.len();
        for run in &group.runs {
            let name = log.stream_name(run.stream).expect("the stream is registered");
            assert!(log.schema(run.schema).is_some(), "the schema is registered");
            let mut expected = run.first_sequence;
            for change in run.changes() {
                let change = change.unwrap();
                assert_eq!(change.sequence, expected);
                assert_eq!((change.stream, change.schema), (run.stream, run.schema));
                expected += 1;
                let payload = change.payload.to_vec();
                seen.push(Seen { sequence: change.sequence, stream: name.to_string(), payload });
            }
            assert_eq!(expected, run.first_sequence + u64::from(run.count));
        }
        assert!(seen[first..].iter().all(|seen| seen.sequence <= group.last_sequence));
        assert_eq!(reader.sequence(), group.last_sequence);
    }
    assert_eq!(reader.sequence(), log.durable().borrow().sequence);
    assert!(seen.is_sorted_by(|one, other| one.sequence < other.sequence));
    Ok(seen)
}

fn read_all(log: &Log) -> Vec<Seen> {
    read(log, log.earliest_sequence() - 1, Selection::all()).expect("the log can be read")
}

/// Waits for a condition, at most ten seconds.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::yield_now();
    }
}
