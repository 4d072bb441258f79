//! What a user sets, and what a test replaces.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use offtake_proto::v1;

use crate::LogError;
use crate::disk::Disk;

/// Where the log lies and how much it keeps.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The folder; made (0700) when absent.
    pub dir: PathBuf,
    /// A segment is closed when it would pass this size. At most a quarter of `retain_bytes` is
    /// used, so that retention has something to delete.
    pub segment_bytes: u64,
    /// Changes older than this are deleted, a segment at a time, unless a pin holds them.
    pub retain_age: Option<Duration>,
    /// Size of all segments at which the oldest is deleted; when a pin holds it, the log is
    /// blocked instead.
    pub retain_bytes: u64,
    /// Memory of the block cache that all readers share.
    pub cache_bytes: usize,
    /// Kept free on the disk, so that a full one still takes control records.
    pub reserve_bytes: u64,
    /// Where a log begins, if there is none yet; `None`: with nothing, at sequence 1.
    pub beginning: Option<Beginning>,
}

/// Where a log begins that goes on from one that was lost. It has an id of its own, for what the
/// lost one held after that place is not known, and its cursors must not be taken for this one's.
#[derive(Clone, Debug, PartialEq)]
pub struct Beginning {
    /// The new log's id.
    pub log_id: [u8; 16],
    /// The last sequence that is done; the first change gets the next one.
    pub after: u64,
    /// The source's place there.
    pub position: v1::SourcePosition,
    /// What the log is to say of tables' snapshots.
    pub snapshots: Vec<v1::SnapshotProgress>,
}

impl LogOptions {
    /// The defaults for a folder: segments of 64 MiB, 7 days, 20 GiB, 32 MiB of cache, 1 MiB kept
    /// free.
    pub fn new(dir: impl Into<PathBuf>) -> LogOptions {
        LogOptions { dir: dir.into(), ..LogOptions::default() }
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        let wrong = |option, reason| Err(LogError::Option { option, reason });
        if self.segment_bytes < MIN_SEGMENT_BYTES {
            return wrong("segment_bytes", "must be at least 4 KiB");
        }
        if self.retain_bytes < 4 * MIN_SEGMENT_BYTES {
            return wrong("retain_bytes", "must be at least 16 KiB");
        }
        Ok(())
    }

    pub(crate) fn effective_segment_bytes(&self) -> u64 {
        self.segment_bytes.min(self.retain_bytes / 4)
    }
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            dir: PathBuf::from("data"),
            segment_bytes: 64 << 20,
            retain_age: Some(Duration::from_secs(7 * 24 * 3600)),
            retain_bytes: 20 << 30,
            cache_bytes: 32 << 20,
            reserve_bytes: 1 << 20,
            beginning: None,
        }
    }
}

/// Less would be all headers and checkpoints.
const MIN_SEGMENT_BYTES: u64 = 4 << 10;

/// Disk, clock and the end of the process: what tests replace.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) disk: Arc<dyn Disk>,
    /// Nanoseconds since the Unix epoch.
    pub(crate) now: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Called when an fsync fails; does not return outside tests. What the kernel did with the
    /// dirty pages is not known then, so a later success would prove nothing.
    pub(crate) on_sync_failure: fn(&LogError),
}

impl Environment {
    pub(crate) fn real(disk: Arc<dyn Disk>) -> Environment {
        Environment { disk, now: Arc::new(unix_ns), on_sync_failure: end_process }
    }
}

fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

pub(crate) fn end_process(error: &LogError) {
    tracing::error!(code = "LOG_SYNC_FAILED", %error, "the log could not be made durable, ending the process");
    std::process::abort();
}
