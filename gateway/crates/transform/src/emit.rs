//! Rows that a plugin emits: every one is checked and built before the first one is added.
//!
//! An emitted row is a change of its own on the way through the rest of the chain, with the
//! definition of the output that it was emitted on, and its parent's position, transaction and
//! times. Its cells are new; no plugin saw them before, so every value is checked.

use offtake_change::{
    Batch, Cell, Column, Form, HeaderRange, Image, Operation, Row, Snapshot, TableSchema,
};

use crate::bindings as wit;
use crate::column::{NewValues, checked_cell};
use crate::defined::check_stream;
use crate::fits::Rule;
use crate::gather::presence;
use crate::routes::check_headers;
use crate::shape::{Output, Shaped};
use crate::verdict::{CallLimits, Rejected, malformed};
use crate::{CALL_ROWS, FaultCode};

/// A row that a plugin emitted, and the one that it belongs to: indices into the batch's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emission {
    /// The row that the plugin was given.
    pub parent: u32,
    /// The row that it made.
    pub row: u32,
}

/// A row that is to be added once the whole verdict has proved sound.
pub(crate) struct StagedRow {
    parent: u32,
    row: Row,
    partition: Option<u32>,
    /// Which of the verdict's emissions it is of, and its place there.
    place: (usize, u32),
}

/// Checks what a verdict emits and stages its rows.
pub(crate) fn stage(
    batch: &mut Batch,
    rows: &[u32],
    shaped: &Shaped,
    emitted: &[wit::Emitted],
    limits: &CallLimits,
    staged: &mut Vec<StagedRow>,
) -> Result<(), Rejected> {
    let mut children = [0_u32; CALL_ROWS];
    let mut bytes = 0;
    for (at, emitted) in emitted.iter().enumerate() {
        let output = shaped.outputs.get(emitted.output as usize).ok_or_else(|| {
            malformed(format!("it emits on output {} of {}", emitted.output, shaped.outputs.len()))
        })?;
        if emitted.parents.is_empty() {
            continue;
        }
        let emitting = Emitting { output, emitted, rows };
        let within = |message: String| {
            malformed(format!("what it emits on {:?}: {message}", output.schema.table))
        };
        emitting.check(limits, &mut children, &mut bytes).map_err(|rejected| match rejected {
            Rejected(FaultCode::MalformedVerdict, message) => within(message),
            other => other,
        })?;
        emitting.stage(batch, at, staged).map_err(within)?;
    }
    Ok(())
}

/// Adds staged rows to the batch, but for those of failed parents.
pub(crate) fn commit(
    batch: &mut Batch,
    verdict: &wit::Verdict,
    failed: &[u32],
    staged: &mut Vec<StagedRow>,
    emissions: &mut Vec<Emission>,
) {
    for StagedRow { parent, row, partition, place: (emitted, at) } in staged.drain(..) {
        if failed.contains(&parent) {
            continue;
        }
        let index = batch.rows.len();
        batch.rows.push(row);
        let all = verdict.emit.get(emitted).map_or(&[][..], |emitted| &emitted.headers);
        if let Ok(given) = all.binary_search_by_key(&at, |given| given.row) {
            let headers = all[given].headers.iter();
            batch.set_headers(index, headers.map(|it| (it.name.as_str(), it.value.as_slice())));
        }
        if let Some(partition) = partition {
            batch.set_partition(index, partition);
        }
        emissions.push(Emission { parent, row: index as u32 });
    }
}

struct Emitting<'a> {
    output: &'a Output,
    emitted: &'a wit::Emitted,
    rows: &'a [u32],
}

impl Emitting<'_> {
    /// Checks everything but the values. `bytes`: what the rows take beside these, so far.
    fn check(
        &self,
        limits: &CallLimits,
        children: &mut [u32; CALL_ROWS],
        bytes: &mut usize,
    ) -> Result<(), Rejected> {
        self.check_counts()?;
        self.check_parents(limits, children)?;
        for stream in self.emitted.streams.iter().filter(|stream| !stream.is_empty()) {
            check_stream(stream, &limits.reserved_streams).map_err(malformed)?;
        }
        *bytes = bytes.saturating_add(self.header_bytes()?).saturating_add(self.row_bytes());
        if *bytes > limits.output_bytes {
            let message = format!("the rows that it emits take {bytes} bytes, more than they may");
            return Err(Rejected(FaultCode::Output, message));
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), Rejected> {
        let emitted = self.emitted;
        let count = emitted.parents.len();
        if emitted.ops.len() != count {
            return Err(malformed(format!("{} operations for {count} rows", emitted.ops.len())));
        }
        for (what, given) in
            [("streams", emitted.streams.len()), ("partitions", emitted.partitions.len())]
        {
            if given > 1 && given != count {
                return Err(malformed(format!("{given} {what} for {count} rows")));
            }
        }
        Ok(())
    }

    /// Checks whose the rows are, and that nobody has too many.
    fn check_parents(
        &self,
        limits: &CallLimits,
        children: &mut [u32; CALL_ROWS],
    ) -> Result<(), Rejected> {
        let parents = &self.emitted.parents;
        if !parents.is_sorted() {
            return Err(malformed("parents that are not ascending"));
        }
        for &parent in parents {
            let known = children.get_mut(parent as usize);
            let Some(children) = known.filter(|_| (parent as usize) < self.rows.len()) else {
                return Err(malformed(format!("parent {parent} of {}", self.rows.len())));
            };
            *children += 1;
            if *children > limits.fan_out {
                let message = format!(
                    "it emits more than {} rows for one change, which is its `fan_out`",
                    limits.fan_out
                );
                return Err(Rejected(FaultCode::FanOut, message));
            }
        }
        Ok(())
    }

    /// Checks the headers, and gives their size.
    fn header_bytes(&self) -> Result<usize, Rejected> {
        let (headers, count) = (&self.emitted.headers, self.emitted.parents.len());
        if let Some(pair) = headers.windows(2).find(|pair| pair[0].row >= pair[1].row) {
            return Err(malformed(format!(
                "headers of row {} after row {}",
                pair[1].row, pair[0].row
            )));
        }
        let mut bytes = 0;
        for given in headers {
            if given.row as usize >= count {
                return Err(malformed(format!("headers of row {} of {count}", given.row)));
            }
            bytes += check_headers(&given.headers)?;
        }
        Ok(bytes)
    }

    /// A row takes room of its own, and for every column of its output, whether it is given or not.
    fn row_bytes(&self) -> usize {
        let cells = 2 * self.output.schema.columns.len() * size_of::<Cell>();
        self.emitted.parents.len().saturating_mul(size_of::<StagedRow>() + cells)
    }

    fn stage(
        &self,
        batch: &mut Batch,
        number: usize,
        staged: &mut Vec<StagedRow>,
    ) -> Result<(), String> {
        let emitted = self.emitted;
        let count = emitted.parents.len();
        let before = Given::new(&self.output.schema, &emitted.before, count)?;
        let after = Given::new(&self.output.schema, &emitted.after, count)?;
        let schema = batch.schema_index(&self.output.schema);
        let default = self.output.stream.as_deref().map(|name| batch.stream_index(name));
        for (at, (&parent, &letter)) in emitted.parents.iter().zip(&emitted.ops).enumerate() {
            let index = *self.rows.get(parent as usize).ok_or("a parent out of range")?;
            let head = *batch.rows.get(index as usize).ok_or("a parent out of range")?;
            let (operation, before, after) = self
                .images(batch, letter, (&before, &after), at)
                .map_err(|message| format!("row {at}: {message}"))?;
            let named = emitted.streams.get(at).or(emitted.streams.first());
            let named = named.filter(|name| !name.is_empty()).map(|name| batch.stream_index(name));
            let row = Row {
                schema,
                operation,
                // The markers are the parent's: there is one first row, and one last.
                snapshot: match head.snapshot {
                    Snapshot::None => Snapshot::None,
                    _ => Snapshot::Row,
                },
                dropped: false,
                before,
                after,
                headers: HeaderRange::default(),
                stream: named.or(default).or(head.stream),
                ..head
            };
            let partition = emitted.partitions.get(at).or(emitted.partitions.first()).copied();
            let place = (number, at as u32);
            staged.push(StagedRow { parent: index, row, partition, place });
        }
        Ok(())
    }

    /// Operation and images of an emitted row.
    fn images(
        &self,
        batch: &mut Batch,
        letter: u8,
        (before, after): (&Given<'_>, &Given<'_>),
        at: usize,
    ) -> Result<(Operation, Image, Image), String> {
        let operation = match Operation::from_letter(letter) {
            Some(
                operation @ (Operation::Create
                | Operation::Update
                | Operation::Delete
                | Operation::Read),
            ) => operation,
            _ => return Err(format!("the operation {:?}, not c, u, d or r", char::from(letter))),
        };
        let is_opaque = self.output.schema.form == Form::Opaque;
        if is_opaque && operation == Operation::Delete {
            return Err("a deleted row, which has no payload".to_owned());
        }
        let mut image = |given: &Given<'_>, is_after: bool| -> Result<(Image, bool), String> {
            let wanted = Wanted { is_after, may_lack: operation == Operation::Update };
            given.image(batch, at, &wanted)
        };
        Ok(match operation {
            Operation::Delete => {
                let (image, any) = image(before, false)?;
                if !any {
                    return Err("a deleted row without a before image".to_owned());
                }
                (operation, image, Image::NONE)
            }
            Operation::Update => {
                let (old, any) = image(before, false)?;
                let (new, _) = image(after, true)?;
                (operation, if any { old } else { Image::NONE }, new)
            }
            _ => (operation, Image::NONE, image(after, true)?.0),
        })
    }
}

/// What is asked of an image.
struct Wanted {
    is_after: bool,
    /// An update: its before image may lack the key, its after image large values.
    may_lack: bool,
}

/// What a plugin gave of a column.
struct GivenColumn<'a> {
    codes: &'a [u8],
    data: NewValues<'a>,
    rule: Rule,
}

/// The columns that a plugin gave of one image, by ordinal.
struct Given<'a> {
    columns: &'a [Column],
    /// Which columns have to have a value: those of the key, and a payload.
    needed: Vec<bool>,
    values: Vec<Option<GivenColumn<'a>>>,
}

impl<'a> Given<'a> {
    fn new(
        schema: &'a TableSchema,
        given: &'a [wit::Column],
        rows: usize,
    ) -> Result<Given<'a>, String> {
        let columns = &schema.columns;
        let mut needed = vec![false; columns.len()];
        let payload = (schema.form == Form::Opaque).then_some(schema.payload);
        for &ordinal in schema.key.iter().chain(&payload) {
            if let Some(slot) = needed.get_mut(ordinal as usize) {
                *slot = true;
            }
        }
        let mut values: Vec<Option<GivenColumn<'_>>> = Vec::new();
        values.resize_with(columns.len(), || None);
        for column in given {
            let ordinal = column.ordinal as usize;
            let known = columns.get(ordinal);
            let (Some(known), Some(slot)) = (known, values.get_mut(ordinal)) else {
                return Err(format!("column {ordinal} of {}", columns.len()));
            };
            let within = |message: String| format!("the column {:?}: {message}", known.name);
            if slot.is_some() {
                return Err(within("it is given twice".to_owned()));
            }
            let codes = column.presence.as_slice();
            if !codes.is_empty() && codes.len() != rows {
                return Err(within(format!("{} presence codes for {rows} rows", codes.len())));
            }
            let data = NewValues::of(known.kind, &column.data, rows).map_err(within)?;
            *slot = Some(GivenColumn { codes, data, rule: Rule::of(known) });
        }
        Ok(Given { columns, needed, values })
    }

    /// The image of one row, and whether it has any value.
    fn image(
        &self,
        batch: &mut Batch,
        at: usize,
        wanted: &Wanted,
    ) -> Result<(Image, bool), String> {
        let begin = batch.begin_image();
        let mut any = false;
        for (ordinal, column) in self.columns.iter().enumerate() {
            let is_key = self.needed.get(ordinal).copied().unwrap_or(false);
            let cell = self
                .cell(batch, at, ordinal, is_key, wanted)
                .map_err(|message| format!("the column {:?}: {message}", column.name))?;
            any |= cell.is_some();
            batch.push_cell(cell.unwrap_or(Cell::ABSENT));
        }
        Ok((batch.end_image(begin), any))
    }

    /// `None`: absent.
    fn cell(
        &self,
        batch: &mut Batch,
        at: usize,
        ordinal: usize,
        is_key: bool,
        wanted: &Wanted,
    ) -> Result<Option<Cell>, String> {
        let column = self.columns.get(ordinal).ok_or("it is not there")?;
        let given = self.values.get(ordinal).and_then(Option::as_ref);
        let left_out = if wanted.is_after { presence::NULL } else { presence::ABSENT };
        let code = match given {
            Some(given) => given.codes.get(at).copied().unwrap_or(presence::VALUE),
            None => left_out,
        };
        match (code, given) {
            (presence::VALUE, Some(given)) => {
                checked_cell(batch, column, given.rule, given.data.get(at)?).map(Some)
            }
            (presence::NULL, _) if is_key => {
                Err("NULL in a column of the key, or a payload".to_owned())
            }
            (presence::NULL, _) if !column.nullable => {
                Err("NULL in a column that is not nullable".to_owned())
            }
            (presence::NULL, _) => Ok(Some(Cell::NULL)),
            (presence::UNCHANGED, _) if wanted.is_after && wanted.may_lack && !is_key => {
                Ok(Some(Cell::UNCHANGED))
            }
            (presence::ABSENT, _) if !wanted.is_after && (wanted.may_lack || !is_key) => Ok(None),
            (presence::ABSENT, _) => Err("it is left out, where it has to be".to_owned()),
            (code, _) => Err(format!("presence code {code}")),
        }
    }
}
