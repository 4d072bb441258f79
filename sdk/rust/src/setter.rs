//! The values that a plugin gives for one column, gathered in the layout that the gateway takes.

use crate::bindings::offtake::transform::types::{self, ColumnData, Packed, Patch};
use crate::{ColumnId, Image, Kind, TextWriter, Value};

/// The values set in one column: booleans, text and bytes in `bytes`, numbers as bits in `words`.
#[derive(Debug)]
pub(crate) struct Setter {
    image: Image,
    ordinal: u32,
    kind: Kind,
    rows: Vec<u32>,
    /// Empty, or one a row; may be shorter than `rows`: the rest have values.
    presence: Vec<u8>,
    offsets: Vec<u32>,
    bytes: Vec<u8>,
    words: Vec<i64>,
}

impl Setter {
    pub(crate) fn new(image: Image, ordinal: u32, kind: Kind, rows: u32) -> Setter {
        let rows = rows as usize;
        let packed = matches!(kind, Kind::Text | Kind::Bytes);
        Setter {
            image,
            ordinal,
            kind,
            rows: Vec::with_capacity(rows),
            presence: Vec::new(),
            offsets: Vec::with_capacity(if packed { rows + 1 } else { 0 }),
            bytes: Vec::new(),
            words: Vec::new(),
        }
    }

    pub(crate) fn ordinal(&self) -> u32 {
        self.ordinal
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn is(&self, column: ColumnId) -> bool {
        self.image == column.image && self.ordinal == column.ordinal
    }

    /// The row that was begun last.
    pub(crate) fn last(&self) -> Option<u32> {
        self.rows.last().copied()
    }

    /// The writer of the text of the row that was begun.
    pub(crate) fn text(&mut self) -> TextWriter<'_> {
        TextWriter { text: &mut self.bytes }
    }

    /// The value of the row that was begun; it is of the column's kind.
    pub(crate) fn push(&mut self, value: Value<'_>) {
        match value {
            Value::Boolean(value) => self.bytes.push(value.into()),
            Value::Integer(value) => self.words.push(value),
            Value::Unsigned(value) => self.words.push(value.cast_signed()),
            Value::Float(value) => self.words.push(value.to_bits().cast_signed()),
            Value::Text(value) => self.bytes.extend_from_slice(value.as_bytes()),
            Value::Bytes(value) => self.bytes.extend_from_slice(value),
        }
    }

    /// No value for the row that was begun, with the code that says which way.
    pub(crate) fn push_missing(&mut self, code: u8) {
        // A placeholder keeps the values in step with the rows; offsets step without one.
        match self.kind {
            Kind::Boolean => self.bytes.push(0),
            Kind::Int64 | Kind::Uint64 | Kind::Float64 => self.words.push(0),
            Kind::Text | Kind::Bytes => {}
        }
        self.presence.resize(self.rows.len() - 1, 0);
        self.presence.push(code);
    }

    pub(crate) fn begin(&mut self, row: u32) {
        self.rows.push(row);
        self.push_offset();
    }

    fn push_offset(&mut self) {
        if matches!(self.kind, Kind::Text | Kind::Bytes) {
            self.offsets.push(self.bytes.len() as u32);
        }
    }

    /// The values of every one of `rows` rows: those that were not begun have the code `missing`.
    pub(crate) fn finish_whole(self, rows: usize, missing: u8) -> types::Column {
        if self.rows.len() == rows {
            return self.finish_column();
        }
        let mut whole = Setter::new(self.image, self.ordinal, self.kind, rows as u32);
        let mut given = self.rows.iter().copied().enumerate().peekable();
        let mut offsets = self.offsets.clone();
        offsets.push(self.bytes.len() as u32);
        for row in 0..rows as u32 {
            whole.begin(row);
            let Some((at, _)) = given.next_if(|&(_, begun)| begun == row) else {
                whole.push_missing(missing);
                continue;
            };
            match self.kind {
                Kind::Boolean => whole.bytes.push(self.bytes[at]),
                Kind::Int64 | Kind::Uint64 | Kind::Float64 => whole.words.push(self.words[at]),
                Kind::Text | Kind::Bytes => {
                    let value = offsets[at] as usize..offsets[at + 1] as usize;
                    whole.bytes.extend_from_slice(&self.bytes[value]);
                }
            }
        }
        whole.finish_column()
    }

    fn finish_column(mut self) -> types::Column {
        self.push_offset();
        if !self.presence.is_empty() {
            self.presence.resize(self.rows.len(), 0);
        }
        let data = match self.kind {
            Kind::Boolean => ColumnData::Boolean(self.bytes),
            Kind::Int64 => ColumnData::Int64(self.words),
            Kind::Uint64 => {
                ColumnData::Uint64(self.words.into_iter().map(i64::cast_unsigned).collect())
            }
            Kind::Float64 => {
                let float = |bits: i64| f64::from_bits(bits.cast_unsigned());
                ColumnData::Float64(self.words.into_iter().map(float).collect())
            }
            Kind::Text => {
                ColumnData::PackedText(Packed { offsets: self.offsets, data: self.bytes })
            }
            Kind::Bytes => {
                ColumnData::PackedBytes(Packed { offsets: self.offsets, data: self.bytes })
            }
        };
        types::Column { ordinal: self.ordinal, presence: self.presence, data }
    }

    pub(crate) fn finish(self) -> Patch {
        let image = match self.image {
            Image::Before => types::Image::Before,
            Image::After => types::Image::After,
        };
        // Never empty, which would mean every row: a setter exists because a row was set.
        let rows = self.rows.clone();
        Patch { image, column: self.finish_column(), rows }
    }
}
