//! Rows that a plugin emits, filled in one by one and handed over column by column.

use crate::bindings::offtake::transform::types::{self, Header, RowHeaders};
use crate::setter::Setter;
use crate::{ColumnInfo, Image, Operation, Value};

/// Rows emitted on one output.
#[derive(Debug)]
pub(crate) struct Emitter {
    output: u32,
    columns: Vec<ColumnInfo>,
    parents: Vec<u32>,
    operations: Vec<u8>,
    setters: Vec<(Image, Setter)>,
    streams: Vec<String>,
    partitions: Vec<u32>,
    headers: Vec<RowHeaders>,
}

impl Emitter {
    pub(crate) fn new(output: u32, columns: Vec<ColumnInfo>) -> Emitter {
        Emitter {
            output,
            columns,
            parents: Vec::new(),
            operations: Vec::new(),
            setters: Vec::new(),
            streams: Vec::new(),
            partitions: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(crate) fn output(&self) -> u32 {
        self.output
    }

    /// Begins a row; `None`: its parent is before that of the row before.
    pub(crate) fn begin(&mut self, parent: u32, operation: Operation) -> Option<()> {
        if self.parents.last().is_some_and(|&last| last > parent) {
            return None;
        }
        self.parents.push(parent);
        self.operations.push(operation.letter());
        Some(())
    }

    pub(crate) fn finish(self) -> types::Emitted {
        let rows = self.parents.len();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (image, setter) in self.setters {
            match image {
                Image::Before => before.push(setter.finish_whole(rows, ABSENT)),
                Image::After => after.push(setter.finish_whole(rows, NULL)),
            }
        }
        let padded = |mut given: Vec<u32>| {
            if !given.is_empty() {
                given.resize(rows, 0);
            }
            given
        };
        let mut streams = self.streams;
        if !streams.is_empty() {
            streams.resize(rows, String::new());
        }
        types::Emitted {
            output: self.output,
            parents: self.parents,
            ops: self.operations,
            before,
            after,
            streams,
            partitions: padded(self.partitions),
            headers: self.headers,
        }
    }
}

const NULL: u8 = 1;
const ABSENT: u8 = 3;

/// A row that is being emitted. What is not set is NULL, and absent in a before image.
#[derive(Debug)]
pub struct Emission<'v> {
    pub(crate) emitter: &'v mut Emitter,
    pub(crate) mistake: &'v mut Option<String>,
}

impl Emission<'_> {
    /// Sets a column of the after image, or of a deleted row's before image.
    pub fn set(&mut self, column: &str, value: Value<'_>) -> &mut Self {
        let deleted = self.emitter.operations.last() == Some(&Operation::Delete.letter());
        self.set_in(if deleted { Image::Before } else { Image::After }, column, value)
    }

    /// Sets a column of an image.
    pub fn set_in(&mut self, image: Image, column: &str, value: Value<'_>) -> &mut Self {
        let emitter = &mut *self.emitter;
        let Some(ordinal) = emitter.columns.iter().position(|known| known.name == column) else {
            *self.mistake = Some(format!("a row was emitted with a column {column}"));
            return self;
        };
        let kind = emitter.columns[ordinal].kind;
        if value.kind() != kind {
            *self.mistake = Some(format!("column {column} was emitted with another kind of value"));
            return self;
        }
        let ordinal = ordinal as u32;
        let known = emitter
            .setters
            .iter()
            .position(|(of, setter)| *of == image && setter.ordinal() == ordinal);
        let at = known.unwrap_or_else(|| {
            emitter.setters.push((image, Setter::new(image, ordinal, kind, 16)));
            emitter.setters.len() - 1
        });
        let row = emitter.parents.len() as u32 - 1;
        let setter = &mut emitter.setters[at].1;
        if setter.last() == Some(row) {
            *self.mistake = Some(format!("column {column} of an emitted row was set twice"));
            return self;
        }
        setter.begin(row);
        setter.push(value);
        self
    }

    /// The stream that the row leaves on.
    pub fn on_stream(&mut self, stream: &str) -> &mut Self {
        let row = self.emitter.parents.len() - 1;
        self.emitter.streams.resize(row, String::new());
        self.emitter.streams.push(stream.to_owned());
        self
    }

    /// The partition of the row's message, modulo those of the topic. Choose one for every row that
    /// is emitted on the output in this call, or for none.
    pub fn set_partition(&mut self, partition: u32) -> &mut Self {
        let row = self.emitter.parents.len() - 1;
        self.emitter.partitions.resize(row, 0);
        self.emitter.partitions.push(partition);
        self
    }

    /// Adds a header.
    pub fn set_header(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let row = self.emitter.parents.len() as u32 - 1;
        let header = Header { name: name.to_owned(), value: value.to_vec() };
        match self.emitter.headers.last_mut().filter(|headers| headers.row == row) {
            Some(headers) => headers.headers.push(header),
            None => self.emitter.headers.push(RowHeaders { row, headers: vec![header] }),
        }
        self
    }
}
