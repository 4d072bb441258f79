//! An instance at work: schemas told once, rows gathered, verdicts applied.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use offtake_change::{Batch, Operation, TableSchema};

use crate::bindings as wit;
use crate::defined::check_stream;
use crate::emit::Emission;
use crate::gather::{Gathered, wanted_bytes};
use crate::host::{CustomMetric, Phase};
use crate::interest::{self, protection_lost};
use crate::runner::Runner;
use crate::shape::Shaped;
use crate::verdict::{self, Applier, CallLimits, Rejected};
use crate::{CALL_ROWS, Fault, FaultCode, Info, Interest};

mod stateful;

/// Wanted values in one call, at most; a single row may be larger.
const CALL_BYTES: usize = 1 << 20;
/// Below this size a batch need not be measured row by row.
const SMALL_BATCH_BYTES: usize = CALL_BYTES;
/// Schemas that are remembered; the plugin is told one again that was forgotten.
const TABLES: usize = 8192;

/// What an instance has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls with changes.
    pub calls: u64,
    /// Changes in these calls.
    pub rows: u64,
    /// Changes that the plugin dropped.
    pub dropped: u64,
    /// Changes that the plugin made of others.
    pub emitted: u64,
    /// Wall time of gathering, calling and applying, in nanoseconds.
    pub nanoseconds: u64,
    /// Faults.
    pub faults: u64,
}

impl std::ops::Add for Counters {
    type Output = Counters;

    fn add(self, other: Counters) -> Counters {
        Counters {
            calls: self.calls + other.calls,
            rows: self.rows + other.rows,
            dropped: self.dropped + other.dropped,
            emitted: self.emitted + other.emitted,
            nanoseconds: self.nanoseconds.saturating_add(other.nanoseconds),
            faults: self.faults + other.faults,
        }
    }
}

/// A change that a plugin could not take, of a batch whose other changes it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRow {
    /// Index into the batch's rows.
    pub row: u32,
    /// What happened.
    pub fault: Fault,
}

/// What became of rows that a plugin was given, beside what it did to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processed {
    /// Rows that the plugin failed at, each with its own fault, in the order in which they were
    /// found. They have nothing of what the plugin said of them.
    pub failed: Vec<FailedRow>,
    /// Rows that the plugin emitted. Those of one parent are in the order of the plugin's.
    pub emitted: Vec<Emission>,
}

/// A call that failed as a whole: nothing of it is applied, and nothing after it was tried.
#[derive(Debug)]
pub(crate) struct BrokenCall {
    pub(crate) fault: Fault,
    /// The rows of the call; none where the plugin failed at a table's definition.
    pub(crate) rows: Vec<u32>,
}

/// A plugin that runs, owned by one thread.
pub struct Instance {
    runner: Runner,
    info: Info,
    tables: Tables,
    gathered: Gathered,
    applier: Applier,
    /// Rows of the call in preparation, as indices into the batch.
    call_rows: Vec<u32>,
    counters: Counters,
}

impl fmt::Debug for Instance {
    /// The store and what lies in it, rows among it, are left out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Instance")
            .field("plugin", &self.info.name)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Instance {
    pub(crate) fn new(runner: Runner, info: Info) -> Instance {
        Instance {
            runner,
            info,
            tables: Tables::default(),
            gathered: Gathered::default(),
            applier: Applier::default(),
            call_rows: Vec::with_capacity(CALL_ROWS),
            counters: Counters::default(),
        }
    }

    /// What this instance has done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Metrics that the plugin registered.
    pub fn custom_metrics(&self) -> &[CustomMetric] {
        self.runner.metrics()
    }

    /// Linear memory that the instance holds, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.runner.memory_bytes()
    }

    /// What the instance has executed so far; `None`: its engine does not count it, see
    /// [`Engine::counting_fuel`](crate::Engine::counting_fuel).
    pub fn fuel_spent(&self) -> Option<u64> {
        self.runner.fuel_spent()
    }

    /// Whether a fault made the instance unusable.
    pub fn is_poisoned(&self) -> bool {
        self.runner.is_poisoned()
    }

    /// Tells the plugin a table's definition, unless it knows it, and gives what it wants to see.
    ///
    /// # Errors
    /// The plugin failed, answered what makes no sense, or leaves a protected column uncovered.
    pub fn on_schema(&mut self, schema: &Arc<TableSchema>) -> Result<Interest, Fault> {
        let at = self.table(schema)?;
        Ok(self.tables.entries[at].interest.clone())
    }

    /// See [`crate::Isolated::subscribes`].
    pub(crate) fn subscribes(&mut self, schema: &Arc<TableSchema>) -> Result<bool, Fault> {
        let at = self.table(schema)?;
        Ok(self.tables.entries[at].interest.subscribe)
    }

    /// The definition under which a table's rows leave the plugin, which is told the table's own
    /// unless it knows it.
    ///
    /// # Errors
    /// As [`Instance::on_schema`].
    pub fn output_schema(&mut self, schema: &Arc<TableSchema>) -> Result<Arc<TableSchema>, Fault> {
        let at = self.table(schema)?;
        Ok(Arc::clone(&self.tables.entries[at].shaped.output))
    }

    /// Of each column that leaves, its ordinal in the table's own definition; `None`: the plugin adds
    /// it.
    ///
    /// # Errors
    /// As [`Instance::on_schema`].
    pub fn column_origins(&mut self, schema: &Arc<TableSchema>) -> Result<Vec<Option<u32>>, Fault> {
        let at = self.table(schema)?;
        Ok(self.tables.entries[at].shaped.origins())
    }

    /// Runs the plugin over rows of a batch and applies what it answers, as
    /// [`Isolated::process`](crate::Isolated::process) does, but for what a fault means. Gives what
    /// the plugin emitted.
    ///
    /// # Errors
    /// The first fault. The verdicts of earlier calls are applied, that of the failed one is not.
    /// Where the plugin declared rows failed, the other rows of the call are done.
    pub fn process(&mut self, batch: &mut Batch, rows: &[u32]) -> Result<Vec<Emission>, Fault> {
        let mut done = Processed::default();
        self.run(batch, rows, &mut done).map_err(|broken| broken.fault)?;
        done.failed.into_iter().next().map_or(Ok(done.emitted), |first| Err(first.fault))
    }

    /// The same, with the rows that the plugin declared failed.
    pub(crate) fn run(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        done: &mut Processed,
    ) -> Result<(), BrokenCall> {
        let begin = Instant::now();
        let (declared, emitted) = (done.failed.len(), done.emitted.len());
        let result = self.process_rows(batch, rows, done);
        let nanoseconds = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.counters.nanoseconds = self.counters.nanoseconds.saturating_add(nanoseconds);
        let faults = done.failed.len() - declared + usize::from(result.is_err());
        self.counters.faults += faults as u64;
        self.counters.emitted += (done.emitted.len() - emitted) as u64;
        result
    }

    /// Gives a row the definition that it leaves with, and nothing else.
    pub(crate) fn pass(&mut self, batch: &mut Batch, row: u32) {
        let schema = batch.rows.get(row as usize).map(|row| row.schema);
        let schema = schema.and_then(|schema| batch.schemas.get(schema as usize)).map(Arc::clone);
        // A spent instance knows its tables still.
        if let Some(table) = schema.and_then(|schema| self.tables.find(&schema)) {
            self.put_out(batch, table, &[row]);
        }
    }

    fn process_rows(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        done: &mut Processed,
    ) -> Result<(), BrokenCall> {
        let mut rest = rows;
        while let Some(&first) = rest.first() {
            let Some(schema_index) = batch.rows.get(first as usize).map(|row| row.schema) else {
                rest = &rest[1..];
                continue;
            };
            let same = |&row: &u32| {
                batch.rows.get(row as usize).is_some_and(|row| row.schema == schema_index)
            };
            let run = rest.iter().position(|row| !same(row)).unwrap_or(rest.len());
            let (now, later) = rest.split_at(run);
            rest = later;
            let Some(schema) = batch.schemas.get(schema_index as usize).map(Arc::clone) else {
                continue;
            };
            let located = |mut fault: Fault, batch: &Batch| {
                fault.table.get_or_insert_with(|| schema.qualified_name());
                fault.lsn = fault.lsn.or_else(|| Some(batch.rows.get(first as usize)?.lsn));
                fault
            };
            let table = self
                .table(&schema)
                .map_err(|fault| BrokenCall { fault: located(fault, batch), rows: Vec::new() })?;
            self.send(batch, table, now);
            if self.tables.entries[table].interest.subscribe {
                self.process_run(batch, table, now, done).inspect_err(|broken| {
                    let before = now.iter().position(|row| Some(row) == broken.rows.first());
                    self.put_out(batch, table, &now[..before.unwrap_or(now.len())]);
                })?;
            }
            self.put_out(batch, table, now);
        }
        Ok(())
    }

    /// Rows of one schema, divided into calls by number and size.
    fn process_run(
        &mut self,
        batch: &mut Batch,
        table: usize,
        rows: &[u32],
        done: &mut Processed,
    ) -> Result<(), BrokenCall> {
        let measure = batch.size_bytes() > SMALL_BATCH_BYTES;
        let mut bytes = 0;
        self.call_rows.clear();
        for &index in rows {
            let Some(row) = batch.rows.get(index as usize) else { continue };
            if row.dropped || row.operation == Operation::Define {
                continue;
            }
            let size = if measure {
                wanted_bytes(batch, row, &self.tables.entries[table].interest)
            } else {
                0
            };
            let full = self.call_rows.len() == CALL_ROWS || bytes + size > CALL_BYTES;
            if full && !self.call_rows.is_empty() {
                self.call_all(batch, table, done)?;
                self.call_rows.clear();
                bytes = 0;
            }
            bytes += size;
            self.call_rows.push(index);
        }
        if self.call_rows.is_empty() { Ok(()) } else { self.call_all(batch, table, done) }
    }

    /// Sends rows to the stream that the table leaves on; a verdict may send one elsewhere.
    fn send(&self, batch: &mut Batch, table: usize, rows: &[u32]) {
        let Some(stream) = &self.tables.entries[table].shaped.stream else { return };
        let stream = batch.stream_index(stream);
        for &row in rows {
            if let Some(row) = batch.rows.get_mut(row as usize) {
                row.stream = Some(stream);
            }
        }
    }

    /// Gives rows the definition that they leave with.
    fn put_out(&self, batch: &mut Batch, table: usize, rows: &[u32]) {
        let shaped = &self.tables.entries[table].shaped;
        if !shaped.differs() {
            return;
        }
        let output = batch.schema_index(&shaped.output);
        for &row in rows {
            shaped.put_out(batch, row, output);
        }
    }

    /// The rows in `call_rows`: one call, where the plugin keeps no state.
    fn call_all(
        &mut self,
        batch: &mut Batch,
        table: usize,
        done: &mut Processed,
    ) -> Result<(), BrokenCall> {
        match self.runner.state().cloned() {
            Some(state) => self.call_with_state(&state, batch, table, done),
            None => self.call(batch, table, done).map(|_| ()),
        }
    }

    /// One call with the rows in `call_rows`, and its verdict. Gives the first row that the plugin
    /// declared failed, where it keeps state: then nothing of the verdict is applied.
    fn call(
        &mut self,
        batch: &mut Batch,
        table: usize,
        done: &mut Processed,
    ) -> Result<Option<FailedRow>, BrokenCall> {
        let shaped = Arc::clone(&self.tables.entries[table].shaped);
        let name = || shaped.input.qualified_name();
        let declared = done.failed.len();
        let mut outcome = self.try_call(batch, table, &shaped, done);
        self.gathered.trim();
        let first = outcome.as_mut().ok().and_then(Option::as_mut);
        for FailedRow { row, fault } in done.failed[declared..].iter_mut().chain(first) {
            fault.lsn = batch.rows.get(*row as usize).map(|row| row.lsn);
            fault.table = Some(name());
        }
        outcome.map_err(|mut fault| {
            let first = self.call_rows.first();
            fault.lsn = first.and_then(|&row| batch.rows.get(row as usize)).map(|row| row.lsn);
            fault.table = Some(name());
            BrokenCall { fault, rows: self.call_rows.clone() }
        })
    }

    fn try_call(
        &mut self,
        batch: &mut Batch,
        table: usize,
        shaped: &Shaped,
        done: &mut Processed,
    ) -> Result<Option<FailedRow>, Fault> {
        let entry = &self.tables.entries[table];
        self.gathered
            .fill(batch, &self.call_rows, &shaped.input, &entry.interest, entry.id)
            .map_err(|message| self.runner.poison(FaultCode::Host, message))?;
        let input = self.gathered.batch();
        let answer =
            self.runner.call(Phase::Process, |guest, store| guest.process(store, input))?;
        self.counters.calls += 1;
        self.counters.rows += self.call_rows.len() as u64;
        let verdict =
            answer.map_err(|failure| self.runner.declared(FaultCode::Refused, &failure))?;
        verdict::admit(&verdict, self.call_rows.len())
            .map_err(|Rejected(code, message)| self.runner.poison(code, message))?;
        let mut failed = self.declared_failed(&verdict.failures);
        if self.runner.state().is_some() && !failed.is_empty() {
            let place = |failed: &FailedRow| self.call_rows.iter().position(|it| *it == failed.row);
            return Ok(failed.into_iter().min_by_key(place));
        }
        let limits = self.runner.limits();
        let limits = CallLimits {
            output_bytes: limits.output_bytes,
            fan_out: limits.fan_out,
            reserved_streams: Arc::clone(&limits.reserved_streams),
        };
        let dropped = self
            .applier
            .apply(batch, &self.call_rows, shaped, &verdict, &limits, &mut done.emitted)
            .map_err(|Rejected(code, message)| self.runner.poison(code, message))?;
        self.counters.dropped += dropped;
        done.failed.append(&mut failed);
        Ok(None)
    }

    /// The rows of the call that the plugin declared failed, in a verdict that was admitted.
    fn declared_failed(&self, failures: &[wit::RowFailure]) -> Vec<FailedRow> {
        let declared = |failure: &wit::RowFailure| {
            let row = *self.call_rows.get(failure.row as usize)?;
            let mut fault = self.runner.declared(FaultCode::RowFailure, &failure.failure);
            fault.row = Some(row);
            Some(FailedRow { row, fault })
        };
        failures.iter().filter_map(declared).collect()
    }

    /// Index of a table that the plugin knows; it is told first where it does not.
    fn table(&mut self, schema: &Arc<TableSchema>) -> Result<usize, Fault> {
        if let Some(at) = self.tables.find(schema) {
            return Ok(at);
        }
        self.introduce(schema).map_err(|mut fault| {
            fault.table = Some(schema.qualified_name());
            fault
        })
    }

    fn introduce(&mut self, schema: &Arc<TableSchema>) -> Result<usize, Fault> {
        let previous = self.tables.latest_of(schema);
        // What a plugin before changed is judged by who knows the chain.
        if self.info.protects
            && schema.changed_by.is_empty()
            && let Some(lost) = previous.and_then(|old| {
                protection_lost(&self.info.required_columns, &old.shaped.input, schema)
            })
        {
            return Err(self.runner.poison(FaultCode::Unprotected, lost));
        }
        if self.tables.entries.len() >= TABLES {
            self.tables.forget();
        }
        let id = self.tables.next_id;
        self.tables.next_id = self.tables.next_id.wrapping_add(1);
        let described: wit::Schema = interest::describe(schema, id);
        let answer =
            self.runner.call(Phase::Schema, |guest, store| guest.on_schema(store, &described))?;
        let answer =
            answer.map_err(|failure| self.runner.declared(FaultCode::RefusedTable, &failure))?;
        let plugin = Arc::clone(self.runner.plugin());
        let (interest, outputs) = interest::check(&plugin, &self.info, schema, answer)
            .map_err(|(code, message)| self.runner.poison(code, message))?;
        let reserved = &self.runner.limits().reserved_streams;
        let refused = interest.streams.iter().find_map(|it| check_stream(it, reserved).err());
        if let Some(message) = refused {
            return Err(self.runner.poison(FaultCode::MalformedVerdict, message));
        }
        let shaped = Shaped::new(&plugin, schema, &interest.shape, outputs);
        Ok(self.tables.add(Table { shaped: Arc::new(shaped), id, interest }))
    }
}

/// A table that the plugin knows.
struct Table {
    shaped: Arc<Shaped>,
    /// The id that the plugin knows it by.
    id: u32,
    interest: Interest,
}

/// The tables that the plugin knows, found by the address of the schema that it takes in: it is kept alive here, so the
/// address stays its own.
#[derive(Default)]
struct Tables {
    entries: Vec<Table>,
    by_address: HashMap<usize, usize>,
    next_id: u32,
}

impl Tables {
    fn find(&mut self, schema: &Arc<TableSchema>) -> Option<usize> {
        let address = Arc::as_ptr(schema).addr();
        if let Some(&at) = self.by_address.get(&address) {
            return Some(at);
        }
        // An equal schema that was read anew, for example after a reconnection.
        let at = self.entries.iter().position(|table| table.shaped.input == *schema)?;
        let old = Arc::as_ptr(&self.entries[at].shaped.input).addr();
        self.by_address.remove(&old);
        self.by_address.insert(address, at);
        Arc::make_mut(&mut self.entries[at].shaped).read_anew(schema);
        Some(at)
    }

    /// The newest definition known of the same table.
    fn latest_of(&self, schema: &TableSchema) -> Option<&Table> {
        self.entries.iter().rev().find(|table| {
            let known = &table.shaped.input;
            known.changed_by.is_empty()
                && known.namespace == schema.namespace
                && known.table == schema.table
                && known.subject == schema.subject
        })
    }

    fn add(&mut self, table: Table) -> usize {
        let at = self.entries.len();
        self.by_address.insert(Arc::as_ptr(&table.shaped.input).addr(), at);
        self.entries.push(table);
        at
    }

    /// Forgets the older half.
    fn forget(&mut self) {
        self.entries.drain(..self.entries.len() / 2);
        self.by_address = (self.entries.iter().enumerate())
            .map(|(at, table)| (Arc::as_ptr(&table.shaped.input).addr(), at))
            .collect();
    }
}
