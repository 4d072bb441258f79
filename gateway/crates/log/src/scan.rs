//! Reads a segment's groups one after the other, and judges what stands where a group should.
//!
//! Only an incomplete tail may be cut off: what one unfinished write left behind. Damage to
//! anything that was durable once is an error.

use crate::control::{Control, Refused};
use crate::disk::DiskFile;
use crate::format::{
    BLOCK_ALIGNMENT, DirectoryEntry, GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader,
    SEGMENT_HEADER_BYTES, SegmentHeader, SegmentIndex, VERSION, Wrong, check_runs, read_directory,
    records,
};
use crate::{Damage, LogError};

/// A device writes a sector whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// Zeros of a shorter stretch may be data, except where a group has to begin.
const SHORTEST_LOST: usize = 32;

/// A segment file that is being scanned.
pub(crate) struct Scan<'a> {
    pub(crate) file: &'a dyn DiskFile,
    pub(crate) name: &'a str,
    pub(crate) head: SegmentHeader,
    pub(crate) len: u64,
}

/// Where a scan ended.
pub(crate) struct Scanned {
    pub(crate) index: SegmentIndex,
    pub(crate) next_sequence: u64,
    /// What is wrong at the end of the index; `None`: the file ends there, or its last block is
    /// filled up with zeros from there on.
    pub(crate) wrong: Option<Wrong>,
}

/// Reads and checks a segment's head.
pub(crate) fn read_head(
    file: &dyn DiskFile,
    name: &str,
    log_id: Option<[u8; 16]>,
) -> Result<SegmentHeader, LogError> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0).map_err(LogError::io("read", name))?;
    let bytes = bytes.get(..read).unwrap_or_default();
    let damaged = |what| LogError::from(Damage { file: name.to_owned(), offset: 0, what });
    if let Some(version) = SegmentHeader::version_of(bytes).filter(|version| *version > VERSION) {
        return Err(LogError::Version { file: name.to_owned(), version, supported: VERSION });
    }
    let head = SegmentHeader::decode(bytes).map_err(|Wrong(what)| damaged(what))?;
    if log_id.is_some_and(|log_id| log_id != head.log_id) {
        return Err(damaged("the segment is another log's"));
    }
    Ok(head)
}

/// Reads the control records of a group whose checksum is right.
pub(crate) fn decode_controls(header: &GroupHeader, index: &[u8]) -> Result<Vec<Control>, Refused> {
    let end = GROUP_HEADER_BYTES + header.control_bytes as usize;
    let bytes = index.get(GROUP_HEADER_BYTES..end).unwrap_or_default();
    let mut controls = Vec::new();
    for record in records(bytes, header.control_count) {
        controls.extend(Control::decode(record.map_err(Refused::Damaged)?)?);
    }
    Ok(controls)
}

impl Scan<'_> {
    /// Reads every group and checks every byte. Ends at the end of the file or at the first group
    /// that is not whole.
    pub(crate) fn run(&self, mut on_group: impl FnMut(Vec<Control>)) -> Result<Scanned, LogError> {
        let (ordinal, first_sequence) = (self.head.ordinal, self.head.first_sequence);
        let index = SegmentIndex::begin(ordinal, first_sequence, SEGMENT_HEADER_BYTES as u64);
        let mut scanned = Scanned { index, next_sequence: first_sequence, wrong: None };
        while scanned.index.bytes < self.len {
            let offset = scanned.index.bytes;
            let (header, entries, bytes) = match self.read_group(offset)? {
                Ok(group) => group,
                Err(wrong) => {
                    scanned.wrong = (!self.is_filling(offset)?).then_some(wrong);
                    break;
                }
            };
            let expected = header.segment == ordinal
                && header.ordinal == scanned.index.group_count
                && header.first_sequence == scanned.next_sequence;
            if !expected {
                return Err(self.damage(offset, "a whole group is out of place").into());
            }
            let controls = decode_controls(&header, &bytes).map_err(|refused| match refused {
                Refused::Damaged(Wrong(what)) => self.damage(offset, what).into(),
                Refused::UnknownCritical(kind) => {
                    LogError::UnknownRecord { file: self.name.to_owned(), offset, kind }
                }
            })?;
            on_group(controls);
            scanned.index.add_group(&header, &entries);
            scanned.next_sequence = header.next_sequence();
        }
        if scanned.index.group_count == 0 {
            // Head and checkpoint are durable before the file has its name.
            return Err(self
                .damage(SEGMENT_HEADER_BYTES as u64, "the checkpoint is missing")
                .into());
        }
        Ok(scanned)
    }

    /// Whether from an offset on there are only the zeros that fill the last block up.
    fn is_filling(&self, offset: u64) -> Result<bool, LogError> {
        let block = BLOCK_ALIGNMENT as u64;
        if self.len != offset.next_multiple_of(block) {
            return Ok(false);
        }
        let rest = self
            .file
            .read_exact(offset, (self.len - offset) as usize)
            .map_err(LogError::io("read", self.name))?;
        Ok(rest.iter().all(|byte| *byte == 0))
    }

    /// Whether what begins at `end` is the rest of a write that never finished.
    ///
    /// Nothing whole behind it: yes. A whole group of the same write behind it: yes if a sector
    /// before that group never arrived, since a disk may store sectors in any order. Anything
    /// else was durable once, and an error.
    pub(crate) fn check_tail(&self, scanned: &Scanned, wrong: Wrong) -> Result<(), LogError> {
        let bad_at = scanned.index.bytes;
        let damaged = || LogError::from(self.damage(bad_at, wrong.0));
        let tail_bytes = usize::try_from(self.len - bad_at).map_err(|_| damaged())?;
        let tail =
            self.file.read_exact(bad_at, tail_bytes).map_err(LogError::io("read", self.name))?;
        let mut lost_sector = None;
        for at in 1..tail.len() {
            let Some(rest) = tail.get(at..).filter(|rest| rest.starts_with(GROUP_MAGIC)) else {
                continue;
            };
            let Some(header) = self.whole_group(rest) else {
                continue;
            };
            let is_later = header.ordinal > scanned.index.group_count
                && header.first_sequence >= scanned.next_sequence;
            if !is_later {
                continue;
            }
            let lost = *lost_sector
                .get_or_insert_with(|| has_lost_sector(tail.get(..at).unwrap_or_default(), bad_at));
            if header.synced_offset > bad_at || !lost {
                return Err(damaged());
            }
        }
        Ok(())
    }

    fn whole_group(&self, bytes: &[u8]) -> Option<GroupHeader> {
        let header = GroupHeader::decode(bytes).ok()?;
        let group = bytes.get(..header.total_bytes as usize)?;
        let index = group.get(..usize::try_from(header.index_end()).ok()?)?;
        let entries = read_directory(&header, index).ok()?;
        check_runs(&entries, group, 0).ok()?;
        (header.segment == self.head.ordinal).then_some(header)
    }

    #[allow(clippy::type_complexity, reason = "read once, taken apart at once")]
    fn read_group(
        &self,
        offset: u64,
    ) -> Result<Result<(GroupHeader, Vec<DirectoryEntry>, Vec<u8>), Wrong>, LogError> {
        let io = |error| LogError::io("read", self.name)(error);
        let left = self.len - offset;
        if left < GROUP_HEADER_BYTES as u64 {
            return Ok(Err(Wrong("a group's head is cut")));
        }
        let head = self.file.read_exact(offset, GROUP_HEADER_BYTES).map_err(io)?;
        let header = match GroupHeader::decode(&head) {
            Ok(header) => header,
            Err(wrong) => return Ok(Err(wrong)),
        };
        if u64::from(header.total_bytes) > left {
            return Ok(Err(Wrong("a group is cut")));
        }
        let bytes = self.file.read_exact(offset, header.total_bytes as usize).map_err(io)?;
        // The index ends within the group: the head's decoder has checked it.
        let index = bytes.get(..header.index_end() as usize).unwrap_or_default();
        let entries = match read_directory(&header, index) {
            Ok(entries) => entries,
            Err(wrong) => return Ok(Err(wrong)),
        };
        Ok(check_runs(&entries, &bytes, 0).map(|()| (header, entries, bytes)))
    }

    pub(crate) fn damage(&self, offset: u64, what: &'static str) -> Damage {
        Damage { file: self.name.to_owned(), offset, what }
    }
}

/// Whether a part of the bytes, which begin where a group should, lies in one sector and is all
/// zero. `offset` is theirs in the file.
fn has_lost_sector(bytes: &[u8], offset: u64) -> bool {
    let to_boundary = (SECTOR_BYTES - offset % SECTOR_BYTES) as usize;
    let (first, rest) = bytes.split_at(to_boundary.min(bytes.len()));
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    is_zero(first)
        || rest
            .chunks(SECTOR_BYTES as usize)
            .any(|part| part.len() >= SHORTEST_LOST && is_zero(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_that_is_lost_is_told_from_data_with_zeros() {
        let data = [7; 2000];
        assert!(!has_lost_sector(&data, 100));
        for first in 1..=512_usize {
            let mut bytes = data;
            bytes[..first].fill(0);
            assert!(has_lost_sector(&bytes, 1024 - first as u64), "{first} bytes of its sector");
        }
        let mut bytes = data;
        bytes[24..24 + 512].fill(0);
        assert!(has_lost_sector(&bytes, 1000), "a whole sector behind");
        bytes[30] = 1;
        assert!(!has_lost_sector(&bytes, 1000));
        bytes = data;
        bytes[2000 - 31..].fill(0);
        assert!(!has_lost_sector(&bytes, 1024 + 512 - 2000 % 512 + 31));
    }
}
