//! The wire form of a change, written and read by hand: the protobuf `Change` of
//! `proto/offtake/v1/change.proto`, canonical (fields in order, shortest varints, defaults left
//! out), so that prost, the oracle of the tests, writes the same bytes.
//!
//! The encoder computes lengths first and then writes straight from a batch's arena; the decoder
//! walks the bytes in place and copies nothing. Neither allocates for a value. Reading is hostile:
//! every length is checked, an unknown field is skipped, and damage is an error, never a panic.

mod decode;
mod encode;
mod varint;

pub use decode::{ChangeView, Changes, RowRef, TransactionView, Values};
pub use encode::{encode_change, encode_value, encode_value_into_list};
pub use varint::{put_varint, varint_len};

/// Protobuf that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end inside a field.
    #[error("the encoded change ends inside a field")]
    Truncated,
    /// A varint of more than ten bytes.
    #[error("a varint in the encoded change is longer than ten bytes")]
    Varint,
    /// A field has a wire type that it cannot have.
    #[error("field {field} of the encoded change has wire type {wire_type}")]
    WireType {
        /// Field number.
        field: u32,
        /// Wire type found.
        wire_type: u32,
    },
    /// An enum's number that this version does not know.
    #[error("the encoded change has an {0}")]
    Code(#[from] crate::UnknownCode),
}

/// Tag byte of `changes` in a `Frame`: field 1, length-delimited. A run of the log is this tag, a
/// length and a change, over and over.
pub const FRAME_CHANGES_TAG: u8 = 0x0a;
