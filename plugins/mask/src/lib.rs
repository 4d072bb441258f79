//! `builtin:mask` covers columns: each by a strategy that gives a value of the column's own type.
//!
//! It protects: the gateway always sends it both images, so that before, after and keys are
//! covered, and stops rather than let a change pass uncovered. A configured column whose type the
//! strategy has no value for is refused with the table. README.md has the configuration.
//!
//! `rules` reads the configuration, `text` writes covered texts, `fixed` knows a value of every
//! type, `fits` judges the values that a configuration gives, `logical` reads the types' names.

mod fits;
mod fixed;
mod logical;
mod rules;
mod text;
mod value;

use offtake_sdk::{
    Batch, Config, Failure, Field, Image, Info, Interest, Schema, Transform, Verdict,
};

use rules::{Replacement, Rule};

struct Mask {
    rules: Vec<Rule>,
}

impl Mask {
    fn columns(&self) -> impl Iterator<Item = &String> {
        self.rules.iter().flat_map(|rule| &rule.columns)
    }
}

impl Transform for Mask {
    fn configure(config: Config) -> Result<Mask, Failure> {
        Ok(Mask { rules: rules::read(&config)? })
    }

    fn info(&self) -> Info {
        Info::new("mask", env!("CARGO_PKG_VERSION")).protecting(self.columns())
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        for rule in &self.rules {
            for name in &rule.columns {
                if let Some((ordinal, column)) = schema.column(name) {
                    rule.check(schema, ordinal, column)?;
                }
            }
        }
        Ok(Interest::in_columns(schema, self.columns()))
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        for rule in &self.rules {
            for name in &rule.columns {
                let Some((_, info)) = batch.schema().column(name) else { continue };
                let replacement = rule
                    .replacement(info)
                    .map_err(|reason| batch.schema().refuse(info, &reason))?;
                for image in Image::BOTH {
                    replace(&replacement, batch, image, name, verdict)?;
                }
            }
        }
        Ok(())
    }
}

/// Sets every value of a column of an image. What is NULL, unchanged or absent stays so.
fn replace(
    replacement: &Replacement<'_>,
    batch: &Batch<'_>,
    image: Image,
    name: &str,
    verdict: &mut Verdict<'_>,
) -> Result<(), Failure> {
    match replacement {
        Replacement::Cover(cover) => {
            let Some(column) = batch.text(image, name)? else { return Ok(()) };
            for (row, text) in column.values() {
                cover.write(text, &mut verdict.write_text(column.id(), row));
            }
        }
        Replacement::Characters(characters) => {
            let Some(column) = batch.text(image, name)? else { return Ok(()) };
            for (row, text) in column.values() {
                characters.write(text, &mut verdict.write_text(column.id(), row));
            }
        }
        Replacement::Null | Replacement::Value(_) => {
            let Some(column) = batch.column(image, name)? else { return Ok(()) };
            for row in 0..batch.rows() {
                if !matches!(column.field(row), Field::Value(_)) {
                    continue;
                }
                match replacement {
                    Replacement::Value(value) => verdict.set(column.id(), row, value.borrow()),
                    _ => verdict.set_null(column.id(), row),
                }
            }
        }
    }
    Ok(())
}

offtake_sdk::export!(Mask);
offtake_sdk::config_schema!("../config.schema.json");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configured_column_is_promised() {
        let config = r#"{"columns":["a"],"rules":[{"columns":["b","c"],"strategy":"null"}]}"#;
        let mask = Mask::configure(Config::from_json(config)).unwrap();
        assert_eq!(mask.columns().collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
