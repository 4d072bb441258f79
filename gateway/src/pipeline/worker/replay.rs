//! A row that was asked for again, on its way into the log: like any other, for one stream alone.
//!
//! It comes between transactions and in none, so it moves no position: after a crash it is there or
//! it is not, and asking again does no harm.

use std::sync::Arc;

use offtake_source_postgres::{Entered, ReplayedChange};

use super::super::halt::Halt;
use super::Worker;

/// The stream that a row was asked for again for.
pub(super) struct OnlyStream {
    /// Its name.
    pub(super) name: Arc<str>,
    /// What is emitted onto other streams is left out.
    pub(super) is_alone: bool,
}

impl Worker {
    /// Takes the row in and tells what became of it; nobody is told where this halts.
    pub(super) fn take_replayed(&mut self, change: ReplayedChange) -> Result<(), Halt> {
        let first_sequence = self.writer.next_sequence();
        if self.has_stateful_way(&change)? {
            let end_sequence = first_sequence;
            let refused =
                Entered { first_sequence, end_sequence, is_routed: true, keeps_state: true };
            let _ = change.entered.try_send(refused);
            return Ok(());
        }
        self.only_stream = Some(OnlyStream { name: change.stream, is_alone: change.is_alone });
        let outcome = self.take_batch(change.batch);
        self.only_stream = None;
        outcome?;
        // Whoever asked may be gone.
        let _ = change.entered.try_send(Entered {
            first_sequence,
            end_sequence: self.writer.next_sequence(),
            is_routed: self.scratch.had_outputs(),
            keeps_state: false,
        });
        Ok(())
    }

    /// Whether a plugin that keeps state is on a way to the change's stream: it has seen the change,
    /// and would leave it out or count it twice.
    fn has_stateful_way(&self, change: &ReplayedChange) -> Result<bool, Halt> {
        for schema in &change.batch.schemas {
            let targets = self.route(schema)?;
            let mut ways = targets.iter().filter(|target| target.stream == *change.stream);
            if ways.any(|target| self.chain.keeps_state(&target.plugins)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
