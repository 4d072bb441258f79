//! Frames on the wire: gRPC's five-byte prefix, control frames, and the parts of a large change.
//!
//! Control frames are rare and encoded by prost. A part is written by hand up to its bytes, which
//! then follow as they lie in the log. Changes frames are gathered in `outbox.rs`.

use bytes::{BufMut, Bytes, BytesMut};
use offtake_proto::v1;
use offtake_proto::v1::frame::Control;
use prost::Message;

use crate::options::PART_BYTES;

/// Bytes of gRPC's prefix: a flag (0: not compressed) and the length, big-endian.
pub(crate) const PREFIX_BYTES: usize = 5;

/// The prefix of a message of `len` bytes; callers keep messages far below 4 GiB.
pub(crate) fn prefix(len: usize) -> [u8; PREFIX_BYTES] {
    let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [0, len[0], len[1], len[2], len[3]]
}

/// A message with its prefix.
pub(crate) fn message(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + len);
    out.put_slice(&prefix(len));
    // A `BytesMut` grows as needed, so that encoding into it cannot fail.
    let _ = message.encode(&mut out);
    out.freeze()
}

/// A frame that carries one control.
pub(crate) fn control(control: Control) -> Bytes {
    message(&v1::Frame { changes: Vec::new(), control: Some(control) })
}

/// The part frames of a change: for each its head, prefix included, and its bytes.
pub(crate) fn parts(sequence: u64, change: &Bytes) -> impl Iterator<Item = (Bytes, Bytes)> {
    let crc = crc32c::crc32c(change);
    let of = change.len().div_ceil(PART_BYTES);
    let change = change.clone();
    (0..of).map(move |index| {
        let bytes = change.slice(index * PART_BYTES..change.len().min((index + 1) * PART_BYTES));
        (part_head(sequence, index, of, crc, bytes.len()), bytes)
    })
}

fn part_head(sequence: u64, index: usize, of: usize, crc: u32, len: usize) -> Bytes {
    let part = v1::Part {
        sequence,
        index: u32::try_from(index).unwrap_or(u32::MAX),
        of: u32::try_from(of).unwrap_or(u32::MAX),
        crc32c: crc,
        bytes: Bytes::new(),
    };
    // `bytes` is the last field (5) of Part and `part` (6) the only one of Frame, so the head is
    // all that stands before the bytes.
    let bytes_head = 1 + prost::length_delimiter_len(len);
    let part_len = part.encoded_len() + bytes_head + len;
    let frame_len = 1 + prost::length_delimiter_len(part_len) + part_len;
    let mut out = BytesMut::with_capacity(PREFIX_BYTES + frame_len - len);
    out.put_slice(&prefix(frame_len));
    out.put_u8(6 << 3 | 2);
    let _ = prost::encode_length_delimiter(part_len, &mut out);
    let _ = part.encode(&mut out);
    out.put_u8(5 << 3 | 2);
    let _ = prost::encode_length_delimiter(len, &mut out);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_decode_as_prost_would_write_them_and_make_the_change_again() {
        let change: Bytes =
            (0..(2 * PART_BYTES + 77)).map(|at| at as u8).collect::<Vec<_>>().into();
        let mut again = Vec::new();
        for (index, (head, bytes)) in parts(9, &change).enumerate() {
            let mut wire = head.to_vec();
            wire.extend_from_slice(&bytes);
            let part = v1::Part {
                sequence: 9,
                index: index as u32,
                of: 3,
                crc32c: crc32c::crc32c(&change),
                bytes: bytes.clone(),
            };
            assert_eq!(wire, control(Control::Part(part)));
            again.extend_from_slice(&bytes);
        }
        assert_eq!(again, change);
    }
}
