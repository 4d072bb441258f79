//! Gathers the columns that a plugin asked for, column by column, into the call's argument.
//!
//! The argument is kept and filled again, so that a call allocates nothing once its buffers have
//! grown, except where a plugin wants lists of strings from columns of changing types.

use std::io::Write;

use offtake_change::{Batch, Image, Kind, NO_TRANSACTION, Row, TableSchema, ValueRef};

use crate::bindings as wit;
use crate::{Interest, list_text};

/// Room that a buffer keeps between calls, in bytes.
const KEPT_BYTES: usize = 1 << 20;

/// Presence of a value: the codes of the contract.
pub(crate) mod presence {
    pub(crate) const VALUE: u8 = 0;
    pub(crate) const NULL: u8 = 1;
    pub(crate) const UNCHANGED: u8 = 2;
    pub(crate) const ABSENT: u8 = 3;
}

/// Bytes of the values of a row that a plugin wants, about.
pub(crate) fn wanted_bytes(batch: &Batch, row: &Row, interest: &Interest) -> usize {
    let image_bytes = |image: Image| -> usize {
        let value = |&ordinal: &u32| match batch.column(image, ordinal as usize) {
            ValueRef::Text(bytes) | ValueRef::Bytes(bytes) => bytes.len(),
            ValueRef::List(list) => list.encoded().len(),
            _ => 8,
        };
        interest.columns.iter().map(value).sum()
    };
    let before = if interest.before_image { image_bytes(row.before) } else { 0 };
    before + image_bytes(row.after)
}

/// The argument of a call, kept from call to call.
pub(crate) struct Gathered {
    batch: wit::Batch,
}

impl Default for Gathered {
    fn default() -> Gathered {
        Gathered {
            batch: wit::Batch {
                schema: 0,
                rows: 0,
                ops: Vec::new(),
                before: Vec::new(),
                after: Vec::new(),
                meta: None,
                extra: Vec::new(),
            },
        }
    }
}

impl Gathered {
    /// The argument as it was filled last.
    pub(crate) fn batch(&self) -> &wit::Batch {
        &self.batch
    }

    /// Fills the argument with rows of one schema.
    ///
    /// # Errors
    /// A value is not of its column's kind; only a fault of a source can cause that.
    pub(crate) fn fill(
        &mut self,
        source: &Batch,
        rows: &[u32],
        schema: &TableSchema,
        interest: &Interest,
        id: u32,
    ) -> Result<(), String> {
        let target = &mut self.batch;
        target.schema = id;
        target.rows = rows.len() as u32;
        target.ops.clear();
        target.ops.extend(each_row(source, rows).map(|row| row.operation.letter()));
        let input = Input { source, rows, schema, interest };
        input.fill_image(&mut target.after, |row| row.after)?;
        if interest.before_image {
            input.fill_image(&mut target.before, |row| row.before)?;
        } else {
            target.before.clear();
        }
        target.meta = interest.wants_metadata().then(|| input.metadata());
        Ok(())
    }

    /// Gives back the room of an unusually large call.
    pub(crate) fn trim(&mut self) {
        for column in self.batch.before.iter_mut().chain(&mut self.batch.after) {
            match &mut column.data {
                wit::ColumnData::PackedText(packed) | wit::ColumnData::PackedBytes(packed)
                    if packed.data.capacity() > KEPT_BYTES =>
                {
                    packed.data = Vec::new();
                }
                wit::ColumnData::Text(texts)
                    if texts.iter().map(String::capacity).sum::<usize>() > KEPT_BYTES =>
                {
                    *texts = Vec::new();
                }
                wit::ColumnData::Bytes(values) => values.clear(),
                _ => {}
            }
        }
    }
}

fn each_row<'a>(source: &'a Batch, rows: &'a [u32]) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter_map(|&row| source.rows.get(row as usize))
}

/// What is gathered from.
struct Input<'a> {
    source: &'a Batch,
    rows: &'a [u32],
    schema: &'a TableSchema,
    interest: &'a Interest,
}

/// The vector of a variant, emptied; the variant is changed where it is another.
macro_rules! emptied {
    ($data:expr, $variant:ident) => {{
        if !matches!($data, wit::ColumnData::$variant(_)) {
            *$data = wit::ColumnData::$variant(Vec::new());
        }
        match $data {
            wit::ColumnData::$variant(values) => {
                values.clear();
                values
            }
            _ => return Err("a column's buffer changed its kind".to_owned()),
        }
    }};
}

impl Input<'_> {
    fn fill_image(
        &self,
        columns: &mut Vec<wit::Column>,
        image: impl Fn(&Row) -> Image + Copy,
    ) -> Result<(), String> {
        columns.truncate(self.interest.columns.len());
        for (at, &ordinal) in self.interest.columns.iter().enumerate() {
            if at == columns.len() {
                let data = wit::ColumnData::Boolean(Vec::new());
                columns.push(wit::Column { ordinal, presence: Vec::new(), data });
            }
            let column = &mut columns[at];
            column.ordinal = ordinal;
            column.presence.clear();
            self.fill_column(column, image).map_err(|message| {
                let name = self.schema.columns.get(ordinal as usize).map(|column| &column.name);
                format!("column {:?}: {message}", name.map_or("", String::as_str))
            })?;
        }
        Ok(())
    }

    fn fill_column(
        &self,
        column: &mut wit::Column,
        image: impl Fn(&Row) -> Image,
    ) -> Result<(), String> {
        let ordinal = column.ordinal as usize;
        let kind = self.schema.columns.get(ordinal).map(|column| column.kind);
        let kind = kind.ok_or("the table has no such column")?;
        let mut values = Values { input: self, presence: &mut column.presence, ordinal, image };
        let data = &mut column.data;
        match kind {
            Kind::Boolean => {
                let out = emptied!(data, Boolean);
                values.each(|value| match value {
                    Some(ValueRef::Boolean(value)) => push(out, value.into()),
                    other => push_none(out, other, 0),
                })
            }
            Kind::Integer => {
                let out = emptied!(data, Int64);
                values.each(|value| match value {
                    Some(ValueRef::Integer(value)) => push(out, value),
                    other => push_none(out, other, 0),
                })
            }
            Kind::Unsigned => {
                let out = emptied!(data, Uint64);
                values.each(|value| match value {
                    Some(ValueRef::Unsigned(value)) => push(out, value),
                    other => push_none(out, other, 0),
                })
            }
            Kind::Single | Kind::Number => {
                let out = emptied!(data, Float64);
                values.each(|value| match value {
                    Some(ValueRef::Number(value)) => push(out, value),
                    Some(ValueRef::Single(value)) => push(out, value.into()),
                    other => push_none(out, other, 0.0),
                })
            }
            Kind::Text | Kind::List if self.interest.packed_text => {
                values.packed(packed_text(data)?, kind)
            }
            Kind::Bytes if self.interest.packed_text => values.packed(packed_bytes(data)?, kind),
            Kind::Text | Kind::List => values.texts(data),
            Kind::Bytes => {
                let out = emptied!(data, Bytes);
                values.each(|value| match value {
                    Some(ValueRef::Bytes(bytes)) => push(out, bytes.to_vec()),
                    other => push_none(out, other, Vec::new()),
                })
            }
        }
    }

    fn metadata(&self) -> wit::Metadata {
        let interest = self.interest;
        let mut meta = empty_metadata();
        for (at, row) in each_row(self.source, self.rows).enumerate() {
            let transaction = (row.transaction != NO_TRANSACTION)
                .then(|| self.source.transactions.get(row.transaction as usize))
                .flatten();
            if interest.positions {
                meta.positions.offsets.push(meta.positions.data.len() as u32);
                // Writing to a vector cannot fail.
                let _ = write!(meta.positions.data, "{}", row.lsn);
                meta.snapshot.push(row.snapshot as u8);
            }
            if interest.commit_times {
                meta.commit_times.push(transaction.map_or(0, |known| known.commit_unix_us));
            }
            if interest.transactions {
                meta.transactions.offsets.push(meta.transactions.data.len() as u32);
                let id = transaction.map_or("", |known| known.id.as_str());
                meta.transactions.data.extend_from_slice(id.as_bytes());
                meta.transaction_order.push(row.order);
            }
            if interest.headers {
                let headers = self.headers(row);
                if !headers.is_empty() {
                    meta.headers.push(wit::RowHeaders { row: at as u32, headers });
                }
            }
        }
        if interest.positions {
            meta.positions.offsets.push(meta.positions.data.len() as u32);
        }
        if interest.transactions {
            meta.transactions.offsets.push(meta.transactions.data.len() as u32);
        }
        meta
    }

    fn headers(&self, row: &Row) -> Vec<wit::Header> {
        let header = |(name, value): (&[u8], &[u8])| wit::Header {
            name: String::from_utf8_lossy(name).into_owned(),
            value: value.to_vec(),
        };
        self.source.headers(row.headers).map(header).collect()
    }
}

fn empty_metadata() -> wit::Metadata {
    let packed = || wit::Packed { offsets: Vec::new(), data: Vec::new() };
    wit::Metadata {
        positions: packed(),
        snapshot: Vec::new(),
        commit_times: Vec::new(),
        transactions: packed(),
        transaction_order: Vec::new(),
        headers: Vec::new(),
    }
}

/// Whether a value had its column's kind.
type Fits = bool;

fn push<T>(out: &mut Vec<T>, value: T) -> Fits {
    out.push(value);
    true
}

/// Holds the place of a missing value; any other is of a wrong kind.
fn push_none<T>(out: &mut Vec<T>, value: Option<ValueRef<'_>>, filler: T) -> Fits {
    out.push(filler);
    value.is_none()
}

fn packed_text(data: &mut wit::ColumnData) -> Result<&mut wit::Packed, String> {
    if !matches!(data, wit::ColumnData::PackedText(_)) {
        *data = wit::ColumnData::PackedText(wit::Packed { offsets: Vec::new(), data: Vec::new() });
    }
    match data {
        wit::ColumnData::PackedText(packed) => Ok(packed),
        _ => Err("a column's buffer changed its kind".to_owned()),
    }
}

fn packed_bytes(data: &mut wit::ColumnData) -> Result<&mut wit::Packed, String> {
    if !matches!(data, wit::ColumnData::PackedBytes(_)) {
        *data = wit::ColumnData::PackedBytes(wit::Packed { offsets: Vec::new(), data: Vec::new() });
    }
    match data {
        wit::ColumnData::PackedBytes(packed) => Ok(packed),
        _ => Err("a column's buffer changed its kind".to_owned()),
    }
}

/// One column's values in one image.
struct Values<'a, I> {
    input: &'a Input<'a>,
    presence: &'a mut Vec<u8>,
    ordinal: usize,
    image: I,
}

impl<I: Fn(&Row) -> Image> Values<'_, I> {
    /// Hands every row's value to `push`, `None` where there is none, and notes which are missing.
    fn each(&mut self, mut push: impl FnMut(Option<ValueRef<'_>>) -> Fits) -> Result<(), String> {
        let source = self.input.source;
        for (at, row) in each_row(source, self.input.rows).enumerate() {
            let value = source.column((self.image)(row), self.ordinal);
            let code = match value {
                ValueRef::Null => presence::NULL,
                ValueRef::Unchanged => presence::UNCHANGED,
                ValueRef::Absent => presence::ABSENT,
                value => {
                    if !push(Some(value)) {
                        return Err("the source gave a value of another kind".to_owned());
                    }
                    if !self.presence.is_empty() {
                        self.presence.push(presence::VALUE);
                    }
                    continue;
                }
            };
            if self.presence.is_empty() {
                self.presence.resize(at, presence::VALUE);
            }
            self.presence.push(code);
            push(None);
        }
        Ok(())
    }

    fn packed(&mut self, out: &mut wit::Packed, kind: Kind) -> Result<(), String> {
        let wit::Packed { offsets, data } = out;
        offsets.clear();
        data.clear();
        offsets.push(0);
        let mut failure = None;
        self.each(|value| {
            let fits = match (kind, value) {
                (Kind::Text, Some(ValueRef::Text(bytes)))
                | (Kind::Bytes, Some(ValueRef::Bytes(bytes))) => {
                    data.extend_from_slice(bytes);
                    true
                }
                (Kind::List, Some(ValueRef::List(list))) => match list_text::write(list, data) {
                    Ok(()) => true,
                    Err(message) => {
                        failure = Some(message);
                        false
                    }
                },
                (_, value) => value.is_none(),
            };
            match u32::try_from(data.len()) {
                Ok(end) => push(offsets, end) && fits,
                Err(_) => false,
            }
        })
        .map_err(|message| failure.unwrap_or(message))
    }

    /// Texts one by one; the strings of the last call are filled again.
    fn texts(&mut self, data: &mut wit::ColumnData) -> Result<(), String> {
        if !matches!(data, wit::ColumnData::Text(_)) {
            *data = wit::ColumnData::Text(Vec::new());
        }
        let wit::ColumnData::Text(out) = data else {
            return Err("a column's buffer changed its kind".to_owned());
        };
        let mut at = 0;
        let mut list = Vec::new();
        self.each(|value| {
            if at == out.len() {
                out.push(String::new());
            }
            let slot = &mut out[at];
            at += 1;
            slot.clear();
            match value {
                None => true,
                Some(ValueRef::List(value)) => {
                    list.clear();
                    let text = list_text::write(value, &mut list).is_ok().then_some(&list);
                    text.and_then(|text| std::str::from_utf8(text).ok())
                        .map(|text| slot.push_str(text))
                        .is_some()
                }
                Some(value) => value.as_str().map(|text| slot.push_str(text)).is_some(),
            }
        })?;
        out.truncate(at);
        Ok(())
    }
}
