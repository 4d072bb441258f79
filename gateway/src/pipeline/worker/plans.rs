//! The way of a table's definition through the pipeline: its routes, what the plugins make of it, and
//! the ids that the log gives. Made when a definition is first seen, and kept.

use std::sync::Arc;

use offtake_change::{Batch, TableSchema};

use super::super::halt::Halt;
use super::super::router::{Operations, Router, Target};
use super::Worker;

/// A table definition's way through the pipeline.
pub(super) struct TablePlan {
    /// Held so that the address that names the plan is not used again.
    _schema: Arc<TableSchema>,
    targets: Vec<TargetPlan>,
}

#[derive(Clone)]
pub(super) struct TargetPlan {
    /// The stream's name and its id in the log.
    pub(super) name: Arc<str>,
    pub(super) stream: u32,
    /// Whether one of the plugins protects something.
    pub(super) protects: bool,
    pub(super) plugins: Arc<[usize]>,
    pub(super) operations: Operations,
}

impl Worker {
    /// The plans of a batch's schemas, up to the first that is refused. As the source makes batches,
    /// schemas stand in the order of their first row, so what comes before the refused one's can still
    /// be taken in; see [`cut_before_schema`] for those that do not.
    pub(super) fn plan_all(&mut self, batch: &Batch) -> (Vec<Vec<TargetPlan>>, Option<Halt>) {
        let mut plans = Vec::with_capacity(batch.schemas.len());
        for (index, schema) in batch.schemas.iter().enumerate() {
            let first = batch.rows.iter().find(|row| row.schema as usize == index);
            let Some(first) = first else {
                // Of a batch that was cut: it is judged with its first row, by who is at work then.
                plans.push(Vec::new());
                continue;
            };
            let transaction = batch.transactions.get(first.transaction as usize);
            let precedes_start =
                transaction.is_some_and(|it| it.commit_unix_us < self.started_unix_us);
            match self.plan(schema, precedes_start) {
                Ok(targets) => plans.push(targets),
                Err(mut halt) => {
                    // A row of a snapshot has no place of its own.
                    if transaction.is_some() {
                        let place = format!("; its first row in this form is at {}", first.lsn);
                        halt.cause.push_str(&place);
                    }
                    return (plans, Some(halt));
                }
            }
        }
        (plans, None)
    }

    pub(super) fn route(&self, schema: &TableSchema) -> Result<Vec<Target>, Halt> {
        let targets = self.router.targets(schema);
        if targets.is_empty() {
            return Err(Halt::new(
                "ROUTE_MISSING",
                format!("table {} is captured but no route takes it", schema.qualified_name()),
                "add a [[route]] whose tables match it, or exclude the table in [source]",
            ));
        }
        Ok(targets)
    }

    /// A dead letter of a stream that nothing protects may hold the row.
    pub(super) fn tell_protection(&mut self, target: &Target) {
        self.letters.tell(&target.stream, self.chain.protects(&target.plugins));
    }

    fn plan(
        &mut self,
        schema: &Arc<TableSchema>,
        precedes_start: bool,
    ) -> Result<Vec<TargetPlan>, Halt> {
        let key = Arc::as_ptr(schema).addr();
        if let Some(plan) = self.plans.get(&key) {
            return Ok(plan.targets.clone());
        }
        let targets = self.route(schema)?;
        self.inputs.defined(schema);
        let untaken = Router::untaken(&targets);
        if !untaken.is_empty() {
            tracing::info!(
                code = "ROUTE_OPERATIONS",
                table = schema.qualified_name(),
                operations = ?untaken,
                "no route takes these operations of the table; such changes leave nowhere"
            );
        }
        let mut plans = Vec::with_capacity(targets.len());
        let mut records = Vec::new();
        for target in targets {
            self.tell_protection(&target);
            let checked = self.chain.check_table(&target.plugins, schema, precedes_start)?;
            records.extend(checked.records);
            let protects = self.chain.protects(&target.plugins);
            checked.streams.iter().for_each(|stream| self.letters.tell(stream, protects));
            let stream = self.writer.register_stream(&target.stream);
            self.schema_id(&checked.output, schema);
            plans.push(TargetPlan {
                stream,
                name: target.stream.into(),
                protects,
                plugins: target.plugins.into(),
                operations: target.operations,
            });
        }
        if !records.is_empty() {
            self.coverage.push_back((key, records));
        }
        let plan = TablePlan { _schema: Arc::clone(schema), targets: plans };
        Ok(self.plans.entry(key).or_insert(plan).targets.clone())
    }
}

/// Takes out the first row without a plan, where this schema is the first that has none, and everything
/// after it. Of what is left of a batch that was cut, that may be a row of a later schema.
pub(super) fn cut_before_schema(batch: &mut Batch, schema: u32) {
    let first = batch.rows.iter().position(|row| row.schema >= schema);
    let first = first.unwrap_or(batch.rows.len());
    batch.rows.truncate(first);
    batch.boundaries.retain(|boundary| boundary.rows_end as usize <= first);
}
