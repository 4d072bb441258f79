//! An example: chooses the columns of a table's key, and the partition of its messages.
//!
//! Configuration: `{ key = ["tenant", "id"], partition_column = "shard" }`; one of the two is
//! enough. Tables that lack one of the columns pass as they are. It is not built into the gateway,
//! whose `[[kafka.topic]]` has `key` and `partition_by` for Kafka alone; a plugin's choice of key is
//! the log's and gRPC's too.

use offtake_sdk::{
    Batch, Config, Failure, Field, Image, Info, Interest, Schema, Transform, Value, Verdict,
};

#[derive(Debug)]
struct Rekey {
    key: Option<Vec<String>>,
    partition_column: Option<String>,
}

impl Transform for Rekey {
    fn configure(config: Config) -> Result<Rekey, Failure> {
        let mut fields = config.fields()?;
        let (key, partition_column) = (fields.texts("key")?, fields.text("partition_column")?);
        if key.is_none() && partition_column.is_none() {
            return Err(fields.refuse("key", "or `partition_column` must be given"));
        }
        fields.finish()?;
        Ok(Rekey { key, partition_column })
    }

    fn info(&self) -> Info {
        Info::new("rekey", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        let names = self.key.iter().flatten().chain(&self.partition_column);
        if schema.is_message() || names.clone().any(|name| schema.column(name).is_none()) {
            return Ok(Interest::none());
        }
        let interest = Interest::in_columns(schema, &self.partition_column).with_before_images();
        match &self.key {
            Some(key) => interest.keyed_by(schema, key),
            None => Ok(interest),
        }
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let Some(name) = &self.partition_column else { return Ok(()) };
        let (before, after) =
            (batch.column(Image::Before, name)?, batch.column(Image::After, name)?);
        for row in 0..batch.rows() {
            // The row that is, or of a delete the row that was.
            let images = [&after, &before].into_iter().flatten();
            let mut numbers = images.filter_map(|column| match column.field(row) {
                Field::Value(Value::Integer(number)) => u32::try_from(number).ok(),
                _ => None,
            });
            if let Some(partition) = numbers.next() {
                verdict.set_partition(row, partition);
            }
        }
        Ok(())
    }
}

offtake_sdk::export!(Rekey);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_or_a_partition_is_needed() {
        let refused = Rekey::configure(Config::from_json("{}")).expect_err("it was accepted");
        assert_eq!(refused.message, "config: `key` or `partition_column` must be given");
        Rekey::configure(Config::from_json(r#"{"key":[]}"#)).expect("no key is a choice");
    }
}
