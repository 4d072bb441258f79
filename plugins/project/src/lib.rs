//! `builtin:project` removes and renames columns, in every image and in the table's definition.
//!
//! It is never called with a change: what it says of a table's definition is all there is to do, so
//! it costs nothing a row but the copy of the cells that stay. README.md has the configuration.

use offtake_sdk::{
    Batch, Config, Failure, Fields, Info, Interest, Json, Schema, Transform, Verdict,
};

/// What becomes of a table that lacks a column that is named.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Missing {
    Ignore,
    Error,
}

#[derive(Debug)]
struct Project {
    /// Only these stay, and the key.
    keep: Option<Vec<String>>,
    remove: Vec<String>,
    rename: Vec<(String, String)>,
    missing: Missing,
}

impl Transform for Project {
    fn configure(config: Config) -> Result<Project, Failure> {
        let mut fields = config.fields()?;
        let keep = fields.texts("keep")?;
        let remove = fields.texts("remove")?;
        if keep.is_some() && remove.is_some() {
            return Err(fields.refuse("keep", "and `remove` must not be given both"));
        }
        let rename = renames(&mut fields)?;
        let missing = match fields.text("missing_columns")?.as_deref() {
            None | Some("ignore") => Missing::Ignore,
            Some("error") => Missing::Error,
            Some(_) => {
                return Err(fields.refuse("missing_columns", "must be \"ignore\" or \"error\""));
            }
        };
        if keep.is_none() && remove.is_none() && rename.is_empty() {
            return Err(fields.refuse("keep", "or `remove` or `rename` must be given"));
        }
        fields.finish()?;
        Ok(Project { keep, remove: remove.unwrap_or_default(), rename, missing })
    }

    fn info(&self) -> Info {
        Info::new("project", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if schema.is_message() {
            return Ok(Interest::none());
        }
        let removed = self.removed(schema)?;
        let mut interest = Interest::none().without_columns(schema, &removed);
        for (old, new) in &self.rename {
            if schema.column(old).is_none() {
                self.judge_missing(schema, old)?;
            } else if removed.contains(&old.as_str()) {
                let reason = format!("column {old} is renamed and does not stay");
                return Err(Failure::permanent(format!("{}: {reason}", schema.qualified_name())));
            } else {
                interest = interest.with_column_renamed(schema, old, new)?;
            }
        }
        Ok(interest)
    }

    fn process(&mut self, _batch: &Batch<'_>, _verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Project {
    /// The table's columns that do not stay.
    fn removed<'s>(&self, schema: &'s Schema) -> Result<Vec<&'s str>, Failure> {
        for name in self.keep.iter().flatten().chain(&self.remove) {
            if schema.column(name).is_none() {
                self.judge_missing(schema, name)?;
            }
        }
        let mut removed = Vec::new();
        for (ordinal, column) in (0_u32..).zip(&schema.columns) {
            let is_key = schema.key.contains(&ordinal);
            let goes = match &self.keep {
                Some(keep) => !is_key && !keep.contains(&column.name),
                None => self.remove.contains(&column.name),
            };
            if goes && is_key {
                // Without it, changes of different rows would have one key.
                return Err(schema.refuse(column, "it is part of the key and cannot be removed"));
            }
            if goes {
                removed.push(column.name.as_str());
            }
        }
        Ok(removed)
    }

    fn judge_missing(&self, schema: &Schema, name: &str) -> Result<(), Failure> {
        match self.missing {
            Missing::Ignore => Ok(()),
            Missing::Error => {
                let table = schema.qualified_name();
                Err(Failure::permanent(format!("{table} has no column {name}")))
            }
        }
    }
}

/// `rename = { old = "new" }`.
fn renames(fields: &mut Fields) -> Result<Vec<(String, String)>, Failure> {
    const WANTED: &str = "must be a table of names, { old = \"new\" }";
    let members = match fields.take("rename") {
        None => return Ok(Vec::new()),
        Some(Json::Object(members)) => members,
        Some(_) => return Err(fields.refuse("rename", WANTED)),
    };
    let name = |(old, new): (String, Json)| match new {
        Json::Text(new) if !new.is_empty() => Ok((old, new)),
        _ => Err(fields.refuse("rename", WANTED)),
    };
    members.into_iter().map(name).collect()
}

offtake_sdk::export!(Project);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        Project::configure(Config::from_json(json)).expect_err("it was accepted").message
    }

    #[test]
    fn a_wrong_configuration_is_refused_by_key() {
        assert_eq!(refused("{}"), "config: `keep` or `remove` or `rename` must be given");
        assert_eq!(
            refused(r#"{"keep":[],"remove":[]}"#),
            "config: `keep` and `remove` must not be given both"
        );
        for rename in ["[]", r#"{"a":1}"#, r#"{"a":""}"#] {
            let message = refused(&format!(r#"{{"rename":{rename}}}"#));
            assert!(message.contains("`rename` must be a table of names"), "{message}");
        }
        let message = refused(r#"{"remove":["a"],"missing_columns":"no"}"#);
        assert_eq!(message, "config: `missing_columns` must be \"ignore\" or \"error\"");
    }
}
