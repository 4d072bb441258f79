//! A batch on its way through the plugins: one output a row and target, the chains over them, and
//! what they made beside.
//!
//! It holds all that a thread with a chain of its own needs, so that it can be taken from one to
//! another; what enters the log, and in which order, is the worker's.

use std::collections::HashMap;
use std::ops::Range;

use offtake_change::{Batch, Operation};

use super::super::chain::{Chain, Made};
use super::super::halt::Halt;
use super::plans::TargetPlan;

/// One change to be: a row of the batch on its way to one target.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) row: u32,
    pub(super) source_row: u32,
    pub(super) schema_index: u32,
    pub(super) target: u32,
}

/// Memory of one batch that the next one uses again.
#[derive(Default)]
pub(super) struct Scratch {
    outputs: Vec<Output>,
    made: Made,
}

impl Scratch {
    /// Whether the batch before went anywhere.
    pub(super) fn had_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }
}

/// A batch and what becomes of it.
pub(super) struct Work {
    pub(super) batch: Batch,
    /// Rows that the source gave; those behind are copies and what plugins emitted.
    pub(super) source_rows: usize,
    /// By the batch's schemas, the ways of their rows.
    plans: Vec<Vec<TargetPlan>>,
    /// Why the batch was cut: a definition that is refused.
    refused: Option<Halt>,
    pub(super) outputs: Vec<Output>,
    pub(super) made: Made,
}

impl Work {
    pub(super) fn new(
        batch: Batch,
        plans: Vec<Vec<TargetPlan>>,
        refused: Option<Halt>,
        scratch: Scratch,
    ) -> Work {
        let Scratch { outputs, made } = scratch;
        Work { source_rows: batch.rows.len(), batch, plans, refused, outputs, made }
    }

    pub(super) fn into_scratch(self) -> (Scratch, Option<Halt>) {
        (Scratch { outputs: self.outputs, made: self.made }, self.refused)
    }

    /// The way of an output.
    pub(super) fn plan(&self, output: &Output) -> Option<&TargetPlan> {
        self.plans.get(output.schema_index as usize)?.get(output.target as usize)
    }

    /// Whether a plugin emitted it.
    pub(super) fn is_emitted(&self, output: &Output) -> bool {
        self.made.emitted.iter().any(|emission| emission.row == output.row)
    }

    /// Whether a plugin is on one of the ways.
    pub(super) fn has_plugins(&self) -> bool {
        self.plans.iter().flatten().any(|plan| !plan.plugins.is_empty())
    }

    /// One output a row and target. Where a row goes to several, every further one gets a copy of
    /// the row before any plugin touches it. `only`: to the target of that stream alone.
    pub(super) fn lay_out(&mut self, rows: Range<usize>, only: Option<&str>) {
        self.outputs.clear();
        for source_row in rows {
            let Some(row) = self.batch.rows.get(source_row).copied() else { continue };
            let targets = self.plans.get(row.schema as usize).map_or(&[][..], Vec::as_slice);
            let asked_for = only.and_then(|stream| way_again(targets, stream, row.operation));
            let mut is_taken = false;
            for (target, plan) in targets.iter().enumerate() {
                let is_on_its_way = match only {
                    Some(_) => asked_for == Some(target),
                    None => plan.operations.contains(row.operation),
                };
                if !is_on_its_way {
                    continue;
                }
                let index = if is_taken {
                    let fork = self.batch.fork_row(&row);
                    self.batch.rows.push(fork);
                    self.batch.rows.len() - 1
                } else {
                    source_row
                };
                is_taken = true;
                self.outputs.push(Output {
                    row: index as u32,
                    source_row: source_row as u32,
                    schema_index: row.schema,
                    target: target as u32,
                });
            }
        }
    }

    /// Runs the chains over what was laid out.
    ///
    /// # Errors
    /// A fault that halts; the batch is then partly patched and must not go on.
    pub(super) fn run(&mut self, chain: &mut Chain) -> Result<(), Halt> {
        self.made.clear();
        let plans = std::mem::take(&mut self.plans);
        let outcome = self.run_by_definition(chain, &plans);
        let outcome = outcome.and_then(|()| self.run_in_order(chain, &plans));
        self.plans = plans;
        self.lay_out_emitted();
        outcome
    }

    fn run_by_definition(
        &mut self,
        chain: &mut Chain,
        plans: &[Vec<TargetPlan>],
    ) -> Result<(), Halt> {
        for (schema_index, targets) in plans.iter().enumerate() {
            for (target_index, target) in targets.iter().enumerate() {
                if target.plugins.is_empty() || chain.keeps_state(&target.plugins) {
                    continue;
                }
                let is_on_its_way = |output: &&Output| {
                    output.schema_index as usize == schema_index
                        && output.target as usize == target_index
                };
                let rows: Vec<u32> =
                    self.outputs.iter().filter(is_on_its_way).map(|output| output.row).collect();
                chain.process(&target.plugins, &mut self.batch, &rows, &mut self.made)?;
            }
        }
        Ok(())
    }

    /// Runs the chains in which a plugin keeps state, over neighbouring rows on the same way.
    fn run_in_order(&mut self, chain: &mut Chain, plans: &[Vec<TargetPlan>]) -> Result<(), Halt> {
        let plan =
            |output: &Output| plans.get(output.schema_index as usize)?.get(output.target as usize);
        let keeps =
            |output: &&Output| plan(output).is_some_and(|plan| chain.keeps_state(&plan.plugins));
        let outputs: Vec<Output> = self.outputs.iter().filter(keeps).copied().collect();
        let way = |output: &Output| (output.schema_index, output.target);
        for run in outputs.chunk_by(|one, next| way(one) == way(next)) {
            let Some(plan) = run.first().and_then(plan) else { continue };
            let rows: Vec<u32> = run.iter().map(|output| output.row).collect();
            chain.process(&plan.plugins, &mut self.batch, &rows, &mut self.made)?;
        }
        Ok(())
    }

    /// What was emitted follows the row that it comes from, on the way to the same target.
    fn lay_out_emitted(&mut self) {
        if self.made.emitted.is_empty() {
            return;
        }
        // Of one row from the source they are neighbours, in their order.
        let mut of: HashMap<u32, Vec<u32>> = HashMap::new();
        for emission in &self.made.emitted {
            of.entry(emission.parent).or_default().push(emission.row);
        }
        let outputs = std::mem::take(&mut self.outputs);
        for output in outputs {
            self.outputs.push(output);
            let emitted = of.remove(&output.row).unwrap_or_default();
            self.outputs.extend(emitted.into_iter().map(|row| Output { row, ..output }));
        }
    }
}

/// The way of a row that is asked for again to its stream. Of routes that divide the stream's
/// operations it is the one that takes this operation, as it would if the row came by itself; else one
/// that rows go, for on another the plugins may be missing that they go through.
fn way_again(targets: &[TargetPlan], stream: &str, operation: Operation) -> Option<usize> {
    let of = |operation| {
        let takes =
            |plan: &TargetPlan| *plan.name == *stream && plan.operations.contains(operation);
        targets.iter().position(takes)
    };
    of(operation).or_else(|| of(Operation::Create)).or_else(|| of(Operation::Update))
}

#[cfg(test)]
mod tests {
    use offtake_config::RouteOperation::{Create, Delete, Read, Update};

    use super::super::super::router::Operations;
    use super::*;

    #[test]
    fn what_is_asked_for_again_goes_the_way_of_its_operation() {
        let plan = |name: &str, operations: &[_]| TargetPlan {
            name: name.into(),
            stream: 1,
            protects: false,
            plugins: [].into(),
            operations: Operations::of(operations),
        };
        let plans = [plan("s", &[Delete]), plan("t", &[Create]), plan("s", &[Create, Read])];
        assert_eq!(way_again(&plans, "s", Operation::Read), Some(2));
        assert_eq!(way_again(&plans, "s", Operation::Delete), Some(0));
        assert_eq!(way_again(&plans, "t", Operation::Read), Some(1), "one that rows go");
        let plans = [plan("s", &[Delete]), plan("s", &[Update]), plan("d", &[Delete])];
        assert_eq!(way_again(&plans, "s", Operation::Read), Some(1));
        assert_eq!(way_again(&plans, "d", Operation::Read), None, "no row goes there");
        assert_eq!(way_again(&plans, "u", Operation::Read), None);
    }
}
