//! The pipeline's plugins: one instance each, run over batches in source order.
//!
//! A chain is a list of plugins; every one patches the batch in place, so the next sees what the
//! one before left, and rows that it emitted beside them. Which plugin works on which table is the router's; limits and faults of a call
//! are the `transform` crate's. Here a change that a plugin fails at becomes what its policy says.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use offtake_change::{Batch, Form, Operation, Row, TableSchema};
use offtake_proto::v1;
use offtake_transform::{
    Emission, FailedRow, Fault, FaultCode, Interest, Isolated, Plugin, PluginError, Processed,
    column_loss,
};

use super::failure::{Attempt, Breaker, DeadRow, FailurePolicy, OnError, Warner};
use super::halt::Halt;
use super::live::is_same_version;
use super::named_columns::{NamedColumns, check_columns};
use super::outputs::warn_of_key;
use super::protect::Guard;
use super::router::Router;
use super::ways::{check_state_order, withheld};

/// Counters of one plugin, read by metrics while the worker writes.
#[derive(Debug, Default)]
pub struct PluginCounters {
    /// Changes handed to the plugin.
    pub changes: AtomicU64,
    /// Nanoseconds spent, calls and copying together.
    pub nanoseconds: AtomicU64,
    /// Changes that the plugin made of others.
    pub emitted: AtomicU64,
    /// Changes that the plugin failed at.
    pub failed: AtomicU64,
    /// Instances that were replaced after a fault.
    pub restarts: AtomicU64,
}

/// A plugin of the configuration.
#[derive(Clone)]
pub struct Configured {
    /// The plugin.
    pub plugin: Plugin,
    /// What it counts.
    pub counters: Arc<PluginCounters>,
    /// What becomes of the changes that it fails at.
    pub policy: FailurePolicy,
    /// The columns that its configuration names.
    pub columns: Arc<NamedColumns>,
}

/// One plugin at work.
struct Member {
    instance: Isolated,
    guard: Guard,
    protects: bool,
    /// Its words may repeat what another plugin protects.
    withheld: bool,
    counters: Arc<PluginCounters>,
    policy: FailurePolicy,
    columns: Arc<NamedColumns>,
    breaker: Breaker,
    warner: Warner,
}

/// What plugins said to a definition of a table.
pub struct Checked {
    /// Records for the log, which must not become durable before the definition's first row.
    pub records: Vec<v1::PluginActivation>,
    /// The definition as the last of the plugins puts it out.
    pub output: Arc<TableSchema>,
    /// Streams beside the route's that the plugins name for the table.
    pub streams: Vec<String>,
}

/// What chains made of a batch beside what they did to its rows.
#[derive(Debug, Default)]
pub struct Made {
    /// Rows that go to the dead-letter stream.
    pub dead: Vec<DeadRow>,
    /// Rows that were emitted, each with the row from the source that it comes from, which stands in
    /// `parent`. Those of one row from the source are neighbours and in their order.
    pub emitted: Vec<Emission>,
    /// How many changes plugins tried and failed at, in order.
    pub attempts: Vec<Attempt>,
}

impl Made {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.dead.clear();
        self.emitted.clear();
        self.attempts.clear();
    }
}

/// All plugins of a pipeline.
pub struct Chain {
    members: Vec<Member>,
    /// What the last call brought.
    done: Processed,
    /// States that nobody keeps any more.
    forgotten: Vec<v1::StateDelta>,
}

impl Chain {
    /// Makes an instance of every plugin. `recorded` is what the log holds of activations.
    ///
    /// # Errors
    /// A plugin that cannot be instantiated, or must not stand where it stands.
    pub fn new(
        plugins: &[Configured],
        router: &Router,
        recorded: &[v1::PluginActivation],
    ) -> Result<Chain, Halt> {
        let all: Vec<&Plugin> = plugins.iter().map(|configured| &configured.plugin).collect();
        check_state_order(router, &all)?;
        let members = plugins.iter().zip(withheld(router, &all));
        let members = members.map(|(plugin, withheld)| Member::new(plugin, withheld, recorded));
        let members = members.collect::<Result<_, _>>()?;
        Ok(Chain { members, done: Processed::default(), forgotten: Vec::new() })
    }

    /// Before the first change: plugins that protect find every column they name.
    pub fn check_start(
        &mut self,
        router: &Router,
        tables: &[Arc<TableSchema>],
    ) -> Result<(), Halt> {
        let mut members = self.members.iter_mut().enumerate();
        members.try_for_each(|(index, member)| member.check_start(index, router, tables))
    }

    /// Before the first change: what plugins' configurations name is in one of their tables, or told.
    ///
    /// # Errors
    /// A column that is in none, where that is an error.
    pub fn check_columns(&self, router: &Router, tables: &[Arc<TableSchema>]) -> Result<(), Halt> {
        let member =
            |member: &Member| (member.instance.plugin().clone(), Arc::clone(&member.columns));
        check_columns(&self.members.iter().map(member).collect::<Vec<_>>(), router, tables)
    }

    /// Puts other versions of the same plugins to work, between two transactions. Those that did not
    /// change go on with their instances; what a plugin covered binds its new version too.
    ///
    /// # Errors
    /// One that cannot be instantiated, or does not find a column that it is to protect: then
    /// nothing is replaced.
    pub fn replace(
        &mut self,
        plugins: &[Configured],
        router: &Router,
        tables: &[Arc<TableSchema>],
    ) -> Result<(), Halt> {
        let all: Vec<&Plugin> = plugins.iter().map(|configured| &configured.plugin).collect();
        check_state_order(router, &all)?;
        let withheld = withheld(router, &all);
        let mut replaced = Vec::new();
        for (index, (member, configured)) in self.members.iter().zip(plugins).enumerate() {
            let withheld = withheld.get(index).copied().unwrap_or(true);
            if member.is(configured) && member.withheld == withheld {
                continue;
            }
            let mut new = Member::new(configured, withheld, &[member.guard.record()])?;
            new.check_start(index, router, tables)?;
            replaced.push((index, new));
        }
        for (index, member) in replaced {
            self.members[index] = member;
        }
        Ok(())
    }

    /// Whether there is no plugin at all.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether one of the plugins protects something.
    pub fn protects(&self, plugins: &[usize]) -> bool {
        plugins.iter().any(|&index| self.members.get(index).is_none_or(|member| member.protects))
    }

    /// Whether one of the plugins keeps state.
    pub fn keeps_state(&self, plugins: &[usize]) -> bool {
        let keeps = |index: &usize| self.members.get(*index).is_some_and(Member::keeps_state);
        plugins.iter().any(keeps)
    }

    /// Whether any plugin at all keeps state.
    pub fn is_stateful(&self) -> bool {
        self.members.iter().any(Member::keeps_state)
    }

    /// Has the states of these plugins, which are no longer there, forgotten in the log too.
    pub fn forget_states(&mut self, plugins: Vec<String>) {
        let cleared = |plugin| v1::StateDelta { plugin, cleared: true, ..Default::default() };
        self.forgotten.extend(plugins.into_iter().map(cleared));
    }

    /// How the plugins' states changed since this was last asked.
    pub fn take_state_deltas(&mut self) -> Vec<v1::StateDelta> {
        let mut deltas = std::mem::take(&mut self.forgotten);
        for member in &self.members {
            let plugin = member.instance.plugin();
            deltas.extend(plugin.state().and_then(|state| state.take_delta(plugin.name())));
        }
        deltas
    }

    /// Has every plugin's record written again: they take over from others inside a transaction.
    pub fn record_again(&mut self) {
        self.members.iter_mut().for_each(|member| member.guard.record_again());
    }

    /// The records of plugins that the log does not hold as they are now.
    pub fn activations(&mut self) -> Vec<v1::PluginActivation> {
        self.members.iter_mut().filter_map(Member::take_record).collect()
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
        let mut streams = Vec::new();
        // Of the columns as they now are, which of the source's each is.
        let mut origins: Vec<Option<u32>> = (0..table.columns.len() as u32).map(Some).collect();
        for &index in plugins {
            let Some(member) = self.members.get_mut(index) else { continue };
            member.guard.check_table(table, precedes_start)?;
            records.extend(member.take_record());
            member.check_told(table, &output, &origins)?;
            let mapped = member.instance.column_origins(&output);
            let mapped = mapped.map_err(|fault| fault_halt(&fault))?;
            let origin = |from: Option<u32>| origins.get(from? as usize).copied().flatten();
            origins = mapped.into_iter().map(origin).collect();
            streams.extend(member.judge(&output)?);
            let put_out = member.instance.output_schema(&output);
            output = put_out.map_err(|fault| fault_halt(&fault))?;
        }
        warn_of_key(table, &output, &origins);
        Ok(Checked { records, output, streams })
    }

    /// Runs plugins over rows of one schema, in order. What they emit goes on through the plugins
    /// behind. A change that one fails at becomes what that plugin's policy says: those that are to
    /// be dead letters are dropped, and added to `made`.
    ///
    /// # Errors
    /// A fault that halts: by the policy, or because it is no change's. The batch is then partly patched and must not go on.
    pub fn process(
        &mut self,
        plugins: &[usize],
        batch: &mut Batch,
        rows: &[u32],
        made: &mut Made,
    ) -> Result<(), Halt> {
        let originals = self.originals(plugins, batch, rows);
        // Rows from the source by the rows that were emitted of them.
        let mut roots: HashMap<u32, u32> = HashMap::new();
        let mut line: Vec<u32> = rows.to_vec();
        for &index in plugins {
            let Some(member) = self.members.get_mut(index) else { continue };
            let handed = member.run(batch, &line, &mut self.done)?;
            let known = made.dead.len();
            let failed = &mut self.done.failed;
            failed.sort_by_key(|failed| failed.row);
            made.attempts.push(Attempt {
                member: index,
                seen: handed,
                failed: failed.len(),
                last: failed.last().map(|failed| failed.fault.clone()),
            });
            member.settle(batch, failed, &mut made.dead)?;
            for dead in &mut made.dead[known..] {
                let root = roots.get(&dead.row).unwrap_or(&dead.row);
                let at = rows.iter().position(|row| row == root);
                dead.original =
                    at.and_then(|at| originals.get(at)).copied().unwrap_or(dead.original);
            }
            if !self.done.emitted.is_empty() {
                for &Emission { parent, row } in &self.done.emitted {
                    roots.insert(row, *roots.get(&parent).unwrap_or(&parent));
                }
                line = with_emitted(&line, &self.done.emitted);
                self.done.emitted.clear();
            }
        }
        if !roots.is_empty() {
            let emitted = line
                .iter()
                .filter_map(|row| Some(Emission { parent: *roots.get(row)?, row: *row }));
            made.emitted.extend(emitted);
        }
        Ok(())
    }

    /// Counts what was tried, in the order of the source: by whichever thread it was.
    ///
    /// # Errors
    /// Too many changes failed.
    pub fn count_failures(&mut self, attempts: &mut Vec<Attempt>) -> Result<(), Halt> {
        for Attempt { member, seen, failed, last } in attempts.drain(..) {
            let Some(member) = self.members.get_mut(member) else { continue };
            member.warn(failed, last.as_ref());
            let percent = member.policy.breaker_percent;
            let counted = member.breaker.count(percent, seen, failed, last.as_ref());
            counted.map_err(|fault| fault_halt(&fault))?;
        }
        Ok(())
    }

    /// The rows as they came from the source, where they may become dead letters. A plugin never
    /// changes what it fails at, so only those behind the first one make a copy necessary.
    fn originals(&self, plugins: &[usize], batch: &mut Batch, rows: &[u32]) -> Vec<Row> {
        let keeps = |index: &usize| {
            let member = self.members.get(*index);
            member.is_some_and(|member| member.policy.on_error == OnError::DeadLetter)
        };
        let Some(last) = plugins.iter().rposition(keeps) else { return Vec::new() };
        let heads: Vec<Row> =
            rows.iter().filter_map(|&row| batch.rows.get(row as usize).copied()).collect();
        match last {
            0 => heads,
            _ => heads.iter().map(|head| batch.fork_row(head)).collect(),
        }
    }
}

/// How many of the rows are still on their way, by their definition.
fn live_by_schema(batch: &Batch, rows: &[u32]) -> Vec<(Arc<TableSchema>, usize)> {
    let mut counts = vec![0; batch.schemas.len()];
    let live = rows.iter().filter_map(|&row| batch.rows.get(row as usize));
    for row in live.filter(|row| !row.dropped && row.operation != Operation::Define) {
        if let Some(count) = counts.get_mut(row.schema as usize) {
            *count += 1;
        }
    }
    let counted = batch.schemas.iter().zip(counts).filter(|&(_, count)| count > 0);
    counted.map(|(schema, count)| (Arc::clone(schema), count)).collect()
}

/// Rows with those that were emitted of them, each behind its parent.
fn with_emitted(line: &[u32], emitted: &[Emission]) -> Vec<u32> {
    let mut of: HashMap<u32, Vec<u32>> = HashMap::new();
    for &Emission { parent, row } in emitted {
        of.entry(parent).or_default().push(row);
    }
    let mut children = |row: &u32| of.remove(row).unwrap_or_default();
    line.iter().flat_map(|row| std::iter::once(*row).chain(children(row))).collect()
}

impl Member {
    fn keeps_state(&self) -> bool {
        self.instance.plugin().state().is_some()
    }

    /// The record for the log, where the log does not hold what is so now.
    fn take_record(&mut self) -> Option<v1::PluginActivation> {
        let stateful = self.keeps_state();
        self.guard.take_record().map(|record| v1::PluginActivation { stateful, ..record })
    }

    fn new(
        configured: &Configured,
        withheld: bool,
        recorded: &[v1::PluginActivation],
    ) -> Result<Member, Halt> {
        let Configured { plugin, counters, policy, columns } = configured;
        let plugin = &if withheld { plugin.withheld() } else { plugin.clone() };
        Ok(Member {
            withheld,
            instance: Isolated::new(plugin).map_err(|error| plugin_halt(&error))?,
            guard: guard(plugin, recorded),
            protects: plugin.info().protects,
            counters: Arc::clone(counters),
            policy: *policy,
            columns: Arc::clone(columns),
            breaker: Breaker::default(),
            warner: Warner::default(),
        })
    }

    /// Whether this is what is configured, by its component, its configuration, limits and policy.
    fn is(&self, configured: &Configured) -> bool {
        let plugin = self.instance.plugin();
        self.policy == configured.policy && is_same_version(plugin, &configured.plugin)
    }

    fn check_start(
        &mut self,
        index: usize,
        router: &Router,
        tables: &[Arc<TableSchema>],
    ) -> Result<(), Halt> {
        let tables = tables.iter().map(Arc::as_ref);
        let seen: Vec<&TableSchema> =
            tables.filter(|table| router.uses_plugin(table, index)).collect();
        self.guard.check_start(seen.iter().copied())
    }

    /// Runs the plugin over rows, and gives how many it was handed: not those that one before it left
    /// out, nor those of tables that it asked for none of.
    fn run(
        &mut self,
        batch: &mut Batch,
        rows: &[u32],
        done: &mut Processed,
    ) -> Result<usize, Halt> {
        if self.policy.on_error == OnError::Pass {
            // Definitions of emitted rows are first seen here.
            let mut known: Option<u32> = None;
            for row in rows.iter().filter_map(|&row| batch.rows.get(row as usize)) {
                let schema = batch.schemas.get(row.schema as usize);
                if let Some(schema) = schema.filter(|_| !row.dropped && known != Some(row.schema)) {
                    self.judge(schema)?;
                    known = Some(row.schema);
                }
            }
        }
        let begin = std::time::Instant::now();
        let (restarts, emitted) = (self.instance.restarts(), done.emitted.len());
        let live = live_by_schema(batch, rows);
        let outcome = self.instance.process_by_schema(batch, rows, done);
        let spent = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let count = |counter: &AtomicU64, more| counter.fetch_add(more, Ordering::Relaxed);
        count(&self.counters.nanoseconds, spent);
        count(&self.counters.restarts, self.instance.restarts() - restarts);
        count(&self.counters.failed, done.failed.len() as u64);
        count(&self.counters.emitted, (done.emitted.len() - emitted) as u64);
        outcome.map_err(|fault| fault_halt(&fault))?;
        let mut handed = 0;
        for (schema, rows) in live {
            let subscribes = self.instance.subscribes(&schema);
            handed += if subscribes.map_err(|fault| fault_halt(&fault))? { rows } else { 0 };
        }
        count(&self.counters.changes, handed as u64);
        Ok(handed)
    }

    /// Whether a plugin that protects is told the columns that it must cover as the source has them:
    /// one before it may have renamed them.
    fn check_told(
        &self,
        source: &TableSchema,
        told: &TableSchema,
        origins: &[Option<u32>],
    ) -> Result<(), Halt> {
        let info = self.instance.plugin().info();
        let required = info.required_columns.iter().filter(|_| self.protects);
        for name in required {
            let Some(ordinal) = source.ordinal(name) else { continue };
            let Some(column) = source.columns.get(ordinal) else { continue };
            let of = told.ordinal(name).and_then(|at| origins.get(at).copied().flatten());
            let is_another = of.is_some_and(|of| of as usize != ordinal)
                || (of.is_none() && told.ordinal(name).is_some());
            let loss = match column_loss(name, &column.logical, told) {
                Some(loss) => Some(loss.to_string()),
                None => is_another.then(|| "is another column".to_owned()),
            };
            if let Some(loss) = loss {
                return Err(Halt::new(
                    FaultCode::Unprotected.as_str(),
                    format!(
                        "plugin {}, table {}: the protected column {name:?} {loss} once the plugins \
                         before it are done ({})",
                        self.instance.plugin().name(),
                        source.qualified_name(),
                        told.changed_by.join(", ")
                    ),
                    "put the plugin that protects before those that rename, retype or remove its columns",
                ));
            }
        }
        Ok(())
    }

    /// Judges what the plugin makes of a definition, and gives the streams that it names.
    fn judge(&mut self, told: &Arc<TableSchema>) -> Result<Vec<String>, Halt> {
        let Interest { shape, streams, .. } =
            self.instance.on_schema(told).map_err(|fault| fault_halt(&fault))?;
        if self.policy.on_error == OnError::Pass {
            let why = match shape.form {
                _ if shape.needs_values(told) => Some("gives it a column that only it can fill"),
                // What is left as it is may be no message at all, or one of long ago.
                Some((Form::Opaque, _)) => Some("puts out one column as the payload"),
                _ => None,
            };
            if let Some(why) = why {
                return Err(Halt::new(
                    "PLUGIN_PASS_REFUSED",
                    format!(
                        "table {}: plugin {} {why}, so a change that it fails at cannot pass",
                        told.qualified_name(),
                        self.instance.plugin().name(),
                    ),
                    "choose another `on_error` for the plugin",
                ));
            }
        }
        Ok(streams)
    }

    /// Tells of failures that halt nothing; without the plugin's words, which may repeat values.
    fn warn(&mut self, failed: usize, last: Option<&Fault>) {
        let Some(last) = last else { return };
        if let Some(changes) = self.warner.due(failed, std::time::Instant::now()) {
            tracing::warn!(
                code = last.code(),
                plugin = self.instance.plugin().name(),
                table = last.table.as_deref(),
                position = last.lsn.map(|lsn| lsn.to_string()),
                changes,
                on_error = self.policy.on_error.word(),
                "a plugin failed at changes; position and code are the last one's"
            );
        }
    }

    /// What becomes of the changes that the plugin failed at, in their order.
    fn settle(
        &mut self,
        batch: &mut Batch,
        failed: &mut Vec<FailedRow>,
        dead: &mut Vec<DeadRow>,
    ) -> Result<(), Halt> {
        if self.policy.on_error == OnError::Halt
            && let Some(first) = failed.first()
        {
            return Err(fault_halt(&first.fault));
        }
        for FailedRow { row, fault } in failed.drain(..) {
            tracing::debug!(code = fault.code(), cause = %fault, "a plugin failed at a change");
            let Some(head) = batch.rows.get_mut(row as usize) else { continue };
            if self.policy.on_error == OnError::Pass {
                continue;
            }
            let original = *head;
            head.dropped = true;
            if self.policy.on_error == OnError::DeadLetter {
                let digest = hexadecimal(&self.instance.plugin().digest());
                dead.push(DeadRow { row, original, digest, fault });
            }
        }
        Ok(())
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
