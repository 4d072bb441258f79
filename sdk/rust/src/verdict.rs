//! What becomes of a batch, filled in row by row.
//!
//! Values are gathered column by column in the layout that the gateway applies at once. Saying
//! nothing of a row lets it pass.

use std::collections::BTreeMap;

use crate::bindings::exports::offtake::transform::plugin;
use crate::bindings::offtake::transform::types::{Header, OpChange, Route, RowFailure};
use crate::emit::{Emission, Emitter};
use crate::setter::Setter;
use crate::shape::Told;
use crate::{ColumnId, Failure, Field, Image, Kind, Operation, Value};

/// What becomes of a batch.
#[derive(Debug)]
pub struct Verdict<'a> {
    told: &'a Told,
    rows: u32,
    columns: Vec<Setter>,
    emitters: Vec<Emitter>,
    dropped: Vec<u32>,
    operations: Vec<OpChange>,
    routes: Vec<Route>,
    /// The streams that rows are sent to.
    streams: BTreeMap<u32, String>,
    /// Rows whose partition is chosen, ascending, and the partitions.
    partitions: (Vec<u32>, Vec<u32>),
    failures: Vec<RowFailure>,
    /// The plugin's own mistake, told when the verdict is handed over.
    mistake: Option<String>,
}

impl<'a> Verdict<'a> {
    pub(crate) fn new(told: &'a Told, rows: u32) -> Verdict<'a> {
        Verdict {
            told,
            rows,
            columns: Vec::new(),
            emitters: Vec::new(),
            dropped: Vec::new(),
            operations: Vec::new(),
            routes: Vec::new(),
            streams: BTreeMap::new(),
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
        self.setter(column, Kind::Text, row).text()
    }

    /// A column of an image by its name as it leaves, to set values in it: one that was added,
    /// renamed, or not asked for. `None`: there is none.
    pub fn column(&self, image: Image, name: &str) -> Option<ColumnId> {
        self.leaving(image, name).map(|(column, _)| column)
    }

    /// The same, and its kind.
    pub(crate) fn leaving(&self, image: Image, name: &str) -> Option<(ColumnId, Kind)> {
        let ordinal = self.told.columns.iter().position(|column| column.name == name)?;
        let kind = self.told.columns[ordinal].kind;
        Some((ColumnId { image, ordinal: ordinal as u32 }, kind))
    }

    /// Sets a value. Rows of a column are set in ascending order, each once.
    pub fn set(&mut self, column: ColumnId, row: u32, value: Value<'_>) {
        self.setter(column, value.kind(), row).push(value);
    }

    /// Sets SQL NULL. Rows of a column are set in ascending order, each once.
    pub fn set_null(&mut self, column: ColumnId, row: u32) {
        self.set_field(column, row, Field::Null);
    }

    /// Sets what a field is: a value, NULL, unchanged or absent. Rows of a column are set in
    /// ascending order, each once.
    pub fn set_field(&mut self, column: ColumnId, row: u32, field: Field<Value<'_>>) {
        let code = match field {
            Field::Value(value) => return self.set(column, row, value),
            Field::Null => 1,
            Field::Unchanged => 2,
            Field::Absent => 3,
        };
        let Some(kind) = self.kind(column) else { return };
        self.setter(column, kind, row).push_missing(code);
    }

    /// Sends a row to another stream. The last word counts.
    pub fn set_stream(&mut self, row: u32, stream: &str) {
        self.streams.insert(row, stream.to_owned());
    }

    /// Emits a row of an output, the parent's own change beside it: `output` counts the outputs in
    /// the order of [`Interest::with_output`](crate::Interest::with_output). Rows of an output are
    /// emitted in the order of their parents; of one parent, those of the first output come first.
    pub fn emit(&mut self, output: u32, parent: u32, operation: Operation) -> Emission<'_> {
        let known = self.emitters.iter().position(|emitter| emitter.output() == output);
        let at = known.unwrap_or_else(|| {
            let columns = self.told.outputs.get(output as usize).cloned();
            if columns.is_none() {
                self.mistake = Some(format!("a row was emitted on output {output}, which is not"));
            }
            self.emitters.push(Emitter::new(output, columns.unwrap_or_default()));
            self.emitters.len() - 1
        });
        let emitter = &mut self.emitters[at];
        if emitter.begin(parent, operation).is_none() {
            self.mistake = Some("rows were emitted out of their parents' order".to_owned());
            // The verdict is refused; until then there is a row to fill.
            let _ = emitter.begin(u32::MAX, operation);
        }
        Emission { emitter, mistake: &mut self.mistake }
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

    /// Takes a header away from a row.
    pub fn remove_header(&mut self, row: u32, name: &str) {
        self.routes.push(Route {
            rows: vec![row],
            stream: None,
            partitions: Vec::new(),
            add_headers: Vec::new(),
            remove_headers: vec![name.to_owned()],
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
        self.told.columns.get(column.ordinal as usize).map(|info| info.kind)
    }

    /// The setter of a column, with `row` begun.
    fn setter(&mut self, column: ColumnId, kind: Kind, row: u32) -> &mut Setter {
        let at = match self.columns.iter().rposition(|setter| setter.is(column)) {
            Some(at) => at,
            None => {
                if self.kind(column) != Some(kind) {
                    self.mistake = Some(format!(
                        "column {} was set to a value of another kind",
                        column.ordinal
                    ));
                }
                self.columns.push(Setter::new(column.image, column.ordinal, kind, self.rows));
                self.columns.len() - 1
            }
        };
        let setter = &mut self.columns[at];
        if setter.last() == Some(row) {
            let name = self.told.columns.get(column.ordinal as usize).map(|info| &*info.name);
            let name = name.unwrap_or_default();
            self.mistake = Some(format!("column {name} of one row was set twice"));
        } else if setter.kind() != kind || setter.last().is_some_and(|last| last > row) {
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
        let mut by_stream: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (row, stream) in self.streams {
            by_stream.entry(stream).or_default().push(row);
        }
        // What a row emits on several outputs has one order, however the changes are cut into calls.
        self.emitters.sort_by_key(Emitter::output);
        for (stream, rows) in by_stream {
            let (add_headers, remove_headers) = (Vec::new(), Vec::new());
            let (stream, partitions) = (Some(stream), Vec::new());
            self.routes.push(Route { rows, stream, partitions, add_headers, remove_headers });
        }
        Ok(plugin::Verdict {
            drop: self.dropped,
            set: self.columns.into_iter().map(Setter::finish).collect(),
            ops: self.operations,
            routes: self.routes,
            emit: self.emitters.into_iter().map(Emitter::finish).collect(),
            failures: self.failures,
            extra: Vec::new(),
        })
    }
}

/// Writes one text value; what it is given is appended.
#[derive(Debug)]
pub struct TextWriter<'v> {
    /// Only whole characters are appended, so it stays UTF-8.
    pub(crate) text: &'v mut Vec<u8>,
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
