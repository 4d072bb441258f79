//! A batch of changes: an arena of bytes, cells that point into it, and one head a row.
//!
//! A source fills a batch and sends it on; routing, plugins and encoding work on it in place. The
//! only allocations are the growth of a few vectors, so their cost a change goes to nothing, and a
//! batch that was used is cleared and used again.

use std::collections::HashMap;
use std::sync::Arc;

use crate::value::{Cell, Tag, ValueRef};
use crate::{Lsn, Operation, Snapshot, TableSchema, wire};

/// Index of no transaction: snapshot rows have none.
pub const NO_TRANSACTION: u32 = u32::MAX;

/// A row image: a range of cells, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Image {
    start: u32,
    len: u32,
}

impl Image {
    /// No image.
    pub const NONE: Image = Image { start: u32::MAX, len: 0 };

    /// Whether there is one.
    pub fn is_some(self) -> bool {
        self.start != u32::MAX
    }

    /// Number of its cells.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether it has no cell.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    fn range(self) -> std::ops::Range<usize> {
        if self.is_some() {
            self.start as usize..self.start as usize + self.len as usize
        } else {
            0..0
        }
    }
}

/// What plugins said of a change's message: a range of the batch's headers, and a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HeaderRange {
    start: u32,
    len: u32,
    partition: Option<u32>,
}

impl HeaderRange {
    /// The partition that a plugin chose.
    pub fn partition(self) -> Option<u32> {
        self.partition
    }
}

/// A transaction, shared by its changes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Transaction {
    /// The database's own name of it.
    pub id: String,
    /// Position of the commit.
    pub commit: Lsn,
    /// Just past the commit, or the message outside of a transaction, before it; zero: not known.
    pub previous_commit: Lsn,
    /// Commit time, microseconds since the Unix epoch.
    pub commit_unix_us: i64,
    /// Replication origin; empty: none.
    pub origin: String,
    /// Position of its first record; zero: not known.
    pub begin: Lsn,
}

/// The head of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Index into the batch's schemas.
    pub schema: u32,
    /// Index into the batch's transactions, or [`NO_TRANSACTION`].
    pub transaction: u32,
    /// What happened.
    pub operation: Operation,
    /// Snapshot marker.
    pub snapshot: Snapshot,
    /// Left out by a plugin: counts as a source row, never as a change.
    pub dropped: bool,
    /// Before image.
    pub before: Image,
    /// After image.
    pub after: Image,
    /// Where this row stands in the source's log.
    pub lsn: Lsn,
    /// Place in the transaction (or, of a snapshot row, in the table), from 1, over everything that
    /// is published: it has gaps where the publication is wider than what is captured.
    pub order: u64,
    /// Place among the transaction's changes of the table, from 1.
    pub order_in_table: u64,
    /// Headers that plugins added, and the partition that one chose.
    pub headers: HeaderRange,
    /// Index into the batch's streams, where a plugin chose another than the route's.
    pub stream: Option<u32>,
}

impl Row {
    /// The only row of its transaction, in the batch's first schema, with no place told.
    pub fn new(operation: Operation, before: Image, after: Image) -> Row {
        Row {
            schema: 0,
            transaction: NO_TRANSACTION,
            operation,
            snapshot: Snapshot::None,
            dropped: false,
            before,
            after,
            lsn: Lsn(0),
            order: 1,
            order_in_table: 1,
            headers: HeaderRange::default(),
            stream: None,
        }
    }
}

/// The end of a source transaction within a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boundary {
    /// The transaction's rows end before this index of the batch's rows (it may have begun in an
    /// earlier batch).
    pub rows_end: u32,
    /// Index into the batch's transactions.
    pub transaction: u32,
    /// Just past the commit: what a source resumes from.
    pub end: Lsn,
    /// Rows of the whole transaction, as the source sent them.
    pub source_rows: u64,
}

/// A place in a batch's memory, see [`Batch::mark`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    arena: usize,
    cells: usize,
}

/// Changes on their way from a source to the log. Rows are in source order; boundaries in order of
/// `rows_end`. Rows after the last boundary belong to a transaction that is still to end, or to a
/// snapshot.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    arena: Vec<u8>,
    cells: Vec<Cell>,
    headers: Vec<(u32, u32, u32, u32)>,
    /// The changes.
    pub rows: Vec<Row>,
    /// Schemas that the rows refer to.
    pub schemas: Vec<Arc<TableSchema>>,
    /// Transactions that the rows refer to.
    pub transactions: Vec<Transaction>,
    /// Transactions that end in this batch.
    pub boundaries: Vec<Boundary>,
    /// Streams that plugins chose for rows.
    pub streams: Vec<Arc<str>>,
    stream_indices: HashMap<Arc<str>, u32>,
    /// When the batch was taken in, nanoseconds since the Unix epoch.
    pub processed_unix_ns: i64,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.cells.clear();
        self.headers.clear();
        self.rows.clear();
        self.schemas.clear();
        self.transactions.clear();
        self.boundaries.clear();
        self.streams.clear();
        self.stream_indices.clear();
        self.processed_unix_ns = 0;
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.boundaries.is_empty()
    }

    /// Bytes of memory that the values and rows take.
    pub fn size_bytes(&self) -> usize {
        self.arena.len() + self.cells.len() * size_of::<Cell>() + self.rows.len() * size_of::<Row>()
    }

    /// Index of a schema in this batch, adding it when it is new here.
    pub fn schema_index(&mut self, schema: &Arc<TableSchema>) -> u32 {
        // Newest first: neighbouring rows mostly share one.
        if let Some(index) =
            self.schemas.iter().rposition(|candidate| Arc::ptr_eq(candidate, schema))
        {
            return index as u32;
        }
        self.schemas.push(Arc::clone(schema));
        (self.schemas.len() - 1) as u32
    }

    /// Index of a stream in this batch, adding it when it is new here.
    pub fn stream_index(&mut self, name: &str) -> u32 {
        if let Some(&index) = self.stream_indices.get(name) {
            return index;
        }
        let (name, index) = (Arc::<str>::from(name), self.streams.len() as u32);
        self.streams.push(Arc::clone(&name));
        self.stream_indices.insert(name, index);
        index
    }

    /// Where values and images end now.
    pub fn mark(&self) -> Mark {
        Mark { arena: self.arena.len(), cells: self.cells.len() }
    }

    /// Forgets values and images that were stored since; no row may have them.
    pub fn rewind(&mut self, mark: Mark) {
        self.arena.truncate(mark.arena);
        self.cells.truncate(mark.cells);
    }

    /// Adds a transaction and gives its index.
    pub fn push_transaction(&mut self, transaction: Transaction) -> u32 {
        self.transactions.push(transaction);
        (self.transactions.len() - 1) as u32
    }

    /// Stores UTF-8 text. The caller has checked it.
    #[inline]
    pub fn text(&mut self, utf8: &[u8]) -> Cell {
        self.store(Tag::Text, utf8)
    }

    /// Stores bytes.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Cell {
        self.store(Tag::Bytes, bytes)
    }

    /// Stores a list given as the body of an encoded `List` message, see [`wire::encode_value`].
    pub fn list(&mut self, encoded: &[u8]) -> Cell {
        self.store(Tag::List, encoded)
    }

    /// Stores bytes that `write` appends; saves a copy where a value is decoded on the way.
    pub fn bytes_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Cell {
        self.store_with(Tag::Bytes, write)
    }

    /// Stores a value of elsewhere.
    pub fn store_value(&mut self, value: ValueRef<'_>) -> Cell {
        match value {
            ValueRef::Null => Cell::NULL,
            ValueRef::Unchanged => Cell::UNCHANGED,
            ValueRef::Absent => Cell::ABSENT,
            ValueRef::Boolean(value) => Cell::boolean(value),
            ValueRef::Integer(value) => Cell::integer(value),
            ValueRef::Unsigned(value) => Cell::unsigned(value),
            ValueRef::Single(value) => Cell::single(value),
            ValueRef::Number(value) => Cell::number(value),
            ValueRef::Text(text) => self.text(text),
            ValueRef::Bytes(bytes) => self.bytes(bytes),
            ValueRef::List(list) => self.list(list.encoded()),
        }
    }

    /// Stores UTF-8 text that `write` appends and has checked.
    pub fn text_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Cell {
        self.store_with(Tag::Text, write)
    }

    /// Stores a list whose encoded body `write` appends.
    pub fn list_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Cell {
        self.store_with(Tag::List, write)
    }

    #[inline]
    fn store(&mut self, tag: Tag, bytes: &[u8]) -> Cell {
        self.store_with(tag, |arena| arena.extend_from_slice(bytes))
    }

    #[inline]
    fn store_with(&mut self, tag: Tag, write: impl FnOnce(&mut Vec<u8>)) -> Cell {
        let start = self.arena.len();
        write(&mut self.arena);
        let len = self.arena.len().saturating_sub(start);
        Cell { tag, len: u32::try_from(len).unwrap_or(u32::MAX), bits: start as u64 }
    }

    /// Adds a cell; a row's image is the cells added since [`Batch::begin_image`].
    #[inline]
    pub fn push_cell(&mut self, cell: Cell) {
        self.cells.push(cell);
    }

    /// Marks where an image begins.
    #[inline]
    pub fn begin_image(&self) -> usize {
        self.cells.len()
    }

    /// The image of the cells added since `begin`.
    #[inline]
    pub fn end_image(&self, begin: usize) -> Image {
        Image { start: begin as u32, len: (self.cells.len() - begin) as u32 }
    }

    /// Forgets the cells added since `begin`, for a row that turned out to be unreadable.
    pub fn abandon_image(&mut self, begin: usize) {
        self.cells.truncate(begin);
    }

    /// The cells of an image.
    #[inline]
    pub fn cells(&self, image: Image) -> &[Cell] {
        self.cells.get(image.range()).unwrap_or_default()
    }

    /// The value of a cell of this batch.
    #[inline]
    pub fn value(&self, cell: Cell) -> ValueRef<'_> {
        cell.value(&self.arena)
    }

    /// The value of one column of an image; absent where the image does not reach it.
    #[inline]
    pub fn column(&self, image: Image, ordinal: usize) -> ValueRef<'_> {
        self.cells(image).get(ordinal).map_or(ValueRef::Absent, |cell| cell.value(&self.arena))
    }

    /// The values of an image.
    pub fn values(&self, image: Image) -> impl ExactSizeIterator<Item = ValueRef<'_>> {
        self.cells(image).iter().map(|cell| cell.value(&self.arena))
    }

    /// Replaces one column of an image. Does nothing where the image does not reach it.
    pub fn set(&mut self, image: Image, ordinal: usize, cell: Cell) {
        if let Some(slot) =
            self.cells.get_mut(image.range()).and_then(|cells| cells.get_mut(ordinal))
        {
            *slot = cell;
        }
    }

    /// Copies a row with cells of its own, so that two routes can patch it differently. The copy
    /// is not added to the rows.
    pub fn fork_row(&mut self, row: &Row) -> Row {
        Row { before: self.copy_image(row.before), after: self.copy_image(row.after), ..*row }
    }

    /// A new image of these columns of another, in this order. What the other does not reach is
    /// `missing`; where there is none, there is none.
    pub fn select(
        &mut self,
        image: Image,
        ordinals: impl Iterator<Item = u32>,
        missing: Cell,
    ) -> Image {
        if !image.is_some() {
            return Image::NONE;
        }
        let begin = self.begin_image();
        for ordinal in ordinals {
            let cell = self.cells(image).get(ordinal as usize).copied();
            self.push_cell(cell.unwrap_or(missing));
        }
        self.end_image(begin)
    }

    fn copy_image(&mut self, image: Image) -> Image {
        if !image.is_some() {
            return Image::NONE;
        }
        let begin = self.begin_image();
        self.cells.extend_from_within(image.range());
        self.end_image(begin)
    }

    /// Replaces a row's headers.
    pub fn set_headers<'h>(
        &mut self,
        row: usize,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
    ) {
        let start = self.headers.len() as u32;
        for (name, value) in headers {
            let name_cell = self.store(Tag::Text, name.as_bytes());
            let value_cell = self.store(Tag::Bytes, value);
            self.headers.push((
                name_cell.bits as u32,
                name_cell.len,
                value_cell.bits as u32,
                value_cell.len,
            ));
        }
        let len = self.headers.len() as u32 - start;
        if let Some(row) = self.rows.get_mut(row) {
            row.headers = HeaderRange { start, len, ..row.headers };
        }
    }

    /// Sets the partition that a plugin chose for a row.
    pub fn set_partition(&mut self, row: usize, partition: u32) {
        if let Some(row) = self.rows.get_mut(row) {
            row.headers.partition = Some(partition);
        }
    }

    /// Headers of a row: name and value.
    pub fn headers(&self, range: HeaderRange) -> impl Iterator<Item = (&[u8], &[u8])> {
        let slice = |start: u32, len: u32| {
            self.arena.get(start as usize..start as usize + len as usize).unwrap_or_default()
        };
        self.headers
            .get(range.start as usize..range.start as usize + range.len as usize)
            .unwrap_or_default()
            .iter()
            .map(move |&(name, name_len, value, value_len)| {
                (slice(name, name_len), slice(value, value_len))
            })
    }

    /// Encodes one row as a `Change`, see [`wire::encode_change`].
    pub fn encode(&self, row: &Row, sequence: u64, stream: u32, schema: u32, out: &mut Vec<u8>) {
        wire::encode_change(self, row, sequence, stream, schema, out);
    }
}
