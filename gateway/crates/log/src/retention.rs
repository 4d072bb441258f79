//! What may be deleted: pins hold, age and size delete, the oldest segment first.
//!
//! Deleting runs on the writer thread. The folder is synced after each segment, so that a crash
//! can never leave a gap.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::LogError;
use crate::disk::Disk;
use crate::log::Shared;
use crate::segment::Segment;

/// A reader's hold on the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinStats {
    /// Who holds.
    pub name: String,
    /// What follows this sequence is kept.
    pub after: u64,
}

/// Who holds what.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    inner: Mutex<(u64, BTreeMap<u64, Held>)>,
}

/// What one of them holds.
#[derive(Debug)]
struct Held {
    stats: PinStats,
    /// The ordinal of a segment that is kept, with all that follow, whatever their sequences.
    segment: Option<u64>,
}

impl Held {
    fn needs(&self, segment: &Segment) -> bool {
        match self.segment {
            Some(from) => from <= segment.ordinal,
            None => self.stats.after < segment.last_sequence(),
        }
    }
}

impl Pins {
    pub(crate) fn list(&self) -> Vec<PinStats> {
        self.inner.lock().1.values().map(|held| held.stats.clone()).collect()
    }

    /// The name of a pin that needs a segment.
    fn holder(&self, segment: &Segment) -> Option<String> {
        let inner = self.inner.lock();
        let held = inner.1.values().find(|held| held.needs(segment))?;
        Some(held.stats.name.clone())
    }

    fn add(&self, held: Held) -> u64 {
        let mut inner = self.inner.lock();
        inner.0 += 1;
        let id = inner.0;
        inner.1.insert(id, held);
        id
    }

    /// Holds segments from an ordinal on; `after`: what is shown of it.
    pub(crate) fn hold(&self, name: &str, segment: u64, after: u64) -> u64 {
        let stats = PinStats { name: name.to_owned(), after };
        self.add(Held { stats, segment: Some(segment) })
    }

    /// Holds from a later ordinal on.
    pub(crate) fn hold_from(&self, id: u64, segment: u64, after: u64) {
        if let Some(held) = self.inner.lock().1.get_mut(&id)
            && held.segment.is_some_and(|from| from < segment)
        {
            held.segment = Some(segment);
            held.stats.after = after;
        }
    }

    pub(crate) fn release(&self, id: u64) {
        self.inner.lock().1.remove(&id);
    }
}

/// Keeps everything after a sequence from being deleted, until it is advanced or dropped.
#[derive(Debug)]
pub struct Pin {
    shared: Arc<Shared>,
    id: u64,
}

impl Pin {
    pub(crate) fn new(shared: Arc<Shared>, name: &str, after: u64) -> Pin {
        let stats = PinStats { name: name.to_owned(), after };
        let id = shared.pins.add(Held { stats, segment: None });
        Pin { shared, id }
    }

    /// Lets go of everything up to and including a sequence. A pin never moves back.
    pub fn advance(&self, after: u64) {
        if let Some(held) = self.shared.pins.inner.lock().1.get_mut(&self.id) {
            held.stats.after = held.stats.after.max(after);
        }
        self.shared.queue.poke();
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.shared.pins.release(self.id);
        self.shared.queue.poke();
    }
}

/// What came of the wish to delete the oldest segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// It is gone.
    Done,
    /// There is only the segment being written.
    NothingClosed,
    /// A pin of that name holds it.
    Held(String),
}

/// Deletes the oldest segment if nothing holds it.
pub(crate) fn delete_oldest(shared: &Shared) -> Result<Deletion, LogError> {
    let oldest = {
        let segments = shared.segments.read();
        if segments.0.len() < 2 {
            return Ok(Deletion::NothingClosed);
        }
        Arc::clone(segments.oldest())
    };
    if let Some(name) = shared.pins.holder(&oldest) {
        return Ok(Deletion::Held(name));
    }
    // Out of the list first: who asks now where the log begins is told the truth already.
    shared.segments.write().0.pop_front();
    let disk = shared.environment.disk.as_ref();
    remove(disk, &oldest.name.index_file())?;
    remove(disk, &oldest.name.log_file())?;
    disk.sync_dir().map_err(LogError::io("sync", "the folder"))?;
    tracing::debug!(segment = oldest.name.log_file(), "deleted a segment");
    Ok(Deletion::Done)
}

/// Deletes closed segments whose last group is older than the limit, as far as nothing holds them.
pub(crate) fn delete_aged(shared: &Shared, now_unix_ns: i64) -> Result<(), LogError> {
    let Some(age) = shared.options.retain_age else {
        return Ok(());
    };
    loop {
        let written = {
            let segments = shared.segments.read();
            segments.oldest().with_index(|index| index.last_written_unix_ns)
        };
        if !is_older(written, now_unix_ns, age) || delete_oldest(shared)? != Deletion::Done {
            return Ok(());
        }
    }
}

/// Whether a moment is at least so long ago.
pub(crate) fn is_older(then_unix_ns: i64, now_unix_ns: i64, age: Duration) -> bool {
    i128::from(now_unix_ns) - i128::from(then_unix_ns) >= age.as_nanos().cast_signed()
}

fn remove(disk: &dyn Disk, name: &str) -> Result<(), LogError> {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LogError::io("remove", name)(error))
        }
        _ => Ok(()),
    }
}

/// Disk space that is held so that a full disk still takes control records.
#[derive(Debug)]
pub(crate) struct Reserve {
    bytes: u64,
    held: bool,
    tried_unix_ns: i64,
}

/// Time between attempts to take the reserve again.
const RESTORE_INTERVAL: Duration = Duration::from_secs(10);

const RESERVE_FILE: &str = "reserve";

impl Reserve {
    /// Takes the reserve, or goes on without when there is no space for it.
    pub(crate) fn take(disk: &dyn Disk, bytes: u64) -> Reserve {
        let mut reserve = Reserve { bytes, held: false, tried_unix_ns: i64::MIN };
        let there =
            disk.open(RESERVE_FILE).and_then(|file| file.len()).is_ok_and(|len| len >= bytes);
        reserve.held = there || reserve.allocate(disk);
        reserve
    }

    /// Frees the space. `false`: there was none.
    pub(crate) fn release(&mut self, disk: &dyn Disk, now_unix_ns: i64) -> bool {
        self.tried_unix_ns = now_unix_ns;
        std::mem::take(&mut self.held) && disk.remove(RESERVE_FILE).is_ok()
    }

    /// Takes the space again after it was needed, now and then.
    pub(crate) fn restore(&mut self, disk: &dyn Disk, now_unix_ns: i64) {
        if !self.held && is_older(self.tried_unix_ns, now_unix_ns, RESTORE_INTERVAL) {
            self.tried_unix_ns = now_unix_ns;
            self.held = self.allocate(disk);
        }
    }

    fn allocate(&self, disk: &dyn Disk) -> bool {
        let allocated = disk.reserve(RESERVE_FILE, self.bytes);
        if let Err(error) = &allocated {
            tracing::warn!(%error, "no space for the log's reserve");
            let _ = disk.remove(RESERVE_FILE);
        }
        allocated.is_ok()
    }
}
