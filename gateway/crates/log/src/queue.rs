//! The bounded queue between the pipeline thread and the writer thread.
//!
//! Groups carry their buffers; when they are durable the buffers come back and are filled again.
//! The queue is also where the two threads tell each other that the log is blocked, closed or
//! broken.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::LogError;
use crate::control::Control;
use crate::format::{DirectoryEntry, GroupHeader};

/// Groups that wait at most: enough to keep the writer busy over one fsync of small groups.
const MAX_GROUPS: usize = 64;

/// Bytes that wait at most (one more group is let in): four full writes.
const MAX_BYTES: usize = 4 << 20;

/// A buffer above this is given back to the allocator and not used again, so that one huge group
/// does not hold its memory for good.
const MAX_SPARE_BYTES: usize = 4 << 20;

/// Sets of buffers that are kept: the writer's, the pipeline's and two on the way.
const MAX_SPARE: usize = 4;

/// A group that is to be written. What only the writer thread knows of its head is still missing.
#[derive(Debug, Default)]
pub(crate) struct PendingGroup {
    pub(crate) header: GroupHeader,
    /// Room for the head, control records, directory.
    pub(crate) index: Vec<u8>,
    /// The runs.
    pub(crate) data: Vec<u8>,
    pub(crate) entries: Vec<DirectoryEntry>,
    /// The records of it that belong to the live control state.
    pub(crate) state: Vec<Control>,
}

impl PendingGroup {
    pub(crate) fn bytes(&self) -> usize {
        self.index.len() + self.data.len()
    }

    pub(crate) fn is_control_only(&self) -> bool {
        self.header.change_count == 0
    }

    fn clear(&mut self) {
        self.header = GroupHeader::default();
        self.index.clear();
        self.data.clear();
        self.entries.clear();
        self.state.clear();
    }
}

/// What the writer thread got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// One group or more.
    Groups,
    /// Nothing came in time.
    Nothing,
    /// The queue is closed and empty.
    Closed,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    /// For those who submit or wait until durable.
    room: Condvar,
    /// For the writer thread.
    work: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    groups: VecDeque<PendingGroup>,
    bytes: usize,
    submitted: u64,
    durable: u64,
    blocked: bool,
    closed: bool,
    poked: bool,
    /// Why the writer thread is no more.
    ended: Option<Ended>,
    spare: Vec<PendingGroup>,
}

#[derive(Clone, Debug)]
enum Ended {
    Closed,
    Failed(Arc<LogError>),
}

impl Inner {
    fn check(&self) -> Result<(), LogError> {
        match &self.ended {
            Some(Ended::Failed(cause)) => Err(LogError::Stopped(Arc::clone(cause))),
            Some(Ended::Closed) => Err(LogError::Closed),
            None => Ok(()),
        }
    }
}

impl Queue {
    /// Hands a group over and gives buffers to fill next. Waits while the queue is full or the log
    /// is blocked.
    pub(crate) fn push(&self, group: PendingGroup) -> Result<PendingGroup, LogError> {
        let mut inner = self.inner.lock();
        loop {
            inner.check()?;
            if inner.closed {
                return Err(LogError::Closed);
            }
            let full = inner.groups.len() >= MAX_GROUPS || inner.bytes >= MAX_BYTES;
            if !full && !inner.blocked {
                break;
            }
            self.room.wait(&mut inner);
        }
        inner.bytes += group.bytes();
        inner.submitted += 1;
        inner.groups.push_back(group);
        self.work.notify_one();
        Ok(inner.spare.pop().unwrap_or_default())
    }

    /// Waits until everything that was handed over is durable.
    pub(crate) fn wait_durable(&self) -> Result<(), LogError> {
        let mut inner = self.inner.lock();
        let goal = inner.submitted;
        while inner.durable < goal {
            inner.check()?;
            self.room.wait(&mut inner);
        }
        Ok(())
    }

    /// Moves waiting groups over, up to `max_bytes` and at least one.
    pub(crate) fn take(
        &self,
        into: &mut VecDeque<PendingGroup>,
        max_bytes: usize,
        timeout: Duration,
    ) -> Taken {
        let deadline = Instant::now() + timeout;
        let mut inner = self.inner.lock();
        while inner.groups.is_empty() {
            if inner.closed {
                return Taken::Closed;
            }
            if self.work.wait_until(&mut inner, deadline).timed_out() {
                return Taken::Nothing;
            }
        }
        let mut taken = 0;
        while let Some(group) = inner.groups.pop_front() {
            taken += group.bytes();
            inner.bytes -= group.bytes();
            into.push_back(group);
            let next = inner.groups.front().map_or(0, PendingGroup::bytes);
            if taken + next > max_bytes {
                break;
            }
        }
        self.room.notify_all();
        Taken::Groups
    }

    /// Says that groups are durable and gives their buffers back.
    pub(crate) fn done(&self, groups: impl Iterator<Item = PendingGroup>) {
        let mut inner = self.inner.lock();
        for mut group in groups {
            inner.durable += 1;
            let small = group.data.capacity() <= MAX_SPARE_BYTES
                && group.index.capacity() <= MAX_SPARE_BYTES;
            if small && inner.spare.len() < MAX_SPARE {
                group.clear();
                inner.spare.push(group);
            }
        }
        self.room.notify_all();
    }

    /// Says whether the log is blocked.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.inner.lock().blocked = blocked;
        self.room.notify_all();
    }

    /// The writer thread waits for better times. `false`: the log was closed.
    pub(crate) fn pause(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut inner = self.inner.lock();
        while !inner.closed && !inner.poked {
            if self.work.wait_until(&mut inner, deadline).timed_out() {
                break;
            }
        }
        inner.poked = false;
        !inner.closed
    }

    /// Something changed that may end a blockage.
    pub(crate) fn poke(&self) {
        self.inner.lock().poked = true;
        self.work.notify_one();
    }

    /// No further group is taken; the writer thread ends when it has written those that wait, or
    /// at once when it is blocked.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
        self.work.notify_all();
        self.room.notify_all();
    }

    /// The writer thread is no more, and why.
    pub(crate) fn ended(&self, error: Option<LogError>) {
        let mut inner = self.inner.lock();
        inner.ended = Some(match error {
            Some(error) => Ended::Failed(Arc::new(error)),
            None => Ended::Closed,
        });
        drop(inner);
        self.room.notify_all();
    }

    /// Groups that wait.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().groups.len()
    }
}
