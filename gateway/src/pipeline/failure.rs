//! What becomes of a change that a plugin fails at, and when so many fail that nothing goes on.
//!
//! The `transform` crate finds the changes that a fault belongs to; here stands what was decided
//! about them. A share of failures is counted over changes and not over time, so that a restart in
//! the middle of a long history comes to the same end.

use std::time::{Duration, Instant};

use offtake_transform::{Fault, FaultCode};

/// Changes after which the older ones count half.
const WINDOW: u64 = 10_000;
/// Failures below which no share of them stops anything.
const LEAST_FAILED: u64 = 20;

/// What becomes of a change that a plugin fails at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// The pipeline stops before it.
    #[default]
    Halt,
    /// It goes to the dead-letter stream instead of its own.
    DeadLetter,
    /// It is left out.
    Drop,
    /// It goes on as if the plugin had not been there.
    Pass,
}

impl OnError {
    /// As it is written in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            OnError::Halt => "halt",
            OnError::DeadLetter => "dead_letter",
            OnError::Drop => "drop",
            OnError::Pass => "pass",
        }
    }
}

/// A plugin's policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FailurePolicy {
    /// What becomes of the change.
    pub on_error: OnError,
    /// Per cent of the changes that may fail; `None`: any number.
    pub breaker_percent: Option<u8>,
}

/// A change that goes to the dead-letter stream.
#[derive(Clone, Debug)]
pub struct DeadRow {
    /// Index into the batch's rows.
    pub row: u32,
    /// The row as it came from the source.
    pub original: offtake_change::Row,
    /// SHA-256 of the plugin's component, hexadecimal.
    pub digest: String,
    /// What happened.
    pub fault: Fault,
}

/// What one plugin tried, for its breaker.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Index of the plugin.
    pub member: usize,
    /// Changes that it was handed.
    pub seen: usize,
    /// Those of them that it failed at.
    pub failed: usize,
    /// The last failure.
    pub last: Option<Fault>,
}

/// Counts what a plugin fails at.
#[derive(Debug, Default)]
pub struct Breaker {
    seen: u64,
    failed: u64,
}

impl Breaker {
    /// Takes changes into account, and those of them that failed.
    ///
    /// # Errors
    /// More failed than may: the last fault, as one that halts.
    pub fn count(
        &mut self,
        percent: Option<u8>,
        seen: usize,
        failed: usize,
        last: Option<&Fault>,
    ) -> Result<(), Fault> {
        if self.seen >= WINDOW {
            self.seen /= 2;
            self.failed /= 2;
        }
        self.seen += seen as u64;
        self.failed += failed as u64;
        let (Some(percent), Some(last)) = (percent, last) else { return Ok(()) };
        let is_too_much = self.failed * 100 > self.seen * u64::from(percent);
        if self.failed < LEAST_FAILED || !is_too_much {
            return Ok(());
        }
        let message = format!(
            "it failed at {} of the last {} changes, more than {percent} %; the last failure was \
             {}: {}",
            self.failed, self.seen, last.code, last.message
        );
        Err(Fault { code: FaultCode::Breaker, message, ..last.clone() })
    }
}

/// Between two warnings of one plugin's failures.
const QUIET: Duration = Duration::from_secs(60);

/// Tells the operator's log that a plugin fails at changes that do not halt it: now and then, for there
/// may be many.
#[derive(Debug, Default)]
pub struct Warner {
    last: Option<Instant>,
    untold: u64,
}

impl Warner {
    /// Changes failed. Gives how many since the last time, where it is to be told.
    pub fn due(&mut self, failed: usize, now: Instant) -> Option<u64> {
        self.untold += failed as u64;
        if self.untold == 0 || self.last.is_some_and(|last| now.duration_since(last) < QUIET) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn fault() -> Fault {
        Fault {
            code: FaultCode::Trap,
            plugin: Arc::from("mask"),
            table: None,
            lsn: None,
            row: None,
            permanent: false,
            message: "it trapped".to_owned(),
        }
    }

    #[test]
    fn a_share_of_failures_halts_and_a_few_do_not() {
        let mut breaker = Breaker::default();
        for _ in 0..LEAST_FAILED - 1 {
            breaker.count(Some(10), 1, 1, Some(&fault())).unwrap();
        }
        let halt = breaker.count(Some(10), 1, 1, Some(&fault())).unwrap_err();
        assert_eq!(halt.code(), "PLUGIN_BREAKER");
        assert!(halt.message.contains("20 of the last 20 changes"), "{halt}");
        assert!(halt.message.ends_with("PLUGIN_TRAP: it trapped"), "{halt}");
        let mut breaker = Breaker::default();
        for _ in 0..1000 {
            breaker.count(Some(10), 256, 25, Some(&fault())).unwrap();
        }
        let mut off = Breaker::default();
        (0..1000).for_each(|_| off.count(None, 1, 1, Some(&fault())).unwrap());
    }

    #[test]
    fn failures_are_told_at_once_and_then_once_a_minute_with_all_since() {
        let mut warner = Warner::default();
        let begin = Instant::now();
        assert_eq!(warner.due(0, begin), None);
        assert_eq!(warner.due(2, begin), Some(2));
        assert_eq!(warner.due(3, begin + QUIET / 2), None);
        assert_eq!(warner.due(1, begin + QUIET), Some(4));
        assert_eq!(warner.due(0, begin + QUIET * 3), None);
    }

    #[test]
    fn what_was_well_long_ago_does_not_excuse_what_fails_now() {
        let mut breaker = Breaker::default();
        for _ in 0..1000 {
            breaker.count(Some(10), 1000, 0, None).unwrap();
        }
        let failing = (1..=5000).find(|_| breaker.count(Some(10), 1, 1, Some(&fault())).is_err());
        assert!(failing.unwrap() <= 1400, "{failing:?}");
    }
}
