//! The changes of one call: columns of one table, borrowed from what the gateway sent.
//!
//! Values lie column by column. A plugin takes a column of an image by name and walks its rows;
//! nothing is copied.

use crate::bindings::exports::offtake::transform::plugin;
use crate::bindings::offtake::transform::types::{self, ColumnData, Packed};
use crate::{Failure, Kind, Metadata, Schema};

/// Which image of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// The row before the change.
    Before,
    /// The row after the change.
    After,
}

impl Image {
    /// Both, for plugins that treat them alike.
    pub const BOTH: [Image; 2] = [Image::Before, Image::After];
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Inserted.
    Create,
    /// Updated.
    Update,
    /// Deleted; there is no after image.
    Delete,
    /// Read by a snapshot.
    Read,
    /// The table was emptied; there is no image.
    Truncate,
    /// A logical message.
    Message,
    /// One that this version of the SDK does not know: let it pass.
    Other(u8),
}

impl Operation {
    fn from_letter(letter: u8) -> Operation {
        match letter {
            b'c' => Operation::Create,
            b'u' => Operation::Update,
            b'd' => Operation::Delete,
            b'r' => Operation::Read,
            b't' => Operation::Truncate,
            b'm' => Operation::Message,
            other => Operation::Other(other),
        }
    }

    pub(crate) fn letter(self) -> u8 {
        match self {
            Operation::Create => b'c',
            Operation::Update => b'u',
            Operation::Delete => b'd',
            Operation::Read => b'r',
            Operation::Truncate => b't',
            Operation::Message => b'm',
            Operation::Other(letter) => letter,
        }
    }
}

/// A column of a row: a value, or one of three ways to have none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<T> {
    /// There is a value.
    Value(T),
    /// SQL NULL.
    Null,
    /// A large value that the update left alone; the database does not send it.
    Unchanged,
    /// Not part of this image, or there is no such image.
    Absent,
}

impl<T> Field<T> {
    /// The value, if there is one.
    pub fn value(self) -> Option<T> {
        match self {
            Field::Value(value) => Some(value),
            _ => None,
        }
    }
}

/// A value of any kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Boolean(bool),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A float.
    Float(f64),
    /// Text, and everything that has no kind of its own in its canonical text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// The kind of column that it belongs to.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Boolean(_) => Kind::Boolean,
            Value::Integer(_) => Kind::Int64,
            Value::Unsigned(_) => Kind::Uint64,
            Value::Float(_) => Kind::Float64,
            Value::Text(_) => Kind::Text,
            Value::Bytes(_) => Kind::Bytes,
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Boolean(value)
    }
}

/// For literals; columns of 32 bits travel as 64.
impl From<i32> for Value<'_> {
    fn from(value: i32) -> Self {
        Value::Integer(value.into())
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Integer(value)
    }
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Value::Unsigned(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Value::Bytes(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Value::Bytes(value)
    }
}

/// Names a column of an image, to set values in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnId {
    pub(crate) image: Image,
    pub(crate) ordinal: u32,
}

/// Changes of one table in source order, at least one.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    wire: &'a plugin::Batch,
    schema: &'a Schema,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(wire: &'a plugin::Batch, schema: &'a Schema) -> Batch<'a> {
        Batch { wire, schema }
    }

    /// The table.
    pub fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// Number of changes; rows are numbered from 0.
    pub fn rows(&self) -> u32 {
        self.wire.rows
    }

    /// What happened, row by row.
    pub fn operations(&self) -> impl ExactSizeIterator<Item = Operation> + use<'a> {
        self.wire.ops.iter().map(|&letter| Operation::from_letter(letter))
    }

    /// A column of an image, or `None` where the plugin did not ask for it.
    ///
    /// # Errors
    /// The gateway sent text that is none.
    pub fn column(&self, image: Image, name: &str) -> Result<Option<Column<'a>>, Failure> {
        let columns = match image {
            Image::Before => &self.wire.before,
            Image::After => &self.wire.after,
        };
        let Some((ordinal, _)) = self.schema.column(name) else { return Ok(None) };
        let Some(wire) = columns.iter().find(|column| column.ordinal == ordinal) else {
            return Ok(None);
        };
        Column::new(ColumnId { image, ordinal }, wire).map(Some)
    }

    /// A text column of an image, or `None` where the plugin did not ask for it.
    ///
    /// # Errors
    /// The column is of another kind; `on_schema` could have told.
    pub fn text(&self, image: Image, name: &str) -> Result<Option<TextColumn<'a>>, Failure> {
        match self.column(image, name)? {
            None => Ok(None),
            Some(column) => match column.data {
                Data::Text(text, offsets) => Ok(Some(TextColumn { column, text, offsets })),
                _ => Err(Failure::permanent(format!("column {name} is no text"))),
            },
        }
    }

    /// All columns of an image that were sent, with their names.
    pub(crate) fn columns(&self, image: Image) -> Result<Vec<(&'a str, Column<'a>)>, Failure> {
        let columns = match image {
            Image::Before => &self.wire.before,
            Image::After => &self.wire.after,
        };
        let named = columns.iter().map(|wire| {
            let info = self.schema.columns.get(wire.ordinal as usize);
            let info = info.ok_or_else(|| Failure::permanent("a column of no table was sent"))?;
            let column = Column::new(ColumnId { image, ordinal: wire.ordinal }, wire)?;
            Ok((info.name.as_str(), column))
        });
        named.collect()
    }

    /// What [`Interest::with_metadata`](crate::Interest::with_metadata) asked for.
    pub fn metadata(&self) -> Option<&'a Metadata> {
        self.wire.meta.as_ref()
    }
}

impl Metadata {
    /// Where a change stands in the database's log, as opaque text.
    pub fn position(&self, row: u32) -> &str {
        packed_text(&self.positions, row).unwrap_or_default()
    }

    /// The database's own name of a change's transaction; `None`: it has none.
    pub fn transaction(&self, row: u32) -> Option<&str> {
        packed_text(&self.transactions, row).filter(|name| !name.is_empty())
    }
}

fn packed_text(packed: &Packed, row: u32) -> Option<&str> {
    let bytes = packed.data.get(range(&packed.offsets, row as usize)?)?;
    std::str::from_utf8(bytes).ok()
}

/// Values of a column in one layout.
#[derive(Clone, Copy, Debug)]
enum Data<'a> {
    Boolean(&'a [u8]),
    Integer(&'a [i64]),
    Unsigned(&'a [u64]),
    Float(&'a [f64]),
    Text(&'a str, &'a [u32]),
    Bytes(&'a Packed),
}

/// A column of an image over the rows of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    id: ColumnId,
    /// One byte a row, or empty: every row has a value.
    presence: &'a [u8],
    data: Data<'a>,
}

impl<'a> Column<'a> {
    fn new(id: ColumnId, wire: &'a types::Column) -> Result<Column<'a>, Failure> {
        let data = match &wire.data {
            ColumnData::Boolean(values) => Data::Boolean(values),
            ColumnData::Int64(values) => Data::Integer(values),
            ColumnData::Uint64(values) => Data::Unsigned(values),
            ColumnData::Float64(values) => Data::Float(values),
            // Checked once for the whole column: cheaper than value by value.
            ColumnData::PackedText(packed) => match std::str::from_utf8(&packed.data) {
                Ok(text) => Data::Text(text, &packed.offsets),
                Err(_) => return Err(Failure::permanent("a text column is not UTF-8")),
            },
            ColumnData::PackedBytes(packed) => Data::Bytes(packed),
            ColumnData::Text(_) | ColumnData::Bytes(_) => {
                return Err(Failure::permanent("text was sent in a layout not asked for"));
            }
        };
        Ok(Column { id, presence: &wire.presence, data })
    }

    /// Names this column, to set values in it.
    pub fn id(&self) -> ColumnId {
        self.id
    }

    /// How its values travel.
    pub fn kind(&self) -> Kind {
        match self.data {
            Data::Boolean(_) => Kind::Boolean,
            Data::Integer(_) => Kind::Int64,
            Data::Unsigned(_) => Kind::Uint64,
            Data::Float(_) => Kind::Float64,
            Data::Text(..) => Kind::Text,
            Data::Bytes(_) => Kind::Bytes,
        }
    }

    /// One row of the column; absent beyond the last row.
    pub fn field(&self, row: u32) -> Field<Value<'a>> {
        let at = row as usize;
        match presence(self.presence, at) {
            Field::Value(()) => {}
            Field::Null => return Field::Null,
            Field::Unchanged => return Field::Unchanged,
            Field::Absent => return Field::Absent,
        }
        let value = match self.data {
            Data::Boolean(values) => values.get(at).map(|&value| Value::Boolean(value != 0)),
            Data::Integer(values) => values.get(at).map(|&value| Value::Integer(value)),
            Data::Unsigned(values) => values.get(at).map(|&value| Value::Unsigned(value)),
            Data::Float(values) => values.get(at).map(|&value| Value::Float(value)),
            Data::Text(text, offsets) => {
                range(offsets, at).and_then(|range| text.get(range)).map(Value::Text)
            }
            Data::Bytes(packed) => range(&packed.offsets, at)
                .and_then(|range| packed.data.get(range))
                .map(Value::Bytes),
        };
        value.map_or(Field::Absent, Field::Value)
    }
}

/// A text column of an image over the rows of a batch.
#[derive(Clone, Copy, Debug)]
pub struct TextColumn<'a> {
    column: Column<'a>,
    text: &'a str,
    offsets: &'a [u32],
}

impl<'a> TextColumn<'a> {
    /// Names this column, to set values in it.
    pub fn id(&self) -> ColumnId {
        self.column.id
    }

    /// Every row: the text, or how it has none.
    pub fn fields(&self) -> impl Iterator<Item = Field<&'a str>> + use<'a> {
        let TextColumn { column, text, offsets } = *self;
        (0..offsets.len().saturating_sub(1)).map(move |at| match presence(column.presence, at) {
            Field::Value(()) => range(offsets, at)
                .and_then(|range| text.get(range))
                .map_or(Field::Absent, Field::Value),
            Field::Null => Field::Null,
            Field::Unchanged => Field::Unchanged,
            Field::Absent => Field::Absent,
        })
    }

    /// Only the rows that have a text, with their number.
    pub fn values(&self) -> impl Iterator<Item = (u32, &'a str)> + use<'a> {
        self.fields().enumerate().filter_map(|(row, field)| Some((row as u32, field.value()?)))
    }
}

fn presence(presence: &[u8], at: usize) -> Field<()> {
    match presence.get(at) {
        Some(0) => Field::Value(()),
        None if presence.is_empty() => Field::Value(()),
        Some(1) => Field::Null,
        Some(2) => Field::Unchanged,
        _ => Field::Absent,
    }
}

fn range(offsets: &[u32], at: usize) -> Option<std::ops::Range<usize>> {
    Some(*offsets.get(at)? as usize..*offsets.get(at + 1)? as usize)
}
