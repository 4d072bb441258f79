//! `builtin:cast` gives columns another type and converts their values, in both images and so in
//! keys.
//!
//! A value is converted as it is or not at all: what the new type cannot hold fails its row, or
//! becomes NULL where the configuration says so. Which pairs of types there are is checked when a
//! table is first met. README.md has the configuration and the rules.

mod convert;
mod floating;
mod number;
mod target;
mod temporal;

use offtake_sdk::{
    Batch, Column, ColumnInfo, Config, Failure, Field, Fields, Image, Info, Interest, Json, Schema,
    Transform, Verdict,
};

use convert::{Converted, Misfit};
use target::{Source, Target};

/// What becomes of a value that the new type cannot hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum OnFailure {
    /// Its row fails.
    Fail,
    /// It becomes NULL.
    Null,
}

/// What becomes of a table that lacks a column that is named.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Missing {
    Ignore,
    Error,
}

/// The plugin: columns by name, with the types that they get.
#[derive(Debug)]
struct Cast {
    columns: Vec<(String, Target)>,
    on_failure: OnFailure,
    missing: Missing,
}

impl Transform for Cast {
    fn configure(config: Config) -> Result<Cast, Failure> {
        let mut fields = config.fields()?;
        let columns = targets(&mut fields)?;
        let on_failure = match fields.text("on_failure")?.as_deref() {
            None | Some("fail") => OnFailure::Fail,
            Some("null") => OnFailure::Null,
            Some(_) => return Err(fields.refuse("on_failure", "must be \"fail\" or \"null\"")),
        };
        let missing = match fields.text("missing_columns")?.as_deref() {
            None | Some("ignore") => Missing::Ignore,
            Some("error") => Missing::Error,
            Some(_) => {
                return Err(fields.refuse("missing_columns", "must be \"ignore\" or \"error\""));
            }
        };
        fields.finish()?;
        Ok(Cast { columns, on_failure, missing })
    }

    fn info(&self) -> Info {
        Info::new("cast", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if schema.is_message() {
            return Ok(Interest::none());
        }
        let mut cast = Vec::new();
        for (name, target) in &self.columns {
            match schema.column(name) {
                None if self.missing == Missing::Error => {
                    let table = schema.qualified_name();
                    return Err(Failure::permanent(format!("{table} has no column {name}")));
                }
                // Of that type already, or not there.
                None => {}
                Some((_, column)) if column.logical == target.logical() => {}
                Some((ordinal, column)) => {
                    cast.push((column, self.retyped(schema, ordinal, column, target)?));
                }
            }
        }
        let mut interest = Interest::in_columns(schema, cast.iter().map(|(old, _)| &old.name));
        for (old, new) in cast {
            interest = interest.with_column_as(schema, &old.name, new)?;
        }
        Ok(interest.with_before_images())
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let mut failed = vec![false; batch.rows() as usize];
        let mut text = String::new();
        for (name, target) in &self.columns {
            let Some((_, column)) = batch.schema().column(name) else { continue };
            if column.logical == target.logical() {
                continue;
            }
            let source = Source::of(column);
            for image in Image::BOTH {
                let Some(values) = batch.column(image, name)? else { continue };
                for row in 0..batch.rows() {
                    let misfit =
                        convert_one(&values, row, &source, target, &mut text, verdict).err();
                    let Some(misfit) = misfit else { continue };
                    if self.on_failure == OnFailure::Null {
                        verdict.set_null(values.id(), row);
                    } else if let Some(failed) = failed.get_mut(row as usize)
                        && !std::mem::replace(failed, true)
                    {
                        verdict.fail(row, failure(batch.schema(), name, target, misfit));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Cast {
    /// The column as it leaves.
    fn retyped(
        &self,
        schema: &Schema,
        ordinal: u32,
        column: &ColumnInfo,
        target: &Target,
    ) -> Result<ColumnInfo, Failure> {
        if !target.takes(&Source::of(column)) {
            let reason = format!("there is no cast of it to {}", target.logical());
            return Err(schema.refuse(column, &reason));
        }
        if self.on_failure == OnFailure::Null && schema.key.contains(&ordinal) {
            let reason = "it is part of the key, which `on_failure = \"null\"` could make NULL";
            return Err(schema.refuse(column, reason));
        }
        let nullable = column.nullable || self.on_failure == OnFailure::Null;
        Ok(ColumnInfo { nullable, ..ColumnInfo::new(&column.name, &target.logical()) })
    }
}

/// Converts one row's value of a column, if it has one.
fn convert_one(
    values: &Column<'_>,
    row: u32,
    source: &Source,
    target: &Target,
    text: &mut String,
    verdict: &mut Verdict<'_>,
) -> Result<(), Misfit> {
    let Field::Value(value) = values.field(row) else { return Ok(()) };
    text.clear();
    match convert::convert(value, source, target, text)? {
        Converted::Value(value) => verdict.set(values.id(), row, value),
        Converted::Text => verdict.write_text(values.id(), row).push_str(text),
        Converted::Bytes(bytes) => {
            verdict.set(values.id(), row, offtake_sdk::Value::Bytes(&bytes));
        }
    }
    Ok(())
}

fn failure(schema: &Schema, name: &str, target: &Target, misfit: Misfit) -> Failure {
    let (table, reason) = (schema.qualified_name(), misfit.reason());
    Failure::permanent(format!("{table}.{name}: its value {reason} {}", target.logical()))
}

/// `columns = { amount = "text" }`.
fn targets(fields: &mut Fields) -> Result<Vec<(String, Target)>, Failure> {
    const WANTED: &str = "must be a table of types, { amount = \"decimal(12,2)\" }";
    let members = match fields.take("columns") {
        None => return Err(fields.refuse("columns", "is missing")),
        Some(Json::Object(members)) if !members.is_empty() => members,
        Some(_) => return Err(fields.refuse("columns", WANTED)),
    };
    let mut targets = Vec::with_capacity(members.len());
    for (name, target) in members {
        let Json::Text(target) = target else { return Err(fields.refuse("columns", WANTED)) };
        let target = Target::parse(&target)
            .map_err(|reason| fields.refuse(&format!("columns.{name}"), &reason))?;
        targets.push((name, target));
    }
    Ok(targets)
}

offtake_sdk::export!(Cast);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Cast::configure(Config::from_json(json)).expect_err("it was accepted").message
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        assert_eq!(refused("{}"), "config: `columns` is missing");
        for columns in ["{}", "[]", r#"{"a":1}"#, r#""a:text""#] {
            let message = refused(&format!(r#"{{"columns":{columns}}}"#));
            assert!(message.contains("`columns` must be a table of types"), "{message}");
        }
        let message = refused(r#"{"columns":{"a":"int3"}}"#);
        assert!(
            message.starts_with("config: `columns.a` must be one of: bool, int2,"),
            "{message}"
        );
        let message = refused(r#"{"columns":{"a":"text"},"on_failure":"drop"}"#);
        assert_eq!(message, "config: `on_failure` must be \"fail\" or \"null\"");
        let message = refused(r#"{"columns":{"a":"text"},"missing_columns":"no"}"#);
        assert_eq!(message, "config: `missing_columns` must be \"ignore\" or \"error\"");
        let message = refused(r#"{"columns":{"a":"text"},"spec":"a:text"}"#);
        assert!(message.starts_with("config: unknown key `spec`"), "{message}");
    }
}
