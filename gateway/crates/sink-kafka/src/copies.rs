//! Whether the cursor stands inside the copy of a table.
//!
//! A log that is lost can be gone on from at the source's place that the cursor in Kafka holds, but
//! not in the middle of a copy, of which the place says nothing. So the cursor says when it stands in
//! one. Where that is not known, for another way of delivering brought it there, it counts as inside
//! until it has passed what the log held then.

use std::collections::BTreeSet;

use offtake_log::Log;
use offtake_proto::v1::{SnapshotProgress, SnapshotState};

/// Tables of which the copy is not finished, as far as the log was read.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    unfinished: BTreeSet<(String, String)>,
    /// Up to this sequence it is not known.
    unknown_to: u64,
    /// What the last cursor said.
    pub(crate) is_told_unfinished: bool,
}

impl Copies {
    /// As of a cursor. `is_whole`: it is known that no copy is unfinished there.
    pub(crate) fn new(is_whole: bool, log: &Log) -> Copies {
        let mut copies = Copies::default();
        if !is_whole {
            copies.unknown_to = log.durable().borrow().sequence;
            for progress in log.snapshots() {
                copies.saw(&progress);
            }
        }
        copies
    }

    /// The log says how far a copy is.
    pub(crate) fn saw(&mut self, progress: &SnapshotProgress) {
        let table = (progress.namespace.clone(), progress.table.clone());
        match progress.state() {
            SnapshotState::Done | SnapshotState::Skipped | SnapshotState::Removed => {
                self.unfinished.remove(&table);
            }
            _ => {
                self.unfinished.insert(table);
            }
        }
    }

    /// The same, to be said with that cursor.
    pub(crate) fn tell(&mut self, sequence: u64) -> bool {
        self.is_told_unfinished = self.is_unfinished(sequence);
        self.is_told_unfinished
    }

    /// Whether a cursor there, up to which the log was read, stands inside a copy.
    pub(crate) fn is_unfinished(&self, sequence: u64) -> bool {
        sequence < self.unknown_to || !self.unfinished.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_unfinished_from_its_announcement_to_its_end() {
        let progress = |state: SnapshotState| SnapshotProgress {
            namespace: "public".to_owned(),
            table: "t".to_owned(),
            state: state.into(),
            ..SnapshotProgress::default()
        };
        let mut copies = Copies::default();
        assert!(!copies.is_unfinished(0));
        for (state, unfinished) in [
            (SnapshotState::Pending, true),
            (SnapshotState::Copying, true),
            (SnapshotState::Done, false),
            (SnapshotState::Pending, true),
            (SnapshotState::Removed, false),
        ] {
            copies.saw(&progress(state));
            assert_eq!(copies.is_unfinished(9), unfinished, "{state:?}");
        }
        copies.unknown_to = 10;
        assert!(copies.is_unfinished(9) && !copies.is_unfinished(10));
    }
}
