//! One rule: which tables and rows it is about, and the stream that it sends them to.

use offtake_plugin_conditions::{Condition, Missing};
use offtake_plugin_streams::Names;
use offtake_sdk::{Failure, Fields, Kind, Schema};

use crate::template::{Pieces, Template};

/// Every table.
const ANY: &str = "(?s:.*)";

#[derive(Debug)]
pub(crate) struct Rule {
    template: Template,
    condition: Option<Condition>,
}

/// A rule for the rows of one table.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Its index.
    pub(crate) rule: usize,
    pub(crate) is_conditional: bool,
    pub(crate) pieces: Pieces,
}

impl Rule {
    /// Reads `{ table = …, where = …, stream = … }`.
    pub(crate) fn read(mut fields: Fields) -> Result<Rule, Failure> {
        let table = fields.text("table")?;
        let source = fields.text("where")?;
        let stream = fields.required_text("stream")?;
        fields.finish()?;
        let template = Template::new(table.as_deref().unwrap_or(ANY), &stream).map_err(
            |(is_table, reason)| fields.refuse(if is_table { "table" } else { "stream" }, &reason),
        )?;
        if table.is_none() && source.is_none() && !template.has_columns() {
            let reason = "or `where` must be given, or a column in `stream`";
            return Err(fields.refuse("table", reason));
        }
        let condition = source
            .map(|source| Condition::parse(&source, Missing::Refused))
            .transpose()
            .map_err(|reason| fields.refuse("where", &reason))?;
        Ok(Rule { template, condition })
    }

    pub(crate) fn condition(&mut self) -> Option<&mut Condition> {
        self.condition.as_mut()
    }
}

/// The rules that are about a table, up to the first that takes every row.
///
/// # Errors
/// One of them does not go with the table.
pub(crate) fn bound(
    rules: &mut [Rule],
    schema: &Schema,
    names: Names,
) -> Result<Vec<Bound>, Failure> {
    let table = schema.qualified_name();
    let mut all = Vec::new();
    for (at, rule) in rules.iter_mut().enumerate() {
        let Some(pieces) = rule.template.of(&table) else { continue };
        let refused =
            |reason: &str| Failure::permanent(format!("{table}: rule {}: {reason}", at + 1));
        for name in pieces.columns() {
            let Some((_, column)) = schema.column(name) else {
                return Err(refused(&format!(
                    "there is no column {name}; `table` says which tables a rule is about"
                )));
            };
            if column.kind == Kind::Bytes || column.logical.starts_with("list<") {
                return Err(schema.refuse(column, "no stream can be named by it"));
            }
        }
        if pieces.is_constant() {
            pieces.constant(names).map_err(|failure| refused(&failure.message))?;
        }
        if let Some(condition) = &mut rule.condition {
            // Refuses what does not go with the table's columns.
            condition.columns(schema).map_err(|failure| refused(&failure.message))?.count();
        }
        let is_conditional = rule.condition.is_some();
        all.push(Bound { rule: at, is_conditional, pieces });
        if !is_conditional {
            break;
        }
    }
    Ok(all)
}
