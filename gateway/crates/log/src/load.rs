//! Loads groups and blocks of runs from a segment through the shared cache, checking every byte
//! once.
//!
//! Blocks end where runs end, so that a run is always a slice of one block and never copied. Which
//! runs share a block follows from the directory alone, so all readers ask for the same blocks.

use std::sync::Arc;

use bytes::Bytes;

use crate::cache::Cached;
use crate::control::{Control, Refused};
use crate::disk::{DiskFile, read_exact_at};
use crate::format::{
    DirectoryEntry, ENTRY_BYTES, GROUP_HEADER_BYTES, GroupHeader, Wrong, check_runs, read_directory,
};
use crate::log::Shared;
use crate::scan::decode_controls;
use crate::segment::Segment;
use crate::{Damage, ReadError};

/// Size of a block, unless a single run is larger.
const BLOCK_BYTES: u64 = 64 << 10;

/// A group as it is kept in memory.
#[derive(Debug)]
pub(crate) struct GroupIndex {
    pub(crate) header: GroupHeader,
    pub(crate) controls: Vec<Control>,
    pub(crate) entries: Vec<DirectoryEntry>,
    blocks: Vec<BlockRange>,
    /// All runs of a group that is small enough to be read at once.
    inline: Option<Bytes>,
}

/// Neighbouring runs that are read together.
#[derive(Clone, Copy, Debug)]
struct BlockRange {
    /// Entries of the directory: from here ...
    first: usize,
    /// ... to before here.
    end: usize,
    /// From the group's start.
    offset: u64,
    bytes: u64,
}

/// Where something is loaded from.
struct Place<'a> {
    segment: &'a Segment,
    file: &'a dyn DiskFile,
}

impl Place<'_> {
    fn read(&self, offset: u64, bytes: u64) -> Result<Vec<u8>, ReadError> {
        let name = || self.segment.name.log_file();
        let len = usize::try_from(bytes)
            .map_err(|_| self.damage(offset, "a length exceeds the memory"))?;
        read_exact_at(self.file, offset, len).map_err(|source| {
            if source.kind() == std::io::ErrorKind::UnexpectedEof {
                return self.damage(offset, "the segment is shorter than it was");
            }
            ReadError::Io { file: name(), source }
        })
    }

    fn damage(&self, offset: u64, what: &'static str) -> ReadError {
        Damage { file: self.segment.name.log_file(), offset, what }.into()
    }
}

/// The group at an offset of a segment that is durable up to `end`. Small groups behind it are
/// loaded on the way.
pub(crate) fn group(
    shared: &Shared,
    segment: &Segment,
    file: &dyn DiskFile,
    offset: u64,
    end: u64,
) -> Result<Arc<GroupIndex>, ReadError> {
    if let Some(group) = shared.cache.group((segment.ordinal, offset)) {
        return Ok(group);
    }
    let place = Place { segment, file };
    let chunk = Bytes::from(place.read(offset, BLOCK_BYTES.min(end.saturating_sub(offset)))?);
    let header = decode_header(&place, &chunk, offset, end)?;
    if u64::from(header.total_bytes) > chunk.len() as u64 {
        return large_group(shared, &place, header, &chunk, offset);
    }
    let wanted = small_group(shared, &place, header, &chunk, offset)?;
    let mut next = wanted.header.total_bytes as usize;
    // What stands behind it is not asked for yet: where it is not right, who reads it is told.
    while let Some(rest) = chunk.get(next..).filter(|rest| rest.len() >= GROUP_HEADER_BYTES) {
        let Ok(header) = GroupHeader::decode(rest) else {
            break;
        };
        let bytes = header.total_bytes as usize;
        if bytes > rest.len() {
            break;
        }
        let at = offset + next as u64;
        if small_group(shared, &place, header, &chunk.slice(next..), at).is_err() {
            break;
        }
        next += bytes;
    }
    Ok(wanted)
}

/// The bytes of a group's run, by its place in the directory.
pub(crate) fn run(
    shared: &Shared,
    segment: &Segment,
    file: &dyn DiskFile,
    group_offset: u64,
    group: &GroupIndex,
    at: usize,
) -> Result<Bytes, ReadError> {
    let place = Place { segment, file };
    let lost = || place.damage(group_offset, "a run is not in its block");
    let entry = group.entries.get(at).ok_or_else(lost)?;
    let (bytes, base) = match &group.inline {
        Some(bytes) => (bytes.clone(), group.header.index_end()),
        None => {
            let found = group.blocks.partition_point(|block| block.end <= at);
            let range = group.blocks.get(found).ok_or_else(lost)?;
            (block(shared, &place, group_offset, group, range)?, range.offset)
        }
    };
    let start =
        usize::try_from(u64::from(entry.offset).saturating_sub(base)).map_err(|_| lost())?;
    let end = start.saturating_add(entry.length as usize);
    if end > bytes.len() {
        return Err(lost());
    }
    Ok(bytes.slice(start..end))
}

fn block(
    shared: &Shared,
    place: &Place<'_>,
    group_offset: u64,
    group: &GroupIndex,
    range: &BlockRange,
) -> Result<Bytes, ReadError> {
    let offset = group_offset + range.offset;
    let key = (place.segment.ordinal, offset);
    if let Some(block) = shared.cache.block(key) {
        return Ok(block);
    }
    let block = Bytes::from(place.read(offset, range.bytes)?);
    let entries = group.entries.get(range.first..range.end).unwrap_or_default();
    check_runs(entries, &block, range.offset).map_err(|Wrong(what)| place.damage(offset, what))?;
    shared.cache.insert(key, Cached::Block(block.clone()), block.len());
    Ok(block)
}

fn decode_header(
    place: &Place<'_>,
    bytes: &[u8],
    offset: u64,
    end: u64,
) -> Result<GroupHeader, ReadError> {
    let header = GroupHeader::decode(bytes).map_err(|Wrong(what)| place.damage(offset, what))?;
    if offset + u64::from(header.total_bytes) > end {
        return Err(place.damage(offset, "a group is longer than its segment"));
    }
    Ok(header)
}

/// A group that is wholly in `chunk`, which begins with it.
fn small_group(
    shared: &Shared,
    place: &Place<'_>,
    header: GroupHeader,
    chunk: &Bytes,
    offset: u64,
) -> Result<Arc<GroupIndex>, ReadError> {
    // Both ends lie in the chunk: the caller and the head's decoder have checked it.
    let index_end = header.index_end() as usize;
    let runs = chunk.slice(index_end..header.total_bytes as usize);
    let index = chunk.get(..index_end).unwrap_or_default();
    let mut group = parse(place, header, index, offset)?;
    check_runs(&group.entries, &runs, index_end as u64)
        .map_err(|Wrong(what)| place.damage(offset, what))?;
    group.inline = Some(runs);
    Ok(keep(shared, place, group, offset))
}

/// A group that is larger than `chunk`: its index now, its runs block by block when they are asked
/// for.
fn large_group(
    shared: &Shared,
    place: &Place<'_>,
    header: GroupHeader,
    chunk: &Bytes,
    offset: u64,
) -> Result<Arc<GroupIndex>, ReadError> {
    let index_bytes = header.index_end();
    let read;
    let index = match chunk.get(..index_bytes as usize) {
        Some(index) => index,
        None => {
            read = place.read(offset, index_bytes)?;
            read.as_slice()
        }
    };
    let mut group = parse(place, header, index, offset)?;
    group.blocks = blocks(&group.entries);
    Ok(keep(shared, place, group, offset))
}

fn parse(
    place: &Place<'_>,
    header: GroupHeader,
    index: &[u8],
    offset: u64,
) -> Result<GroupIndex, ReadError> {
    let entries =
        read_directory(&header, index).map_err(|Wrong(what)| place.damage(offset, what))?;
    let controls = decode_controls(&header, index).map_err(|refused| match refused {
        Refused::Damaged(Wrong(what)) => place.damage(offset, what),
        Refused::UnknownCritical(kind) => {
            ReadError::UnknownRecord { file: place.segment.name.log_file(), offset, kind }
        }
    })?;
    Ok(GroupIndex { header, controls, entries, blocks: Vec::new(), inline: None })
}

fn keep(shared: &Shared, place: &Place<'_>, group: GroupIndex, offset: u64) -> Arc<GroupIndex> {
    let group = Arc::new(group);
    let directory = group.entries.len() * (ENTRY_BYTES + size_of::<DirectoryEntry>());
    // Decoded records take more than their bytes; twice is near enough for a bound.
    let index = 2 * group.header.control_bytes as usize + directory;
    let bytes = index + group.inline.as_ref().map_or(0, Bytes::len);
    let key = (place.segment.ordinal, offset);
    shared.cache.insert(key, Cached::Group(Arc::clone(&group)), bytes);
    group
}

fn blocks(entries: &[DirectoryEntry]) -> Vec<BlockRange> {
    let mut blocks: Vec<BlockRange> = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let length = u64::from(entry.length);
        match blocks.last_mut() {
            Some(block) if block.bytes + length <= BLOCK_BYTES => {
                block.bytes += length;
                block.end = at + 1;
            }
            _ => blocks.push(BlockRange {
                first: at,
                end: at + 1,
                offset: u64::from(entry.offset),
                bytes: length,
            }),
        }
    }
    blocks
}
