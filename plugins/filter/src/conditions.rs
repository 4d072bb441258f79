//! The rule of `drop` and `keep`: a list of conditions, all or any of which must hold.

use offtake_sdk::{Batch, Failure, Fields, Image, Interest, Schema};

use crate::condition::{Condition, Match, TestedColumn};
use crate::decision::{Decision, decide};
use crate::has_values;

/// Conditions, and what becomes of rows that meet them.
#[derive(Debug)]
pub(crate) struct Conditions {
    conditions: Vec<Condition>,
    matching: Match,
    /// Whether rows that match are seen downstream (`keep`) or are not (`drop`).
    keeps: bool,
}

impl Conditions {
    /// Reads `drop` or `keep`, and `match`.
    pub(crate) fn read(fields: &mut Fields) -> Result<Conditions, Failure> {
        let (key, objects) = match (fields.objects("drop")?, fields.objects("keep")?) {
            (Some(objects), None) => ("drop", objects),
            (None, Some(objects)) => ("keep", objects),
            _ => {
                let reason = "`drop` or `keep` must be given, and one of them alone";
                return Err(Failure::permanent(format!("config: `where`, {reason}")));
            }
        };
        if objects.is_empty() {
            return Err(fields.refuse(key, "must have at least one condition"));
        }
        let conditions = objects.into_iter().map(Condition::read).collect::<Result<_, _>>()?;
        let matching = match fields.text("match")?.as_deref() {
            None | Some("all") => Match::All,
            Some("any") => Match::Any,
            Some(_) => return Err(fields.refuse("match", "must be \"all\" or \"any\"")),
        };
        Ok(Conditions { conditions, matching, keeps: key == "keep" })
    }

    pub(crate) fn on_schema(&self, schema: &Schema) -> Result<Interest, Failure> {
        for condition in &self.conditions {
            condition.check(schema)?;
        }
        let names = self.conditions.iter().map(Condition::column);
        Ok(Interest::in_columns(schema, names).with_before_images())
    }

    /// Decides of every row of a batch.
    pub(crate) fn decide(
        &self,
        batch: &Batch<'_>,
        mut each: impl FnMut(u32, Decision),
    ) -> Result<(), Failure> {
        let tested = self
            .conditions
            .iter()
            .map(|condition| {
                let column = |image| batch.column(image, condition.column());
                let (before, after) = (column(Image::Before)?, column(Image::After)?);
                Ok(TestedColumn { condition, before, after })
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let seen = |image, row| {
            let met = tested.iter().map(|tested| tested.test(image, row));
            self.matching.combine(met).map(|matched| matched == self.keeps)
        };
        for (row, operation) in (0..).zip(batch.operations()) {
            if has_values(operation) {
                each(row, decide(operation, seen(Image::Before, row), seen(Image::After, row)));
            }
        }
        Ok(())
    }
}
