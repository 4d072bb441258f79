//! `builtin:timezone` writes times in another zone and in other forms: what Debezium's
//! `TimezoneConverter` and Kafka Connect's `TimestampConverter` do.
//!
//! Zones are those of the IANA database, which is part of the plugin; no clock and no file is read.
//! README.md has the configuration and the rules.

mod compiled;
mod convert;
mod pattern;
mod rule;
mod settings;
mod zone;

use offtake_sdk::{
    Batch, Column, ColumnInfo, Config, Failure, Field, Image, Info, Interest, Schema, Transform,
    Value, Verdict,
};

use convert::{Converted, Misfit, convert};
use settings::{Columns, OnFailure, Settings, Target};

/// The plugin.
#[derive(Debug)]
struct Timezone {
    settings: Settings,
}

impl Transform for Timezone {
    fn configure(config: Config) -> Result<Timezone, Failure> {
        Settings::read(&config).map(|settings| Timezone { settings })
    }

    fn info(&self) -> Info {
        Info::new("timezone", env!("CARGO_PKG_VERSION"))
    }

    fn on_schema(&mut self, schema: &Schema) -> Result<Interest, Failure> {
        if schema.is_message() {
            return Ok(Interest::none());
        }
        if self.settings.needs_columns {
            let missing = self.names().into_iter().find(|name| schema.column(name).is_none());
            if let Some(name) = missing {
                let table = schema.qualified_name();
                return Err(Failure::permanent(format!("{table} has no column {name}")));
            }
        }
        let converted = self.converted(schema);
        let names = converted.iter().map(|(_, column, _)| &column.name);
        let mut interest = Interest::in_columns(schema, names);
        for (ordinal, column, target) in converted {
            if let Some(reason) = self.settings.refusal(column, target) {
                return Err(schema.refuse(column, reason));
            }
            let may_be_null = self.settings.on_failure == OnFailure::Null;
            if may_be_null && schema.key.contains(&ordinal) {
                let reason = "it is part of the key, which `on_failure = \"null\"` could make NULL";
                return Err(schema.refuse(column, reason));
            }
            let nullable = column.nullable || may_be_null;
            let new = ColumnInfo { nullable, ..ColumnInfo::new(&column.name, target.logical()) };
            interest = interest.with_column_as(schema, &column.name, new)?;
        }
        Ok(interest.with_before_images())
    }

    fn process(&mut self, batch: &Batch<'_>, verdict: &mut Verdict<'_>) -> Result<(), Failure> {
        let mut failed = vec![false; batch.rows() as usize];
        let mut text = String::new();
        for (_, column, target) in self.converted(batch.schema()) {
            for image in Image::BOTH {
                let Some(values) = batch.column(image, &column.name)? else { continue };
                for row in 0..batch.rows() {
                    let cell = Cell { values: &values, row, column, target };
                    let Err(misfit) = self.convert_one(&cell, &mut text, verdict) else { continue };
                    if self.settings.on_failure == OnFailure::Null {
                        verdict.set_null(values.id(), row);
                    } else if let Some(failed) = failed.get_mut(row as usize)
                        && !std::mem::replace(failed, true)
                    {
                        let (table, name) = (batch.schema().qualified_name(), &column.name);
                        let message = format!("{table}.{name}: {}", misfit.reason());
                        verdict.fail(row, Failure::permanent(message));
                    }
                }
            }
        }
        Ok(())
    }
}

/// One value of a column that is converted.
struct Cell<'c> {
    values: &'c Column<'c>,
    row: u32,
    column: &'c ColumnInfo,
    target: Target,
}

impl Timezone {
    /// Columns that the configuration names to be converted.
    fn names(&self) -> Vec<&str> {
        match &self.settings.columns {
            Columns::Named(columns) => columns.iter().map(|(name, _)| name.as_str()).collect(),
            Columns::Zoned { include, .. } => {
                include.iter().flatten().map(String::as_str).collect()
            }
        }
    }

    /// The table's columns that are converted, with their ordinals.
    fn converted<'s>(&self, schema: &'s Schema) -> Vec<(u32, &'s ColumnInfo, Target)> {
        match &self.settings.columns {
            Columns::Named(columns) => columns
                .iter()
                .filter_map(|(name, target)| {
                    schema.column(name).map(|(ordinal, column)| (ordinal, column, *target))
                })
                .collect(),
            Columns::Zoned { include, exclude } => {
                let is_meant = |column: &ColumnInfo| {
                    include.as_ref().is_none_or(|names| names.contains(&column.name))
                        && !exclude.contains(&column.name)
                        && column.logical.split('(').next() == Some("timestamptz")
                };
                (0_u32..)
                    .zip(&schema.columns)
                    .filter(|(_, column)| is_meant(column))
                    .map(|(ordinal, column)| (ordinal, column, Target::Text))
                    .collect()
            }
        }
    }

    fn convert_one(
        &self,
        cell: &Cell<'_>,
        text: &mut String,
        verdict: &mut Verdict<'_>,
    ) -> Result<(), Misfit> {
        let Field::Value(value) = cell.values.field(cell.row) else { return Ok(()) };
        text.clear();
        let is_text = cell.column.is_free_text();
        match convert(value, is_text, &self.settings, cell.target, text)? {
            Converted::Integer(number) => {
                verdict.set(cell.values.id(), cell.row, Value::Integer(number));
            }
            Converted::Text => verdict.write_text(cell.values.id(), cell.row).push_str(text),
        }
        Ok(())
    }
}

offtake_sdk::export!(Timezone);
offtake_sdk::config_schema!("../config.schema.json");
