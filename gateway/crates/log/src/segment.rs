//! One segment as it is known in memory: how far it is durable and where its groups begin.
//!
//! Only the writer thread changes a segment; readers look. The file is opened when somebody needs
//! it and closed when nobody does, so that a long log does not hold a descriptor a segment.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::disk::{Disk, DiskFile};
use crate::format::{DirectoryEntry, GroupHeader, SegmentIndex, SparseEntry};

/// Distance between entries of the sparse index: what a reader scans at most to find its start.
const SPARSE_BYTES: u64 = 256 << 10;

/// A segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) ordinal: u64,
    pub(crate) first_sequence: u64,
    pub(crate) name: SegmentName,
    pub(crate) created_unix_ns: i64,
    durable_bytes: AtomicU64,
    index: RwLock<SegmentIndex>,
    file: Mutex<Option<Weak<dyn DiskFile>>>,
}

impl Segment {
    pub(crate) fn new(name: SegmentName, created_unix_ns: i64, index: SegmentIndex) -> Segment {
        Segment {
            ordinal: index.ordinal,
            first_sequence: index.first_sequence,
            name,
            created_unix_ns,
            durable_bytes: AtomicU64::new(index.bytes),
            index: RwLock::new(index),
            file: Mutex::new(None),
        }
    }

    /// Where its last durable group ends.
    pub(crate) fn durable_bytes(&self) -> u64 {
        self.durable_bytes.load(Ordering::Acquire)
    }

    /// Takes durable groups in: how the index grew.
    pub(crate) fn grow(&self, add: impl FnOnce(&mut SegmentIndex)) {
        let mut index = self.index.write();
        add(&mut index);
        self.durable_bytes.store(index.bytes, Ordering::Release);
    }

    /// Looks at the index.
    pub(crate) fn with_index<T>(&self, look: impl FnOnce(&SegmentIndex) -> T) -> T {
        look(&self.index.read())
    }

    /// Sequence of its last change; one less than its first sequence where it has none.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.index.read().last_sequence
    }

    /// Offset of a group at or before the first one that says something after the sequence.
    pub(crate) fn offset_before(&self, after: u64, first_group: u64) -> u64 {
        let index = self.index.read();
        let past = index.sparse.partition_point(|entry| entry.first_sequence <= after);
        past.checked_sub(1)
            .and_then(|at| index.sparse.get(at))
            .map_or(first_group, |entry| entry.offset)
    }

    /// The open file, opened when it is not.
    pub(crate) fn file(&self, disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
        let mut slot = self.file.lock();
        if let Some(file) = slot.as_ref().and_then(Weak::upgrade) {
            return Ok(file);
        }
        let file = disk.open_segment(&self.name.log_file())?;
        *slot = Some(Arc::downgrade(&file));
        Ok(file)
    }
}

impl SegmentIndex {
    /// The index of a segment that begins, before its first group.
    pub(crate) fn begin(ordinal: u64, first_sequence: u64, bytes: u64) -> SegmentIndex {
        SegmentIndex {
            ordinal,
            first_sequence,
            last_sequence: first_sequence.saturating_sub(1),
            bytes,
            ..SegmentIndex::default()
        }
    }

    /// Adds the group at the segment's end.
    pub(crate) fn add_group(&mut self, header: &GroupHeader, entries: &[DirectoryEntry]) {
        let far = self.sparse.last().is_none_or(|last| self.bytes - last.offset >= SPARSE_BYTES);
        if far {
            let first_sequence = header.first_sequence;
            self.sparse.push(SparseEntry { first_sequence, offset: self.bytes });
        }
        self.bytes += u64::from(header.total_bytes);
        self.group_count += 1;
        self.last_written_unix_ns = header.written_unix_ns;
        self.last_sequence = header.next_sequence().saturating_sub(1);
        for entry in entries {
            let at = match self.streams.binary_search_by_key(&entry.stream, |(stream, _)| *stream) {
                Ok(at) => at,
                Err(at) => {
                    self.streams.insert(at, (entry.stream, Default::default()));
                    at
                }
            };
            if let Some((_, count)) = self.streams.get_mut(at) {
                count.changes += u64::from(entry.count);
                count.bytes += u64::from(entry.length);
            }
            if let Err(at) = self.schemas.binary_search(&entry.schema) {
                self.schemas.insert(at, entry.schema);
            }
            let pair = (entry.stream, entry.schema);
            if let Err(at) = self.pairs.binary_search(&pair) {
                self.pairs.insert(at, pair);
            }
        }
    }
}

/// The name of a segment's files: its first sequence and, where several segments begin at the same
/// one because the earlier hold no change, a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) first_sequence: u64,
    pub(crate) generation: u32,
}

impl SegmentName {
    /// The name of the segment after this one.
    pub(crate) fn next(self, first_sequence: u64) -> SegmentName {
        let same = self.first_sequence == first_sequence;
        SegmentName { first_sequence, generation: if same { self.generation + 1 } else { 0 } }
    }

    fn stem(self) -> String {
        match self.generation {
            0 => format!("{:020}", self.first_sequence),
            generation => format!("{:020}-{generation:06}", self.first_sequence),
        }
    }

    pub(crate) fn log_file(self) -> String {
        format!("{}.log", self.stem())
    }

    pub(crate) fn index_file(self) -> String {
        format!("{}.idx", self.stem())
    }

    /// Reads the name of a file that ends as given; `None`: it is none of that kind.
    pub(crate) fn parse(file: &str, suffix: &str) -> Option<SegmentName> {
        let stem = file.strip_suffix(suffix)?;
        let (sequence, generation) = match stem.split_once('-') {
            Some((sequence, generation)) => (sequence, generation.parse().ok()?),
            None => (stem, 0),
        };
        let name = SegmentName { first_sequence: sequence.parse().ok()?, generation };
        (name.stem() == stem).then_some(name)
    }
}

/// What follows a segment.
#[derive(Clone, Debug)]
pub(crate) enum Successor {
    /// Nothing yet: it is the one being written.
    None,
    /// This one.
    Next(Arc<Segment>),
    /// Retention has deleted it.
    Deleted,
}

/// The segments that are held, oldest first. Never empty.
#[derive(Debug)]
pub(crate) struct SegmentList(pub(crate) VecDeque<Arc<Segment>>);

impl SegmentList {
    pub(crate) fn oldest(&self) -> &Arc<Segment> {
        self.0.front().expect("the segment being written is never deleted")
    }

    pub(crate) fn newest(&self) -> &Arc<Segment> {
        self.0.back().expect("the segment being written is never deleted")
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|segment| segment.durable_bytes()).sum()
    }

    /// The segment that holds what follows a sequence.
    pub(crate) fn containing(&self, after: u64) -> &Arc<Segment> {
        let past = self.0.partition_point(|segment| segment.first_sequence <= after);
        past.checked_sub(1).and_then(|at| self.0.get(at)).unwrap_or_else(|| self.oldest())
    }

    pub(crate) fn successor(&self, ordinal: u64) -> Successor {
        let oldest = self.oldest().ordinal;
        let Some(at) = (ordinal + 1).checked_sub(oldest) else {
            return Successor::Deleted;
        };
        match usize::try_from(at).ok().and_then(|at| self.0.get(at)) {
            Some(segment) => Successor::Next(Arc::clone(segment)),
            None => Successor::None,
        }
    }
}
