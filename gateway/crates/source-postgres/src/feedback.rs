//! What the server is told: how far everything is durable, and that we are alive.
//!
//! Flushed is what the pipeline acknowledged and nothing else, and never moves back (rules R1 to
//! R4 of the design's reliability notes). When a message is due is decided here; the stream sends
//! it, whether or not anybody takes the changes.

use std::time::{Duration, Instant};

use offtake_change::Lsn;
use offtake_pgoutput::{StandbyStatusUpdate, unix_to_postgres_us};

/// Shortest time between messages that only say that more is durable.
const ACKNOWLEDGE_INTERVAL: Duration = Duration::from_millis(200);

/// Longest time without a message, whatever is configured: a fraction of the server's patience.
const PATIENCE_PARTS: u32 = 3;

#[derive(Debug)]
pub(crate) struct Feedback {
    interval: Duration,
    received: Lsn,
    flushed: Lsn,
    sent_flushed: Lsn,
    sent_at: Option<Instant>,
    /// The server asked for an answer.
    demanded: bool,
    /// The next message asks the server for a keepalive.
    ask: bool,
}

impl Feedback {
    /// `timeout_ms` is the server's `wal_sender_timeout`.
    pub(crate) fn new(interval: Duration, timeout_ms: u64, flushed: Lsn) -> Feedback {
        let patience = Duration::from_millis(timeout_ms) / PATIENCE_PARTS;
        Feedback {
            interval: if timeout_ms == 0 { interval } else { interval.min(patience) },
            received: flushed,
            flushed,
            sent_flushed: Lsn::ZERO,
            sent_at: None,
            demanded: false,
            ask: false,
        }
    }

    pub(crate) fn received(&mut self, place: Lsn) {
        self.received = self.received.max(place);
    }

    pub(crate) fn acknowledged(&mut self, place: Lsn) {
        self.flushed = self.flushed.max(place);
    }

    pub(crate) fn demand(&mut self) {
        self.demanded = true;
    }

    /// Sends a message soon that asks for a keepalive.
    pub(crate) fn ask_for_keepalive(&mut self) {
        self.ask = true;
        self.demanded = true;
    }

    /// When the next message is due.
    pub(crate) fn due(&self) -> Instant {
        let now = Instant::now();
        let Some(sent_at) = self.sent_at else { return now };
        if self.demanded {
            now
        } else if self.flushed > self.sent_flushed {
            sent_at + ACKNOWLEDGE_INTERVAL.min(self.interval)
        } else {
            sent_at + self.interval
        }
    }

    /// The message, which is then counted as sent.
    pub(crate) fn message(&mut self, now_unix_us: i64) -> StandbyStatusUpdate {
        let message = StandbyStatusUpdate {
            written: self.received.max(self.flushed).0,
            flushed: self.flushed.0,
            applied: self.flushed.0,
            client_time: unix_to_postgres_us(now_unix_us),
            reply_requested: self.ask,
        };
        self.sent_flushed = self.flushed;
        self.sent_at = Some(Instant::now());
        self.demanded = false;
        self.ask = false;
        message
    }

    /// Furthest place received.
    pub(crate) fn furthest(&self) -> Lsn {
        self.received
    }

    pub(crate) fn flushed(&self) -> Lsn {
        self.flushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushed_is_what_was_acknowledged_and_never_moves_back() {
        let mut feedback = Feedback::new(Duration::from_secs(10), 0, Lsn(5));
        feedback.received(Lsn(100));
        assert_eq!((feedback.message(0).written, feedback.message(0).flushed), (100, 5));
        feedback.acknowledged(Lsn(50));
        feedback.acknowledged(Lsn(40));
        let message = feedback.message(0);
        assert_eq!((message.written, message.flushed, message.applied), (100, 50, 50));
        feedback.acknowledged(Lsn(200));
        assert_eq!(feedback.message(0).written, 200, "written is never behind flushed");
    }

    #[test]
    fn a_message_is_due_at_once_when_demanded_and_soon_when_more_is_durable() {
        let mut feedback = Feedback::new(Duration::from_secs(10), 60_000, Lsn(5));
        assert!(feedback.due() <= Instant::now());
        feedback.message(0);
        assert!(feedback.due() > Instant::now() + Duration::from_secs(8));
        feedback.acknowledged(Lsn(6));
        assert!(feedback.due() < Instant::now() + Duration::from_secs(1));
        feedback.ask_for_keepalive();
        assert!(feedback.due() <= Instant::now());
        assert!(feedback.message(0).reply_requested);
        assert!(!feedback.message(0).reply_requested);
    }

    #[test]
    fn an_impatient_server_hears_more_often() {
        let mut feedback = Feedback::new(Duration::from_secs(10), 3_000, Lsn(5));
        feedback.message(0);
        feedback.message(0);
        assert!(feedback.due() < Instant::now() + Duration::from_millis(1_100));
    }
}
