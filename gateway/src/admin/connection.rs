//! How long the source has been without its database.
//!
//! The source tells what it does now and how often it connected again; since when it is without a
//! connection is seen here, by whoever looks. The gateway looks several times a second, so the
//! figure is as exact as an operator needs. Nothing is decided here.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use offtake_source_postgres::SourceState;

/// The watch over one source's connection.
#[derive(Debug, Default)]
pub struct Connection {
    lost: Mutex<Option<Instant>>,
}

impl Connection {
    /// How long the source has been trying to connect again; `None`: it is connected, makes its
    /// first attempt, or has ended.
    pub fn observe(&self, state: SourceState, reconnects: u64, now: Instant) -> Option<Duration> {
        // A poisoned lock still holds a whole value.
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let trying = matches!(state, SourceState::Retrying | SourceState::Connecting);
        *lost = (trying && reconnects > 0).then(|| lost.unwrap_or(now));
        lost.map(|since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_runs_over_all_attempts_and_ends_with_the_connection() {
        let connection = Connection::default();
        let begin = Instant::now();
        let seconds = |state, reconnects, after| {
            let now = begin + Duration::from_secs(after);
            connection.observe(state, reconnects, now).map(|lost| lost.as_secs())
        };
        assert_eq!(seconds(SourceState::Connecting, 0, 0), None, "the first attempt");
        assert_eq!(seconds(SourceState::Streaming, 0, 1), None);
        assert_eq!(seconds(SourceState::Retrying, 1, 2), Some(0));
        assert_eq!(seconds(SourceState::Connecting, 1, 3), Some(1));
        assert_eq!(seconds(SourceState::Retrying, 2, 9), Some(7));
        assert_eq!(seconds(SourceState::Streaming, 2, 10), None);
        assert_eq!(seconds(SourceState::Retrying, 3, 20), Some(0), "another time");
        assert_eq!(seconds(SourceState::Stopped, 3, 21), None);
    }
}
