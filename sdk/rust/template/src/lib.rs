//! A plugin to begin with: trims the white space around one text column.
//!
//! Configuration: `{ column = "name" }`.

use offtake_sdk::{Batch, Config, Failure, Image, Info, Interest, Schema, Transform, Verdict};

struct Trim {
    column: String,
}

impl Transform for Trim {
    /// Once, at the start. What is refused here is shown by `offtake check`.
    fn configure(config: Config) -> Result<Trim, Failure> {
        let mut fields = config.fields()?;
        let column = fields.required_text("column")?;
        fields.finish()?; // refuses keys that nobody asked for
        Ok(Trim { column })
    }

    fn info(&self) -> Info {
        Info::new("trim", env!("CARGO_PKG_VERSION"))
    }

    /// Once a table: which columns the plugin wants to see.
    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if let Some((_, column)) = schema.column(&self.column)
            && !column.is_free_text()
        {
            return Err(schema.refuse(column, "trim works on text columns only"));
        }
        Ok(Interest::in_columns(schema, [&self.column]).with_before_images())
    }

    /// For up to 256 changes at a time: what becomes of them. What is not mentioned passes.
    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        for image in Image::BOTH {
            let Some(column) = batch.text(image, &self.column)? else { continue };
            for (row, text) in column.values() {
                let trimmed = text.trim();
                if trimmed.len() != text.len() {
                    verdict.write_text(column.id(), row).push_str(trimmed);
                }
            }
        }
        Ok(())
    }
}

offtake_sdk::export!(Trim);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_must_be_named() {
        let refused = Trim::configure(Config::from_json("{}")).err().map(|failure| failure.message);
        assert_eq!(refused.as_deref(), Some("config: `column` is missing"));
    }
}
