//! Latency from a commit in the source to some point further on, as a histogram that any thread may
//! add to.
//!
//! The gateway observes durability in the log, the sinks what was delivered: at most once a group of
//! the log each, so it costs nothing a change. It does not read a clock. Clocks of two machines
//! differ; a negative latency counts as zero.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Upper bounds of the buckets, in seconds.
pub const BOUNDS_SECONDS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];

/// A histogram with fixed buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_SECONDS.len() + 1],
    sum_nanoseconds: AtomicU64,
}

impl Histogram {
    /// Counts one observation.
    pub fn observe(&self, seconds: f64) {
        let seconds = seconds.max(0.0);
        let bucket = BOUNDS_SECONDS.iter().position(|bound| seconds <= *bound);
        let bucket = bucket.unwrap_or(BOUNDS_SECONDS.len());
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_nanoseconds.fetch_add((seconds * 1e9) as u64, Ordering::Relaxed);
    }

    /// Counts the time from a commit, in microseconds since the Unix epoch, until `now`.
    pub fn observe_commit(&self, commit_unix_us: i64, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.observe(now.saturating_sub(commit_unix_us) as f64 / 1e6);
    }

    /// Counts a bucket (the last one: beyond every bound) and the sum in seconds.
    pub fn snapshot(&self) -> (Vec<u64>, f64) {
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        (counts, self.sum_nanoseconds.load(Ordering::Relaxed) as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_observation_counts_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for seconds in [-1.0, 0.0015, 0.002, 100.0] {
            histogram.observe(seconds);
        }
        let (counts, sum) = histogram.snapshot();
        assert_eq!((counts[0], counts[1], counts[14]), (1, 2, 1));
        assert!((sum - 100.0035).abs() < 1e-6);
    }

    #[test]
    fn a_commit_is_observed_by_its_age_and_one_of_the_future_as_zero() {
        let histogram = Histogram::default();
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        for commit_unix_us in [999_970_000, 1_000_500_000, i64::MIN] {
            histogram.observe_commit(commit_unix_us, now);
        }
        let (counts, _) = histogram.snapshot();
        assert_eq!((counts[0], counts[5], counts[14]), (1, 1, 1));
    }
}
