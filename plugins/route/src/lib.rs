//! `builtin:route` sends rows to streams: of whole tables by their names, and row by row by what is in
//! them.
//!
//! Rules are tried in order, the first that holds decides, and what none takes stays where it is. A
//! table whose first rule is about the table alone is never called for. A row whose rule cannot be
//! decided, or whose value names no stream, fails: on a wrong stream it would be lost to those who
//! read the right one. README.md has the rules.

mod rule;
mod template;

use std::collections::HashMap;

use offtake_plugin_conditions::{Asked, Truth};
use offtake_plugin_streams::Names;
use offtake_sdk::{
    Batch, Column, Config, Failure, Field, Image, Info, Interest, Operation, Schema, Transform,
    Value, Verdict,
};

use rule::{Bound, Rule, bound};

/// Tables whose rules are remembered.
const TABLES: usize = 1024;

/// What becomes of a row where a rule before the one that holds is not known to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unknown {
    Fail,
    Skip,
}

/// What becomes of a truncate of a table whose rows go to several streams.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Truncates {
    Fail,
    Drop,
    Pass,
}

#[derive(Debug)]
struct Route {
    rules: Vec<Rule>,
    names: Names,
    unknown: Unknown,
    truncates: Truncates,
    /// By the schema's id: a cache.
    tables: HashMap<u32, Vec<Bound>>,
}

impl Transform for Route {
    fn configure(config: Config) -> Result<Route, Failure> {
        let mut fields = config.fields()?;
        let rules = fields.objects("rules")?.unwrap_or_default();
        let names = Names::read(&mut fields)?;
        let unknown = match fields.text("unknown")?.as_deref() {
            None | Some("fail") => Unknown::Fail,
            Some("skip") => Unknown::Skip,
            Some(_) => return Err(fields.refuse("unknown", "must be \"fail\" or \"skip\"")),
        };
        let truncates = match fields.text("truncates")?.as_deref() {
            None | Some("fail") => Truncates::Fail,
            Some("drop") => Truncates::Drop,
            Some("pass") => Truncates::Pass,
            Some(_) => {
                return Err(fields.refuse("truncates", "must be \"fail\", \"drop\" or \"pass\""));
            }
        };
        fields.finish()?;
        if rules.is_empty() {
            return Err(fields.refuse("rules", "must have at least one rule"));
        }
        let rules = rules.into_iter().map(Rule::read).collect::<Result<_, _>>()?;
        Ok(Route { rules, names, unknown, truncates, tables: HashMap::new() })
    }

    fn info(&self) -> Info {
        Info::new("route", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if schema.is_message() {
            return Ok(Interest::none());
        }
        let bound = bound(&mut self.rules, schema, self.names)?;
        let mut columns: Vec<&str> = Vec::new();
        match bound.as_slice() {
            [] => return Ok(Interest::none()),
            [Bound { is_conditional: false, pieces, .. }, ..] if pieces.is_constant() => {
                return Ok(Interest::none().on_stream(&pieces.constant(self.names)?));
            }
            _ => {}
        }
        for it in &bound {
            columns.extend(it.pieces.columns());
            if let Some(condition) = self.rules.get_mut(it.rule).and_then(Rule::condition) {
                columns.extend(condition.columns(schema)?);
            }
        }
        let mut interest = match columns.is_empty() {
            true => Interest::in_operations(),
            false => Interest::in_columns(schema, &columns).with_before_images(),
        };
        for it in &bound {
            if let Some(condition) = self.rules.get_mut(it.rule).and_then(Rule::condition) {
                interest = condition.with_metadata(schema, interest)?;
            }
        }
        Ok(interest)
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let id = batch.schema().id;
        if !self.tables.contains_key(&id) {
            if self.tables.len() == TABLES {
                self.tables.clear();
            }
            let bound = bound(&mut self.rules, batch.schema(), self.names)?;
            self.tables.insert(id, bound);
        }
        let Some(bound) = self.tables.get(&id) else { return Ok(()) };
        let mut asked = Vec::new();
        for (at, rule) in self.rules.iter_mut().enumerate() {
            let Some(bound) = bound.iter().find(|bound| bound.rule == at) else { continue };
            let condition = rule.condition().map(|condition| condition.of(batch)).transpose()?;
            let mut columns = Vec::new();
            for name in bound.pieces.columns() {
                let images =
                    [batch.column(Image::Before, name)?, batch.column(Image::After, name)?];
                columns.push((name, images));
            }
            asked.push(Applied { bound, condition, columns });
        }
        for (row, operation) in (0..).zip(batch.operations()) {
            use Operation::{Create, Delete, Read, Truncate, Update};
            match operation {
                Create | Update | Delete | Read => {
                    match stream(&mut asked, self.names, self.unknown, row, operation) {
                        Ok(Some(stream)) => verdict.set_stream(row, &stream),
                        Ok(None) => {}
                        Err(reason) => verdict.fail(row, Failure::permanent(reason)),
                    }
                }
                Truncate => match self.truncates {
                    Truncates::Pass => {}
                    Truncates::Drop => verdict.drop(row),
                    Truncates::Fail => {
                        let reason = "the table was emptied, and its rows are on several streams; \
                                      `truncates` says what becomes of such a change";
                        verdict.fail(row, Failure::permanent(reason));
                    }
                },
                Operation::Message | Operation::Other(_) => {}
            }
        }
        Ok(())
    }
}

/// A rule with the columns of a batch that it reads.
struct Applied<'b> {
    bound: &'b Bound,
    condition: Option<Asked<'b>>,
    /// Before and after.
    columns: Vec<(&'b str, [Option<Column<'b>>; 2])>,
}

/// Where a row goes; `None`: it stays.
fn stream(
    rules: &mut [Applied<'_>],
    names: Names,
    unknown: Unknown,
    row: u32,
    operation: Operation,
) -> Result<Option<String>, String> {
    for rule in rules {
        let number = rule.bound.rule + 1;
        let truth =
            rule.condition.as_mut().map_or(Truth::True, |asked| asked.change(row, operation));
        match truth {
            Truth::False | Truth::Null => {}
            Truth::Unknown if unknown == Unknown::Skip => {}
            Truth::Unknown => {
                return Err(format!(
                    "whether rule {number} holds is not known, for the change lacks a value that \
                     it reads; set REPLICA IDENTITY FULL, or `unknown = \"skip\"`"
                ));
            }
            Truth::True => {
                let value = |column: &str| value(&rule.columns, column, row, operation);
                let named = rule
                    .bound
                    .pieces
                    .fill(value)
                    .and_then(|name| names.stream(name).map_err(str::to_owned));
                return named.map(Some).map_err(|reason| format!("rule {number}: {reason}"));
            }
        }
    }
    Ok(None)
}

/// The value of a column of the row that there is: after the change, or before a delete.
fn value<'b>(
    columns: &[(&str, [Option<Column<'b>>; 2])],
    name: &str,
    row: u32,
    operation: Operation,
) -> Result<Value<'b>, String> {
    let found = columns.iter().find(|(known, _)| *known == name);
    let field = |image: usize| {
        let column = found.and_then(|(_, images)| images.get(image).copied().flatten());
        column.map_or(Field::Absent, |column| column.field(row))
    };
    let field = match field(usize::from(operation != Operation::Delete)) {
        // The value before.
        Field::Unchanged => field(0),
        other => other,
    };
    match field {
        Field::Value(value) => Ok(value),
        Field::Null => Err(format!("column {name} is NULL, and it names the stream")),
        Field::Unchanged | Field::Absent => Err(format!(
            "the change has no value of column {name}, which names the stream; set REPLICA \
             IDENTITY FULL"
        )),
    }
}

offtake_sdk::export!(Route);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Route::configure(Config::from_json(json)).expect_err("it was accepted").message
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        assert_eq!(refused("{}"), "config: `rules` must have at least one rule");
        assert_eq!(refused(r#"{"rules":[{}]}"#), "config: `rules[0].stream` is missing");
        assert_eq!(
            refused(r#"{"rules":[{"stream":"a"}]}"#),
            "config: `rules[0].table` or `where` must be given, or a column in `stream`"
        );
        let message = refused(r#"{"rules":[{"table":"(","stream":"a"}]}"#);
        assert!(message.starts_with("config: `rules[0].table` is no regular"), "{message}");
        let message = refused(r#"{"rules":[{"table":"a","stream":"$1"}]}"#);
        assert_eq!(
            message,
            "config: `rules[0].stream` names the group 1, which `table` does not have"
        );
        let message = refused(r#"{"rules":[{"where":"a ==","stream":"a"}]}"#);
        assert!(message.starts_with("config: `rules[0].where` is no condition: EXPR"), "{message}");
        assert_eq!(
            refused(r#"{"rules":[{"table":"a","stream":"b"}],"unknown":"no"}"#),
            "config: `unknown` must be \"fail\" or \"skip\""
        );
    }
}
