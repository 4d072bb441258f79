//! What of a batch is taken through plugins and into the log at once, and the plugins' state with it.
//!
//! State and position agree where every group has exactly the writes of its own rows. So where a
//! plugin keeps state a batch is cut at its last transaction end: what is before and what is behind
//! each go through the plugins and into the log before the next does, and no group ends inside. And
//! plugins that keep state see changes in source order over all tables, not table by table: only
//! then does nothing depend on how the source cut its batches, which after a restart is otherwise.

use std::ops::Range;

use offtake_change::Batch;
use offtake_log::Control;

use super::Worker;

/// A part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Rows of the source.
    pub(super) rows: Range<usize>,
    /// The transaction ends of the batch that are in it.
    pub(super) boundaries: Range<usize>,
    /// A group may end between its rows.
    is_divisible: bool,
}

impl Part {
    /// Whether a group may end before a row.
    pub(super) fn may_end_at(&self, row: usize) -> bool {
        self.is_divisible || row == self.rows.end
    }
}

/// The parts of a batch with so many rows, whose transactions end where `ends` says.
fn divided(rows: usize, ends: &[usize], is_stateful: bool) -> Vec<Part> {
    let last = ends.last().copied().filter(|last| is_stateful && *last < rows);
    let part = |rows, boundaries| Part { rows, boundaries, is_divisible: !is_stateful };
    match last {
        Some(last) => vec![part(0..last, 0..ends.len()), part(last..rows, ends.len()..ends.len())],
        None => vec![part(0..rows, 0..ends.len())],
    }
}

impl Worker {
    /// The parts of a batch, in order.
    pub(super) fn parts(&self, batch: &Batch, source_rows: usize) -> Vec<Part> {
        let ends: Vec<usize> =
            batch.boundaries.iter().map(|boundary| boundary.rows_end as usize).collect();
        divided(source_rows, &ends, self.chain.is_stateful())
    }

    /// Adds what plugins keep since the last group that has some to the open one, before the rows
    /// that it comes from.
    pub(super) fn write_state(&mut self) {
        for delta in self.chain.take_state_deltas() {
            self.writer.control(Control::StateDelta(delta));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_cuts_a_batch_at_its_last_transaction_end_and_nothing_else_does() {
        let ranges = |rows, ends: &[usize], is_stateful| -> Vec<_> {
            let parts = divided(rows, ends, is_stateful);
            parts.into_iter().map(|part| (part.rows, part.boundaries)).collect()
        };
        assert_eq!(ranges(9, &[2, 5], false), [(0..9, 0..2)]);
        assert_eq!(ranges(9, &[2, 5], true), [(0..5, 0..2), (5..9, 2..2)]);
        assert_eq!(ranges(9, &[0], true), [(0..0, 0..1), (0..9, 1..1)]);
        assert_eq!(ranges(9, &[2, 9], true), [(0..9, 0..2)]);
        assert_eq!(ranges(9, &[], true), [(0..9, 0..0)]);
        assert_eq!(ranges(0, &[0], true), [(0..0, 0..1)]);
        let part = &divided(9, &[], true)[0];
        assert!(!part.may_end_at(8) && part.may_end_at(9));
        assert!(divided(9, &[], false)[0].may_end_at(8));
    }
}
