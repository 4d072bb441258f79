//! The crash points of the gateway, as `gateway/ARCHITECTURE.md` lists them, and the order in which
//! a run of kills visits them.
//!
//! A run draws from a shuffled deck, so that every point is visited before any comes again, and
//! which comes when follows from the seed alone. Nothing here kills.

use std::time::Duration;

use crate::workload::Random;

/// Crash points of the time before streaming: they are the first kills of every run.
pub const START_CRASH_POINTS: [&str; 3] =
    ["source.before_slot_create", "source.after_slot_create", "source.snapshot_chunk"];

/// Crash points of hand-overs that every gateway passes.
pub const CRASH_POINTS: [&str; 8] = [
    "pipeline.before_submit",
    "pipeline.after_submit",
    "log.before_append",
    "log.after_append",
    "log.before_fsync",
    "log.after_fsync",
    "source.before_feedback",
    "source.after_feedback",
];

/// The crash point of threads that run plugins beside the pipeline's own.
pub const WORKERS_CRASH_POINT: &str = "pipeline.after_plugins";

/// Crash points of the gRPC service; a subscriber is needed.
pub const GRPC_CRASH_POINTS: [&str; 2] = ["grpc.before_send", "grpc.after_send"];

/// Crash points of the Kafka sink.
pub const KAFKA_CRASH_POINTS: [&str; 6] = [
    "kafka.before_send",
    "kafka.after_send",
    "kafka.before_delivery_report",
    "kafka.after_delivery_report",
    "cursor.before_write",
    "cursor.after_write",
];

/// Crash points of a Kafka sink that delivers exactly once.
pub const KAFKA_EXACTLY_ONCE_CRASH_POINTS: [&str; 14] = [
    "kafka.before_init",
    "kafka.after_init",
    "kafka.after_recovery",
    "kafka.before_begin",
    "kafka.after_begin",
    "kafka.before_send",
    "kafka.after_send",
    "kafka.before_flush",
    "kafka.after_flush",
    "kafka.before_cursor_record",
    "kafka.after_cursor_record",
    "kafka.before_commit",
    "kafka.during_commit",
    "kafka.after_commit",
];

/// Crash points of the checkpoint of what plugins keep: small segments are needed, and a plugin that
/// keeps something.
pub const STATE_CRASH_POINTS: [&str; 5] = [
    "state.before_write",
    "state.after_write",
    "state.after_rename",
    "state.after_sync",
    "state.after_release",
];

/// A new segment has its name, which is not yet durable. Small segments are needed.
pub const SEGMENT_CRASH_POINT: &str = "log.after_segment_rename";

/// One in so many kills is at a random moment.
const RANDOM_SHARE: usize = 5;

/// The next kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// When the point is passed that many times after a start.
    Point(&'static str, u64),
    /// So long after a start.
    Random(Duration),
}

/// Which kill comes next.
#[derive(Debug)]
pub struct Schedule {
    random: Random,
    points: Vec<&'static str>,
    /// What is still to come, last first; `None` is a random moment.
    deck: Vec<Option<&'static str>>,
    begun: usize,
}

impl Schedule {
    /// The start's points first, then these and random moments, again and again.
    pub fn new(seed: u64, points: &[&'static str]) -> Schedule {
        Schedule { random: Random::new(seed), points: points.to_vec(), deck: Vec::new(), begun: 0 }
    }

    /// The next kill.
    pub fn step(&mut self) -> Step {
        if let Some(point) = START_CRASH_POINTS.get(self.begun) {
            self.begun += 1;
            return Step::Point(point, 1);
        }
        if self.deck.is_empty() {
            self.shuffle();
        }
        match self.deck.pop().flatten() {
            Some(point) => Step::Point(point, 1 + self.random.below(most_passes(point))),
            None => Step::Random(Duration::from_millis(100 + self.random.below(900))),
        }
    }

    fn shuffle(&mut self) {
        self.deck = self.points.iter().copied().map(Some).collect();
        self.deck.extend(std::iter::repeat_n(None, self.points.len().div_ceil(RANDOM_SHARE)));
        for last in (1..self.deck.len()).rev() {
            let other = self.random.below(last as u64 + 1) as usize;
            self.deck.swap(last, other);
        }
    }
}

/// At most so many passes until the kill: points that are passed seldom come early.
fn most_passes(point: &str) -> u64 {
    match point {
        SEGMENT_CRASH_POINT => 1,
        "kafka.before_init" | "kafka.after_init" | "kafka.after_recovery" => 1,
        "kafka.before_send" | "kafka.after_send" => 200,
        "kafka.before_delivery_report" | "kafka.after_delivery_report" => 200,
        _ if point.starts_with("cursor.") => 4,
        _ if point.starts_with("source.") => 10,
        // Passed once a transaction.
        _ if point.starts_with("kafka.") => 10,
        _ => 40,
    }
}

/// All points at which what plugins keep and the position could come apart, each with the pass to be
/// killed at.
pub fn with_state() -> impl Iterator<Item = (&'static str, u32)> {
    let points = CRASH_POINTS.into_iter().zip([3, 2, 2, 2, 2, 2, 1, 1]);
    points.chain(STATE_CRASH_POINTS.into_iter().zip([1; 5]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_comes_once_before_any_comes_again() {
        let points: Vec<&str> = CRASH_POINTS.iter().chain(&KAFKA_CRASH_POINTS).copied().collect();
        for seed in 0..50 {
            let mut schedule = Schedule::new(seed, &points);
            let deck = points.len() + points.len().div_ceil(RANDOM_SHARE);
            let steps: Vec<Step> =
                (0..START_CRASH_POINTS.len() + deck).map(|_| schedule.step()).collect();
            for point in START_CRASH_POINTS.iter().chain(&points) {
                let times = steps
                    .iter()
                    .filter(|step| matches!(step, Step::Point(name, _) if name == point));
                assert_eq!(times.count(), 1, "{point} with seed {seed}");
            }
            let mut again = Schedule::new(seed, &points);
            assert!(steps.iter().all(|step| *step == again.step()), "the seed decides");
        }
    }
}
