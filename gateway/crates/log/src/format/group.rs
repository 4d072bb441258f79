//! The head and the directory of a group.

use super::{Fields, Wrong, seal, sealed};

/// First bytes of every group.
pub(crate) const GROUP_MAGIC: &[u8; 4] = b"OGRP";

/// Length of the head.
pub(crate) const GROUP_HEADER_BYTES: usize = 72;

/// Length of one directory entry.
pub(crate) const ENTRY_BYTES: usize = 32;

/// Flag: a piece of a transaction whose end is in a later group.
pub(crate) const FLAG_PIECE: u16 = 1;

/// Flag: repeats the live control state; holds no changes and says nothing new.
pub(crate) const FLAG_CHECKPOINT: u16 = 1 << 1;

/// The head of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct GroupHeader {
    pub(crate) flags: u16,
    /// The whole group, this head included.
    pub(crate) total_bytes: u32,
    pub(crate) control_bytes: u32,
    pub(crate) control_count: u32,
    pub(crate) directory_count: u32,
    /// Sequence of the first change, or of the next one where there is none.
    pub(crate) first_sequence: u64,
    pub(crate) change_count: u32,
    /// Place in the segment, from 0 (the checkpoint).
    pub(crate) ordinal: u32,
    pub(crate) written_unix_ns: i64,
    /// Ordinal of the segment.
    pub(crate) segment: u64,
    /// Everything of the segment before this offset was durable when this group was written. It
    /// tells a write that a power cut tore from damage to what was durable once.
    pub(crate) synced_offset: u64,
    /// CRC-32C of the control records and the directory.
    pub(crate) index_crc32c: u32,
}

impl GroupHeader {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(GROUP_MAGIC);
        out.extend_from_slice(&(GROUP_HEADER_BYTES as u16).to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.total_bytes.to_le_bytes());
        out.extend_from_slice(&self.control_bytes.to_le_bytes());
        out.extend_from_slice(&self.control_count.to_le_bytes());
        out.extend_from_slice(&self.directory_count.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.change_count.to_le_bytes());
        out.extend_from_slice(&self.ordinal.to_le_bytes());
        out.extend_from_slice(&self.written_unix_ns.to_le_bytes());
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.synced_offset.to_le_bytes());
        out.extend_from_slice(&self.index_crc32c.to_le_bytes());
        seal(out, start);
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<GroupHeader, Wrong> {
        let bytes = bytes.get(..GROUP_HEADER_BYTES).ok_or(Wrong("a group's head is cut"))?;
        if !bytes.starts_with(GROUP_MAGIC) {
            return Err(Wrong("no group begins here"));
        }
        let mut fields = Fields(sealed(bytes)?);
        fields.take(GROUP_MAGIC.len())?;
        if usize::from(fields.u16()?) != GROUP_HEADER_BYTES {
            return Err(Wrong("a group's head has a wrong length"));
        }
        let header = GroupHeader {
            flags: fields.u16()?,
            total_bytes: fields.u32()?,
            control_bytes: fields.u32()?,
            control_count: fields.u32()?,
            directory_count: fields.u32()?,
            first_sequence: fields.u64()?,
            change_count: fields.u32()?,
            ordinal: fields.u32()?,
            written_unix_ns: fields.i64()?,
            segment: fields.u64()?,
            synced_offset: fields.u64()?,
            index_crc32c: fields.u32()?,
        };
        if header.flags >> super::FIRST_INCOMPATIBLE_FLAG != 0 {
            return Err(Wrong("a group has a flag of a later version"));
        }
        if header.index_end() > u64::from(header.total_bytes) {
            return Err(Wrong("a group's index is longer than the group"));
        }
        if header.first_sequence.checked_add(u64::from(header.change_count)).is_none() {
            return Err(Wrong("a group's sequences overflow"));
        }
        Ok(header)
    }

    /// Where, from the group's start, the directory ends and the runs begin.
    pub(crate) fn index_end(&self) -> u64 {
        GROUP_HEADER_BYTES as u64
            + u64::from(self.control_bytes)
            + u64::from(self.directory_count) * ENTRY_BYTES as u64
    }

    /// Sequence of the first change after the group.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.first_sequence.saturating_add(u64::from(self.change_count))
    }
}

/// Where a run lies in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryEntry {
    pub(crate) stream: u32,
    pub(crate) schema: u32,
    pub(crate) first_sequence: u64,
    pub(crate) count: u32,
    /// From the group's start.
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) crc32c: u32,
}

impl DirectoryEntry {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.stream.to_le_bytes());
        out.extend_from_slice(&self.schema.to_le_bytes());
        out.extend_from_slice(&self.first_sequence.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.crc32c.to_le_bytes());
    }

    fn decode(fields: &mut Fields<'_>) -> Result<DirectoryEntry, Wrong> {
        Ok(DirectoryEntry {
            stream: fields.u32()?,
            schema: fields.u32()?,
            first_sequence: fields.u64()?,
            count: fields.u32()?,
            offset: fields.u32()?,
            length: fields.u32()?,
            crc32c: fields.u32()?,
        })
    }

    /// Sequence of the run's last change.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.first_sequence + u64::from(self.count) - 1
    }
}

/// Reads the directory from `index`, the group's bytes up to the runs, whose checksum it checks;
/// the runs must follow each other without a gap, in sequence and in bytes, up to the group's end.
pub(crate) fn read_directory(
    header: &GroupHeader,
    index: &[u8],
) -> Result<Vec<DirectoryEntry>, Wrong> {
    let covered = index.get(GROUP_HEADER_BYTES..).ok_or(Wrong("a group's index is cut"))?;
    if index.len() as u64 != header.index_end() {
        return Err(Wrong("a group's index is cut"));
    }
    if crc32c::crc32c(covered) != header.index_crc32c {
        return Err(Wrong("a group's index does not match its checksum"));
    }
    let mut fields = Fields(covered);
    fields.take(header.control_bytes as usize)?;
    let mut entries = Vec::with_capacity(header.directory_count as usize);
    let (mut sequence, mut offset) = (header.first_sequence, header.index_end());
    for _ in 0..header.directory_count {
        let entry = DirectoryEntry::decode(&mut fields)?;
        let in_order = entry.first_sequence == sequence && u64::from(entry.offset) == offset;
        if !in_order || entry.count == 0 {
            return Err(Wrong("a group's directory has a gap"));
        }
        sequence = sequence.saturating_add(u64::from(entry.count));
        offset += u64::from(entry.length);
        entries.push(entry);
    }
    if sequence != header.next_sequence() || offset != u64::from(header.total_bytes) {
        return Err(Wrong("a group's directory does not cover the group"));
    }
    Ok(entries)
}

/// Checks the runs' checksums. `bytes` begins at offset `base` of the group.
pub(crate) fn check_runs(entries: &[DirectoryEntry], bytes: &[u8], base: u64) -> Result<(), Wrong> {
    for entry in entries {
        let start = u64::from(entry.offset).checked_sub(base).ok_or(Wrong("a run is cut"))?;
        let start = usize::try_from(start).map_err(|_| Wrong("a run is cut"))?;
        let run = bytes
            .get(start..start.saturating_add(entry.length as usize))
            .ok_or(Wrong("a run is cut"))?;
        if crc32c::crc32c(run) != entry.crc32c {
            return Err(Wrong("a run does not match its checksum"));
        }
    }
    Ok(())
}
