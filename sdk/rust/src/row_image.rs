//! What is read of one row: a value by its column's name, as the type that it is.
//!
//! [`Row`](crate::Row) hands it out. It reads only; what a row is set to goes to the verdict.

use crate::{Column, Failure, Field, Image, Json, Kind, Schema, Value};

/// A row before or after its change: the columns that the plugin asked for.
///
/// A column that the table does not have is absent. One that it has and the plugin did not ask for
/// ([`Interest::in_columns`](crate::Interest::in_columns),
/// [`Interest::with_before_images`](crate::Interest::with_before_images)) cannot be read: what is not
/// seen is not nothing.
#[derive(Clone, Copy, Debug)]
pub struct RowImage<'r> {
    pub(crate) image: Image,
    /// Those that were sent, by name.
    pub(crate) columns: &'r [(&'r str, Column<'r>)],
    pub(crate) schema: &'r Schema,
    pub(crate) index: u32,
}

impl<'r> RowImage<'r> {
    /// Which of the two it is.
    pub fn side(self) -> Image {
        self.image
    }

    /// Whether the change has this image, as far as the plugin asked for it.
    pub(crate) fn is_there(self) -> bool {
        self.columns.iter().any(|(_, column)| !matches!(column.field(self.index), Field::Absent))
    }

    /// A column, whatever its kind: a value, or one of three ways to have none.
    ///
    /// # Errors
    /// The plugin did not ask for the column.
    pub fn field(self, column: &str) -> Result<Field<Value<'r>>, Failure> {
        let column = self.column(column)?;
        Ok(column.map_or(Field::Absent, |column| column.field(self.index)))
    }

    /// A boolean.
    ///
    /// # Errors
    /// The column is of another kind, or the plugin did not ask for it.
    pub fn boolean(self, column: &str) -> Result<Field<bool>, Failure> {
        self.read(column, Kind::Boolean, |value| match value {
            Value::Boolean(value) => Some(value),
            _ => None,
        })
    }

    /// A signed integer.
    ///
    /// # Errors
    /// The column is of another kind, or the plugin did not ask for it.
    pub fn integer(self, column: &str) -> Result<Field<i64>, Failure> {
        self.read(column, Kind::Int64, |value| match value {
            Value::Integer(value) => Some(value),
            _ => None,
        })
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// The column is of another kind, or the plugin did not ask for it.
    pub fn unsigned(self, column: &str) -> Result<Field<u64>, Failure> {
        self.read(column, Kind::Uint64, |value| match value {
            Value::Unsigned(value) => Some(value),
            _ => None,
        })
    }

    /// A float, NaN and the infinities too.
    ///
    /// # Errors
    /// The column is of another kind, or the plugin did not ask for it.
    pub fn float(self, column: &str) -> Result<Field<f64>, Failure> {
        self.read(column, Kind::Float64, |value| match value {
            Value::Float(value) => Some(value),
            _ => None,
        })
    }

    /// A text, and what travels as text: decimals with every digit, times, UUIDs, JSON, lists.
    ///
    /// # Errors
    /// The column is of another kind, or the plugin did not ask for it.
    pub fn text(self, column: &str) -> Result<Field<&'r str>, Failure> {
        self.read(column, Kind::Text, |value| match value {
            Value::Text(value) => Some(value),
            _ => None,
        })
    }

    /// A text read as JSON; numbers keep every digit. JSON's own null is [`Json::Null`], SQL's is
    /// [`Field::Null`]. It is set as a text.
    ///
    /// # Errors
    /// The text is no JSON, is nested more than 32 deep, or an object in it has a name twice; the
    /// column is of another kind, or the plugin did not ask for it.
    pub fn json(self, column: &str) -> Result<Field<Json>, Failure> {
        Ok(match self.text(column)? {
            Field::Value(text) => {
                let parsed = Json::parse(text).map_err(|reason| {
                    Failure::permanent(format!("column {column} was read as JSON: {reason}"))
                });
                Field::Value(parsed?)
            }
            Field::Null => Field::Null,
            Field::Unchanged => Field::Unchanged,
            Field::Absent => Field::Absent,
        })
    }

    /// Bytes.
    ///
    /// # Errors
    /// The column is of another kind, or the plugin did not ask for it.
    pub fn bytes(self, column: &str) -> Result<Field<&'r [u8]>, Failure> {
        self.read(column, Kind::Bytes, |value| match value {
            Value::Bytes(value) => Some(value),
            _ => None,
        })
    }

    fn read<T>(
        self,
        name: &str,
        kind: Kind,
        take: impl Fn(Value<'r>) -> Option<T>,
    ) -> Result<Field<T>, Failure> {
        let Some(column) = self.column(name)? else { return Ok(Field::Absent) };
        // Also where there is no value: a mistake shows with the first row, not with the first value.
        let wrong = || {
            let (is, kind) = (word(column.kind()), word(kind));
            Failure::permanent(format!("column {name} is of kind {is}, and was read as {kind}"))
        };
        if column.kind() != kind {
            return Err(wrong());
        }
        Ok(match column.field(self.index) {
            Field::Value(value) => Field::Value(take(value).ok_or_else(wrong)?),
            Field::Null => Field::Null,
            Field::Unchanged => Field::Unchanged,
            Field::Absent => Field::Absent,
        })
    }

    /// The column of that name; `None`: the table has none.
    fn column(self, name: &str) -> Result<Option<&'r Column<'r>>, Failure> {
        if let Some((_, column)) = self.columns.iter().find(|(known, _)| *known == name) {
            return Ok(Some(column));
        }
        if self.schema.column(name).is_none() {
            return Ok(None);
        }
        let image = match self.image {
            Image::Before => "before",
            Image::After => "after",
        };
        Err(Failure::permanent(format!(
            "column {name} of the {image} image was read, and was not asked for"
        )))
    }
}

/// A kind as the contract calls it.
pub(crate) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Int64 => "int64",
        Kind::Uint64 => "uint64",
        Kind::Float64 => "float64",
        Kind::Text => "text",
        Kind::Bytes => "bytes",
    }
}
