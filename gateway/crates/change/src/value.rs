//! One column's value: stored as a [`Cell`] beside an arena, read as a [`ValueRef`].
//!
//! A cell is sixteen bytes and `Copy`, so a row is a slice of cells and a plugin's patch is one
//! cell overwritten. Scalars lie in the cell; text, bytes and lists lie in the arena, a list as the
//! encoded protobuf `List` message, which is what the log and subscribers get.

use crate::wire::{self, WireError};

/// A value as it is read. Text is UTF-8, checked where it entered the gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'a> {
    /// SQL NULL.
    Null,
    /// A large value that an update left alone; the source's log does not carry it.
    Unchanged,
    /// Not part of this image.
    Absent,
    /// True or false.
    Boolean(bool),
    /// A signed integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A 32-bit float.
    Single(f32),
    /// A 64-bit float.
    Number(f64),
    /// UTF-8 text.
    Text(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A list.
    List(ListRef<'a>),
}

impl<'a> ValueRef<'a> {
    /// The bytes of a text or of bytes.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            ValueRef::Text(bytes) | ValueRef::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, or `None` where this is no text or no UTF-8 (which cannot be, see the type).
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            ValueRef::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// Whether there is no value: NULL, unchanged or absent.
    pub fn is_missing(&self) -> bool {
        matches!(self, ValueRef::Null | ValueRef::Unchanged | ValueRef::Absent)
    }
}

/// The values of a list: an encoded protobuf `List` message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListRef<'a>(pub(crate) &'a [u8]);

impl<'a> ListRef<'a> {
    /// Takes the body of an encoded `List` message. It is checked as it is read.
    pub fn from_encoded(bytes: &'a [u8]) -> ListRef<'a> {
        ListRef(bytes)
    }

    /// The body of the `List` message.
    pub fn encoded(&self) -> &'a [u8] {
        self.0
    }

    /// The elements in order. After an error it ends.
    pub fn iter(&self) -> impl Iterator<Item = Result<ValueRef<'a>, WireError>> + use<'a> {
        wire::Values::new(self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    Null,
    Unchanged,
    Absent,
    Boolean,
    Integer,
    Unsigned,
    Single,
    Number,
    Text,
    Bytes,
    List,
}

/// A value beside the arena that holds its bytes. Only [`crate::Batch`] makes one that points there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub(crate) tag: Tag,
    pub(crate) len: u32,
    /// The scalar's bits, or the offset in the arena.
    pub(crate) bits: u64,
}

impl Cell {
    /// SQL NULL.
    pub const NULL: Cell = Cell { tag: Tag::Null, len: 0, bits: 0 };
    /// A large value that an update left alone.
    pub const UNCHANGED: Cell = Cell { tag: Tag::Unchanged, len: 0, bits: 0 };
    /// Not part of the image.
    pub const ABSENT: Cell = Cell { tag: Tag::Absent, len: 0, bits: 0 };

    /// A boolean.
    #[inline]
    pub fn boolean(value: bool) -> Cell {
        Cell { tag: Tag::Boolean, len: 0, bits: value.into() }
    }

    /// A signed integer.
    #[inline]
    pub fn integer(value: i64) -> Cell {
        Cell { tag: Tag::Integer, len: 0, bits: value.cast_unsigned() }
    }

    /// An unsigned integer.
    #[inline]
    pub fn unsigned(value: u64) -> Cell {
        Cell { tag: Tag::Unsigned, len: 0, bits: value }
    }

    /// A 32-bit float.
    #[inline]
    pub fn single(value: f32) -> Cell {
        Cell { tag: Tag::Single, len: 0, bits: value.to_bits().into() }
    }

    /// A 64-bit float.
    #[inline]
    pub fn number(value: f64) -> Cell {
        Cell { tag: Tag::Number, len: 0, bits: value.to_bits() }
    }

    #[inline]
    pub(crate) fn value<'a>(&self, arena: &'a [u8]) -> ValueRef<'a> {
        let bytes = || {
            // Offsets come from pushes to this very arena, which only grows.
            let start = usize::try_from(self.bits).unwrap_or(usize::MAX);
            arena.get(start..).and_then(|rest| rest.get(..self.len as usize)).unwrap_or_default()
        };
        match self.tag {
            Tag::Null => ValueRef::Null,
            Tag::Unchanged => ValueRef::Unchanged,
            Tag::Absent => ValueRef::Absent,
            Tag::Boolean => ValueRef::Boolean(self.bits != 0),
            Tag::Integer => ValueRef::Integer(self.bits.cast_signed()),
            Tag::Unsigned => ValueRef::Unsigned(self.bits),
            Tag::Single => ValueRef::Single(f32::from_bits(self.bits as u32)),
            Tag::Number => ValueRef::Number(f64::from_bits(self.bits)),
            Tag::Text => ValueRef::Text(bytes()),
            Tag::Bytes => ValueRef::Bytes(bytes()),
            Tag::List => ValueRef::List(ListRef(bytes())),
        }
    }
}
