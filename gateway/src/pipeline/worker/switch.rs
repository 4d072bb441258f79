//! Other plugins take over between two transactions.
//!
//! The switch is a record in the log, in a group of its own: what stands before it is of the plugins
//! before, what follows is of the new ones, also after a crash. A transaction that is open is
//! finished first; of a batch in which one ends and the next has begun, the rest waits.

use offtake_change::Batch;
use offtake_failpoint::crash_point;
use offtake_log::Control;

use super::super::chain::Configured;
use super::super::halt::Halt;
use super::{Worker, log_halt};

/// Plugins that are to take over.
pub struct Switch {
    /// All plugins of the pipeline, in the order of the configuration.
    pub plugins: Vec<Configured>,
    /// The pipeline's digest with them.
    pub digest: Vec<u8>,
    /// Who asked; nobody where the pipeline itself did. The sequence that the next change gets. One
    /// who is gone has called it off.
    pub asked: Option<flume::Sender<Result<u64, Halt>>>,
}

impl Worker {
    /// Takes a switch in. A later one takes the place of one that still waits.
    pub(super) fn take_switch(&mut self, switch: Switch) -> Result<(), Halt> {
        self.switching = Some(switch);
        self.switch_between_transactions()
    }

    /// Switches, where that is asked for and no transaction is open.
    ///
    /// # Errors
    /// The log; or plugins that the pipeline itself chose cannot take over.
    pub(super) fn switch_between_transactions(&mut self) -> Result<(), Halt> {
        if self.open.is_some() {
            return Ok(());
        }
        let Some(Switch { plugins, digest, asked }) = self.switching.take() else { return Ok(()) };
        if asked.as_ref().is_some_and(flume::Sender::is_disconnected) {
            return Ok(());
        }
        let catalogue = self.inputs.catalogue();
        // Nothing is in hand: what was has been finished by those before.
        let replaced = self
            .crew_with(&plugins)
            .and_then(|crew| self.chain.replace(&plugins, &self.router, &catalogue).map(|()| crew));
        match (replaced, asked) {
            (Ok(crew), asked) => {
                self.replace_crew(crew);
                let sequence = self.record_switch(&plugins, digest)?;
                if let Some(asked) = asked {
                    // Whoever asked may have gone meanwhile; it has happened all the same.
                    let _ = asked.send(Ok(sequence));
                }
                Ok(())
            }
            (Err(halt), Some(asked)) => {
                // Those at work go on.
                let _ = asked.send(Err(halt));
                Ok(())
            }
            (Err(halt), None) => Err(halt),
        }
    }

    /// The chain has its new members: everything that was made of the old ones is forgotten, and the
    /// log is told. Gives the sequence that the next change gets.
    fn record_switch(&mut self, plugins: &[Configured], digest: Vec<u8>) -> Result<u64, Halt> {
        self.plans.clear();
        // The new members' records hold what these held.
        self.coverage.clear();
        self.digest = digest;
        for table in &self.inputs.catalogue() {
            for target in self.route(table)? {
                self.tell_protection(&target);
            }
        }
        self.submit()?;
        for record in self.chain.activations() {
            tracing::info!(plugin = record.name, digest = record.digest, "a plugin takes over");
            self.writer.control(Control::PluginActivation(record));
        }
        let sequence = self.writer.next_sequence();
        crash_point("pipeline.before_switch");
        self.submit()?;
        self.writer.flush().map_err(|error| log_halt(&error))?;
        crash_point("pipeline.after_switch");
        self.live.replace(plugins);
        Ok(sequence)
    }
}

/// Cuts off what follows the last end of a transaction; `None` where nothing follows, or none ends.
pub(super) fn split_after_last_transaction(batch: &mut Batch) -> Option<Batch> {
    let end = batch.boundaries.last()?.rows_end as usize;
    if end >= batch.rows.len() {
        return None;
    }
    let mut rest = batch.clone();
    rest.rows.drain(..end);
    rest.boundaries.clear();
    batch.rows.truncate(end);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use offtake_change::{Boundary, Image, Lsn, Operation, Row};

    use super::*;

    #[test]
    fn a_batch_is_cut_after_the_last_transaction_that_ends_in_it() {
        let mut batch = Batch::new();
        for order in 1..=5 {
            batch.rows.push(Row { order, ..Row::new(Operation::Create, Image::NONE, Image::NONE) });
        }
        assert!(split_after_last_transaction(&mut batch).is_none(), "none ends");
        let end = |rows_end| Boundary { rows_end, transaction: 0, end: Lsn(9), source_rows: 1 };
        batch.boundaries = vec![end(1), end(3)];
        let rest = split_after_last_transaction(&mut batch).unwrap();
        let orders = |batch: &Batch| batch.rows.iter().map(|row| row.order).collect::<Vec<_>>();
        assert_eq!((orders(&batch), batch.boundaries.len()), (vec![1, 2, 3], 2));
        assert_eq!((orders(&rest), rest.boundaries.len()), (vec![4, 5], 0));
        assert!(split_after_last_transaction(&mut batch).is_none(), "nothing follows");
    }
}
