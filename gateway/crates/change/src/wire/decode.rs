//! Reads changes and values in place.

use super::varint::{Field, Reader, unzigzag};
use super::{FRAME_CHANGES_TAG, WireError};
use crate::value::{ListRef, ValueRef};
use crate::{Batch, Image, Lsn, Operation, Snapshot, UnknownCode};

/// An encoded `Change`, its fixed fields read and its rows still encoded.
#[derive(Clone, Copy, Debug)]
pub struct ChangeView<'a> {
    /// The encoded message.
    pub encoded: &'a [u8],
    /// Dense number in the log.
    pub sequence: u64,
    /// Log-wide stream id.
    pub stream: u32,
    /// Log-wide schema id.
    pub schema: u32,
    /// What happened.
    pub operation: Operation,
    /// Before image.
    pub before: Option<RowRef<'a>>,
    /// After image.
    pub after: Option<RowRef<'a>>,
    /// The transaction; none on snapshot rows.
    pub transaction: Option<TransactionView<'a>>,
    /// Place in the transaction, from 1.
    pub order: u64,
    /// Place among the table's changes in the transaction, from 1.
    pub order_in_table: u64,
    /// Where the row stands in the source's log.
    pub lsn: Lsn,
    /// Snapshot marker.
    pub snapshot: Snapshot,
    /// When the gateway took the change in.
    pub processed_unix_ns: i64,
    /// Opaque payload; empty where the schema's form is another.
    pub payload: &'a [u8],
    /// The partition that a plugin chose.
    pub partition: Option<u32>,
}

/// A row image: an encoded `Row`.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a>(&'a [u8]);

impl<'a> RowRef<'a> {
    /// The values by the schema's columns.
    #[inline]
    pub fn values(&self) -> Values<'a> {
        Values::new(self.0)
    }

    /// Stores the values in a batch, as an image that no row has yet.
    ///
    /// # Errors
    /// Damage; what was stored before it is of no image.
    pub fn store(&self, batch: &mut Batch) -> Result<Image, WireError> {
        let begin = batch.begin_image();
        for value in self.values() {
            let cell = batch.store_value(value?);
            batch.push_cell(cell);
        }
        Ok(batch.end_image(begin))
    }
}

/// An encoded `Transaction`, read.
#[derive(Clone, Copy, Debug, Default)]
pub struct TransactionView<'a> {
    /// The database's own name of it (UTF-8).
    pub id: &'a [u8],
    /// Position of the commit.
    pub commit: Lsn,
    /// Just past the commit, or the message outside of a transaction, before it; zero: not known.
    pub previous_commit: Lsn,
    /// Commit time, microseconds since the Unix epoch.
    pub commit_unix_us: i64,
    /// Replication origin (UTF-8).
    pub origin: &'a [u8],
    /// Position of its first record; zero: not known.
    pub begin: Lsn,
}

/// Iterates over the changes of a run, or of any number of runs laid end to end.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    reader: Reader<'a>,
}

impl<'a> Changes<'a> {
    /// Reads the body of a `Frame` that has changes only.
    pub fn new(run: &'a [u8]) -> Changes<'a> {
        Changes { reader: Reader::new(run) }
    }

    fn encoded(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        match self.reader.field()? {
            None => Ok(None),
            Some((1, field)) => field.bytes(1).map(Some),
            Some((number, _)) => Err(WireError::WireType {
                field: number,
                wire_type: u32::from(FRAME_CHANGES_TAG & 7),
            }),
        }
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = Result<ChangeView<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.encoded() {
            Ok(None) => None,
            Ok(Some(encoded)) => Some(ChangeView::parse(encoded)),
            Err(error) => {
                self.reader.rest = &[];
                Some(Err(error))
            }
        }
    }
}

impl<'a> ChangeView<'a> {
    /// Reads an encoded `Change`. Fields that this version does not know are skipped.
    ///
    /// # Errors
    /// Damage, or an operation of a later version.
    pub fn parse(encoded: &'a [u8]) -> Result<ChangeView<'a>, WireError> {
        let mut view = ChangeView {
            encoded,
            sequence: 0,
            stream: 0,
            schema: 0,
            operation: Operation::Create,
            before: None,
            after: None,
            transaction: None,
            order: 0,
            order_in_table: 0,
            lsn: Lsn::ZERO,
            snapshot: Snapshot::None,
            processed_unix_ns: 0,
            payload: &[],
            partition: None,
        };
        let mut operation = 0;
        let mut reader = Reader::new(encoded);
        while let Some((number, field)) = reader.field()? {
            match number {
                1 => view.sequence = field.varint(number)?,
                2 => view.stream = narrow(field.varint(number)?)?,
                3 => view.schema = narrow(field.varint(number)?)?,
                4 => operation = field.varint(number)?,
                5 => view.before = Some(RowRef(field.bytes(number)?)),
                6 => view.after = Some(RowRef(field.bytes(number)?)),
                7 => view.transaction = Some(TransactionView::parse(field.bytes(number)?)?),
                8 => view.order = field.varint(number)?,
                9 => view.order_in_table = field.varint(number)?,
                10 => view.lsn = parse_position(field.bytes(number)?)?,
                11 => view.snapshot = field.varint(number)?.try_into()?,
                12 => view.processed_unix_ns = field.varint(number)?.cast_signed(),
                14 => view.payload = field.bytes(number)?,
                15 => view.partition = Some(narrow(field.varint(number)?)?),
                _ => {}
            }
        }
        view.operation = operation.try_into()?;
        Ok(view)
    }

    /// The sequence of an encoded change, without reading the rest.
    pub fn sequence_of(encoded: &[u8]) -> Result<u64, WireError> {
        let mut reader = Reader::new(encoded);
        while let Some((number, field)) = reader.field()? {
            if number == 1 {
                return field.varint(number);
            }
        }
        Ok(0)
    }

    /// Headers: name and value.
    pub fn headers(
        &self,
    ) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), WireError>> + use<'a> {
        let mut reader = Reader::new(self.encoded);
        std::iter::from_fn(move || {
            loop {
                match reader.field() {
                    Ok(None) => return None,
                    Ok(Some((13, field))) => {
                        return Some(field.bytes(13).and_then(parse_header));
                    }
                    Ok(Some(_)) => {}
                    Err(error) => {
                        reader.rest = &[];
                        return Some(Err(error));
                    }
                }
            }
        })
    }
}

impl<'a> TransactionView<'a> {
    fn parse(encoded: &'a [u8]) -> Result<TransactionView<'a>, WireError> {
        let mut view = TransactionView::default();
        let mut reader = Reader::new(encoded);
        while let Some((number, field)) = reader.field()? {
            match number {
                1 => view.id = field.bytes(number)?,
                2 => view.commit = parse_position(field.bytes(number)?)?,
                3 => view.previous_commit = parse_position(field.bytes(number)?)?,
                4 => view.commit_unix_us = field.varint(number)?.cast_signed(),
                5 => view.origin = field.bytes(number)?,
                6 => view.begin = parse_position(field.bytes(number)?)?,
                _ => {}
            }
        }
        Ok(view)
    }
}

fn parse_position(encoded: &[u8]) -> Result<Lsn, WireError> {
    let mut lsn = Lsn::ZERO;
    let mut reader = Reader::new(encoded);
    while let Some((number, field)) = reader.field()? {
        if number == 1 {
            lsn = Lsn(field.varint(number)?);
        }
    }
    Ok(lsn)
}

fn parse_header(encoded: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut reader = Reader::new(encoded);
    while let Some((number, field)) = reader.field()? {
        match number {
            1 => name = field.bytes(number)?,
            2 => value = field.bytes(number)?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// Reads the values of an encoded `List` or `Row` one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    reader: Reader<'a>,
}

impl<'a> Values<'a> {
    /// Reads the body of a `List` or `Row`.
    #[inline]
    pub fn new(encoded: &'a [u8]) -> Values<'a> {
        Values { reader: Reader::new(encoded) }
    }

    /// Reads the next value in place; `false`: there is none further, and `value` is as it was.
    /// Cheaper than the iterator, which hands each value through several wrappings.
    ///
    /// # Errors
    /// Damage.
    #[inline]
    pub fn read(&mut self, value: &mut ValueRef<'a>) -> Result<bool, WireError> {
        if self.read_short(value).is_some() {
            return Ok(true);
        }
        while let Some((number, field)) = self.reader.field()? {
            if number == 1 {
                read_value(field.bytes(number)?, value)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<'a> Values<'a> {
    /// Reads a value of less than 128 bytes as this version writes it, which nearly all are; `None`,
    /// and nothing read, where it is anything else.
    #[inline(always)]
    fn read_short(&mut self, value: &mut ValueRef<'a>) -> Option<()> {
        const VALUE: u8 = 1 << 3 | 2;
        const INTEGER: u8 = 3 << 3;
        const TEXT: u8 = 7 << 3 | 2;
        let [VALUE, length @ 0..0x80, rest @ ..] = self.reader.rest else { return None };
        let (encoded, rest) = rest.split_at_checked(usize::from(*length))?;
        *value = match encoded {
            [TEXT, length, text @ ..] if usize::from(*length) == text.len() => ValueRef::Text(text),
            [INTEGER, number @ 0..0x80] => ValueRef::Integer(unzigzag(u64::from(*number))),
            _ => return None,
        };
        self.reader.rest = rest;
        Some(())
    }
}

/// After an error it ends.
impl<'a> Iterator for Values<'a> {
    type Item = Result<ValueRef<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let mut value = ValueRef::Absent;
        match self.read(&mut value) {
            Ok(true) => Some(Ok(value)),
            Ok(false) => None,
            Err(error) => {
                self.reader.rest = &[];
                Some(Err(error))
            }
        }
    }
}

#[inline]
fn read_value<'a>(encoded: &'a [u8], value: &mut ValueRef<'a>) -> Result<(), WireError> {
    // A value with no known kind reads as NULL would lie; as absent it says that it is not known.
    *value = ValueRef::Absent;
    let mut reader = Reader::new(encoded);
    while let Some((number, field)) = reader.field()? {
        match (number, field) {
            (1, Field::Varint(0)) => *value = ValueRef::Null,
            (1, Field::Varint(1)) => *value = ValueRef::Unchanged,
            (1, Field::Varint(2)) => *value = ValueRef::Absent,
            (1, Field::Varint(code)) => {
                let code = code.cast_signed();
                return Err(UnknownCode { what: "missing value", code }.into());
            }
            (2, Field::Varint(bit)) => *value = ValueRef::Boolean(bit != 0),
            (3, Field::Varint(number)) => *value = ValueRef::Integer(unzigzag(number)),
            (4, Field::Varint(number)) => *value = ValueRef::Unsigned(number),
            (5, Field::Fixed32(bits)) => *value = ValueRef::Single(f32::from_bits(bits)),
            (6, Field::Fixed64(bits)) => *value = ValueRef::Number(f64::from_bits(bits)),
            (7, Field::Bytes(text)) => *value = ValueRef::Text(text),
            (8, Field::Bytes(bytes)) => *value = ValueRef::Bytes(bytes),
            (9, Field::Bytes(list)) => *value = ValueRef::List(ListRef::from_encoded(list)),
            (1..=9, _) => return Err(WireError::WireType { field: number, wire_type: 255 }),
            _ => {}
        }
        // One field is the rule: no second look for what is not there.
        if reader.rest.is_empty() {
            break;
        }
    }
    Ok(())
}

fn narrow(value: u64) -> Result<u32, WireError> {
    u32::try_from(value).map_err(|_| WireError::Varint)
}
