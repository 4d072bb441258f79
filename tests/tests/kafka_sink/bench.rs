//! A log that a test fills by hand, a sink on it, and how what arrived is read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_change::{
    Batch, Cell, Column, Image, Kind, Lsn, Operation, Row, TableSchema, Transaction,
};
use offtake_log::{Control, CursorFile, Log, LogOptions, LogWriter, Opened};
use offtake_proto::v1;
use offtake_sink_kafka::{
    Delivery, DeliveryOptions, KafkaOptions, KafkaSink, KafkaState, KafkaStatus, TopicOptions,
};
use offtake_tests::kafka::{Kafka, Record};

pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A log in a folder, a sink's options, and the table that is written.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) opened: Opened,
    pub(crate) options: KafkaOptions,
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) topic: String,
}

pub(crate) fn table(key: &[u32]) -> TableSchema {
    TableSchema::new(
        "shop",
        "public",
        "orders",
        vec![Column::new("id", Kind::Integer, "int8"), Column::new("note", Kind::Text, "text")],
        key,
    )
}

pub(crate) fn bench(kafka: &Kafka, hint: &str) -> Bench {
    bench_with(kafka, hint, |_| {})
}

/// Brokers are not asked what they allow.
pub(crate) fn at_least_once() -> DeliveryOptions {
    DeliveryOptions { delivery: Some(Delivery::AtLeastOnce), ..DeliveryOptions::default() }
}

/// The same with other options of the log.
pub(crate) fn bench_with(kafka: &Kafka, hint: &str, change: impl FnOnce(&mut LogOptions)) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let mut options = LogOptions::new(folder.path().join("log"));
    change(&mut options);
    let opened = offtake_log::open(options).unwrap();
    let pipeline = kafka.prefix(hint);
    let cursor = folder.path().join("kafka.cursor");
    let options = KafkaOptions {
        topics: TopicOptions { partitions: 3, replication: 1, ..TopicOptions::default() },
        oauth: None,
        delivery: at_least_once(),
        ..KafkaOptions::new(&pipeline, vec![kafka.brokers().to_owned()], cursor)
    };
    let topic = format!("{pipeline}.public.orders");
    Bench { folder, opened, options, schema: Arc::new(table(&[0])), topic }
}

#[derive(Clone)]
pub(crate) enum Write {
    Insert(i64, String),
    Update(i64, String),
    Delete(i64),
    Move(i64, i64),
}

pub(crate) fn image(batch: &mut Batch, id: i64, note: Option<&str>) -> Image {
    let note = note.map(|note| batch.text(note.as_bytes()));
    let begin = batch.begin_image();
    batch.push_cell(Cell::integer(id));
    batch.push_cell(note.unwrap_or(Cell::ABSENT));
    batch.end_image(begin)
}

impl Bench {
    pub(crate) fn log(&self) -> Log {
        self.opened.log.clone()
    }

    pub(crate) fn sink(&self) -> KafkaSink {
        KafkaSink::start(self.options.clone(), self.log()).unwrap()
    }

    /// One transaction, durable when it returns.
    pub(crate) fn commit(&mut self, writes: &[Write]) {
        commit(&mut self.opened.writer, &self.schema, &self.topic, writes);
    }

    pub(crate) fn cursor(&self) -> Option<v1::SinkCursor> {
        CursorFile::load(&self.options.cursor_path).unwrap()
    }
}

pub(crate) fn commit(
    writer: &mut LogWriter,
    schema: &Arc<TableSchema>,
    topic: &str,
    writes: &[Write],
) {
    commit_without_flush(writer, schema, topic, writes);
    writer.flush().unwrap();
}

/// One transaction, handed to the log.
pub(crate) fn commit_without_flush(
    writer: &mut LogWriter,
    schema: &Arc<TableSchema>,
    topic: &str,
    writes: &[Write],
) {
    let mut batch = Batch::new();
    let commit = Lsn(writer.next_sequence() * 100);
    batch.processed_unix_ns = 1_795_217_029_351_282_175;
    let index = batch.schema_index(schema);
    let transaction = batch.push_transaction(Transaction {
        id: "758".to_owned(),
        commit,
        previous_commit: Lsn::ZERO,
        commit_unix_us: 1_795_217_028_924_622,
        origin: String::new(),
        begin: Lsn::ZERO,
    });
    for (order, write) in writes.iter().enumerate() {
        let (operation, before, after) = match write {
            Write::Insert(id, note) => {
                (Operation::Create, Image::NONE, image(&mut batch, *id, Some(note)))
            }
            Write::Update(id, note) => {
                (Operation::Update, Image::NONE, image(&mut batch, *id, Some(note)))
            }
            Write::Delete(id) => (Operation::Delete, image(&mut batch, *id, None), Image::NONE),
            Write::Move(old, new) => {
                let before = image(&mut batch, *old, None);
                (Operation::Update, before, image(&mut batch, *new, Some("moved")))
            }
        };
        batch.rows.push(Row {
            schema: index,
            transaction,
            lsn: Lsn(commit.0 - 50),
            order: order as u64 + 1,
            order_in_table: order as u64 + 1,
            ..Row::new(operation, before, after)
        });
    }
    let stream = writer.register_stream(topic);
    let schema = writer.register_schema(schema);
    for row in &batch.rows {
        writer.push(stream, schema, |sequence, out| {
            batch.encode(row, sequence, stream, schema, out);
        });
    }
    writer.control(Control::TransactionEnd(v1::TransactionEnd {
        transaction: Some(v1::Transaction {
            id: "758".to_owned(),
            commit: Some(v1::Position { at: Some(v1::position::At::Lsn(commit.0)) }),
            commit_unix_us: 1_795_217_028_924_622,
            ..v1::Transaction::default()
        }),
        last_sequence: writer.next_sequence() - 1,
        logged_changes: writes.len() as u64,
        ..v1::TransactionEnd::default()
    }));
    let end = v1::Position { at: Some(v1::position::At::Lsn(commit.0)) };
    writer.control(Control::SourcePosition(v1::SourcePosition {
        end: Some(end),
        ..v1::SourcePosition::default()
    }));
    writer.submit().unwrap();
}

pub(crate) fn wait(
    sink: &KafkaSink,
    what: &str,
    until: impl Fn(&KafkaStatus) -> bool,
) -> KafkaStatus {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let status = sink.status();
        if until(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "{what}: {status:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn caught_up(sink: &KafkaSink) -> KafkaStatus {
    wait(sink, "the sink catches up", |status| status.lag == 0)
}

pub(crate) fn halted(sink: &KafkaSink) -> offtake_sink_kafka::Halted {
    let status =
        wait(sink, "the sink halts", |status| matches!(status.state, KafkaState::Halted(_)));
    match status.state {
        KafkaState::Halted(halted) => halted,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn key(id: i64) -> Vec<u8> {
    format!("{{\"id\":{id}}}").into_bytes()
}

pub(crate) fn json(record: &Record) -> serde_json::Value {
    serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()
}

/// Versions of one key as its partition has them, tombstones left out.
pub(crate) fn notes(records: &[Record], id: i64) -> Vec<String> {
    records
        .iter()
        .filter(|record| record.key.as_deref() == Some(&key(id)[..]) && record.value.is_some())
        .map(|record| json(record)["after"]["note"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Repeated runs are allowed; what is left without them must be the numbers in order.
pub(crate) fn assert_in_order_with_resends(notes: &[String], versions: u64) {
    let numbers: Vec<u64> = notes.iter().map(|note| note.parse().unwrap()).collect();
    let mut highest = 0;
    for (index, &number) in numbers.iter().enumerate() {
        assert!(number <= highest + 1, "{number} follows {highest}: {numbers:?}");
        if number <= highest && index > 0 {
            // A re-send begins somewhere before and then goes on without a gap.
            let previous = numbers[index - 1];
            assert!(number == previous + 1 || number <= previous, "{numbers:?}");
        }
        highest = highest.max(number);
    }
    assert_eq!(highest, versions, "{numbers:?}");
}

pub(crate) fn wait_until(what: &str, mut until: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !until() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
