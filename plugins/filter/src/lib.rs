//! `builtin:filter` lets rows pass of which an expression is true (`where`), or by the older lists
//! of conditions leaves out rows that meet them (`drop`) or all others (`keep`).
//!
//! What decides is whether a row can be seen downstream before and after its change; an update that
//! moves a row across that line becomes a delete or a create where the before image is there to
//! tell. A row is left out only when that is certain: a condition on a column that is absent or
//! unchanged is unknown, and unknown rows pass. README.md has the rules, the configuration and the
//! language of `where`.

mod condition;
mod conditions;
mod decision;
mod expression;

use offtake_sdk::{
    Batch, Config, Failure, Info, Interest, Level, Operation, Schema, Transform, Verdict,
};

use conditions::Conditions;
use decision::Decision;
use expression::Where;

/// What decides of a row.
#[derive(Debug)]
enum Rule {
    Conditions(Conditions),
    Where(Where),
}

#[derive(Debug)]
struct Filter {
    rule: Rule,
    /// Tables of which it was said that updates may leave stale rows.
    warned: Vec<u32>,
}

impl Filter {
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
        let rule = match Where::read(&mut fields)? {
            Some(expression) => Rule::Where(expression),
            None => Rule::Conditions(Conditions::read(&mut fields)?),
        };
        fields.finish()?;
        Ok(Filter { rule, warned: Vec::new() })
    }

    fn info(&self) -> Info {
        Info::new("filter", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        match &mut self.rule {
            Rule::Conditions(conditions) => conditions.on_schema(schema),
            Rule::Where(expression) => expression.on_schema(schema),
        }
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let mut blind = false;
        let each = |row: u32, decision: Decision| match decision {
            Decision::Pass => {}
            Decision::Drop => verdict.drop(row),
            Decision::Become(operation) => verdict.set_operation(row, operation),
            Decision::DropBlindly => {
                blind = true;
                verdict.drop(row);
            }
        };
        match &mut self.rule {
            Rule::Conditions(conditions) => conditions.decide(batch, each)?,
            Rule::Where(expression) => expression.decide(batch, each)?,
        }
        if blind {
            self.warn_once(batch.schema());
        }
        Ok(())
    }
}

/// Whether a change has values, so that there is something to decide.
fn has_values(operation: Operation) -> bool {
    use Operation::{Create, Delete, Message, Read, Update};
    matches!(operation, Create | Update | Delete | Read | Message)
}

offtake_sdk::export!(Filter);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Filter::configure(Config::from_json(json)).expect_err("it was accepted").message
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        let none = "config: `where`, `drop` or `keep` must be given, and one of them alone";
        assert_eq!(refused("{}"), none);
        assert_eq!(refused(r#"{"drop":[],"keep":[]}"#), none);
        assert_eq!(refused(r#"{"where":"a = 1","keep":[]}"#), none);
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
        assert_eq!(
            refused(r#"{"where":"a = 1","match":"any"}"#),
            "config: unknown key `match`; known are: where, drop, keep, missing_columns"
        );
        assert_eq!(
            refused(r#"{"where":"a = 1","missing_columns":"no"}"#),
            "config: `missing_columns` must be \"error\" or \"unknown\""
        );
    }

    #[test]
    fn a_wrong_expression_is_refused_with_its_place_and_what_would_be_right() {
        assert_eq!(
            refused(r#"{"where":"status == 'paid'"}"#),
            "config: `where` is no condition: EXPRESSION_CHARACTER: unexpected == (line 1, column 8: \
             == 'paid'); write = for equality"
        );
    }
}
