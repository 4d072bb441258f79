//! A switch that somebody asked for: until it begins it can be called off, and then no more.
//!
//! Both ends settle that by one flag, so that nobody is told that nothing happened while the worker
//! switches. What comes of it is told in two steps, since the log may be full for a long time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::halt::Halt;

/// What the worker tells.
#[derive(Debug)]
pub enum Told {
    /// Nothing changed.
    Refused(Halt),
    /// The new ones are at work, from this sequence on.
    TookOver(u64),
    /// The log has it durable.
    Durable,
}

/// The worker's end.
pub struct Asked {
    tell: flume::Sender<Told>,
    settled: Arc<AtomicBool>,
}

/// The end of whoever asked.
pub struct Asking {
    told: flume::Receiver<Told>,
    settled: Arc<AtomicBool>,
}

impl Asked {
    /// Both ends.
    pub fn pair() -> (Asked, Asking) {
        let (tell, told) = flume::bounded(2);
        let settled = Arc::new(AtomicBool::new(false));
        (Asked { tell, settled: Arc::clone(&settled) }, Asking { told, settled })
    }

    /// The switch begins; `false`: it was called off.
    pub fn begin(&self) -> bool {
        !self.settled.swap(true, Ordering::AcqRel)
    }

    /// Tells; there is room for all that there is to tell.
    pub fn tell(&self, told: Told) {
        // Whoever asked may be gone; it is as it is all the same.
        let _ = self.tell.try_send(told);
    }
}

impl Asking {
    /// Calls the switch off; `false`: it has begun.
    pub fn call_off(&self) -> bool {
        !self.settled.swap(true, Ordering::AcqRel)
    }

    /// The next that the worker tells.
    ///
    /// # Errors
    /// Nothing came in that time, or nothing will.
    pub fn told(&self, patience: Duration) -> Result<Told, flume::RecvTimeoutError> {
        self.told.recv_timeout(patience)
    }
}

impl Drop for Asking {
    /// One who is gone waits for nothing.
    fn drop(&mut self) {
        self.settled.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_either_begins_or_is_called_off() {
        let (asked, asking) = Asked::pair();
        assert!(asking.call_off());
        assert!(!asked.begin());
        let (asked, asking) = Asked::pair();
        assert!(asked.begin());
        assert!(!asking.call_off(), "it has begun");
        let (asked, asking) = Asked::pair();
        drop(asking);
        assert!(!asked.begin(), "nobody waits for it");
    }
}
