//! Reading the log: one cursor over durable groups, at its own pace.
//!
//! There is one way to read, for those who catch up and those who are at the tail, hence no moment
//! of changing over in which something could be lost. A reader holds no more than what it last
//! returned.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use offtake_change::wire::{Changes, FRAME_CHANGES_TAG};
use tokio::sync::watch;

use crate::control::Control;
use crate::disk::DiskFile;
use crate::format::{DirectoryEntry, FLAG_CHECKPOINT, SEGMENT_HEADER_BYTES};
use crate::load;
use crate::log::{Durable, Shared};
use crate::segment::{Segment, Successor};
use crate::walk::open;
use crate::{Damage, ReadError, Selection};

pub(crate) use crate::load::GroupIndex;

/// Bytes of runs that one call returns, but always one run at least: what a stalled reader holds.
const PIECE_BYTES: usize = 256 << 10;

/// Consecutive changes of one stream under one schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Log-wide id of the stream.
    pub stream: u32,
    /// Log-wide id of the schema.
    pub schema: u32,
    /// Sequence of the first change; the others follow without a gap.
    pub first_sequence: u64,
    /// Number of changes.
    pub count: u32,
    /// The encoded changes: the body of a `Frame` that has changes and nothing else, so that runs
    /// laid end to end are one too.
    pub bytes: Bytes,
}

impl Run {
    /// The changes, read in place: the same as [`Changes::new`] on the bytes.
    pub fn changes(&self) -> Changes<'_> {
        Changes::new(&self.bytes)
    }
}

/// What one step of a reader covers: a group of the log, or a piece of a large one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadGroup {
    /// Control records, those that changes of the group need with its first piece, the others with
    /// its last one, so that who sees a position has seen what it stands for.
    pub controls: Vec<Control>,
    /// Runs of the selected streams.
    pub runs: Vec<Run>,
    /// Everything up to here is covered, changes of other streams included.
    pub last_sequence: u64,
    /// Whether the group ends here.
    pub ends_group: bool,
}

/// A group that is not yet returned to its end.
#[derive(Clone, Debug)]
struct OpenGroup {
    index: Arc<GroupIndex>,
    /// Entry of the directory that comes next.
    next: usize,
    /// Whether a piece of it was returned.
    begun: bool,
}

/// A cursor over the log.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    selection: Selection,
    /// By stream id, as far as streams were met: whether it is selected.
    selected: HashMap<u32, bool>,
    segment: Arc<Segment>,
    /// Keeps the segment readable after retention has deleted it.
    file: Arc<dyn DiskFile>,
    offset: u64,
    open_group: Option<OpenGroup>,
    sequence: u64,
    durable: watch::Receiver<Durable>,
}

impl Reader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        after: u64,
        selection: Selection,
    ) -> Result<Reader, ReadError> {
        let durable = shared.durable.subscribe();
        let latest = durable.borrow().sequence;
        if after > latest {
            return Err(ReadError::Ahead { latest });
        }
        let segments = shared.segments.read();
        let earliest = segments.oldest().first_sequence;
        if after + 1 < earliest {
            return Err(ReadError::TooOld { earliest });
        }
        let segment = Arc::clone(segments.containing(after));
        drop(segments);
        let file = open(&shared, &segment)?;
        let offset = segment.offset_before(after, SEGMENT_HEADER_BYTES as u64);
        Ok(Reader {
            shared,
            selection,
            selected: HashMap::new(),
            segment,
            file,
            offset,
            open_group: None,
            sequence: after,
            durable,
        })
    }

    /// Everything up to here has been returned.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The next piece of the log, `None` when everything durable was read. A group without anything
    /// for the selection is returned too: its `last_sequence` is progress.
    ///
    /// # Errors
    /// What follows was deleted by retention, is damaged, or cannot be read. The reader stays where
    /// it is.
    pub fn next_group(&mut self) -> Result<Option<ReadGroup>, ReadError> {
        loop {
            if let Some(group) = self.open_group.clone() {
                return self.piece(group).map(Some);
            }
            // Looked at before the length: a segment that has a successor does not grow.
            let successor = self.shared.segments.read().successor(self.segment.ordinal);
            let end = self.segment.durable_bytes();
            if self.offset < end {
                self.open_next_group(end)?;
                continue;
            }
            match successor {
                Successor::None => return Ok(None),
                Successor::Deleted => return Err(self.too_old()),
                Successor::Next(segment) => {
                    self.file = open(&self.shared, &segment)?;
                    self.segment = segment;
                    self.offset = SEGMENT_HEADER_BYTES as u64;
                }
            }
        }
    }

    /// Streams and schemas of the runs that the group still has of which the last call of
    /// [`Reader::next_group`] returned a piece: for who prepares for all of a group before the first
    /// piece goes out.
    ///
    /// # Errors
    /// A stream was never announced.
    pub fn rest_of_group(&mut self) -> Result<Vec<(u32, u32)>, ReadError> {
        let Some(group) = self.open_group.clone() else { return Ok(Vec::new()) };
        let mut rest = Vec::new();
        for entry in group.index.entries.get(group.next..).unwrap_or_default() {
            let run = (entry.stream, entry.schema);
            if !rest.contains(&run) && self.is_selected(entry.stream)? {
                rest.push(run);
            }
        }
        Ok(rest)
    }

    /// Waits until [`Reader::next_group`] has more. May be cancelled at any time.
    pub async fn changed(&mut self) {
        self.durable.borrow_and_update();
        while !self.has_more() {
            // The sender lives in what this reader shares, so it cannot be gone.
            let _ = self.durable.changed().await;
        }
    }

    /// The same on a plain thread. `false`: there was nothing more within the time.
    pub fn wait_blocking(&mut self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        loop {
            let seen = self.shared.wake.version();
            if self.has_more() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.shared.wake.wait(seen, left) {
                return false;
            }
        }
    }

    fn has_more(&self) -> bool {
        // A segment that was just begun has nothing but its checkpoint.
        let says_something = |segment: &Segment| segment.with_index(|index| index.group_count > 1);
        let here = self.offset < self.segment.durable_bytes()
            && (self.offset > SEGMENT_HEADER_BYTES as u64 || says_something(&self.segment));
        self.open_group.is_some()
            || here
            || match self.shared.segments.read().successor(self.segment.ordinal) {
                Successor::None => false,
                Successor::Next(next) => says_something(&next),
                Successor::Deleted => true,
            }
    }

    fn too_old(&self) -> ReadError {
        ReadError::TooOld { earliest: self.shared.segments.read().oldest().first_sequence }
    }

    /// Loads the group at the offset and opens it if it says anything new.
    fn open_next_group(&mut self, end: u64) -> Result<(), ReadError> {
        let group = load::group(&self.shared, &self.segment, self.file.as_ref(), self.offset, end)?;
        let header = &group.header;
        let is_known = match header.change_count {
            0 => header.first_sequence <= self.sequence,
            _ => header.next_sequence() <= self.sequence + 1,
        };
        if is_known || header.flags & FLAG_CHECKPOINT != 0 {
            self.offset += u64::from(header.total_bytes);
            return Ok(());
        }
        let next = group.entries.partition_point(|entry| entry.last_sequence() <= self.sequence);
        self.open_group = Some(OpenGroup { index: group, next, begun: false });
        Ok(())
    }

    /// Returns entries of the open group until the piece is large enough or the group ends.
    fn piece(&mut self, open: OpenGroup) -> Result<ReadGroup, ReadError> {
        let OpenGroup { index: group, mut next, begun } = open;
        let mut piece = ReadGroup { last_sequence: self.sequence, ..ReadGroup::default() };
        let mut bytes = 0;
        while let Some(entry) = group.entries.get(next) {
            if bytes > 0 && bytes + entry.length as usize > PIECE_BYTES {
                break;
            }
            if self.is_selected(entry.stream)? {
                let run = self.run(&group, next, entry)?;
                bytes += run.bytes.len();
                piece.runs.push(run);
            }
            piece.last_sequence = entry.last_sequence();
            next += 1;
        }
        piece.ends_group = next >= group.entries.len();
        let wanted = |control: &&Control| match control.comes_before_changes() {
            true => !begun,
            false => piece.ends_group,
        };
        piece.controls = group.controls.iter().filter(wanted).cloned().collect();
        self.open_group = if piece.ends_group {
            self.offset += u64::from(group.header.total_bytes);
            None
        } else {
            Some(OpenGroup { index: group, next, begun: true })
        };
        self.sequence = piece.last_sequence;
        Ok(piece)
    }

    fn run(&self, group: &GroupIndex, at: usize, entry: &DirectoryEntry) -> Result<Run, ReadError> {
        let bytes =
            load::run(&self.shared, &self.segment, self.file.as_ref(), self.offset, group, at)?;
        let run = Run {
            stream: entry.stream,
            schema: entry.schema,
            first_sequence: entry.first_sequence,
            count: entry.count,
            bytes,
        };
        if entry.first_sequence > self.sequence {
            return Ok(run);
        }
        trim(run, self.sequence).ok_or_else(|| {
            self.damage("a run does not hold the changes that the directory says").into()
        })
    }

    fn is_selected(&mut self, stream: u32) -> Result<bool, ReadError> {
        if let Some(selected) = self.selected.get(&stream) {
            return Ok(*selected);
        }
        let name = self.shared.registry.read().streams.get(&stream).cloned();
        let Some(name) = name else {
            return Err(self.damage("a run is of a stream that was never announced").into());
        };
        let selected = self.selection.matches(&name);
        self.selected.insert(stream, selected);
        Ok(selected)
    }

    fn damage(&self, what: &'static str) -> Damage {
        Damage { file: self.segment.name.log_file(), offset: self.offset, what }
    }
}

/// Leaves out the changes up to and including a sequence. `None`: there are not so many.
fn trim(run: Run, after: u64) -> Option<Run> {
    let skipped = after + 1 - run.first_sequence;
    let mut rest: &[u8] = &run.bytes;
    for _ in 0..skipped {
        rest = skip_change(rest)?;
    }
    let start = run.bytes.len() - rest.len();
    Some(Run {
        first_sequence: after + 1,
        count: u32::try_from(u64::from(run.count).checked_sub(skipped)?).ok()?,
        bytes: run.bytes.slice(start..),
        ..run
    })
}

/// What follows the first change. The change itself is not looked at: a later version's is skipped
/// as well.
fn skip_change(run: &[u8]) -> Option<&[u8]> {
    let mut rest = run.strip_prefix(&[FRAME_CHANGES_TAG])?;
    let mut length = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return rest.get(usize::try_from(length).ok()?..);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_skipped_by_its_length_and_a_cut_one_is_noticed() {
        let mut run = vec![FRAME_CHANGES_TAG, 0xac, 0x02];
        run.extend_from_slice(&[9; 300]);
        run.push(FRAME_CHANGES_TAG);
        assert_eq!(skip_change(&run), Some([FRAME_CHANGES_TAG].as_slice()));
        for cut in 0..303 {
            assert_eq!(skip_change(&run[..cut]), None, "cut at {cut}");
        }
        assert_eq!(skip_change(&[0xff; 20]), None);
        let endless = [[FRAME_CHANGES_TAG].as_slice(), &[0xff; 20]].concat();
        assert_eq!(skip_change(&endless), None);
    }
}
