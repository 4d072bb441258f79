//! Walking over the log's control records by place: for who keeps something that follows from them.
//!
//! A sequence does not tell where a group without changes stands, so a place is a segment and a byte
//! in it: what is before a place was seen, what is at it or behind was not. A [`Hold`] keeps the
//! segments from a place on. Runs are not decoded here, that is the readers' part.

use std::sync::Arc;

use crate::control::Control;
use crate::disk::DiskFile;
use crate::format::{FLAG_CHECKPOINT, SEGMENT_HEADER_BYTES};
use crate::load;
use crate::log::Shared;
use crate::segment::{Segment, Successor};
use crate::{Log, ReadError};

/// Before a byte of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPlace {
    /// Ordinal of the segment over the log's whole life, from 0.
    pub segment: u64,
    /// Where the next group begins in it.
    pub offset: u64,
}

/// A walk over the control records of durable groups.
#[derive(Debug)]
pub struct Walk {
    shared: Arc<Shared>,
    segment: Arc<Segment>,
    /// Keeps the segment readable after retention has deleted it.
    file: Arc<dyn DiskFile>,
    offset: u64,
}

/// Keeps the segments from a place on, until it is advanced or dropped.
#[derive(Debug)]
pub struct Hold {
    shared: Arc<Shared>,
    id: u64,
}

impl Log {
    /// Behind everything that is durable now.
    pub fn end(&self) -> LogPlace {
        let segments = self.shared.segments.read();
        let newest = segments.newest();
        LogPlace { segment: newest.ordinal, offset: newest.durable_bytes() }
    }

    /// A walk from a place on, which an earlier walk or [`Log::end`] gave.
    ///
    /// # Errors
    /// What is there was deleted, or the log has not come so far: it is another, or an older copy.
    pub fn walk(&self, from: LogPlace) -> Result<Walk, ReadError> {
        let segments = self.shared.segments.read();
        let at = segments.0.iter().find(|segment| segment.ordinal == from.segment).cloned();
        let segment = match at {
            Some(segment) if from.offset <= segment.durable_bytes() => segment,
            None if from.segment < segments.oldest().ordinal => {
                let earliest = segments.oldest().first_sequence;
                return Err(ReadError::TooOld { earliest });
            }
            _ => return Err(ReadError::Ahead { latest: segments.newest().last_sequence() }),
        };
        drop(segments);
        let file = open(&self.shared, &segment)?;
        let offset = from.offset.max(SEGMENT_HEADER_BYTES as u64);
        Ok(Walk { shared: Arc::clone(&self.shared), segment, file, offset })
    }

    /// Keeps everything from a place on. As with [`Log::pin`], what a run before this one left is to
    /// be held before the first group is submitted.
    pub fn hold(&self, name: &str, from: LogPlace) -> Hold {
        let id = self.shared.pins.hold(name, from.segment, self.before(from));
        Hold { shared: Arc::clone(&self.shared), id }
    }

    /// A sequence that a place is behind of, for who is shown the pins.
    fn before(&self, place: LogPlace) -> u64 {
        let segments = self.shared.segments.read();
        let at = segments.0.iter().find(|segment| segment.ordinal == place.segment);
        at.map_or(0, |segment| segment.first_sequence.saturating_sub(1))
    }
}

impl Hold {
    /// Lets go of the segments before a place. A hold never moves back.
    pub fn advance(&self, to: LogPlace) {
        let log = Log { shared: Arc::clone(&self.shared) };
        self.shared.pins.hold_from(self.id, to.segment, log.before(to));
        self.shared.queue.poke();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.pins.release(self.id);
        self.shared.queue.poke();
    }
}

impl Walk {
    /// Behind everything that was given so far.
    pub fn place(&self) -> LogPlace {
        LogPlace { segment: self.segment.ordinal, offset: self.offset }
    }

    /// The control records of the next group that has some; `None`: everything durable was walked
    /// over. Those that a segment repeats at its beginning are left out.
    ///
    /// # Errors
    /// What follows was deleted by retention, is damaged, or cannot be read. The walk stays where it
    /// is.
    pub fn next_controls(&mut self) -> Result<Option<Vec<Control>>, ReadError> {
        loop {
            // Looked at before the length: a segment that has a successor does not grow.
            let successor = self.shared.segments.read().successor(self.segment.ordinal);
            let end = self.segment.durable_bytes();
            if self.offset < end {
                let file = self.file.as_ref();
                let group = load::group(&self.shared, &self.segment, file, self.offset, end)?;
                self.offset += u64::from(group.header.total_bytes);
                if group.header.flags & FLAG_CHECKPOINT == 0 && !group.controls.is_empty() {
                    return Ok(Some(group.controls.clone()));
                }
                continue;
            }
            match successor {
                Successor::None => return Ok(None),
                Successor::Deleted => {
                    let earliest = self.shared.segments.read().oldest().first_sequence;
                    return Err(ReadError::TooOld { earliest });
                }
                Successor::Next(segment) => {
                    self.file = open(&self.shared, &segment)?;
                    self.segment = segment;
                    self.offset = SEGMENT_HEADER_BYTES as u64;
                }
            }
        }
    }
}

/// Opens a segment that may be deleted at this moment.
pub(crate) fn open(shared: &Shared, segment: &Segment) -> Result<Arc<dyn DiskFile>, ReadError> {
    segment.file(shared.environment.disk.as_ref()).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            let earliest = shared.segments.read().oldest().first_sequence;
            return ReadError::TooOld { earliest };
        }
        ReadError::Io { file: segment.name.log_file(), source }
    })
}
