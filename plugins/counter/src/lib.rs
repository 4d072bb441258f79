//! An example: numbers changes by a column's value, into a further column.
//!
//! Configuration: `{ by = "status", into = "nth" }`. The first change after which `status` is `paid`
//! has 1 in `nth`, the next one 2, over restarts and crashes; where `by` has no value there, `nth` is
//! NULL. It is not built into the gateway; it shows how state is kept. It is granted `state = {}`.

use std::collections::HashMap;

use offtake_sdk::{
    Batch, ColumnInfo, Config, Failure, Field, Image, Info, Interest, Schema, Transform, Value,
    Verdict, state,
};

/// Bytes of the longest value that is counted: a key of the state may have 4096.
const LONGEST_KEY: usize = 4000;

#[derive(Debug)]
struct Counter {
    by: String,
    into: String,
}

impl Transform for Counter {
    fn configure(config: Config) -> Result<Counter, Failure> {
        let mut fields = config.fields()?;
        let (by, into) = (fields.required_text("by")?, fields.required_text("into")?);
        fields.finish()?;
        Ok(Counter { by, into })
    }

    fn info(&self) -> Info {
        Info::new("counter", env!("CARGO_PKG_VERSION")).keeping_state()
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        let column = ColumnInfo::new(&self.into, "int8");
        Ok(Interest::in_columns(schema, [&self.by]).with_column(column))
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let Some(by) = batch.column(Image::After, &self.by)? else { return Ok(()) };
        let Some(into) = verdict.column(Image::After, &self.into) else { return Ok(()) };
        let mut keys: Vec<Option<Vec<u8>>> = Vec::new();
        for row in 0..batch.rows() {
            let key = match by.field(row) {
                Field::Value(value) => Some(format!("{value:?}").into_bytes()),
                _ => None,
            };
            let is_long = key.as_ref().is_some_and(|key| key.len() > LONGEST_KEY);
            if is_long {
                let reason = format!("a value of column {} is too long to be a key", self.by);
                verdict.fail(row, Failure::permanent(reason));
            }
            keys.push(key.filter(|_| !is_long));
        }
        let mut asked: Vec<Vec<u8>> = keys.iter().flatten().cloned().collect();
        asked.sort();
        asked.dedup();
        let counts = state::get_many(&asked).into_iter().map(count);
        let mut counts: HashMap<Vec<u8>, u64> = asked.into_iter().zip(counts).collect();
        for (row, key) in (0_u32..).zip(&keys) {
            if let Some(count) = key.as_ref().and_then(|key| counts.get_mut(key)) {
                *count += 1;
                verdict.set(into, row, Value::Integer(count.cast_signed()));
            }
        }
        let counts: Vec<(Vec<u8>, Vec<u8>)> =
            counts.into_iter().map(|(key, count)| (key, count.to_le_bytes().to_vec())).collect();
        if !counts.is_empty() {
            state::put_many(&counts, None);
        }
        Ok(())
    }
}

/// A count as it was kept.
fn count(kept: Option<Vec<u8>>) -> u64 {
    kept.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

offtake_sdk::export!(Counter);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_columns_are_needed() {
        for config in ["{}", r#"{"by":"status"}"#, r#"{"into":"nth"}"#] {
            assert!(Counter::configure(Config::from_json(config)).is_err(), "{config}");
        }
    }

    #[test]
    fn a_count_is_read_as_it_was_written() {
        assert_eq!(count(None), 0);
        assert_eq!(count(Some(7_u64.to_le_bytes().to_vec())), 7);
    }
}
