//! Confluent's wire format: what stands before the bytes of a key or a value so that a consumer
//! finds the schema.
//!
//! A zero byte and the id as four bytes, big endian; for Protobuf then the place of the message in
//! its `.proto` file: the number of indexes and each index, as zigzag varints, from the outermost
//! message inwards. The usual `[0]`, the file's first message, is written as a single zero.

use crate::SchemaId;

/// Bytes before an Avro or JSON body.
pub const FRAME_BYTES: usize = 5;
/// The only version of the format.
const MAGIC: u8 = 0;

/// Appends what stands before an Avro or JSON body.
pub fn write_frame(id: SchemaId, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&id.0.to_be_bytes());
}

/// Appends what stands before a Protobuf body. `message` is the path of the message in its file:
/// `[1, 0]` is the first message within the second.
pub fn write_protobuf_frame(id: SchemaId, message: &[u32], out: &mut Vec<u8>) {
    write_frame(id, out);
    if message == [0] {
        out.push(0);
        return;
    }
    write_varint(message.len() as u64, out);
    for &index in message {
        write_varint(u64::from(index), out);
    }
}

/// A number that is not negative as a zigzag varint.
fn write_varint(number: u64, out: &mut Vec<u8>) {
    let mut rest = number << 1;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protobuf(message: &[u32]) -> Vec<u8> {
        let mut out = Vec::new();
        write_protobuf_frame(SchemaId(1), message, &mut out);
        out[FRAME_BYTES..].to_vec()
    }

    #[test]
    fn the_id_is_big_endian_behind_a_zero() {
        let mut out = vec![7];
        write_frame(SchemaId(0x0102_03ff), &mut out);
        assert_eq!(out, [7, 0, 1, 2, 3, 0xff]);
    }

    #[test]
    fn a_messages_place_is_written_as_confluents_serializer_writes_it() {
        // MessageIndexes.toByteArray of Confluent's kafka-protobuf-provider.
        assert_eq!(protobuf(&[0]), [0]);
        assert_eq!(protobuf(&[1]), [2, 2]);
        assert_eq!(protobuf(&[1, 0]), [4, 2, 0]);
        assert_eq!(protobuf(&[0, 64]), [4, 0, 0x80, 1]);
        assert_eq!(protobuf(&[]), [0]);
    }
}
