//! `builtin:filter` leaves out rows whose columns meet conditions (`drop`), or all others (`keep`).
//!
//! What decides is whether a row can be seen downstream before and after its change; an update that
//! moves a row across that line becomes a delete or a create where the before image is there to
//! tell. A row is left out only when that is certain: a condition on a column that is absent or
//! unchanged is unknown, and unknown rows pass. README.md has the rules and the configuration.

mod condition;

use offtake_sdk::{
    Batch, Config, Failure, Fields, Image, Info, Interest, Level, Operation, Schema, Transform,
    Verdict,
};

use condition::{Condition, Match, TestedColumn};

#[derive(Debug)]
struct Filter {
    conditions: Vec<Condition>,
    matching: Match,
    /// Whether rows that match are seen downstream (`keep`) or are not (`drop`).
    keeps: bool,
    /// Tables of which it was said that updates may leave stale rows.
    warned: Vec<u32>,
}

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Decision {
    Pass,
    Drop,
    /// Dropped, though the row may have been seen before.
    DropBlindly,
    Become(Operation),
}

/// Decides from whether the row is seen before and after; `None`: not known.
fn decide(operation: Operation, before: Option<bool>, after: Option<bool>) -> Decision {
    match (operation, before, after) {
        (Operation::Create | Operation::Read, _, Some(false)) => Decision::Drop,
        (Operation::Delete, Some(false), _) => Decision::Drop,
        (Operation::Update, Some(true), Some(false)) => Decision::Become(Operation::Delete),
        (Operation::Update, Some(false), Some(false)) => Decision::Drop,
        (Operation::Update, None, Some(false)) => Decision::DropBlindly,
        (Operation::Update, Some(false), Some(true)) => Decision::Become(Operation::Create),
        _ => Decision::Pass,
    }
}

impl Filter {
    /// The conditions, and whether they keep.
    fn conditions(fields: &mut Fields) -> Result<(Vec<Condition>, bool), Failure> {
        let (key, objects) = match (fields.objects("drop")?, fields.objects("keep")?) {
            (Some(objects), None) => ("drop", objects),
            (None, Some(objects)) => ("keep", objects),
            _ => return Err(fields.refuse("drop", "or `keep` must be given, and not both")),
        };
        if objects.is_empty() {
            return Err(fields.refuse(key, "must have at least one condition"));
        }
        let conditions = objects.into_iter().map(Condition::read).collect::<Result<_, _>>()?;
        Ok((conditions, key == "keep"))
    }

    fn warn_once(&mut self, schema: &Schema) {
        if !self.warned.contains(&schema.id) {
            self.warned.push(schema.id);
            let table = schema.qualified_name();
            offtake_sdk::log(
                Level::Warn,
                &format!("{table}: updates left out without a before image; see replica identity"),
            );
        }
    }
}

impl Transform for Filter {
    fn configure(config: Config) -> Result<Filter, Failure> {
        let mut fields = config.fields()?;
        let (conditions, keeps) = Filter::conditions(&mut fields)?;
        let matching = match fields.text("match")?.as_deref() {
            None | Some("all") => Match::All,
            Some("any") => Match::Any,
            Some(_) => return Err(fields.refuse("match", "must be \"all\" or \"any\"")),
        };
        fields.finish()?;
        Ok(Filter { conditions, matching, keeps, warned: Vec::new() })
    }

    fn info(&self) -> Info {
        Info::new("filter", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if schema.is_message() {
            return Ok(Interest::none());
        }
        for condition in &self.conditions {
            condition.check(schema)?;
        }
        let names = self.conditions.iter().map(Condition::column);
        Ok(Interest::in_columns(schema, names).with_before_images())
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let tested = self
            .conditions
            .iter()
            .map(|condition| {
                let column = |image| batch.column(image, condition.column());
                let (before, after) = (column(Image::Before)?, column(Image::After)?);
                Ok(TestedColumn { condition, before, after })
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let keeps = self.keeps;
        let seen = |image, row| {
            let met = tested.iter().map(|tested| tested.test(image, row));
            self.matching.combine(met).map(|matched| matched == keeps)
        };
        let mut blind = false;
        for (row, operation) in (0..).zip(batch.operations()) {
            match decide(operation, seen(Image::Before, row), seen(Image::After, row)) {
                Decision::Pass => {}
                Decision::Drop => verdict.drop(row),
                Decision::Become(operation) => verdict.set_operation(row, operation),
                Decision::DropBlindly => {
                    blind = true;
                    verdict.drop(row);
                }
            }
        }
        if blind {
            self.warn_once(batch.schema());
        }
        Ok(())
    }
}

offtake_sdk::export!(Filter);

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Filter::configure(Config::from_json(json)).expect_err("it was accepted").message
    }

    #[test]
    fn an_update_across_the_line_becomes_a_delete_or_a_create() {
        use Operation::Update;
        assert_eq!(decide(Update, Some(true), Some(false)), Decision::Become(Operation::Delete));
        assert_eq!(decide(Update, Some(false), Some(true)), Decision::Become(Operation::Create));
        assert_eq!(decide(Update, Some(false), Some(false)), Decision::Drop);
        assert_eq!(decide(Update, Some(true), Some(true)), Decision::Pass);
        assert_eq!(decide(Update, None, Some(false)), Decision::DropBlindly);
        assert_eq!(decide(Update, None, Some(true)), Decision::Pass);
    }

    #[test]
    fn what_is_not_known_passes() {
        for before in [None, Some(true), Some(false)] {
            assert_eq!(decide(Operation::Create, before, None), Decision::Pass);
            assert_eq!(decide(Operation::Read, before, None), Decision::Pass);
            assert_eq!(decide(Operation::Update, before, None), Decision::Pass);
            assert_eq!(decide(Operation::Truncate, before, Some(false)), Decision::Pass);
            assert_eq!(decide(Operation::Delete, None, before), Decision::Pass);
        }
        assert_eq!(decide(Operation::Delete, Some(false), None), Decision::Drop);
        assert_eq!(decide(Operation::Create, None, Some(false)), Decision::Drop);
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        let neither = "config: `drop` or `keep` must be given, and not both";
        assert_eq!(refused("{}"), neither);
        assert_eq!(refused(r#"{"drop":[],"keep":[]}"#), neither);
        assert_eq!(refused(r#"{"keep":[]}"#), "config: `keep` must have at least one condition");
        assert_eq!(
            refused(r#"{"drop":[{"column":"a","is_null":true}],"match":"none"}"#),
            "config: `match` must be \"all\" or \"any\""
        );
        assert_eq!(
            refused(r#"{"drop":[{"column":"a","equal":1}]}"#),
            "config: `drop[0].equals` or `is_null` must be given, and not both"
        );
        assert_eq!(
            refused(r#"{"drop":[{"column":"a","is_null":true,"x":1}]}"#),
            "config: unknown key `drop[0].x`; known are: column, equals, is_null"
        );
    }
}
