//! Loads groups and blocks of runs from a segment through the shared cache, checking every byte
//! once. What was just written is kept there at once.
//!
//! Blocks end where runs end, so that a run is always a slice of one block and never copied. Which
//! runs share a block follows from the directory alone, so all readers ask for the same blocks.

use std::sync::Arc;

use bytes::Bytes;

use crate::cache::{Cached, Key};
use crate::control::{Control, Refused};
use crate::disk::DiskFile;
use crate::format::{DirectoryEntry, ENTRY_BYTES, GroupHeader, Wrong, check_runs, read_directory};
use crate::log::Shared;
use crate::queue::PendingGroup;
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

impl GroupIndex {
    fn of(header: GroupHeader, controls: Vec<Control>, entries: Vec<DirectoryEntry>) -> GroupIndex {
        GroupIndex { header, controls, entries, blocks: Vec::new(), inline: None }
    }
}

/// Neighbouring runs that are kept together.
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

/// Bytes read from the disk at once: what follows is most likely asked for next.
const READ_BYTES: u64 = 256 << 10;

/// Where something is loaded from.
struct Place<'a> {
    segment: &'a Segment,
    file: &'a dyn DiskFile,
}

impl Place<'_> {
    /// Reads, and takes what is wanted from where it was read to: what is kept is copied once.
    fn read<T>(
        &self,
        offset: u64,
        bytes: u64,
        take: impl FnOnce(&[u8]) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let len = usize::try_from(bytes)
            .map_err(|_| self.damage(offset, "a length exceeds the memory"))?;
        let (mut take, mut taken) = (Some(take), None);
        let shown = self.file.show(offset, len, &mut |bytes| {
            taken = take.take().map(|take| take(bytes));
        });
        let ended = || self.damage(offset, "the segment is shorter than it was");
        match shown {
            Ok(()) => taken.ok_or_else(ended)?,
            Err(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => Err(ended()),
            Err(source) => Err(ReadError::Io { file: self.segment.name.log_file(), source }),
        }
    }

    fn damage(&self, offset: u64, what: &'static str) -> ReadError {
        Damage { file: self.segment.name.log_file(), offset, what }.into()
    }
}

/// The group at an offset of a segment that is durable up to `end`. Those behind it are loaded on
/// the way.
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
    let bytes = READ_BYTES.min(end.saturating_sub(offset));
    place.read(offset, bytes, |chunk| groups(shared, &place, chunk, offset, end))
}

/// The group that a piece of a segment begins with, and those behind it.
fn groups(
    shared: &Shared,
    place: &Place<'_>,
    chunk: &[u8],
    offset: u64,
    end: u64,
) -> Result<Arc<GroupIndex>, ReadError> {
    let header = decode_header(place, chunk, offset, end)?;
    let Some(bytes) = chunk.get(..header.total_bytes as usize) else {
        return large_group(shared, place, header, chunk, offset);
    };
    let wanted = whole_group(shared, place, header, bytes, offset)?;
    let mut next = bytes.len();
    // What stands behind it is not asked for yet: where it is not right, who reads it is told.
    while let Some(rest) = chunk.get(next..).filter(|rest| !rest.is_empty()) {
        let Ok(header) = GroupHeader::decode(rest) else {
            break;
        };
        let Some(bytes) = rest.get(..header.total_bytes as usize) else {
            break;
        };
        if whole_group(shared, place, header, bytes, offset + next as u64).is_err() {
            break;
        }
        next += bytes.len();
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
            let base = group.blocks.get(found).ok_or_else(lost)?.offset;
            (block(shared, &place, group_offset, group, found)?, base)
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

/// Keeps a group that was just written, as if a reader had loaded it: those who follow the log
/// closely, and that is nearly all, read nothing from the disk.
pub(crate) fn keep_written(shared: &Shared, segment: &Segment, offset: u64, group: &PendingGroup) {
    // Our own records can be read; where they could not, who reads them is told why.
    if let Ok(controls) = decode_controls(&group.header, &group.index) {
        let parts = GroupIndex::of(group.header, controls, group.entries.clone());
        keep_whole(shared, (segment.ordinal, offset), parts, &group.data);
    }
}

/// Keeps a group with all its runs, in pieces that can be given up one by one.
fn keep_whole(
    shared: &Shared,
    (segment, offset): Key,
    mut group: GroupIndex,
    runs: &[u8],
) -> Arc<GroupIndex> {
    if runs.len() as u64 <= BLOCK_BYTES {
        group.inline = Some(Bytes::copy_from_slice(runs));
    } else {
        group.blocks = blocks(&group.entries);
        let mut rest = runs;
        for range in &group.blocks {
            let (block, behind) = rest.split_at(rest.len().min(range.bytes as usize));
            let kept = Cached::Block(Bytes::copy_from_slice(block));
            shared.cache.insert((segment, offset + range.offset), kept, block.len());
            rest = behind;
        }
    }
    keep(shared, (segment, offset), group)
}

/// A block of a large group, by its place. Those behind it are loaded on the way.
fn block(
    shared: &Shared,
    place: &Place<'_>,
    group_offset: u64,
    group: &GroupIndex,
    at: usize,
) -> Result<Bytes, ReadError> {
    let ranges = group.blocks.get(at..).unwrap_or_default();
    let lost = || place.damage(group_offset, "a run is not in its block");
    let asked = ranges.first().ok_or_else(lost)?;
    if let Some(block) = shared.cache.block((place.segment.ordinal, group_offset + asked.offset)) {
        return Ok(block);
    }
    let bytes = READ_BYTES.max(asked.bytes);
    let bytes = bytes.min(u64::from(group.header.total_bytes).saturating_sub(asked.offset));
    place.read(group_offset + asked.offset, bytes, |chunk| {
        blocks_of(shared, place, group_offset, group, (asked, ranges), chunk)
    })
}

/// The block that a piece of a group begins with, and those behind it.
fn blocks_of(
    shared: &Shared,
    place: &Place<'_>,
    group_offset: u64,
    group: &GroupIndex,
    (asked, ranges): (&BlockRange, &[BlockRange]),
    chunk: &[u8],
) -> Result<Bytes, ReadError> {
    let (mut rest, mut wanted) = (chunk, None);
    for range in ranges {
        let Some((bytes, behind)) = rest.split_at_checked(range.bytes as usize) else {
            break;
        };
        let entries = group.entries.get(range.first..range.end).unwrap_or_default();
        if let Err(Wrong(what)) = check_runs(entries, bytes, range.offset) {
            // What is not asked for yet is told to who reads it.
            let damage = || place.damage(group_offset + range.offset, what);
            return wanted.ok_or_else(damage);
        }
        let block = Bytes::copy_from_slice(bytes);
        let key = (place.segment.ordinal, group_offset + range.offset);
        shared.cache.insert(key, Cached::Block(block.clone()), block.len());
        wanted.get_or_insert(block);
        rest = behind;
    }
    wanted.ok_or_else(|| place.damage(group_offset + asked.offset, "a block is cut"))
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

/// A group of which all bytes are there.
fn whole_group(
    shared: &Shared,
    place: &Place<'_>,
    header: GroupHeader,
    bytes: &[u8],
    offset: u64,
) -> Result<Arc<GroupIndex>, ReadError> {
    // The head's decoder has checked that the index ends within the group.
    let (index, runs) = bytes.split_at(header.index_end() as usize);
    let group = parse(place, header, index, offset)?;
    check_runs(&group.entries, runs, header.index_end())
        .map_err(|Wrong(what)| place.damage(offset, what))?;
    Ok(keep_whole(shared, (place.segment.ordinal, offset), group, runs))
}

/// A group that is larger than `chunk`: its index now, its runs block by block when they are asked
/// for.
fn large_group(
    shared: &Shared,
    place: &Place<'_>,
    header: GroupHeader,
    chunk: &[u8],
    offset: u64,
) -> Result<Arc<GroupIndex>, ReadError> {
    let index_bytes = header.index_end();
    let mut group = match chunk.get(..index_bytes as usize) {
        Some(index) => parse(place, header, index, offset)?,
        None => place.read(offset, index_bytes, |index| parse(place, header, index, offset))?,
    };
    group.blocks = blocks(&group.entries);
    Ok(keep(shared, (place.segment.ordinal, offset), group))
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
    Ok(GroupIndex::of(header, controls, entries))
}

fn keep(shared: &Shared, key: Key, group: GroupIndex) -> Arc<GroupIndex> {
    let group = Arc::new(group);
    let directory = group.entries.len() * (ENTRY_BYTES + size_of::<DirectoryEntry>());
    // Decoded records take more than their bytes; twice is near enough for a bound.
    let index = 2 * group.header.control_bytes as usize + directory;
    let bytes = index + group.inline.as_ref().map_or(0, Bytes::len);
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
