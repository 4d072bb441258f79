//! What becomes of a batch, filled in row by row.
//!
//! Values are gathered column by column in the layout that the gateway applies at once. Saying
//! nothing of a row lets it pass.

use crate::bindings::exports::offtake::transform::plugin;
use crate::bindings::offtake::transform::types::{
    self, ColumnData, Header, OpChange, Packed, Patch, Route, RowFailure,
};
use crate::{ColumnId, Failure, Image, Kind, Operation, Schema, Value};

/// What becomes of a batch.
#[derive(Debug)]
pub struct Verdict<'a> {
    schema: &'a Schema,
    rows: u32,
    columns: Vec<Setter>,
    dropped: Vec<u32>,
    operations: Vec<OpChange>,
    routes: Vec<Route>,
    /// Rows whose partition is chosen, ascending, and the partitions.
    partitions: (Vec<u32>, Vec<u32>),
    failures: Vec<RowFailure>,
    /// The plugin's own mistake, told when the verdict is handed over.
    mistake: Option<String>,
}

impl<'a> Verdict<'a> {
    pub(crate) fn new(schema: &'a Schema, rows: u32) -> Verdict<'a> {
        Verdict {
            schema,
            rows,
            columns: Vec::new(),
            dropped: Vec::new(),
            operations: Vec::new(),
            routes: Vec::new(),
            partitions: (Vec::new(), Vec::new()),
            failures: Vec::new(),
            mistake: None,
        }
    }

    /// Leaves a row out. Wins over everything else that is said of it.
    pub fn drop(&mut self, row: u32) {
        self.dropped.push(row);
    }

    /// Makes a row's change one of another kind, for example an update that leaves a filter a
    /// delete.
    pub fn set_operation(&mut self, row: u32, operation: Operation) {
        self.operations.push(OpChange { row, op: operation.letter() });
    }

    /// Sets a text, written in place: what is pushed to the writer becomes the row's value. Rows of
    /// a column are set in ascending order, each once.
    pub fn write_text(&mut self, column: ColumnId, row: u32) -> TextWriter<'_> {
        let setter = self.setter(column, Kind::Text, row);
        TextWriter { text: &mut setter.bytes }
    }

    /// Sets a value. Rows of a column are set in ascending order, each once.
    pub fn set(&mut self, column: ColumnId, row: u32, value: Value<'_>) {
        match value {
            Value::Boolean(value) => {
                self.setter(column, Kind::Boolean, row).bytes.push(value.into());
            }
            Value::Integer(value) => self.setter(column, Kind::Int64, row).words.push(value),
            Value::Unsigned(value) => {
                self.setter(column, Kind::Uint64, row).words.push(value.cast_signed());
            }
            Value::Float(value) => {
                self.setter(column, Kind::Float64, row).words.push(value.to_bits().cast_signed());
            }
            Value::Text(value) => self.write_text(column, row).push_str(value),
            Value::Bytes(value) => {
                self.setter(column, Kind::Bytes, row).bytes.extend_from_slice(value);
            }
        }
    }

    /// Sets SQL NULL. Rows of a column are set in ascending order, each once.
    pub fn set_null(&mut self, column: ColumnId, row: u32) {
        let Some(kind) = self.kind(column) else { return };
        let setter = self.setter(column, kind, row);
        // A placeholder keeps the values in step with the rows; offsets step without one.
        match kind {
            Kind::Boolean => setter.bytes.push(0),
            Kind::Int64 | Kind::Uint64 | Kind::Float64 => setter.words.push(0),
            Kind::Text | Kind::Bytes => {}
        }
        setter.presence.resize(setter.rows.len() - 1, 0);
        setter.presence.push(1);
    }

    /// Adds a header to a row; one of the same name is replaced.
    pub fn set_header(&mut self, row: u32, name: &str, value: &[u8]) {
        self.routes.push(Route {
            rows: vec![row],
            stream: None,
            partitions: Vec::new(),
            add_headers: vec![Header { name: name.to_owned(), value: value.to_vec() }],
            remove_headers: Vec::new(),
        });
    }

    /// Chooses the partition of a row's messages in Kafka, modulo the partitions of the topic. Rows
    /// are given one in ascending order, each once.
    pub fn set_partition(&mut self, row: u32, partition: u32) {
        let (rows, partitions) = &mut self.partitions;
        if rows.last().is_some_and(|&last| last >= row) {
            self.mistake = Some("partitions were chosen out of order".to_owned());
        }
        rows.push(row);
        partitions.push(partition);
    }

    /// Fails one row; what happens to it is the operator's choice (`on_error`). The message must
    /// not repeat row values.
    pub fn fail(&mut self, row: u32, failure: Failure) {
        self.failures.push(RowFailure { row, failure });
    }

    fn kind(&mut self, column: ColumnId) -> Option<Kind> {
        self.schema.columns.get(column.ordinal as usize).map(|info| info.kind)
    }

    /// The setter of a column, with `row` begun.
    fn setter(&mut self, column: ColumnId, kind: Kind, row: u32) -> &mut Setter {
        let at = match self.columns.iter().rposition(|setter| setter.id == column) {
            Some(at) => at,
            None => {
                if self.kind(column) != Some(kind) {
                    self.mistake = Some(format!(
                        "column {} was set to a value of another kind",
                        column.ordinal
                    ));
                }
                self.columns.push(Setter::new(column, kind, self.rows));
                self.columns.len() - 1
            }
        };
        let setter = &mut self.columns[at];
        if setter.kind != kind || setter.rows.last().is_some_and(|&last| last >= row) {
            self.mistake = Some(format!(
                "column {} was set out of order or to values of several kinds",
                column.ordinal
            ));
        }
        setter.begin(row);
        setter
    }

    pub(crate) fn finish(mut self) -> Result<plugin::Verdict, Failure> {
        if let Some(mistake) = self.mistake {
            return Err(Failure::permanent(mistake));
        }
        let (rows, partitions) = self.partitions;
        // Without rows it would mean all of them.
        if !rows.is_empty() {
            let (add_headers, remove_headers) = (Vec::new(), Vec::new());
            let stream = None;
            self.routes.push(Route { rows, stream, partitions, add_headers, remove_headers });
        }
        Ok(plugin::Verdict {
            drop: self.dropped,
            set: self.columns.into_iter().map(Setter::finish).collect(),
            ops: self.operations,
            routes: self.routes,
            emit: Vec::new(),
            failures: self.failures,
            extra: Vec::new(),
        })
    }
}

/// Writes one text value; what it is given is appended.
#[derive(Debug)]
pub struct TextWriter<'v> {
    /// Only whole characters are appended, so it stays UTF-8.
    text: &'v mut Vec<u8>,
}

impl TextWriter<'_> {
    /// Appends a character.
    pub fn push(&mut self, character: char) {
        self.push_str(character.encode_utf8(&mut [0; 4]));
    }

    /// Appends a text.
    pub fn push_str(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Appends a character several times.
    pub fn push_repeated(&mut self, character: char, times: usize) {
        match u8::try_from(character) {
            Ok(byte) if byte.is_ascii() => self.text.resize(self.text.len() + times, byte),
            _ => (0..times).for_each(|_| self.push(character)),
        }
    }
}

impl std::fmt::Write for TextWriter<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.push_str(text);
        Ok(())
    }
}

/// The values set in one column: booleans, text and bytes in `bytes`, numbers as bits in `words`.
#[derive(Debug)]
struct Setter {
    id: ColumnId,
    kind: Kind,
    rows: Vec<u32>,
    /// Empty, or one a row; may be shorter than `rows`: the rest have values.
    presence: Vec<u8>,
    offsets: Vec<u32>,
    bytes: Vec<u8>,
    words: Vec<i64>,
}

impl Setter {
    fn new(id: ColumnId, kind: Kind, rows: u32) -> Setter {
        let rows = rows as usize;
        let packed = matches!(kind, Kind::Text | Kind::Bytes);
        Setter {
            id,
            kind,
            rows: Vec::with_capacity(rows),
            presence: Vec::new(),
            offsets: Vec::with_capacity(if packed { rows + 1 } else { 0 }),
            bytes: Vec::new(),
            words: Vec::new(),
        }
    }

    fn begin(&mut self, row: u32) {
        self.rows.push(row);
        self.push_offset();
    }

    fn push_offset(&mut self) {
        if matches!(self.kind, Kind::Text | Kind::Bytes) {
            self.offsets.push(self.bytes.len() as u32);
        }
    }

    fn finish(mut self) -> Patch {
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
        Patch {
            image: match self.id.image {
                Image::Before => types::Image::Before,
                Image::After => types::Image::After,
            },
            column: types::Column { ordinal: self.id.ordinal, presence: self.presence, data },
            // Never empty, which would mean every row: a setter exists because a row was set.
            rows: self.rows,
        }
    }
}
