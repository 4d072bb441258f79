//! How far the source has handed over, as it resumes from the log and as it goes on.
//!
//! Only whole transactions move the end; of a transaction in part the number of rows is kept, so
//! that a reconnect and a restart skip exactly those. Positions are of commits, never of rows: rows
//! of one transaction share them (reliability rule S4).

use std::collections::HashMap;
use std::sync::Arc;

use offtake_change::{Lsn, TableSchema};
use offtake_proto::v1;
use offtake_proto::v1::SnapshotState;

use crate::catalog::Table;

/// What the log has of this source.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// The last position in the log; `None`: none yet.
    pub position: Option<v1::SourcePosition>,
    /// The last state of each table's snapshot.
    pub snapshots: Vec<v1::SnapshotProgress>,
    /// The schemas of the log, so that the versions of definitions go on from them.
    pub schemas: Vec<Arc<TableSchema>>,
    /// Whether the log has nothing at all: only then may a slot be created without a question.
    pub log_is_empty: bool,
}

/// A transaction of which the first rows are handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartialTransaction {
    pub(crate) transaction_id: String,
    pub(crate) commit: Lsn,
    /// Rows that are done, of captured tables or not.
    pub(crate) next_row: u64,
}

/// The place in the stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Just past the last whole transaction.
    pub(crate) end: Lsn,
    /// There is nothing for us before this place.
    pub(crate) idle: Lsn,
    pub(crate) partial: Option<PartialTransaction>,
}

impl Progress {
    pub(crate) fn from_position(position: Option<&v1::SourcePosition>) -> Progress {
        let Some(position) = position else { return Progress::default() };
        let partial = position.partial.as_ref().map(|partial| PartialTransaction {
            transaction_id: partial.transaction_id.clone(),
            commit: lsn(partial.commit.as_ref()),
            next_row: partial.next_row,
        });
        Progress { end: lsn(position.end.as_ref()), idle: lsn(position.idle.as_ref()), partial }
    }

    /// Where the stream starts: everything that commits before is done.
    pub(crate) fn start(&self) -> Lsn {
        self.end.max(self.idle)
    }
}

/// The place of a position; zero: none, or one of another kind of source.
pub fn lsn(position: Option<&v1::Position>) -> Lsn {
    match position.and_then(|position| position.at.as_ref()) {
        Some(v1::position::At::Lsn(lsn)) => Lsn(*lsn),
        _ => Lsn::ZERO,
    }
}

/// A place as a position.
pub fn position(lsn: Lsn) -> v1::Position {
    v1::Position { at: Some(v1::position::At::Lsn(lsn.0)) }
}

/// What a log begins with that goes on from a lost one: every captured table was copied before. It
/// stands under an empty name, which no table can have, until all of them are noted.
pub fn adopted(position: &v1::SourcePosition) -> v1::SnapshotProgress {
    v1::SnapshotProgress {
        state: SnapshotState::Skipped.into(),
        consistent_point: position.end.clone().or_else(|| position.idle.clone()),
        ..v1::SnapshotProgress::default()
    }
}

/// The state of each table's snapshot, by schema and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct SnapshotStates(HashMap<(String, String), v1::SnapshotProgress>);

impl SnapshotStates {
    pub(crate) fn new(snapshots: &[v1::SnapshotProgress]) -> SnapshotStates {
        let mut states = SnapshotStates::default();
        for progress in snapshots {
            states.set(progress.clone());
        }
        states
    }

    pub(crate) fn set(&mut self, progress: v1::SnapshotProgress) {
        self.0.insert((progress.namespace.clone(), progress.table.clone()), progress);
    }

    pub(crate) fn get(&self, namespace: &str, table: &str) -> Option<&v1::SnapshotProgress> {
        self.0.get(&(namespace.to_owned(), table.to_owned()))
    }

    /// Whether the log went on from a lost one, and the tables have not been noted yet.
    pub(crate) fn is_adopted(&self) -> bool {
        self.get("", "").is_some_and(|known| known.state() == SnapshotState::Skipped)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &v1::SnapshotProgress> {
        self.0.values()
    }

    /// What the log says of this very table, not of one that had its name before.
    pub(crate) fn of(&self, table: &Table) -> Option<&v1::SnapshotProgress> {
        // Without an OID the name has to do.
        self.get(&table.namespace, &table.name)
            .filter(|known| known.relation_id == 0 || known.relation_id == table.oid)
    }

    /// Whether changes of the table are taken from the stream: its copy is done or left out, and was
    /// not only announced.
    pub(crate) fn is_captured(&self, table: &Table) -> bool {
        self.is_settled(table) && self.of(table).is_some_and(|it| it.consistent_point.is_some())
    }

    /// Whether nothing is left to do for the table.
    pub(crate) fn is_settled(&self, table: &Table) -> bool {
        self.of(table).is_some_and(|progress| {
            matches!(progress.state(), SnapshotState::Done | SnapshotState::Skipped)
        })
    }
}
