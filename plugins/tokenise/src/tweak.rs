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
    /// The tweak of a value of `column`: `other` is the text of the tweak column's value.
    ///
    /// # Errors
    /// There is a tweak column without a value, or a value without such a column.
    pub fn bytes(&self, column: &str, other: Option<&str>) -> Result<Vec<u8>, &'static str> {
        let mut tweak = self.begin(column);
        match (&self.column, other) {
            (None, None) => {}
            (Some(_), Some(other)) => tweak.extend_from_slice(other.as_bytes()),
            (Some(_), None) => return Err("the value of `tweak_column` is missing"),
            (None, Some(_)) => return Err("there is no `tweak_column` that a value is for"),
        }
        Ok(tweak)
    }

    /// What is the same in every row.
    fn begin(&self, column: &str) -> Vec<u8> {
        let mut tweak = self.text.as_deref().unwrap_or(column).as_bytes().to_vec();
        if self.column.is_some() {
            tweak.push(0);
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
        let tweak = self.begin(name);
        let other = match self.column() {
            Some(other) => batch.column(image, other)?,
            None => None,
        };
        let (fixed, varies) = (tweak.len(), self.column.is_some());
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
        let bytes = |text: Option<&str>, column: Option<&str>, other| {
            let (text, column) = (text.map(str::to_owned), column.map(str::to_owned));
            Tweak { text, column }.bytes("card", other)
        };
        assert_eq!(bytes(None, None, None).unwrap(), b"card");
        assert_eq!(bytes(None, Some("id"), Some("7")).unwrap(), b"card\x007");
        assert_eq!(bytes(Some("cards"), None, None).unwrap(), b"cards");
        assert_eq!(bytes(Some(""), Some("id"), Some("7")).unwrap(), b"\x007");
        assert!(bytes(None, Some("id"), None).is_err() && bytes(None, None, Some("7")).is_err());
    }
}
