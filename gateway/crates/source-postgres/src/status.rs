//! What the source is doing, for `offtake status`, metrics and the progress bar.
//!
//! Numbers that the stream moves are atomics; texts and the slot's facts change rarely and share a
//! lock that is held for a copy only. Nothing here decides anything.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use offtake_change::Lsn;

use crate::slot::SlotFacts;

/// What the source is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceState {
    /// Opens connections and looks at the server.
    #[default]
    Connecting,
    /// Waits before it connects again.
    Retrying,
    /// Creates the slot, or waits for the server to give a snapshot.
    Preparing,
    /// Copies tables.
    Copying,
    /// Reads the stream.
    Streaming,
    /// Ended.
    Stopped,
}

/// How far the running snapshot is.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotStatus {
    /// Qualified name of the table that is being copied.
    pub table: String,
    /// Its rows so far.
    pub rows: u64,
    /// Its rows as the planner estimates.
    pub estimate: u64,
    /// Rows a second since the snapshot began, over all tables.
    pub rows_per_second: f64,
    /// Rows so far over all tables.
    pub rows_in_all: u64,
    /// Tables that are done.
    pub tables_done: usize,
    /// Tables to copy.
    pub tables: usize,
}

/// A picture of the source at a moment.
#[derive(Clone, Debug, Default)]
pub struct StatusReport {
    /// What it is doing.
    pub state: SourceState,
    /// Furthest place received.
    pub received: Lsn,
    /// The server's end of its log as the stream last told.
    pub server_end: Lsn,
    /// End of the last transaction that was handed over.
    pub handed_over: Lsn,
    /// What was last confirmed to the server.
    pub confirmed: Lsn,
    /// Changes handed over since the start, snapshot rows included.
    pub changes: u64,
    /// Times that the source connected again.
    pub reconnects: u64,
    /// The running snapshot; `None`: there is none.
    pub snapshot: Option<SnapshotStatus>,
    /// What the server says of the slot, at most some seconds old.
    pub slot: Option<SlotFacts>,
    /// Tables that match the globs and came after the start: not captured before a restart. At most
    /// a hundred, as of the last look at the catalogue.
    pub late_tables: Vec<String>,
    /// Why the source last connected again; empty: it did not.
    pub last_error: String,
}

/// Shared between the source, which writes it, and who shows it.
#[derive(Debug, Default)]
pub struct SourceStatus {
    received: AtomicU64,
    server_end: AtomicU64,
    handed_over: AtomicU64,
    confirmed: AtomicU64,
    changes: AtomicU64,
    reconnects: AtomicU64,
    snapshot_rows: AtomicU64,
    texts: Mutex<Texts>,
}

#[derive(Debug, Default)]
struct Texts {
    state: SourceState,
    snapshot: Option<SnapshotTable>,
    slot: Option<SlotFacts>,
    late_tables: Vec<String>,
    last_error: String,
}

#[derive(Clone, Debug)]
struct SnapshotTable {
    table: String,
    estimate: u64,
    rows_before: u64,
    tables_done: usize,
    tables: usize,
    began: Instant,
}

impl SourceStatus {
    /// Everything at once.
    pub fn report(&self) -> StatusReport {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let rows_in_all = load(&self.snapshot_rows);
        let texts = self.texts();
        let snapshot = texts.snapshot.as_ref().map(|table| SnapshotStatus {
            table: table.table.clone(),
            rows: rows_in_all.saturating_sub(table.rows_before),
            estimate: table.estimate,
            rows_per_second: rows_in_all as f64 / table.began.elapsed().as_secs_f64().max(0.001),
            rows_in_all,
            tables_done: table.tables_done,
            tables: table.tables,
        });
        StatusReport {
            state: texts.state,
            received: Lsn(load(&self.received)),
            server_end: Lsn(load(&self.server_end)),
            handed_over: Lsn(load(&self.handed_over)),
            confirmed: Lsn(load(&self.confirmed)),
            changes: load(&self.changes),
            reconnects: load(&self.reconnects),
            snapshot,
            slot: texts.slot.clone(),
            late_tables: texts.late_tables.clone(),
            last_error: texts.last_error.clone(),
        }
    }

    fn texts(&self) -> std::sync::MutexGuard<'_, Texts> {
        // A holder only assigns, so a poisoned lock still holds whole values.
        self.texts.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn set_state(&self, state: SourceState) {
        self.texts().state = state;
    }

    pub(crate) fn set_received(&self, received: Lsn, server_end: Lsn) {
        self.received.fetch_max(received.0, Ordering::Relaxed);
        self.server_end.fetch_max(server_end.0, Ordering::Relaxed);
    }

    pub(crate) fn set_handed_over(&self, end: Lsn, changes: u64) {
        self.handed_over.fetch_max(end.0, Ordering::Relaxed);
        self.changes.fetch_add(changes, Ordering::Relaxed);
    }

    pub(crate) fn set_confirmed(&self, confirmed: Lsn) {
        self.confirmed.fetch_max(confirmed.0, Ordering::Relaxed);
    }

    pub(crate) fn reconnecting(&self, error: &crate::SourceError) {
        self.reconnects.fetch_add(1, Ordering::Relaxed);
        let mut texts = self.texts();
        texts.state = SourceState::Retrying;
        texts.last_error = format!("{}: {error}", error.code());
    }

    pub(crate) fn set_slot(&self, slot: Option<SlotFacts>) {
        if let Some(slot) = &slot {
            self.server_end.fetch_max(slot.server_end.0, Ordering::Relaxed);
        }
        self.texts().slot = slot;
    }

    pub(crate) fn set_late_tables(&self, tables: impl Iterator<Item = String>) {
        self.texts().late_tables = tables.collect();
    }

    pub(crate) fn snapshot_table(&self, table: String, estimate: u64, done: usize, tables: usize) {
        let mut texts = self.texts();
        let began = match &texts.snapshot {
            Some(running) => running.began,
            None => {
                self.snapshot_rows.store(0, Ordering::Relaxed);
                Instant::now()
            }
        };
        texts.state = SourceState::Copying;
        texts.snapshot = Some(SnapshotTable {
            table,
            estimate,
            rows_before: self.snapshot_rows.load(Ordering::Relaxed),
            tables_done: done,
            tables,
            began,
        });
    }

    pub(crate) fn snapshot_rows(&self, rows: u64) {
        self.snapshot_rows.fetch_add(rows, Ordering::Relaxed);
        self.changes.fetch_add(rows, Ordering::Relaxed);
    }

    pub(crate) fn snapshot_ended(&self) {
        self.texts().snapshot = None;
    }
}
