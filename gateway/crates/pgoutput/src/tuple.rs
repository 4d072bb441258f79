//! Tuples: the column values of a row, as `pgoutput` sends them. A tuple is walked once when its
//! message is decoded, so that handing out its values cannot fail.

use crate::DecodeError;
use crate::reader::Reader;

/// One column's value. `Debug` shows its form and length, never its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TupleValue<'a> {
    /// `n`: SQL NULL; in an old key also what is not part of the key.
    Null,
    /// `u`: a value stored out of line that the change did not touch; it is not sent.
    Unchanged,
    /// `t`: the type's text output, in the client's encoding.
    Text(&'a [u8]),
    /// `b`: the type's binary output; only where `binary` was asked for.
    Binary(&'a [u8]),
}

impl std::fmt::Debug for TupleValue<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            TupleValue::Null => out.write_str("Null"),
            TupleValue::Unchanged => out.write_str("Unchanged"),
            TupleValue::Text(text) => write!(out, "Text({} bytes)", text.len()),
            TupleValue::Binary(bytes) => write!(out, "Binary({} bytes)", bytes.len()),
        }
    }
}

/// The values of a row, by the relation's columns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    columns: u16,
    /// The columns' encoded values, walked to their end.
    bytes: &'a [u8],
}

impl std::fmt::Debug for Tuple<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_list().entries(self.values()).finish()
    }
}

impl<'a> Tuple<'a> {
    /// Reads a `TupleData` and leaves the reader after it.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Tuple<'a>, DecodeError> {
        let columns = reader.u16()?;
        let start = reader.rest();
        for _ in 0..columns {
            read_value(reader)?;
        }
        let length = start.len() - reader.rest().len();
        Ok(Tuple { columns, bytes: start.get(..length).unwrap_or_default() })
    }

    /// Number of its columns.
    pub fn len(&self) -> usize {
        self.columns.into()
    }

    /// Whether it has no column.
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// Its values in order.
    #[inline]
    pub fn values(&self) -> TupleValues<'a> {
        TupleValues { reader: Reader::new(self.bytes, "TupleData"), left: self.columns }
    }
}

/// Hands out a tuple's values in order.
#[derive(Clone, Debug)]
pub struct TupleValues<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Iterator for TupleValues<'a> {
    type Item = TupleValue<'a>;

    #[inline]
    fn next(&mut self) -> Option<TupleValue<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The tuple was walked when it was read, so this does not fail.
        read_value(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for TupleValues<'_> {}

#[inline(always)]
fn read_value<'a>(reader: &mut Reader<'a>) -> Result<TupleValue<'a>, DecodeError> {
    match reader.u8()? {
        b't' => reader.counted("value length").map(TupleValue::Text),
        b'n' => Ok(TupleValue::Null),
        b'u' => Ok(TupleValue::Unchanged),
        b'b' => reader.counted("value length").map(TupleValue::Binary),
        other => Err(reader.field("tuple value form", other.into())),
    }
}
