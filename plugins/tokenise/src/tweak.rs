//! The tweak: what a token depends on beside the key and the text.
//!
//! A fixed part, the configured text or else the column's own name; and where another column is
//! named, a NUL and the canonical text of its value in the same image of the row. A tweak is no
//! secret. It keeps equal values of different columns, or of different tenants, from having equal
//! tokens.

use std::io::Write as _;

use offtake_sdk::{Batch, Column, Failure, Field, Image, Kind, Schema, Value};

/// How tweaks are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tweak {
    pub(crate) text: Option<String>,
    pub(crate) column: Option<String>,
}

/// The tweaks of a column of an image.
pub(crate) struct ColumnTweak<'b> {
    tweak: Vec<u8>,
    /// Bytes of `tweak` that are the same in every row.
    fixed: usize,
    other: Option<Column<'b>>,
    varies: bool,
}

impl Tweak {
    /// The tweak of a value: `other` is the text of the tweak column's value, where there is such
    /// a column.
    pub fn bytes(&self, column: &str, other: Option<&str>) -> Vec<u8> {
        let mut tweak = self.text.as_deref().unwrap_or(column).as_bytes().to_vec();
        if let Some(other) = other {
            tweak.push(0);
            tweak.extend_from_slice(other.as_bytes());
        }
        tweak
    }

    /// The other column that tweaks depend on.
    pub(crate) fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// Refuses a table whose rows may lack what the tweak needs.
    pub(crate) fn check(&self, schema: &Schema, of: &str) -> Result<(), Failure> {
        let Some(name) = self.column() else { return Ok(()) };
        let Some((_, column)) = schema.column(name) else {
            let table = schema.qualified_name();
            return Err(Failure::permanent(format!(
                "{table} has no column {name}, the `tweak_column` of {of}"
            )));
        };
        let list = column.logical.starts_with("list<");
        if list || matches!(column.kind, Kind::Float64 | Kind::Bytes) {
            return Err(
                schema.refuse(column, "a `tweak_column` is an integer, a boolean or a text")
            );
        }
        if column.nullable {
            let reason = "it may be NULL, and a `tweak_column` must have a value in every row; \
                          choose one that is NOT NULL, best of the key";
            return Err(schema.refuse(column, reason));
        }
        Ok(())
    }

    /// What a row says that lacks the other column.
    pub(crate) fn missing(&self, schema: &Schema, of: &str) -> String {
        format!(
            "{}.{of}: the image has no value of {}, the `tweak_column`; choose one of the key, or \
             set REPLICA IDENTITY FULL",
            schema.qualified_name(),
            self.column().unwrap_or_default(),
        )
    }

    /// The tweaks of a column of an image.
    pub(crate) fn of_column<'b>(
        &self,
        batch: &Batch<'b>,
        image: Image,
        name: &str,
    ) -> Result<ColumnTweak<'b>, Failure> {
        let mut tweak = self.bytes(name, None);
        let (mut other, varies) = (None, self.column.is_some());
        if let Some(name) = self.column() {
            other = batch.column(image, name)?;
            tweak.push(0);
        }
        let fixed = tweak.len();
        Ok(ColumnTweak { tweak, fixed, other, varies })
    }
}

impl ColumnTweak<'_> {
    /// The tweak of a row; `None` where the row lacks the other column.
    pub(crate) fn of_row(&mut self, row: u32) -> Option<&[u8]> {
        if self.varies {
            self.tweak.truncate(self.fixed);
            let Field::Value(value) = self.other?.field(row) else { return None };
            // Writing into memory cannot fail.
            match value {
                Value::Text(text) => self.tweak.extend_from_slice(text.as_bytes()),
                Value::Integer(value) => drop(write!(self.tweak, "{value}")),
                Value::Unsigned(value) => drop(write!(self.tweak, "{value}")),
                Value::Boolean(value) => drop(write!(self.tweak, "{value}")),
                Value::Float(_) | Value::Bytes(_) => return None,
            }
        }
        Some(&self.tweak)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tweak_is_the_column_or_a_text_and_another_column_s_value() {
        let tweak = |text: Option<&str>| Tweak { text: text.map(str::to_owned), column: None };
        assert_eq!(tweak(None).bytes("card", None), b"card");
        assert_eq!(tweak(None).bytes("card", Some("7")), b"card\x007");
        assert_eq!(tweak(Some("cards")).bytes("card", None), b"cards");
        assert_eq!(tweak(Some("")).bytes("card", Some("7")), b"\x007");
    }
}
