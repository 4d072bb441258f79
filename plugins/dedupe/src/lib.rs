//! Leaves out changes whose identity was there before.
//!
//! The identity is the values of some columns. What is kept is a hash of it,
//! for as long as `ttl` says; which changes are judged is `operations`. README.md has the options.

use std::collections::HashSet;

use offtake_sdk::{
    Batch, Column, Config, Failure, Fields, Image, Info, Interest, Operation, Schema, Transform,
    Value, Verdict, state,
};
use sha2::{Digest, Sha256};

/// Seconds that an identity is remembered, unless it is said otherwise.
const TTL: u32 = 24 * 3600;

#[derive(Debug)]
struct Dedupe {
    /// Names of the columns that make the identity.
    by: Vec<String>,
    /// Seconds; `None`: for good.
    ttl: Option<u32>,
    operations: Vec<Operation>,
    across_tables: bool,
}

impl Transform for Dedupe {
    fn configure(config: Config) -> Result<Dedupe, Failure> {
        let mut fields = config.fields()?;
        let by = fields.texts("by")?.unwrap_or_default();
        if by.is_empty() {
            // Not the table's key by default: a row that was deleted and is inserted again has it too.
            return Err(fields.refuse("by", "must name the columns that make the identity"));
        }
        let dedupe = Dedupe {
            by,
            ttl: ttl(&mut fields)?,
            operations: operations(&mut fields)?,
            across_tables: fields.boolean("across_tables")?.unwrap_or(false),
        };
        fields.finish()?;
        Ok(dedupe)
    }

    fn info(&self) -> Info {
        Info::new("dedupe", env!("CARGO_PKG_VERSION")).keeping_state()
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        // Neither columns of tables nor those of messages are asked for where none are judged.
        if !self.operations.iter().any(|it| (*it == Operation::Message) == schema.is_message()) {
            return Ok(Interest::none());
        }
        let by = &self.by;
        if let Some(missing) = by.iter().find(|name| schema.column(name).is_none()) {
            let subject = match schema.is_message() {
                true => "a logical message".to_owned(),
                false => schema.qualified_name(),
            };
            return Err(Failure::permanent(format!("{subject} has no column {missing:?}")));
        }
        let interest = Interest::in_columns(schema, by);
        Ok(match self.operations.contains(&Operation::Delete) {
            true => interest.with_before_images(),
            false => interest,
        })
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let images = [self.image(batch, Image::Before)?, self.image(batch, Image::After)?];
        let table =
            if self.across_tables { String::new() } else { batch.schema().qualified_name() };
        let mut rows = Vec::new();
        let mut identities = Vec::new();
        for (row, operation) in (0_u32..).zip(batch.operations()) {
            if !self.operations.contains(&operation) {
                continue;
            }
            let image = &images[usize::from(operation != Operation::Delete)];
            if let Some(identity) = identity(&table, image, row) {
                rows.push(row);
                identities.push(identity);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let seen = state::get_many(&identities);
        let mut fresh: HashSet<&[u8]> = HashSet::new();
        let mut kept = Vec::new();
        for ((row, identity), seen) in rows.into_iter().zip(&identities).zip(seen) {
            if seen.is_some() || !fresh.insert(identity) {
                verdict.drop(row);
            } else {
                kept.push((identity.clone(), Vec::new()));
            }
        }
        if !kept.is_empty() {
            state::put_many(&kept, self.ttl);
        }
        Ok(())
    }
}

impl Dedupe {
    /// These columns of an image; none where it was not asked for.
    fn image<'a>(&self, batch: &Batch<'a>, image: Image) -> Result<Vec<Column<'a>>, Failure> {
        let mut columns = Vec::with_capacity(self.by.len());
        for name in &self.by {
            columns.extend(batch.column(image, name)?);
        }
        Ok(columns)
    }
}

/// A hash of a row's identity; `None` where one of the columns has no value.
fn identity(table: &str, columns: &[Column<'_>], row: u32) -> Option<Vec<u8>> {
    if columns.is_empty() {
        return None;
    }
    let mut hash = Sha256::new();
    put(&mut hash, b't', table.as_bytes());
    for column in columns {
        match column.field(row).value()? {
            Value::Boolean(value) => put(&mut hash, b'b', &[value.into()]),
            Value::Integer(value) => put(&mut hash, b'i', &value.to_le_bytes()),
            Value::Unsigned(value) => put(&mut hash, b'u', &value.to_le_bytes()),
            Value::Float(value) => put(&mut hash, b'f', &value.to_bits().to_le_bytes()),
            Value::Text(value) => put(&mut hash, b's', value.as_bytes()),
            Value::Bytes(value) => put(&mut hash, b'y', value),
        }
    }
    Some(hash.finalize().to_vec())
}

/// With its kind and length before it, so that no two rows read alike.
fn put(hash: &mut Sha256, kind: u8, value: &[u8]) {
    hash.update([kind]);
    hash.update((value.len() as u64).to_le_bytes());
    hash.update(value);
}

fn ttl(fields: &mut Fields) -> Result<Option<u32>, Failure> {
    let Some(text) = fields.text("ttl")? else { return Ok(Some(TTL)) };
    if text == "forever" {
        return Ok(None);
    }
    let unit = match text.as_bytes().last() {
        Some(b's') => 1,
        Some(b'm') => 60,
        Some(b'h') => 3600,
        Some(b'd') => 24 * 3600,
        _ => 0,
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|it| it.parse::<u32>().ok());
    let seconds = number.and_then(|number| number.checked_mul(unit)).filter(|it| *it > 0);
    seconds.map(Some).ok_or_else(|| {
        fields.refuse(
            "ttl",
            "must be a whole number with s, m, h or d, such as \"12h\", or \"forever\"",
        )
    })
}

fn operations(fields: &mut Fields) -> Result<Vec<Operation>, Failure> {
    let Some(names) = fields.texts("operations")? else {
        return Ok(vec![Operation::Create, Operation::Read]);
    };
    let mut operations = Vec::with_capacity(names.len());
    for name in &names {
        operations.push(match name.as_str() {
            "create" => Operation::Create,
            "read" => Operation::Read,
            "update" => Operation::Update,
            "delete" => Operation::Delete,
            "message" => Operation::Message,
            _ => {
                let known = "are create, read, update, delete and message";
                return Err(fields.refuse("operations", known));
            }
        });
    }
    if operations.is_empty() {
        return Err(fields.refuse("operations", "names none, so nothing would be judged"));
    }
    Ok(operations)
}

offtake_sdk::export!(Dedupe);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(json: &str) -> Result<Dedupe, Failure> {
        Dedupe::configure(Config::from_json(json))
    }

    #[test]
    fn times_are_whole_numbers_with_a_unit() {
        let seconds = |ttl: &str| {
            configured(&format!(r#"{{"by":["id"],"ttl":"{ttl}"}}"#)).map(|it| it.ttl).ok()
        };
        assert_eq!(configured(r#"{"by":["id"]}"#).map(|it| it.ttl).ok(), Some(Some(86_400)));
        for (text, value) in [("30s", 30), ("5m", 300), ("2h", 7200), ("7d", 604_800)] {
            assert_eq!(seconds(text), Some(Some(value)), "{text}");
        }
        assert_eq!(seconds("forever"), Some(None));
        for text in ["", "s", "5", "0s", "1.5h", "-1d", "99999999d", "ü"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for config in [
            r#"{"by":[]}"#,
            r#"{"by":"id"}"#,
            "{}",
            r#"{"by":["id"],"operations":["insert"]}"#,
            r#"{"by":["id"],"operations":[]}"#,
            r#"{"by":["id"],"windw":"1h"}"#,
        ] {
            assert!(configured(config).is_err(), "{config}");
        }
    }

    #[test]
    fn no_two_lists_of_values_read_alike() {
        let hash = |parts: &[(u8, &[u8])]| {
            let mut hash = Sha256::new();
            parts.iter().for_each(|(kind, value)| put(&mut hash, *kind, value));
            hash.finalize().to_vec()
        };
        let lists = [
            hash(&[(b's', b"ab")]),
            hash(&[(b's', b"a"), (b's', b"b")]),
            hash(&[(b's', b""), (b's', b"ab")]),
            hash(&[(b'y', b"ab")]),
        ];
        let unlike: HashSet<&Vec<u8>> = lists.iter().collect();
        assert_eq!(unlike.len(), lists.len());
    }
}
