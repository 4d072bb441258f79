//! The head of a segment file.

use super::{Fields, VERSION, Wrong, check_version_and_flags, seal, sealed};

const MAGIC: &[u8; 8] = b"OFTKLOG1";

/// Length of the head that this version writes.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) log_id: [u8; 16],
    /// Place among all segments that this log ever had, from 0: a missing one is noticed even
    /// where it held no change.
    pub(crate) ordinal: u64,
    /// Sequence of the first change in it, or of the next one where it holds none.
    pub(crate) first_sequence: u64,
    pub(crate) created_unix_ns: i64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(&(SEGMENT_HEADER_BYTES as u32).to_le_bytes());
        out.extend_from_slice(&self.log_id);
        out.extend_from_slice(&self.ordinal.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.created_unix_ns.to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        seal(out, start);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentHeader, Wrong> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES).ok_or(Wrong("the segment's head is cut"))?;
        if !bytes.starts_with(MAGIC) {
            return Err(Wrong("this is no segment of a log"));
        }
        let mut fields = Fields(sealed(bytes)?);
        fields.take(MAGIC.len())?;
        let (version, flags, length) = (fields.u16()?, fields.u16()?, fields.u32()?);
        check_version_and_flags(version, flags)?;
        if length != SEGMENT_HEADER_BYTES as u32 {
            return Err(Wrong("the segment's head has a wrong length"));
        }
        Ok(SegmentHeader {
            log_id: fields.array()?,
            ordinal: fields.u64()?,
            first_sequence: fields.u64()?,
            created_unix_ns: fields.i64()?,
        })
    }

    /// The version in the bytes of a head, whether the rest can be read or not.
    pub(crate) fn version_of(bytes: &[u8]) -> Option<u16> {
        let mut fields = Fields(bytes.strip_prefix(MAGIC)?);
        fields.u16().ok()
    }
}
