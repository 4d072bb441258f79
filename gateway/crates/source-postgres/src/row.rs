//! Rows: a table's plan for reading tuples of the stream and lines of a snapshot into images.
//!
//! Both go through the same column decoders. A text is copied once, from the network buffer into
//! the batch's arena.

use std::sync::Arc;

use offtake_change::{Batch, Cell, Image, ReplicaIdentity, ValueRef};
use offtake_pgoutput::{OldTuple, Tuple, TupleValue};

use crate::copy_text::CopyFields;
use crate::value::{ColumnDecoder, ValueError, decode_copy_field, decode_text};

/// Reads the rows of one table's definition.
#[derive(Clone, Debug)]
pub struct RowDecoder {
    table: Arc<str>,
    columns: Box<[ColumnDecoder]>,
    /// Whether a column is part of the replica identity, by ordinal.
    identity: Box<[bool]>,
    /// Whether old tuples hold the whole row.
    full: bool,
}

impl RowDecoder {
    /// The decoder of a table whose columns are given in the order of its tuples.
    pub(crate) fn new(
        table: Arc<str>,
        columns: Vec<ColumnDecoder>,
        identity: Vec<bool>,
        replica_identity: ReplicaIdentity,
    ) -> RowDecoder {
        debug_assert_eq!(columns.len(), identity.len(), "one flag a column");
        RowDecoder {
            table,
            columns: columns.into(),
            identity: identity.into(),
            full: replica_identity == ReplicaIdentity::Full,
        }
    }

    /// Number of the table's columns.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Reads a new row, or a whole old one. A large value that was left alone is `Unchanged`.
    ///
    /// # Errors
    /// A value that cannot be read, or a tuple of another shape; the batch has no image then.
    pub fn decode_tuple(&self, tuple: Tuple<'_>, batch: &mut Batch) -> Result<Image, ValueError> {
        self.check_count(tuple.len())?;
        image(batch, |batch| {
            for (column, value) in self.columns.iter().zip(tuple.values()) {
                let cell = decode_value(column, value, batch)?;
                batch.push_cell(cell);
            }
            Ok(())
        })
    }

    /// Reads an old key: the columns outside the replica identity come as NULL on the wire and are
    /// absent from the image.
    ///
    /// # Errors
    /// As [`RowDecoder::decode_tuple`].
    pub fn decode_key(&self, tuple: Tuple<'_>, batch: &mut Batch) -> Result<Image, ValueError> {
        self.check_count(tuple.len())?;
        image(batch, |batch| {
            let columns = self.columns.iter().zip(&self.identity);
            for ((column, &is_key), value) in columns.zip(tuple.values()) {
                let cell = if is_key { decode_value(column, value, batch)? } else { Cell::ABSENT };
                batch.push_cell(cell);
            }
            Ok(())
        })
    }

    /// Reads what an update or delete tells of the row before.
    ///
    /// # Errors
    /// As [`RowDecoder::decode_tuple`].
    pub fn decode_old(&self, old: OldTuple<'_>, batch: &mut Batch) -> Result<Image, ValueError> {
        match old {
            OldTuple::Key(tuple) => self.decode_key(tuple, batch),
            OldTuple::Row(tuple) => self.decode_tuple(tuple, batch),
        }
    }

    /// Reads a line of `COPY … TO STDOUT` in text format, with or without its newline. The copy's
    /// columns are the table's, in order.
    ///
    /// # Errors
    /// As [`RowDecoder::decode_tuple`].
    pub fn decode_copy_line(&self, line: &[u8], batch: &mut Batch) -> Result<Image, ValueError> {
        image(batch, |batch| {
            let mut fields = CopyFields::new(line);
            for (ordinal, column) in self.columns.iter().enumerate() {
                let field = fields.next().ok_or_else(|| self.count_error(ordinal))?;
                let cell = decode_copy_field(column, field, batch)?;
                batch.push_cell(cell);
            }
            match fields.count() {
                0 => Ok(()),
                // The empty line of a table without columns reads as one empty field.
                1 if self.columns.is_empty() && matches!(line, b"" | b"\n") => Ok(()),
                more => Err(self.count_error(self.columns.len() + more)),
            }
        })
    }

    /// Fills unchanged values of an after image from the before image, where that is the whole row
    /// (REPLICA IDENTITY FULL): then the log does carry them. Does nothing otherwise.
    pub fn complete_unchanged(&self, before: Image, after: Image, batch: &mut Batch) {
        if !self.full || !before.is_some() {
            return;
        }
        for ordinal in 0..after.len() {
            if batch.column(after, ordinal) == ValueRef::Unchanged
                && let Some(&cell) = batch.cells(before).get(ordinal)
            {
                batch.set(after, ordinal, cell);
            }
        }
    }

    #[inline]
    fn check_count(&self, found: usize) -> Result<(), ValueError> {
        if found == self.columns.len() { Ok(()) } else { Err(self.count_error(found)) }
    }

    #[cold]
    fn count_error(&self, found: usize) -> ValueError {
        let (table, expected) = (Box::from(&*self.table), self.columns.len());
        ValueError::ColumnCount { table, expected, found }
    }
}

#[inline]
fn decode_value(
    column: &ColumnDecoder,
    value: TupleValue<'_>,
    batch: &mut Batch,
) -> Result<Cell, ValueError> {
    match value {
        TupleValue::Text(text) => decode_text(column, text, batch),
        TupleValue::Null => Ok(Cell::NULL),
        TupleValue::Unchanged => Ok(Cell::UNCHANGED),
        TupleValue::Binary(_) => Err(column.binary()),
    }
}

/// The image of the cells that `push` adds; none of them stays where it fails.
#[inline]
fn image(
    batch: &mut Batch,
    push: impl FnOnce(&mut Batch) -> Result<(), ValueError>,
) -> Result<Image, ValueError> {
    let begin = batch.begin_image();
    match push(batch) {
        Ok(()) => Ok(batch.end_image(begin)),
        Err(error) => {
            batch.abandon_image(begin);
            Err(error)
        }
    }
}
