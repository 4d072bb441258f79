//! The pipeline's plugins: one instance each, run over batches in source order.
//!
//! A chain is a list of plugins; every one patches the batch in place, so the next sees what the
//! one before left. Which plugin works on which table is the router's; limits and faults of a call
//! are the `transform` crate's. Here a fault becomes a halt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use offtake_change::{Batch, TableSchema};
use offtake_proto::v1;
use offtake_transform::{Fault, Instance, Plugin, PluginError};

use super::halt::Halt;
use super::protect::Guard;
use super::router::Router;

/// Counters of one plugin, read by metrics while the worker writes.
#[derive(Debug, Default)]
pub struct PluginCounters {
    /// Changes handed to the plugin.
    pub changes: AtomicU64,
    /// Nanoseconds spent, calls and copying together.
    pub nanoseconds: AtomicU64,
}

/// One plugin at work.
struct Member {
    instance: Instance,
    guard: Guard,
    protects: bool,
    counters: Arc<PluginCounters>,
}

/// What plugins said to a definition of a table.
pub struct Checked {
    /// Records for the log, which must not become durable before the definition's first row.
    pub records: Vec<v1::PluginActivation>,
    /// The definition as the last of the plugins puts it out.
    pub output: Arc<TableSchema>,
}

/// All plugins of a pipeline.
pub struct Chain {
    members: Vec<Member>,
}

impl Chain {
    /// Makes an instance of every plugin. `recorded` is what the log holds of activations.
    ///
    /// # Errors
    /// A plugin that cannot be instantiated.
    pub fn new(
        plugins: &[(Plugin, Arc<PluginCounters>)],
        recorded: &[v1::PluginActivation],
    ) -> Result<Chain, Halt> {
        let mut members = Vec::with_capacity(plugins.len());
        for (plugin, counters) in plugins {
            members.push(Member {
                instance: plugin.instance().map_err(|error| plugin_halt(&error))?,
                guard: guard(plugin, recorded),
                protects: plugin.info().protects,
                counters: Arc::clone(counters),
            });
        }
        Ok(Chain { members })
    }

    /// Before the first change: plugins that protect find every column they name.
    pub fn check_start(
        &mut self,
        router: &Router,
        tables: &[Arc<TableSchema>],
    ) -> Result<(), Halt> {
        for (index, member) in self.members.iter_mut().enumerate() {
            let seen: Vec<&TableSchema> = tables
                .iter()
                .map(Arc::as_ref)
                .filter(|table| router.uses_plugin(table, index))
                .collect();
            member.guard.check_start(seen.iter().copied())?;
        }
        Ok(())
    }

    /// Whether one of the plugins protects something.
    pub fn protects(&self, plugins: &[usize]) -> bool {
        plugins.iter().any(|&index| self.members.get(index).is_none_or(|member| member.protects))
    }

    /// Has every plugin's record written again: they take over from others inside a transaction.
    pub fn record_again(&mut self) {
        self.members.iter_mut().for_each(|member| member.guard.record_again());
    }

    /// The records of plugins that the log does not hold as they are now.
    pub fn activations(&mut self) -> Vec<v1::PluginActivation> {
        self.members.iter_mut().filter_map(|member| member.guard.take_record()).collect()
    }

    /// When a definition of a table is first used by these plugins: each is told it as the one
    /// before puts it out. What is protected is judged by the source's own definition.
    /// `precedes_start`: its first row committed before the catalogue was read.
    pub fn check_table(
        &mut self,
        plugins: &[usize],
        table: &Arc<TableSchema>,
        precedes_start: bool,
    ) -> Result<Checked, Halt> {
        let (mut records, mut output) = (Vec::new(), Arc::clone(table));
        for &index in plugins {
            let Some(member) = self.members.get_mut(index) else { continue };
            member.guard.check_table(table, precedes_start)?;
            records.extend(member.guard.take_record());
            output = member.instance.output_schema(&output).map_err(|fault| fault_halt(&fault))?;
        }
        warn_of_key(table, &output);
        Ok(Checked { records, output })
    }

    /// Runs plugins over rows of one schema, in order.
    ///
    /// # Errors
    /// The first fault. The batch is then partly patched and must not go on.
    pub fn process(
        &mut self,
        plugins: &[usize],
        batch: &mut Batch,
        rows: &[u32],
    ) -> Result<(), Halt> {
        for &index in plugins {
            let Some(member) = self.members.get_mut(index) else { continue };
            let begin = std::time::Instant::now();
            let outcome = member.instance.process(batch, rows);
            let spent = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
            member.counters.changes.fetch_add(rows.len() as u64, Ordering::Relaxed);
            member.counters.nanoseconds.fetch_add(spent, Ordering::Relaxed);
            outcome.map_err(|fault| fault_halt(&fault))?;
        }
        Ok(())
    }
}

/// Says which columns of a key that plugins chose are not in every delete: its key then lacks them,
/// as Debezium's does under `message.key.columns`.
fn warn_of_key(source: &TableSchema, output: &TableSchema) {
    if output.key == source.key {
        return;
    }
    for &ordinal in output.key.iter().filter(|&&ordinal| !source.is_in_identity(ordinal)) {
        let column = output.columns.get(ordinal as usize).map(|column| column.name.as_str());
        tracing::warn!(
            code = "PLUGIN_KEY_IDENTITY",
            table = source.qualified_name(),
            column,
            plugins = ?output.changed_by,
            "a column of the key that a plugin chose is not in the replica identity: a delete's \
             key has NULL or zero for it"
        );
    }
}

/// The watch over a plugin, going on from what the log holds of activations.
pub fn guard(plugin: &Plugin, recorded: &[v1::PluginActivation]) -> Guard {
    let record = recorded.iter().rev().find(|record| record.name == plugin.name());
    let protects = plugin.info().protects;
    let required = if protects { &plugin.info().required_columns[..] } else { &[] };
    Guard::new(
        plugin.name(),
        &hexadecimal(&plugin.digest()),
        &hexadecimal(&plugin.config_digest()),
        required,
        record,
    )
}

/// A digest as it is shown and recorded.
pub fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A plugin that cannot be loaded, as a halt.
pub fn plugin_halt(error: &PluginError) -> Halt {
    Halt::new(error.code(), super::halt::chain(error), error.next_step())
}

fn fault_halt(fault: &Fault) -> Halt {
    Halt::new(fault.code(), super::halt::chain(fault), fault.next_step())
}
