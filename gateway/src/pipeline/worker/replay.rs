//! A row that was asked for again, on its way into the log: like any other, for one stream alone.
//!
//! It comes between transactions and in none, so it moves no position: after a crash it is there or
//! it is not, and asking again does no harm.

use offtake_source_postgres::{Entered, ReplayedChange};

use super::super::halt::Halt;
use super::Worker;

impl Worker {
    /// Takes the row in and tells what became of it; nobody is told where this halts.
    pub(super) fn take_replayed(&mut self, change: ReplayedChange) -> Result<(), Halt> {
        let first_sequence = self.writer.next_sequence();
        self.only_stream = Some(change.stream);
        let outcome = self.take_batch(change.batch);
        self.only_stream = None;
        outcome?;
        // Whoever asked may be gone.
        let _ = change.entered.try_send(Entered {
            first_sequence,
            end_sequence: self.writer.next_sequence(),
            is_routed: self.scratch.had_outputs(),
        });
        Ok(())
    }
}
