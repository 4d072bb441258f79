//! What the log tells about itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::retention::PinStats;

/// Why nothing further is written for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockedReason {
    /// The disk or the quota is full.
    DiskFull,
    /// The log has its full size and the pin of this name holds the oldest segment.
    RetainBytes {
        /// Who holds it.
        pin: String,
    },
}

/// The log takes nothing in; it goes on by itself when space returns or the pin moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Why.
    pub reason: BlockedReason,
    /// Since when.
    pub since: SystemTime,
}

/// What the log holds of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStats {
    /// Log-wide id.
    pub stream: u32,
    /// Name.
    pub name: String,
    /// Changes that are held.
    pub changes: u64,
    /// Their encoded bytes.
    pub bytes: u64,
}

/// `fdatasync` of the segments.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SyncStats {
    /// Calls.
    pub count: u64,
    /// Time spent in them, nanoseconds.
    pub nanos: u64,
    /// The longest, nanoseconds.
    pub max_nanos: u64,
    /// How many took at most so long and longer than the entry before: (nanoseconds, calls).
    pub histogram: Vec<(u64, u64)>,
}

impl SyncStats {
    /// The upper bound of the time that a share (0 to 1) of the calls took, nanoseconds.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bound, calls) in &self.histogram {
            seen += calls;
            if seen >= wanted {
                return (*bound).min(self.max_nanos);
            }
        }
        self.max_nanos
    }
}

/// A snapshot of the log's figures.
#[derive(Clone, Debug)]
pub struct LogStats {
    /// Size of all segments.
    pub bytes: u64,
    /// Number of segments.
    pub segments: usize,
    /// First sequence held; one more than `last_sequence` when no change is held.
    pub first_sequence: u64,
    /// Last durable sequence; 0: none.
    pub last_sequence: u64,
    /// Set while nothing further is written.
    pub blocked: Option<Blocked>,
    /// Groups that wait to be written.
    pub queued_groups: usize,
    /// Syncs of the segments.
    pub sync: SyncStats,
    /// What is held of each stream.
    pub streams: Vec<StreamStats>,
    /// Who holds what.
    pub pins: Vec<PinStats>,
    /// Memory that the block cache uses.
    pub cache_bytes: usize,
    /// Free space of the disk, where it can be told.
    pub free_bytes: Option<u64>,
}

/// Buckets per power of two: bounds within a quarter of each other.
const STEPS: usize = 4;
/// From 16 microseconds on...
const FIRST_POWER: u32 = 14;
/// ... over twenty doublings, to 16 seconds.
const BUCKETS: usize = 20 * STEPS;

#[derive(Debug)]
pub(crate) struct SyncMeter {
    count: AtomicU64,
    nanos: AtomicU64,
    max_nanos: AtomicU64,
    buckets: Vec<AtomicU64>,
}

impl SyncMeter {
    pub(crate) fn new() -> SyncMeter {
        SyncMeter {
            count: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            max_nanos: AtomicU64::new(0),
            buckets: (0..=BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(crate) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = (0..BUCKETS).find(|&at| nanos <= bound(at)).unwrap_or(BUCKETS);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        self.max_nanos.fetch_max(nanos, Ordering::Relaxed);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats(&self) -> SyncStats {
        let calls = |at: usize| self.buckets.get(at).map_or(0, |it| it.load(Ordering::Relaxed));
        SyncStats {
            count: self.count.load(Ordering::Relaxed),
            nanos: self.nanos.load(Ordering::Relaxed),
            max_nanos: self.max_nanos.load(Ordering::Relaxed),
            histogram: (0..=BUCKETS).map(|at| (bound(at), calls(at))).collect(),
        }
    }
}

fn bound(bucket: usize) -> u64 {
    if bucket >= BUCKETS {
        return u64::MAX;
    }
    let power = 1u64 << (FIRST_POWER as usize + bucket / STEPS);
    power + power / STEPS as u64 * (bucket % STEPS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_upper_bounds_within_a_quarter() {
        let meter = SyncMeter::new();
        for micros in 1..=1000 {
            meter.record(Duration::from_micros(micros));
        }
        let stats = meter.stats();
        assert_eq!((stats.count, stats.max_nanos), (1000, 1_000_000));
        let median = stats.quantile(0.5);
        assert!((500_000..=625_000).contains(&median), "{median}");
        assert_eq!(stats.quantile(1.0), 1_000_000);
    }
}
