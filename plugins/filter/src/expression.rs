//! The rule of `where`: an expression, compiled once for every table.
//!
//! An expression about a row alone is asked of both images of an update, so that a row that moves
//! into or out of the filter can be created or deleted downstream. One that asks about the change
//! (`before.`, `after.`, `is changed`, most metadata) is asked once and lets pass or leaves out.

use offtake_plugin_conditions::{Condition, Image, Missing, Truth};
use offtake_sdk::{Batch, Failure, Fields, Interest, Operation, Schema};

use crate::decision::{Decision, decide};
use crate::has_values;

/// The rule.
#[derive(Debug)]
pub(crate) struct Where {
    condition: Condition,
}

impl Where {
    /// Reads `where` and `missing_columns`; `None`: there is no `where`.
    pub(crate) fn read(fields: &mut Fields) -> Result<Option<Where>, Failure> {
        let Some(source) = fields.text("where")? else { return Ok(None) };
        if fields.take("drop").is_some() || fields.take("keep").is_some() {
            let reason = "`drop` or `keep` must be given, and one of them alone";
            return Err(Failure::permanent(format!("config: `where`, {reason}")));
        }
        let missing = match fields.text("missing_columns")?.as_deref() {
            None | Some("error") => Missing::Refused,
            Some("unknown") => Missing::Unknown,
            Some(_) => {
                return Err(fields.refuse("missing_columns", "must be \"error\" or \"unknown\""));
            }
        };
        let condition =
            Condition::parse(&source, missing).map_err(|reason| fields.refuse("where", &reason))?;
        Ok(Some(Where { condition }))
    }

    pub(crate) fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        let columns: Vec<&str> = self.condition.columns(schema)?.collect();
        let interest = match columns.is_empty() {
            true => Interest::in_operations(),
            false => Interest::in_columns(schema, columns).with_before_images(),
        };
        self.condition.with_metadata(schema, interest)
    }

    /// Decides of every row of a batch.
    pub(crate) fn decide(
        &mut self,
        batch: &Batch<'_>,
        mut each: impl FnMut(u32, Decision),
    ) -> Result<(), Failure> {
        let mut asked = self.condition.of(batch)?;
        let is_about_row = asked.is_of_row();
        for (row, operation) in (0..).zip(batch.operations()) {
            if !has_values(operation) {
                continue;
            }
            let decision = if is_about_row {
                // An image that there is not is not asked.
                let before = match operation {
                    Operation::Update | Operation::Delete => {
                        seen(asked.image(Image::Before, row, operation))
                    }
                    _ => None,
                };
                let after = match operation {
                    Operation::Delete => None,
                    _ => seen(asked.image(Image::After, row, operation)),
                };
                decide(operation, before, after)
            } else {
                match seen(asked.change(row, operation)) {
                    Some(false) => Decision::Drop,
                    Some(true) | None => Decision::Pass,
                }
            };
            each(row, decision);
        }
        Ok(())
    }
}

/// Whether a row passes; `None`: not known.
fn seen(truth: Truth) -> Option<bool> {
    match truth {
        Truth::True => Some(true),
        Truth::False | Truth::Null => Some(false),
        Truth::Unknown => None,
    }
}
