//! Keeping a fault to the changes that it belongs to.
//!
//! A call that failed is made once more on a fresh instance, for what an instance remembers may be
//! what is wrong with it: memory that it never gave back, for example. A call that fails there too
//! is divided into halves, until every change that fails stands alone; all others are processed, in
//! order. Finding them has a limit of its own, so that a plugin that fails at everything costs no
//! more than that. What becomes of a change that failed is not decided here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use offtake_change::{Batch, TableSchema};

use crate::clock::thread_cpu;
use crate::instance::BrokenCall;
use crate::{
    Counters, FailedRow, Fault, FaultCode, Instance, Interest, Plugin, PluginError, Processed,
};

/// A plugin at work whose faults are isolated; owned by one thread.
pub struct Isolated {
    plugin: Plugin,
    instance: Instance,
    /// What the instances before did.
    past: Counters,
    restarts: u64,
}

impl fmt::Debug for Isolated {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Isolated").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// What one isolation may still take.
struct Budget {
    began: Duration,
    limit: Duration,
}

impl Isolated {
    /// Starts a first instance.
    ///
    /// # Errors
    /// As [`Plugin::instance`].
    pub fn new(plugin: &Plugin) -> Result<Isolated, PluginError> {
        Ok(Isolated {
            plugin: plugin.clone(),
            instance: plugin.instance()?,
            past: Counters::default(),
            restarts: 0,
        })
    }

    /// The plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// What all instances have done so far.
    pub fn counters(&self) -> Counters {
        self.past + self.instance.counters()
    }

    /// The instance that runs now.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Instances that were replaced after a fault.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// See [`Instance::on_schema`].
    ///
    /// # Errors
    /// The same.
    pub fn on_schema(&mut self, schema: &Arc<TableSchema>) -> Result<Interest, Fault> {
        self.instance.on_schema(schema)
    }

    /// Whether the plugin is called for rows of a definition.
    ///
    /// # Errors
    /// As [`Instance::on_schema`].
    pub fn subscribes(&mut self, schema: &Arc<TableSchema>) -> Result<bool, Fault> {
        self.instance.subscribes(schema)
    }

    /// See [`Instance::output_schema`].
    ///
    /// # Errors
    /// The same.
    pub fn output_schema(&mut self, schema: &Arc<TableSchema>) -> Result<Arc<TableSchema>, Fault> {
        self.instance.output_schema(schema)
    }

    /// See [`Instance::column_origins`].
    ///
    /// # Errors
    /// The same.
    pub fn column_origins(&mut self, schema: &Arc<TableSchema>) -> Result<Vec<Option<u32>>, Fault> {
        self.instance.column_origins(schema)
    }

    /// Runs the plugin over rows of a batch and applies what it answers. `rows` are indices into
    /// the batch's rows in source order; rows that an earlier plugin dropped are left out, and so
    /// are definitions. Neighbours of one schema share calls of at most
    /// [`CALL_ROWS`](crate::CALL_ROWS). The rows then have the schema that
    /// [`Isolated::output_schema`] gives.
    ///
    /// What the plugin emitted and failed at is added to `done`.
    ///
    /// # Errors
    /// A fault that is no change's: a table's definition that the plugin cannot take, a part of the
    /// contract that this release does not offer, a fresh instance that cannot be started, an
    /// isolation that takes too long. The batch is then partly processed and must not go on.
    pub fn process(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        done: &mut Processed,
    ) -> Result<(), Fault> {
        let mut rest = rows;
        while !rest.is_empty() {
            let Err(broken) = self.instance.run(batch, rest, done) else { return Ok(()) };
            let last = broken.rows.last().copied();
            let budget = Budget { began: thread_cpu(), limit: self.plugin.limits().isolation };
            self.again(batch, broken, &budget, done)?;
            if self.instance.is_poisoned() {
                self.renew()?;
            }
            rest = behind(rest, last);
        }
        Ok(())
    }

    /// [`Isolated::process`] over rows of several definitions: those of one go together, in the order
    /// of the definitions' first rows. A plugin that keeps state gets all in the order of the source,
    /// whatever they are: what it keeps depends on it.
    ///
    /// # Errors
    /// The same.
    pub fn process_by_schema(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        done: &mut Processed,
    ) -> Result<(), Fault> {
        if self.plugin.state().is_some() {
            return self.process(batch, rows, done);
        }
        // A row that was dropped may have a definition that no plugin behind is to be told.
        let live = |&row: &u32| batch.rows.get(row as usize).filter(|head| !head.dropped);
        let live: Vec<(u32, u32)> =
            rows.iter().filter_map(|row| Some((live(row)?.schema, *row))).collect();
        let mut told: Vec<u32> = Vec::new();
        for &(schema, _) in &live {
            if told.contains(&schema) {
                continue;
            }
            told.push(schema);
            let group = live.iter().filter(|(of, _)| *of == schema);
            let group: Vec<u32> = group.map(|&(_, row)| row).collect();
            self.process(batch, &group, done)?;
        }
        Ok(())
    }

    /// A call once more, unless the plugin says that this is of no use.
    fn again(
        &mut self,
        batch: &mut Batch,
        broken: BrokenCall,
        budget: &Budget,
        done: &mut Processed,
    ) -> Result<(), Fault> {
        let BrokenCall { fault, rows } = isolable(broken)?;
        if fault.permanent {
            return self.divide(batch, BrokenCall { fault, rows }, budget, done);
        }
        self.renew()?;
        self.run_divided(batch, &rows, budget, done)
    }

    /// Rows in order, and what of them fails in halves. Where the plugin keeps state they may be
    /// several calls, of which one fails.
    fn run_divided(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        budget: &Budget,
        done: &mut Processed,
    ) -> Result<(), Fault> {
        let mut rest = rows;
        while !rest.is_empty() {
            if self.instance.is_poisoned() {
                self.renew()?;
            }
            let Err(broken) = self.instance.run(batch, rest, done) else { return Ok(()) };
            let last = broken.rows.last().copied();
            self.divide(batch, isolable(broken)?, budget, done)?;
            rest = behind(rest, last);
        }
        Ok(())
    }

    /// The halves of a call that failed.
    fn divide(
        &mut self,
        batch: &mut Batch,
        broken: BrokenCall,
        budget: &Budget,
        done: &mut Processed,
    ) -> Result<(), Fault> {
        let BrokenCall { mut fault, rows } = broken;
        if let [row] = *rows {
            fault.row = Some(row);
            done.failed.push(FailedRow { row, fault });
            self.instance.pass(batch, row);
            return Ok(());
        }
        let (first, second) = rows.split_at(rows.len() / 2);
        for half in [first, second] {
            if budget.is_spent() {
                return Err(budget.fault(&fault));
            }
            self.run_divided(batch, half, budget, done)?;
        }
        Ok(())
    }

    /// A fresh instance in place of one that may not be as it was.
    fn renew(&mut self) -> Result<(), Fault> {
        let fresh = self.plugin.instance().map_err(|error| match error {
            PluginError::Fault(fault) => fault,
            error => Fault::new(FaultCode::Host, &self.plugin.shared_name(), error.to_string()),
        })?;
        self.past = self.counters();
        self.instance = fresh;
        self.restarts += 1;
        Ok(())
    }
}

impl Budget {
    fn is_spent(&self) -> bool {
        thread_cpu().saturating_sub(self.began) >= self.limit
    }

    fn fault(&self, last: &Fault) -> Fault {
        let message = format!(
            "finding the changes that it fails at took more than {} ms of CPU time; the last \
             failure was {}: {}",
            self.limit.as_millis(),
            last.code,
            last.message
        );
        Fault { code: FaultCode::Isolation, message, permanent: true, ..last.clone() }
    }
}

/// What comes after a row.
fn behind(rows: &[u32], last: Option<u32>) -> &[u32] {
    let at = rows.iter().position(|row| Some(*row) == last);
    at.and_then(|at| rows.get(at + 1..)).unwrap_or_default()
}

/// A call's failure if it may be the doing of one of its changes.
fn isolable(broken: BrokenCall) -> Result<BrokenCall, Fault> {
    if broken.rows.is_empty() || !broken.fault.code.is_isolable() {
        return Err(broken.fault);
    }
    Ok(broken)
}
