//! Deletes that leave as rows: the row before, marked as deleted.
//!
//! A deleted row has no image after, so the delete is left out and a row emitted in its place, on an
//! output that is the table by another way: the definition of both is one and the same.

use offtake_sdk::{
    Batch, Column, ColumnInfo, Failure, Field, Image, Interest, Operation, Output, Schema, Value,
    Verdict,
};

use crate::{DELETED, Described, Named};

/// The output of deleted rows.
const OUTPUT: u32 = 0;

/// Declares the columns that rows have, deleted or not.
pub(crate) fn declare(
    mut interest: Interest,
    schema: &Schema,
    fields: &[Named],
) -> Result<Interest, Failure> {
    let mut columns: Vec<ColumnInfo> = schema.columns.clone();
    for (ordinal, column) in (0_u32..).zip(&mut columns) {
        // A delete may carry the key alone; the rest of the row is then NULL.
        let is_told = schema.key.contains(&ordinal) || schema.before_columns.contains(&ordinal);
        if !is_told && !column.nullable {
            column.nullable = true;
            interest = interest.with_column_as(schema, &column.name, column.clone())?;
        }
    }
    let added = fields.iter().map(|field| field.about.column(&field.name));
    for column in std::iter::once(ColumnInfo::new(DELETED, "text")).chain(added) {
        interest = interest.with_column(column.clone());
        columns.push(column);
    }
    let key = |&ordinal: &u32| schema.columns.get(ordinal as usize);
    let names: Vec<&str> =
        schema.key.iter().filter_map(key).map(|column| column.name.as_str()).collect();
    Ok(interest.with_output(Output::new(&schema.table, columns).keyed_by(&names)?.flat()))
}

/// Makes rows of the deletes of a batch.
pub(crate) struct Rewriter<'b> {
    /// Columns of the image before, by name, and whether they are of the key.
    columns: Vec<(&'b str, Column<'b>, bool)>,
    then_tombstone: bool,
}

impl<'b> Rewriter<'b> {
    pub(crate) fn new(batch: &Batch<'b>, then_tombstone: bool) -> Result<Rewriter<'b>, Failure> {
        let schema = batch.schema();
        let mut columns = Vec::with_capacity(schema.columns.len());
        for (ordinal, column) in (0_u32..).zip(&schema.columns) {
            if let Some(values) = batch.column(Image::Before, &column.name)? {
                columns.push((column.name.as_str(), values, schema.key.contains(&ordinal)));
            }
        }
        Ok(Rewriter { columns, then_tombstone })
    }

    /// Puts a row in the place of a delete.
    pub(crate) fn rewrite(
        &self,
        row: u32,
        fields: &[Named],
        described: &Described<'_>,
        verdict: &mut Verdict<'_>,
    ) -> Result<(), Failure> {
        for (name, values, is_key) in &self.columns {
            if *is_key && values.field(row).value().is_none() {
                return Err(Failure::permanent(format!(
                    "a delete does not tell {name}, which is part of the key"
                )));
            }
        }
        verdict.drop(row);
        let mut emitted = verdict.emit(OUTPUT, row, Operation::Update);
        for (name, values, _) in &self.columns {
            if let Field::Value(value) = values.field(row) {
                emitted.set_in(Image::After, name, value);
            }
        }
        emitted.set_in(Image::After, DELETED, Value::Text("true"));
        for (field, known) in fields.iter().zip(&described.fields) {
            if let Some(known) = known {
                emitted.set_in(Image::After, &field.name, known.value());
            }
        }
        for (name, known) in &described.headers {
            emitted.set_header(name, known.text().as_bytes());
        }
        if !self.then_tombstone {
            return Ok(());
        }
        let mut emitted = verdict.emit(OUTPUT, row, Operation::Delete);
        for (name, values, is_key) in &self.columns {
            if let (true, Field::Value(value)) = (is_key, values.field(row)) {
                emitted.set_in(Image::Before, name, value);
            }
        }
        for (name, known) in &described.headers {
            emitted.set_header(name, known.text().as_bytes());
        }
        Ok(())
    }
}
