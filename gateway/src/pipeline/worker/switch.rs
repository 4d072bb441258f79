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
use super::{Asked, Told, Worker, log_halt};

/// Plugins that are to take over.
pub struct Switch {
    /// All plugins of the pipeline, in the order of the configuration.
    pub plugins: Vec<Configured>,
    /// The pipeline's digest with them.
    pub digest: Vec<u8>,
    /// The pipeline's digest that they were chosen beside; `None`: whatever is at work.
    pub beside: Option<Vec<u8>>,
    /// Who asked; nobody where the pipeline itself did.
    pub asked: Option<Asked>,
}

impl Worker {
    /// Takes a switch in. The pipeline's own is not given up for it; one that was asked for before
    /// and still waits has been called off.
    pub(super) fn take_switch(&mut self, switch: Switch) -> Result<(), Halt> {
        if self.switching.as_ref().is_some_and(|waiting| waiting.asked.is_none()) {
            if let Some(asked) = switch.asked {
                asked.tell(Told::Refused(finishing()));
            }
            return Ok(());
        }
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
        let Some(Switch { plugins, digest, beside, asked }) = self.switching.take() else {
            return Ok(());
        };
        if asked.as_ref().is_some_and(|asked| !asked.begin()) {
            return Ok(());
        }
        if let Some(asked) = asked.as_ref().filter(|_| beside.is_some_and(|it| it != self.digest)) {
            // Those that were not to change would go back to what they were.
            asked.tell(Told::Refused(Halt::new(
                "RELOAD_OVERTAKEN",
                "other plugins took over while this was prepared",
                "ask again: it is then tried beside those that are at work now",
            )));
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
                self.live.replace(&plugins);
                let tell = |told| {
                    if let Some(asked) = &asked {
                        asked.tell(told);
                    }
                };
                // Before the log is waited for, which may be full for as long as it likes.
                tell(Told::TookOver(self.writer.next_sequence()));
                self.record_switch(digest)?;
                tell(Told::Durable);
                Ok(())
            }
            (Err(halt), Some(asked)) => {
                // Those at work go on.
                asked.tell(Told::Refused(halt));
                Ok(())
            }
            (Err(halt), None) => Err(halt),
        }
    }

    /// The chain has its new members: everything that was made of the old ones is forgotten, and the
    /// log is told.
    fn record_switch(&mut self, digest: Vec<u8>) -> Result<(), Halt> {
        self.plans.clear();
        // What definitions brought that had no row to go with: everything before is in the log.
        for record in self.coverage.drain(..).flat_map(|(_, records)| records) {
            self.writer.control(Control::PluginActivation(record));
        }
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
        crash_point("pipeline.before_switch");
        self.submit()?;
        self.writer.flush().map_err(|error| log_halt(&error))?;
        crash_point("pipeline.after_switch");
        Ok(())
    }
}

fn finishing() -> Halt {
    Halt::new(
        "RELOAD_FINISHING",
        "a transaction that earlier versions of the plugins began is being finished by them, and \
         those of the last start take over after it",
        "ask again once `offtake status` shows the new digests",
    )
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
