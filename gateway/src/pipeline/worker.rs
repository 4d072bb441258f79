//! The thread between source and log: routes, plugins, encoding, groups.
//!
//! It takes batches in source order, runs each table's chain over its rows, and appends what is
//! left to the log's open group. A group is handed over at a transaction's end, or, inside a
//! transaction that is larger than [`PIECE_BYTES`], as a marked piece that says how many source
//! rows are done, so that a restart skips exactly these. The same group carries the source's
//! position: what is durable and where to resume cannot disagree.
//!
//! Blocking here is back-pressure: a full queue or a blocked log stops this thread, then the
//! source's channel fills, then the source stops reading while its feedback goes on.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use offtake_change::{Batch, Boundary, NO_TRANSACTION, Operation, TableSchema, Transaction};
use offtake_failpoint::{crash_point, mutate};
use offtake_log::{Control, LogWriter, Recovered};
use offtake_proto::v1;
use offtake_source_postgres::{SourceEvent, lsn_of, position_of};

use super::chain::Chain;
use super::dead_letters::DeadLetterDesk;
use super::definitions::OutputVersions;
use super::halt::Halt;
use super::inbox::{Next, Requests};
use super::live::Live;
use super::messages::with_messages;
use super::reload::RecentInputs;
use super::router::Router;
use super::state::{State, StateCell};

mod asked;
mod crew;
mod letters;
mod names;
mod parts;
mod plans;
mod replay;
mod switch;
mod work;

pub use asked::{Asked, Asking, Told};
use crew::Crew;
pub use crew::Processed;
use names::BatchNames;
use parts::Part;
use plans::{TablePlan, cut_before_schema};
use replay::OnlyStream;
pub use switch::Switch;
use switch::split_after_last_transaction;
use work::{Output, Scratch, Work};

/// A transaction beyond this size enters the log in pieces: it bounds what is held in memory and
/// what a reader must take at once.
pub const PIECE_BYTES: usize = 1 << 20;

/// What the worker counts; read by metrics.
#[derive(Debug, Default)]
pub struct WorkerCounters {
    /// Changes that came from the source.
    pub source_changes: AtomicU64,
    /// Changes that entered the log.
    pub logged_changes: AtomicU64,
    /// Transactions that entered the log whole.
    pub transactions: AtomicU64,
}

/// Everything that the thread owns.
pub struct Worker {
    writer: LogWriter,
    router: Router,
    chain: Chain,
    versions: OutputVersions,
    letters: DeadLetterDesk,
    state: StateCell,
    counters: Arc<WorkerCounters>,
    /// The position as of the open group's end.
    position: v1::SourcePosition,
    /// The log holds `position` already.
    position_written: bool,
    open: Option<OpenTransaction>,
    /// Rows could not be put into the open group to their end, so it never goes to the log: its
    /// position would be past what is not in it.
    is_torn: bool,
    /// Tables that are still to be copied.
    unsettled: BTreeSet<(String, String)>,
    /// By the address of the source's schema.
    plans: HashMap<usize, TablePlan>,
    /// Where set, rows go to the target of that stream alone.
    only_stream: Option<OnlyStream>,
    /// Threads that run plugins beside this one, where there are any.
    crew: Option<Crew>,
    /// The memory of the batch before.
    scratch: Scratch,
    /// The log's ids of definitions that rows leave with, by their address; each is held, so that
    /// the address is not used again.
    schema_ids: HashMap<usize, (Arc<TableSchema>, u32)>,
    /// Records of what plugins cover, by the address of the schema that brought it, in the order of
    /// the schemas. They enter the log with its first row: durable before the rows that come
    /// before it, they would make these look like a loss after a crash.
    coverage: VecDeque<(usize, Vec<v1::PluginActivation>)>,
    /// When the catalogue was read.
    started_unix_us: i64,
    /// Of plugins, configuration and routes. They do not switch inside a transaction, but for one
    /// that `--accept-plugins-midway` named.
    digest: Vec<u8>,
    /// Plugins that take over once no transaction is open.
    switching: Option<Switch>,
    live: Arc<Live>,
    inputs: Arc<RecentInputs>,
    /// Where nothing is durable yet but the worker is done: what the mutation that acknowledges
    /// early needs.
    early: tokio::sync::watch::Sender<u64>,
}

/// What a worker is wired to.
pub struct WorkerParts {
    pub writer: LogWriter,
    pub router: Router,
    pub chain: Chain,
    pub state: StateCell,
    pub counters: Arc<WorkerCounters>,
    /// Of plugins, configuration and routes.
    pub digest: Vec<u8>,
    pub early: tokio::sync::watch::Sender<u64>,
    pub live: Arc<Live>,
    pub inputs: Arc<RecentInputs>,
    /// Plugins that finish no transaction that others began, and take over after it.
    pub switching: Option<Switch>,
}

/// A transaction of which rows are in the log or the open group, but not its end.
#[derive(Debug, Default)]
struct OpenTransaction {
    transaction: Transaction,
    /// Source rows done.
    rows: u64,
    logged: u64,
    streams: Vec<v1::StreamCount>,
}

impl Worker {
    /// A worker that goes on from what the log held.
    pub fn new(parts: WorkerParts, recovered: &Recovered) -> Worker {
        let position = recovered.position.clone();
        let open =
            position.as_ref().and_then(|position| position.partial.as_ref()).map(|partial| {
                OpenTransaction {
                    transaction: Transaction {
                        id: partial.transaction_id.clone(),
                        commit: lsn_of(partial.commit.as_ref()),
                        ..Transaction::default()
                    },
                    rows: partial.next_row,
                    logged: partial.logged_changes,
                    streams: partial.streams.clone(),
                }
            });
        Worker {
            writer: parts.writer,
            letters: DeadLetterDesk::new(parts.router.pipeline()),
            router: parts.router,
            chain: parts.chain,
            versions: OutputVersions::new(&recovered.schemas),
            state: parts.state,
            counters: parts.counters,
            position: position.unwrap_or_default(),
            position_written: true,
            open,
            is_torn: false,
            unsettled: recovered.snapshots.iter().filter(|it| !is_settled(it)).map(table).collect(),
            plans: HashMap::new(),
            only_stream: None,
            crew: None,
            scratch: Scratch::default(),
            schema_ids: HashMap::new(),
            coverage: VecDeque::new(),
            started_unix_us: 0,
            digest: parts.digest,
            switching: parts.switching,
            live: parts.live,
            inputs: parts.inputs,
            early: parts.early,
        }
    }

    /// Runs until the source's end of the channel is dropped. What was taken in is durable when
    /// this returns, also on a halt.
    ///
    /// # Errors
    /// What a person must decide: a plugin's fault, a table without a route, a failing log.
    pub fn run(
        mut self,
        events: &flume::Receiver<SourceEvent>,
        mut requests: Requests,
    ) -> Result<(), Halt> {
        let mut outcome = Ok(());
        let mut is_ended = false;
        while outcome.is_ok() && !is_ended {
            let (is_full, oldest) =
                self.crew.as_ref().map_or((false, None), |crew| (crew.is_full(), crew.oldest()));
            outcome = match requests.next((!is_full).then_some(events), oldest) {
                Next::Event(event) => self.take_event(event),
                Next::Processed(processed) => self.take_processed(processed),
                Next::Letter(request) => self.take_letter(request),
                Next::Switch(switch) => self.finish_all().and_then(|()| self.take_switch(switch)),
                Next::Ended => {
                    is_ended = true;
                    self.finish_all()
                }
            };
        }
        if let Err(halt) = &outcome {
            // Told before the flush, which a full log may hold for as long as it likes.
            self.state.halt(halt);
        }
        if !self.is_torn {
            outcome = outcome.and(self.submit());
        }
        outcome.and(self.writer.wait_durable().map_err(|error| log_halt(&error)))
    }

    fn take_event(&mut self, event: SourceEvent) -> Result<(), Halt> {
        match event {
            SourceEvent::Batch(batch) => self.take_batch_in_turn(batch),
            event @ (SourceEvent::Snapshot(_) | SourceEvent::Idle(_)) => {
                match self.crew.as_mut().filter(|crew| crew.is_at_work()) {
                    Some(crew) => crew.put_behind(event),
                    None => return self.take_progress(event),
                }
                Ok(())
            }
            SourceEvent::Started { identity, tables } => {
                self.finish_all()?;
                self.start(identity, &tables)
            }
            SourceEvent::Replay(change) => {
                self.finish_all()?;
                self.take_replayed(*change)
            }
        }
    }

    /// How far the source is, where no change says it.
    fn take_progress(&mut self, event: SourceEvent) -> Result<(), Halt> {
        match event {
            SourceEvent::Snapshot(progress) => {
                if is_settled(&progress) {
                    self.unsettled.remove(&table(&progress));
                } else {
                    self.unsettled.insert(table(&progress));
                }
                self.tell_state();
                self.writer.control(Control::SnapshotProgress(progress));
            }
            SourceEvent::Idle(lsn) => {
                self.position.idle = Some(position_of(lsn));
                self.position_written = false;
            }
            SourceEvent::Started { .. } | SourceEvent::Batch(_) | SourceEvent::Replay(_) => {}
        }
        self.submit()
    }

    fn start(
        &mut self,
        identity: v1::SourceIdentity,
        tables: &[Arc<TableSchema>],
    ) -> Result<(), Halt> {
        // The catalogue tells today's tables; what is still to be read may be older, so what a
        // plugin covers is judged as definitions come with the changes.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        self.started_unix_us = i64::try_from(now).unwrap_or(i64::MAX);
        let told = with_messages(&self.router, tables, &identity.database);
        self.inputs.started(&told);
        self.chain.check_start(&self.router, &told)?;
        self.chain.check_columns(&self.router, &told)?;
        for table in tables {
            // Announced before the first change, so that a sink can make room for all at once.
            for target in self.route(table)? {
                self.writer.register_stream(&target.stream);
                self.tell_protection(&target);
            }
        }
        for record in self.chain.activations() {
            self.writer.control(Control::PluginActivation(record));
        }
        self.write_state();
        if self.position.source.as_ref() != Some(&identity) {
            self.position.source = Some(identity);
            self.position_written = false;
        }
        // Before the first position there is no slot yet.
        if self.position.idle.is_some() || self.position.end.is_some() {
            self.tell_state();
        }
        self.submit()
    }

    fn tell_state(&self) {
        let settled = self.unsettled.is_empty();
        self.state.set(if settled { State::Running } else { State::Snapshot });
    }

    /// Takes a batch through the plugins and into the log, on this thread.
    fn take_batch(&mut self, mut batch: Batch) -> Result<(), Halt> {
        let rest = self.switching.as_ref().and_then(|_| split_after_last_transaction(&mut batch));
        self.process_batch(batch)?;
        self.switch_between_transactions()?;
        rest.map_or(Ok(()), |rest| self.process_batch(rest))
    }

    fn process_batch(&mut self, batch: Batch) -> Result<(), Halt> {
        let mut work = self.prepare(batch);
        for part in self.parts(&work.batch, work.source_rows) {
            work.lay_out(part.rows.clone(), self.only_stream.as_ref().map(|only| &*only.name));
            work.run(&mut self.chain)?;
            self.append_part(&mut work, &part)?;
        }
        self.finish(work)
    }

    /// What there is to do for a batch: the ways of its rows, up to the first definition that is
    /// refused.
    fn prepare(&mut self, mut batch: Batch) -> Work {
        if !self.chain.is_empty() {
            self.inputs.offer(&batch);
        }
        let (plans, refused) = self.plan_all(&batch);
        if refused.is_some() {
            cut_before_schema(&mut batch, plans.len() as u32);
        }
        Work::new(batch, plans, refused, std::mem::take(&mut self.scratch))
    }

    /// A batch is in the log's groups.
    fn finish(&mut self, work: Work) -> Result<(), Halt> {
        let source_rows = work.source_rows as u64;
        self.counters.source_changes.fetch_add(source_rows, Ordering::Relaxed);
        let (scratch, refused) = work.into_scratch();
        self.scratch = scratch;
        refused.map_or(Ok(()), Err)
    }

    /// Encodes what the plugins left of a part.
    fn append_part(&mut self, work: &mut Work, part: &Part) -> Result<(), Halt> {
        self.chain.count_failures(&mut work.made.attempts)?;
        if mutate("mutate.swap") && work.outputs.len() > 1 {
            let last = work.outputs.len() - 1;
            work.outputs.swap(last - 1, last);
        }
        // The open group then holds rows and positions up to somewhere inside a row.
        self.is_torn = true;
        self.append(work, part)?;
        self.is_torn = false;
        Ok(())
    }

    /// Encodes the outputs in source order and closes groups at boundaries.
    fn append(&mut self, work: &Work, part: &Part) -> Result<(), Halt> {
        self.write_state();
        let batch = &work.batch;
        let mut next = work.outputs.iter().peekable();
        let mut names = BatchNames::new(batch);
        let boundaries = batch.boundaries.get(part.boundaries.clone()).unwrap_or_default();
        let mut boundaries = boundaries.iter().peekable();
        let Part { rows, .. } = part;
        for source_row in rows.start..=rows.end {
            while let Some(boundary) =
                boundaries.next_if(|boundary| boundary.rows_end as usize <= source_row)
            {
                self.end_transaction(batch, boundary);
                // The last boundary of a batch is where the durable position can move now; the
                // rows after it may wait for their own end.
                let is_due =
                    boundaries.peek().is_none() || self.writer.group_bytes() >= PIECE_BYTES;
                if is_due && part.may_end_at(source_row) {
                    self.submit()?;
                }
            }
            if source_row == rows.end {
                break;
            }
            // Plugins give rows other definitions; the output knows which one the source gave.
            let first = next.peek().filter(|output| output.source_row as usize == source_row);
            self.record_coverage(batch, first.map(|output| output.schema_index));
            self.count_source_row(batch, source_row);
            while let Some(output) = next.next_if(|output| output.source_row as usize == source_row)
            {
                self.push(work, output, &mut names)?;
            }
            if self.writer.group_bytes() >= PIECE_BYTES && part.may_end_at(source_row + 1) {
                self.submit()?;
            }
        }
        if self.open.is_none() { self.submit() } else { Ok(()) }
    }

    fn push(&mut self, work: &Work, output: &Output, names: &mut BatchNames) -> Result<(), Halt> {
        let batch = &work.batch;
        let (Some(target), Some(row)) = (work.plan(output), batch.rows.get(output.row as usize))
        else {
            return Ok(());
        };
        if row.dropped {
            return self.push_dead(work, target, output);
        }
        if mutate("mutate.drop") {
            return Ok(());
        }
        let schema = self.schema_of(batch, row, output.schema_index, names);
        let stream = self.stream_of(batch, row, target, names)?;
        if self.only_stream.as_ref().is_some_and(|only| only.is_alone)
            && stream != target.stream
            && work.is_emitted(output)
        {
            return Ok(());
        }
        let times = if mutate("mutate.double") { 2 } else { 1 };
        for _ in 0..times {
            self.writer.push(stream, schema, |sequence, out| {
                batch.encode(row, sequence, stream, schema, out);
            });
        }
        self.counters.logged_changes.fetch_add(1, Ordering::Relaxed);
        if let Some(open) = &mut self.open {
            open.logged += 1;
            match open.streams.iter_mut().find(|count| count.stream == stream) {
                Some(count) => count.changes += 1,
                None => {
                    open.streams.push(v1::StreamCount { stream, changes: 1 });
                }
            }
        }
        Ok(())
    }

    /// Adds what the source's definition of a row brought to the group that the row is in, at its
    /// first row.
    fn record_coverage(&mut self, batch: &Batch, schema_index: Option<u32>) {
        if self.coverage.is_empty() {
            return;
        }
        let schema = schema_index.and_then(|index| batch.schemas.get(index as usize));
        let Some(key) = schema.map(|schema| Arc::as_ptr(schema).addr()) else { return };
        let Some(at) = self.coverage.iter().position(|(brought_by, _)| *brought_by == key) else {
            return;
        };
        // The last record of a plugin counts, so they go in their order.
        for record in self.coverage.drain(..=at).flat_map(|(_, records)| records) {
            self.writer.control(Control::PluginActivation(record));
        }
    }

    fn count_source_row(&mut self, batch: &Batch, source_row: usize) {
        let Some(row) = batch.rows.get(source_row) else { return };
        if row.transaction == NO_TRANSACTION {
            // One that is sent again came long ago.
            if row.operation == Operation::Message && self.only_stream.is_none() {
                // A message outside a transaction comes where it was written: everything committed
                // before it has come, and in one group with this place, its end, it is not taken
                // twice. A commit may begin right there, so the place is not past it.
                let end = row.lsn.max(lsn_of(self.position.idle.as_ref()));
                self.position.idle = Some(position_of(end));
                self.position_written = false;
            }
            return;
        }
        let Some(transaction) = batch.transactions.get(row.transaction as usize) else { return };
        let open = self.open.get_or_insert_with(OpenTransaction::default);
        if open.transaction.id != transaction.id || open.transaction.commit != transaction.commit {
            *open = OpenTransaction::default();
        }
        if open.transaction.commit_unix_us != transaction.commit_unix_us || open.rows == 0 {
            open.transaction = transaction.clone();
        }
        open.rows = row.order;
    }

    fn end_transaction(&mut self, batch: &Batch, boundary: &Boundary) {
        let open = self.open.take().unwrap_or_default();
        let Some(transaction) = batch.transactions.get(boundary.transaction as usize) else {
            return;
        };
        self.position.end = Some(position_of(boundary.end));
        self.position.last_commit = Some(position_of(transaction.commit));
        self.position.last_commit_unix_us = transaction.commit_unix_us;
        self.position.partial = None;
        self.position_written = false;
        self.counters.transactions.fetch_add(1, Ordering::Relaxed);
        if open.logged == 0 {
            // Nothing of it is in the log (all rows dropped, or none captured): the position moves,
            // and no reader needs to know.
            return;
        }
        let last_sequence = self.writer.next_sequence() - 1;
        self.writer.control(Control::TransactionEnd(v1::TransactionEnd {
            transaction: Some(v1::Transaction {
                id: transaction.id.clone(),
                commit: Some(position_of(transaction.commit)),
                previous_commit: (transaction.previous_commit.0 != 0)
                    .then(|| position_of(transaction.previous_commit)),
                commit_unix_us: transaction.commit_unix_us,
                origin: transaction.origin.clone(),
                begin: (transaction.begin.0 != 0).then(|| position_of(transaction.begin)),
            }),
            end: Some(position_of(boundary.end)),
            last_sequence,
            source_changes: boundary.source_rows,
            logged_changes: open.logged,
            streams: open.streams,
        }));
    }

    /// Hands the open group to the log, with the position that it ends at.
    fn submit(&mut self) -> Result<(), Halt> {
        let partial = self.open.as_ref().filter(|open| open.rows > 0).map(|open| v1::Partial {
            transaction_id: open.transaction.id.clone(),
            commit: Some(position_of(open.transaction.commit)),
            next_row: open.rows,
            logged_changes: open.logged,
            streams: open.streams.clone(),
            pipeline_digest: self.digest.clone().into(),
        });
        if partial != self.position.partial {
            self.position.partial = partial;
            self.position_written = false;
        }
        if !self.position_written && self.position.source.is_some() {
            self.writer.control(Control::SourcePosition(self.position.clone()));
            self.position_written = true;
        }
        if mutate("mutate.acknowledge_early") {
            // Long enough for the server to hear of it before a crash point that follows.
            self.early.send_replace(lsn_of(self.position.end.as_ref()).0);
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        crash_point("pipeline.before_submit");
        self.writer.submit().map_err(|error| log_halt(&error))?;
        crash_point("pipeline.after_submit");
        Ok(())
    }
}

fn is_settled(progress: &v1::SnapshotProgress) -> bool {
    use v1::SnapshotState::{Done, Removed, Skipped};
    matches!(progress.state(), Done | Skipped | Removed)
}

fn table(progress: &v1::SnapshotProgress) -> (String, String) {
    (progress.namespace.clone(), progress.table.clone())
}

/// A log error as a halt.
pub fn log_halt(error: &offtake_log::LogError) -> Halt {
    Halt::new(error.code(), super::halt::chain(error), error.next_step())
}

#[cfg(test)]
mod tests;
