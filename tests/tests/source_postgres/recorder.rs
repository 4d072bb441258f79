//! Plays the pipeline: takes events, keeps what a log would keep, and acknowledges it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use offtake_change::{
    Batch, Image, Lsn, NO_TRANSACTION, Operation, Snapshot, TableSchema, ValueRef,
};
use offtake_proto::v1;
use offtake_source_postgres::{
    ConnectOptions, Resume, SourceError, SourceEvent, SourceOptions, SourceStatus, run,
};
use offtake_tests::postgres::Postgres;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a condition may take to come true.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// A change as it was handed over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) table: String,
    pub(crate) operation: char,
    pub(crate) snapshot: Snapshot,
    pub(crate) before: Option<Vec<String>>,
    pub(crate) after: Option<Vec<String>>,
    /// Empty: none.
    pub(crate) transaction: String,
    pub(crate) commit: Lsn,
    pub(crate) previous_commit: Lsn,
    pub(crate) begin: Lsn,
    pub(crate) lsn: Lsn,
    pub(crate) order: u64,
    pub(crate) order_in_table: u64,
    pub(crate) schema: Arc<TableSchema>,
}

impl Seen {
    /// Operation, table and after image (before image of a delete), for reading.
    pub(crate) fn brief(&self) -> String {
        let image = self.after.as_ref().or(self.before.as_ref());
        format!(
            "{} {} {}",
            self.operation,
            self.table,
            image.map_or(String::new(), |i| i.join("|"))
        )
    }
}

/// What a log would hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) identity: Option<v1::SourceIdentity>,
    pub(crate) tables: Vec<Arc<TableSchema>>,
    pub(crate) rows: Vec<Seen>,
    pub(crate) position: Option<v1::SourcePosition>,
    pub(crate) snapshots: BTreeMap<String, v1::SnapshotProgress>,
    pub(crate) snapshot_events: Vec<(String, v1::SnapshotState)>,
    pub(crate) transactions: u64,
    pub(crate) idles: u64,
    pub(crate) anything: bool,
    /// Tables are published that are not captured, so that orders have gaps.
    pub(crate) is_wide: bool,
}

impl Log {
    pub(crate) fn briefs(&self) -> Vec<String> {
        self.rows.iter().map(Seen::brief).collect()
    }

    pub(crate) fn rows_of(&self, table: &str) -> Vec<&Seen> {
        self.rows.iter().filter(|row| row.table == table).collect()
    }

    pub(crate) fn end(&self) -> Lsn {
        lsn(self.position.as_ref().and_then(|position| position.end.as_ref()))
    }

    pub(crate) fn idle(&self) -> Lsn {
        lsn(self.position.as_ref().and_then(|position| position.idle.as_ref()))
    }

    pub(crate) fn is_done(&self, table: &str) -> bool {
        self.snapshots
            .get(table)
            .is_some_and(|progress| progress.state() == v1::SnapshotState::Done)
    }

    pub(crate) fn resume(&self) -> Resume {
        Resume {
            position: self.position.clone(),
            snapshots: self.snapshots.values().cloned().collect(),
            schemas: Vec::new(),
            log_is_empty: !self.anything,
        }
    }

    fn take(&mut self, event: SourceEvent) {
        match event {
            SourceEvent::Started { identity, tables } => {
                self.identity = Some(identity);
                self.tables = tables;
            }
            SourceEvent::Snapshot(progress) => {
                self.anything = true;
                let name = format!("{}.{}", progress.namespace, progress.table);
                self.snapshot_events.push((name.clone(), progress.state()));
                self.snapshots.insert(name, progress);
            }
            SourceEvent::Idle(place) => {
                self.anything = true;
                self.idles += 1;
                assert!(place >= self.end(), "an idle position behind the end");
                assert!(place >= self.idle(), "an idle position moved back");
                let identity = self.identity.clone();
                let position = self.position.get_or_insert_default();
                assert!(position.partial.is_none(), "idle inside a transaction");
                position.source = identity;
                position.idle = at(place);
            }
            SourceEvent::Batch(batch) => self.take_batch(&batch),
            SourceEvent::Replay(_) => panic!("nobody asked for a row"),
        }
    }

    fn take_batch(&mut self, batch: &Batch) {
        self.anything = true;
        assert!(!batch.is_empty() && batch.processed_unix_ns > 0);
        let identity = self.identity.clone();
        let mut boundaries = batch.boundaries.iter().peekable();
        for index in 0..=batch.rows.len() {
            while let Some(boundary) = boundaries.next_if(|next| next.rows_end as usize == index) {
                let transaction = &batch.transactions[boundary.transaction as usize];
                let position = self.position.get_or_insert_default();
                position.source.clone_from(&identity);
                position.end = at(boundary.end);
                position.last_commit = at(transaction.commit);
                position.partial = None;
                self.transactions += 1;
                let last = self.rows.iter().rev().find(|row| !row.transaction.is_empty());
                assert!(
                    self.is_wide || last.map(|row| row.order) == Some(boundary.source_rows),
                    "the last row has the transaction's last place"
                );
            }
            let Some(row) = batch.rows.get(index) else { break };
            let transaction = (row.transaction != NO_TRANSACTION)
                .then(|| &batch.transactions[row.transaction as usize]);
            let schema = &batch.schemas[row.schema as usize];
            if let Some(transaction) = transaction {
                let position = self.position.get_or_insert_default();
                position.source.clone_from(&identity);
                position.partial = Some(v1::Partial {
                    transaction_id: transaction.id.clone(),
                    commit: at(transaction.commit),
                    next_row: row.order,
                    ..Default::default()
                });
            } else if row.operation == Operation::Message {
                // As the pipeline does: the place is in one group with the message.
                let position = self.position.get_or_insert_default();
                position.source.clone_from(&identity);
                position.idle = at(row.lsn.max(lsn(position.idle.as_ref())));
            }
            self.rows.push(Seen {
                table: schema.qualified_name(),
                operation: row.operation.letter().into(),
                snapshot: row.snapshot,
                before: image(batch, row.before),
                after: image(batch, row.after),
                transaction: transaction.map_or(String::new(), |found| found.id.clone()),
                commit: transaction.map_or(Lsn::ZERO, |found| found.commit),
                previous_commit: transaction.map_or(Lsn::ZERO, |found| found.previous_commit),
                begin: transaction.map_or(Lsn::ZERO, |found| found.begin),
                lsn: row.lsn,
                order: row.order,
                order_in_table: row.order_in_table,
                schema: Arc::clone(schema),
            });
        }
    }
}

fn at(lsn: Lsn) -> Option<v1::Position> {
    Some(v1::Position { at: Some(v1::position::At::Lsn(lsn.0)) })
}

fn lsn(position: Option<&v1::Position>) -> Lsn {
    match position.and_then(|position| position.at.as_ref()) {
        Some(v1::position::At::Lsn(lsn)) => Lsn(*lsn),
        _ => Lsn::ZERO,
    }
}

fn image(batch: &Batch, image: Image) -> Option<Vec<String>> {
    image.is_some().then(|| batch.values(image).map(text).collect())
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Unchanged => "<unchanged>".to_owned(),
        ValueRef::Absent => "<absent>".to_owned(),
        ValueRef::Boolean(value) => value.to_string(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Unsigned(value) => value.to_string(),
        ValueRef::Single(value) => value.to_string(),
        ValueRef::Number(value) => value.to_string(),
        ValueRef::Text(value) => String::from_utf8(value.to_vec()).unwrap(),
        ValueRef::Bytes(value) => format!("{value:02x?}"),
        ValueRef::List(list) => {
            let values: Vec<String> = list.iter().map(|value| text(value.unwrap())).collect();
            format!("[{}]", values.join(","))
        }
    }
}

/// Whether the recorder takes the next event; it asks again while it may not.
pub(crate) type TakeWhile = Box<dyn FnMut(&Log) -> bool + Send>;

/// A running source.
pub(crate) struct Running {
    log: Arc<Mutex<Log>>,
    changed: watch::Receiver<u64>,
    shutdown: watch::Sender<bool>,
    source: JoinHandle<Result<(), SourceError>>,
    recorder: JoinHandle<()>,
    pub(crate) status: Arc<SourceStatus>,
}

pub(crate) fn options(server: &Postgres, database: &str, tables: &[&str]) -> SourceOptions {
    let connect: ConnectOptions = server.url(database).parse().unwrap();
    let mut options = SourceOptions::new(connect, database);
    options.tables = tables.iter().map(|&table| table.to_owned()).collect();
    options.idle_interval = Duration::from_millis(200);
    options.status_interval = Duration::from_millis(500);
    options
}

/// Starts the source on what a log holds.
pub(crate) fn start(options: SourceOptions, log: Log) -> Running {
    start_with(options, log, 4, Box::new(|_| true))
}

/// As [`start`], with the channel's room, and taking no more while `take` says no.
pub(crate) fn start_with(
    options: SourceOptions,
    log: Log,
    room: usize,
    mut take: TakeWhile,
) -> Running {
    let (events, receiver) = flume::bounded(room);
    let durable = log.end().max(log.idle());
    let (acknowledge, acknowledged) = watch::channel(durable);
    let (shutdown, stop) = watch::channel(false);
    let (touch, changed) = watch::channel(0);
    let status = Arc::new(SourceStatus::default());
    let resume = log.resume();
    let log = Arc::new(Mutex::new(log));
    let source =
        tokio::spawn(run(options, resume, events, acknowledged, Arc::clone(&status), stop, None));
    let kept = Arc::clone(&log);
    let recorder = tokio::spawn(async move {
        while let Ok(event) = receiver.recv_async().await {
            while !take(&kept.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let mut log = kept.lock().unwrap();
            log.take(event);
            acknowledge.send_replace(log.end().max(log.idle()));
            touch.send_modify(|count| *count += 1);
        }
    });
    Running { log, changed, shutdown, source, recorder, status }
}

impl Running {
    pub(crate) fn log(&self) -> Log {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log is as wanted.
    pub(crate) async fn until(&mut self, what: &str, mut wanted: impl FnMut(&Log) -> bool) -> Log {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let log = self.log();
            if wanted(&log) {
                return log;
            }
            if self.source.is_finished() {
                let ended = (&mut self.source).await;
                panic!("the source ended before {what}: {ended:?}; {:#?}", log.briefs());
            }
            let changed = tokio::time::timeout(Duration::from_millis(200), self.changed.changed());
            let _ = changed.await;
            let late = tokio::time::Instant::now() > deadline;
            assert!(
                !late,
                "not in time: {what}; status {:#?}; {:#?}",
                self.status.report(),
                log.briefs()
            );
        }
    }

    /// Waits for that many changes and checks that no more come with them.
    pub(crate) async fn rows(&mut self, count: usize) -> Vec<Seen> {
        let log = self.until(&format!("{count} changes"), |log| log.rows.len() >= count).await;
        assert_eq!(log.rows.len(), count, "{:#?}", log.briefs());
        log.rows
    }

    /// Stops the source in good order and gives what the log holds.
    pub(crate) async fn stop(self) -> Log {
        self.shutdown.send_replace(true);
        let ended = tokio::time::timeout(DEADLINE, self.source).await.unwrap().unwrap();
        ended.unwrap();
        self.recorder.abort();
        self.log.lock().unwrap().clone()
    }

    /// Ends the source as a crash does: what was not taken is lost.
    pub(crate) async fn crash(self) -> Log {
        self.recorder.abort();
        let _ = self.recorder.await;
        self.source.abort();
        let _ = self.source.await;
        self.log.lock().unwrap().clone()
    }

    /// Waits until a person must decide.
    pub(crate) async fn halted(self) -> SourceError {
        self.halted_with_log().await.0
    }

    /// As [`Self::halted`], with all that was handed over.
    pub(crate) async fn halted_with_log(self) -> (SourceError, Log) {
        let ended = tokio::time::timeout(DEADLINE, self.source).await.unwrap().unwrap();
        tokio::time::timeout(DEADLINE, self.recorder).await.unwrap().unwrap();
        (ended.unwrap_err(), self.log.lock().unwrap().clone())
    }
}

/// Runs statements one by one, each a transaction of its own.
pub(crate) async fn each(client: &tokio_postgres::Client, statements: &[&str]) {
    for statement in statements {
        client.batch_execute(statement).await.unwrap();
    }
}

/// Waits until nobody reads from the slot.
pub(crate) async fn free(client: &tokio_postgres::Client, slot: &str) {
    let sql = "SELECT active_pid IS NULL FROM pg_replication_slots WHERE slot_name = $1";
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !client.query_one(sql, &[&slot]).await.unwrap().get::<_, bool>(0) {
        assert!(tokio::time::Instant::now() < deadline, "the walsender stays");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
