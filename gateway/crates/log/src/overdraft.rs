//! Growing past the size limit for a moment, so that a full log can move on.
//!
//! A log at its limit waits for the reader that holds its oldest changes. Where that reader itself
//! waits for something to be written (a dead letter, before it may pass the change), both would
//! wait for ever. While an overdraft is held the limit blocks nobody. What enters meanwhile is
//! bounded by the queue, and by the pipeline, which writes what is waited for before it takes in
//! anything further. A full disk is not helped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Log;
use crate::log::Shared;

/// Overdrafts that are held.
#[derive(Debug, Default)]
pub(crate) struct Overdrafts(AtomicUsize);

impl Overdrafts {
    pub(crate) fn is_held(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// While it lives, the log's size limit blocks nobody.
#[derive(Debug)]
pub struct Overdraft {
    shared: Arc<Shared>,
}

impl Log {
    /// Lets the log pass its size limit until the answer is dropped. For whoever waits for a record
    /// that the pipeline is about to write and pins the log meanwhile; see the module.
    pub fn overdraw(&self) -> Overdraft {
        self.shared.overdrafts.0.fetch_add(1, Ordering::AcqRel);
        self.shared.queue.poke();
        Overdraft { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Overdraft {
    fn drop(&mut self) {
        self.shared.overdrafts.0.fetch_sub(1, Ordering::AcqRel);
    }
}
