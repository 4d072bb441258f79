//! The sidecar of a closed segment: what a restart would otherwise scan the segment for.
//!
//! It can always be rebuilt, so it is not synced; a torn one fails its checksum and is written
//! again.

use super::{Fields, VERSION, Wrong, check_version_and_flags, seal, sealed};

const MAGIC: &[u8; 8] = b"OFTKIDX1";

/// Where a group begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SparseEntry {
    pub(crate) first_sequence: u64,
    pub(crate) offset: u64,
}

/// What a segment holds of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct StreamCount {
    pub(crate) changes: u64,
    pub(crate) bytes: u64,
}

/// What is known of a segment without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct SegmentIndex {
    pub(crate) ordinal: u64,
    pub(crate) first_sequence: u64,
    /// One less than `first_sequence` where the segment holds no change.
    pub(crate) last_sequence: u64,
    /// Where its last group ends.
    pub(crate) bytes: u64,
    pub(crate) group_count: u32,
    pub(crate) last_written_unix_ns: i64,
    /// Every 256 KiB or more, in order.
    pub(crate) sparse: Vec<SparseEntry>,
    /// By stream id.
    pub(crate) streams: Vec<(u32, StreamCount)>,
    /// Ids of the schemas in use, in order.
    pub(crate) schemas: Vec<u32>,
    /// Stream and schema of every run, each pair once, in order.
    pub(crate) pairs: Vec<(u32, u32)>,
}

impl SegmentIndex {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(&self.group_count.to_le_bytes());
        out.extend_from_slice(&self.ordinal.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.last_sequence.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.last_written_unix_ns.to_le_bytes());
        out.extend_from_slice(&(self.sparse.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.streams.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.schemas.len() as u32).to_le_bytes());
        for entry in &self.sparse {
            out.extend_from_slice(&entry.first_sequence.to_le_bytes());
            out.extend_from_slice(&entry.offset.to_le_bytes());
        }
        for (stream, count) in &self.streams {
            out.extend_from_slice(&stream.to_le_bytes());
            out.extend_from_slice(&count.changes.to_le_bytes());
            out.extend_from_slice(&count.bytes.to_le_bytes());
        }
        for schema in &self.schemas {
            out.extend_from_slice(&schema.to_le_bytes());
        }
        out.extend_from_slice(&(self.pairs.len() as u32).to_le_bytes());
        for (stream, schema) in &self.pairs {
            out.extend_from_slice(&stream.to_le_bytes());
            out.extend_from_slice(&schema.to_le_bytes());
        }
        seal(&mut out, 0);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<SegmentIndex, Wrong> {
        let mut fields = Fields(sealed(bytes)?);
        if fields.array::<8>()? != *MAGIC {
            return Err(Wrong("this is no segment's index"));
        }
        check_version_and_flags(fields.u16()?, fields.u16()?)?;
        let mut index = SegmentIndex {
            group_count: fields.u32()?,
            ordinal: fields.u64()?,
            first_sequence: fields.u64()?,
            last_sequence: fields.u64()?,
            bytes: fields.u64()?,
            last_written_unix_ns: fields.i64()?,
            ..SegmentIndex::default()
        };
        let (sparse, streams, schemas) = (fields.u32()?, fields.u32()?, fields.u32()?);
        for _ in 0..sparse {
            let entry = SparseEntry { first_sequence: fields.u64()?, offset: fields.u64()? };
            index.sparse.push(entry);
        }
        for _ in 0..streams {
            let stream = fields.u32()?;
            let count = StreamCount { changes: fields.u64()?, bytes: fields.u64()? };
            index.streams.push((stream, count));
        }
        for _ in 0..schemas {
            index.schemas.push(fields.u32()?);
        }
        // The first sidecars ended here: such a one is written again.
        let pairs = fields.u32().map_err(|_| Wrong("a segment's index has no pairs"))?;
        for _ in 0..pairs {
            index.pairs.push((fields.u32()?, fields.u32()?));
        }
        if !fields.0.is_empty() {
            return Err(Wrong("a segment's index is longer than it says"));
        }
        Ok(index)
    }
}
