//! An example: says of every change that there was one, on a stream of its own.
//!
//! Configuration: `{ stream = "shop.audit" }`. Beside each change of a table, which passes as it is, it
//! emits a row with operation, table, position, transaction and commit time, and nothing of the
//! row's own values. It is not built into the gateway; it shows how rows are emitted.

use offtake_sdk::{
    Batch, ColumnInfo, Config, Failure, Info, Interest, Operation, Output, Schema, Transform,
    Value, Verdict,
};

/// The only output.
const AUDIT: u32 = 0;

#[derive(Debug)]
struct Audit {
    stream: String,
}

impl Transform for Audit {
    fn configure(config: Config) -> Result<Audit, Failure> {
        let mut fields = config.fields()?;
        let stream = fields.required_text("stream")?;
        fields.finish()?;
        Ok(Audit { stream })
    }

    fn info(&self) -> Info {
        Info::new("audit", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if schema.is_message() {
            return Ok(Interest::none());
        }
        let required = |name, logical| ColumnInfo::new(name, logical).required();
        let columns = [
            required("table", "text"),
            required("operation", "text"),
            required("position", "text"),
            // Rows of a snapshot belong to no transaction.
            ColumnInfo::new("transaction", "text"),
            ColumnInfo::new("committed_us", "int8"),
        ];
        let output = Output::new("audit", columns).on_stream(&self.stream);
        Ok(Interest::in_operations().with_metadata().with_output(output))
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let table = batch.schema().qualified_name();
        let Some(metadata) = batch.metadata() else { return Ok(()) };
        for (row, operation) in (0_u32..).zip(batch.operations()) {
            let mut emitted = verdict.emit(AUDIT, row, Operation::Create);
            emitted
                .set("table", Value::Text(&table))
                .set("operation", Value::Text(name(operation)))
                .set("position", Value::Text(metadata.position(row)));
            if let Some(transaction) = metadata.transaction(row) {
                let committed = metadata.commit_times.get(row as usize).copied();
                emitted
                    .set("transaction", Value::Text(transaction))
                    .set("committed_us", Value::Integer(committed.unwrap_or(0)));
            }
        }
        Ok(())
    }
}

fn name(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "create",
        Operation::Update => "update",
        Operation::Delete => "delete",
        Operation::Read => "read",
        Operation::Truncate => "truncate",
        Operation::Message | Operation::Other(_) => "other",
    }
}

offtake_sdk::export!(Audit);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_needed() {
        let refused = Audit::configure(Config::from_json("{}")).expect_err("it was accepted");
        assert!(refused.message.contains("stream"), "{}", refused.message);
    }
}
