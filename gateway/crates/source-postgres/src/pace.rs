//! How often the network is read while much arrives.
//!
//! The server writes a change at a time, so a reader that keeps up is woken for every few hundred
//! bytes, and the wake-ups cost it and the server more than the changes do. While bytes come at a
//! high rate the next read therefore waits a moment and then finds many changes at once. Nothing
//! waits when little comes, so latency at low rates is as it was.
//!
//! The pause blocks the thread: the runtime's timers are too coarse for it, and the source runs on a
//! thread of its own.

use std::time::{Duration, Instant};

/// The rate is judged over this time.
const WINDOW: Duration = Duration::from_millis(1);
/// That many bytes within the window are much: about 16 MB a second.
const MUCH_BYTES: usize = 16 << 10;
/// A read of this size is worth its wake-up as it is.
const LARGE_READ_BYTES: usize = 64 << 10;
/// Long enough for a hundred changes, short enough to be lost in a network's own delay. With 200 µs
/// the gateway takes half as much again of CPU a change, and the server a tenth.
const PAUSE: Duration = Duration::from_millis(1);

/// Measures what arrives, and pauses after a small read of a fast stream.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    bytes: usize,
    is_fast: bool,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Pace {
        Pace { began: now, bytes: 0, is_fast: false }
    }

    /// Takes note of a read.
    pub(crate) fn read(&mut self, bytes: usize) {
        if self.note(bytes, Instant::now()) {
            std::thread::sleep(PAUSE);
        }
    }

    /// Whether the next read should wait.
    fn note(&mut self, bytes: usize, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed >= WINDOW {
            // A gap of several windows is no rate to go by.
            self.is_fast = self.bytes >= MUCH_BYTES && elapsed < 4 * WINDOW;
            self.began = now;
            self.bytes = 0;
        }
        self.bytes += bytes;
        (self.is_fast || self.bytes >= MUCH_BYTES) && bytes < LARGE_READ_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_stream_of_small_reads_is_paced_and_a_slow_one_or_large_reads_are_not() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        assert!(!pace.note(500, now));
        let mut paused = 0;
        for _ in 0..100 {
            now += Duration::from_micros(20);
            paused += u32::from(pace.note(800, now));
        }
        assert!(paused > 50, "{paused}");
        now += Duration::from_millis(50);
        for _ in 0..100 {
            assert!(!pace.note(500, now));
            now += Duration::from_millis(5);
        }
        assert!(!pace.note(LARGE_READ_BYTES, now));
    }
}
