//! The writer thread: appends groups, makes them durable, says so.
//!
//! It takes what is queued when the last sync returns, so that under load a sync serves many
//! groups and without load a group waits for nobody. When the disk or the log is full it keeps
//! trying; when a sync fails it ends the process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use offtake_failpoint::crash_point;

use crate::LogError;
use crate::control::{Control, ControlState};
use crate::disk::{Disk, DiskFile};
use crate::format::{DirectoryEntry, GROUP_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentIndex};
use crate::load;
use crate::log::{Durable, Shared};
use crate::queue::{PendingGroup, Taken};
use crate::recover::table;
use crate::retention::{self, Deletion, Reserve};
use crate::roll::create_segment;
use crate::segment::Segment;
use crate::stats::{Blocked, BlockedReason};

/// Bytes that one sync covers, but always one group at least.
const WRITE_BYTES: usize = 1 << 20;

/// Groups that one sync covers at most.
const WRITE_GROUPS: usize = 512;

/// Shortest and longest time between two attempts while the log is blocked.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How often age is looked at while nothing is written.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);

/// The writer thread's own state.
pub(crate) struct Appender {
    pub(crate) shared: Arc<Shared>,
    pub(crate) state: ControlState,
    pub(crate) segment: Arc<Segment>,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) reserve: Reserve,
    pub(crate) next_sequence: u64,
}

/// Why a write did not happen.
#[derive(Debug)]
enum Hindrance {
    /// It can be tried again later.
    Full(BlockedReason),
    /// The thread ends.
    Fatal(LogError),
}

impl From<LogError> for Hindrance {
    fn from(error: LogError) -> Hindrance {
        if error.is_disk_full() {
            Hindrance::Full(BlockedReason::DiskFull)
        } else {
            Hindrance::Fatal(error)
        }
    }
}

impl Appender {
    /// Runs until the queue is closed or the log cannot go on.
    pub(crate) fn run(mut self) {
        let outcome = self.work();
        if let Err(error) = &outcome {
            tracing::error!(code = error.code(), %error, "the log's writer stopped");
        }
        let Appender { shared, .. } = self;
        shared.queue.ended(outcome.err());
        shared.wake.notify();
    }

    fn work(&mut self) -> Result<(), LogError> {
        let mut pending = VecDeque::new();
        // Nothing is deleted before the first group: pins are not there yet.
        let mut started = false;
        loop {
            let taken = self.shared.queue.take(&mut pending, WRITE_BYTES, IDLE_INTERVAL);
            started |= taken == Taken::Groups;
            match taken {
                Taken::Closed => return Ok(()),
                Taken::Nothing if started => self.look_at_age()?,
                Taken::Nothing | Taken::Groups => {}
            }
            while !pending.is_empty() {
                if !self.write(&mut pending)? {
                    return Ok(());
                }
            }
        }
    }

    /// Writes some of the groups, waiting for space as long as it takes. `false`: closed meanwhile.
    fn write(&mut self, pending: &mut VecDeque<PendingGroup>) -> Result<bool, LogError> {
        let mut pause = RETRY.0;
        loop {
            let reason = match self.try_write(pending) {
                Ok(()) => return Ok(true),
                Err(Hindrance::Fatal(error)) => return Err(error),
                Err(Hindrance::Full(reason)) => reason,
            };
            self.set_blocked(Some(reason));
            if !self.shared.queue.pause(pause) {
                return Ok(false);
            }
            pause = (pause * 2).min(RETRY.1);
        }
    }

    fn try_write(&mut self, pending: &mut VecDeque<PendingGroup>) -> Result<(), Hindrance> {
        let Some(first) = pending.front() else {
            return Ok(());
        };
        let (first_bytes, control_only) = (first.bytes() as u64, first.is_control_only());
        let now = (self.shared.environment.now)();
        retention::delete_aged(&self.shared, now)?;
        self.make_room(first_bytes, control_only)?;
        if self.must_roll(first_bytes, now) {
            let rolled = self.roll(now);
            self.with_reserve(rolled, control_only, now, |this| this.roll(now))?;
        }
        let mut count = self.fitting(pending);
        let mut appended = self.append(pending, count, now);
        if count > 1 && appended.as_ref().is_err_and(LogError::is_disk_full) {
            count = 1;
            appended = self.append(pending, count, now);
        }
        self.with_reserve(appended, control_only, now, |this| {
            count = 1;
            this.append(pending, count, now)
        })?;
        self.sync()?;
        self.set_blocked(None);
        self.publish(pending, count);
        self.reserve.restore(self.shared.environment.disk.as_ref(), now);
        Ok(())
    }

    /// Tries once more with the reserve's space what failed for want of space, for control records
    /// only.
    fn with_reserve(
        &mut self,
        outcome: Result<(), LogError>,
        control_only: bool,
        now: i64,
        again: impl FnOnce(&mut Appender) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        match outcome {
            Err(error) if error.is_disk_full() && control_only => {
                let disk = Arc::clone(&self.shared.environment.disk);
                if self.reserve.release(disk.as_ref(), now) { again(self) } else { Err(error) }
            }
            outcome => outcome,
        }
    }

    /// Deletes the oldest segments until the log has its size again.
    fn make_room(&self, bytes: u64, control_only: bool) -> Result<(), Hindrance> {
        let options = &self.shared.options;
        // Control records may pass the limit a little: they are how a full log moves on.
        let extra = if control_only { options.reserve_bytes } else { 0 };
        loop {
            let total = self.shared.segments.read().bytes();
            if total.saturating_add(bytes) <= options.retain_bytes.saturating_add(extra) {
                return Ok(());
            }
            match retention::delete_oldest(&self.shared)? {
                Deletion::Done => {}
                Deletion::NothingClosed => return Ok(()),
                Deletion::Held(_) if self.shared.overdrafts.is_held() => return Ok(()),
                Deletion::Held(pin) => {
                    return Err(Hindrance::Full(BlockedReason::RetainBytes { pin }));
                }
            }
        }
    }

    /// How many of the groups go into one write.
    fn fitting(&self, pending: &VecDeque<PendingGroup>) -> usize {
        let limit = self.shared.options.effective_segment_bytes();
        let mut end = self.segment.durable_bytes();
        let mut count = 0;
        for group in pending.iter().take(WRITE_GROUPS) {
            end += group.bytes() as u64;
            if count > 0 && end > limit {
                break;
            }
            count += 1;
        }
        count
    }

    fn append(
        &self,
        pending: &mut VecDeque<PendingGroup>,
        count: usize,
        now: i64,
    ) -> Result<(), LogError> {
        let start = self.segment.durable_bytes();
        let first_ordinal = self.segment.with_index(|index| index.group_count);
        let mut head = Vec::with_capacity(GROUP_HEADER_BYTES);
        for (group, ordinal) in pending.iter_mut().take(count).zip(first_ordinal..) {
            group.header.ordinal = ordinal;
            group.header.segment = self.segment.ordinal;
            group.header.synced_offset = start;
            group.header.written_unix_ns = now;
            head.clear();
            group.header.encode(&mut head);
            if let Some(room) = group.index.get_mut(..GROUP_HEADER_BYTES) {
                room.copy_from_slice(&head);
            }
        }
        let groups = pending.iter().take(count);
        let parts: Vec<&[u8]> =
            groups.flat_map(|group| [group.index.as_slice(), group.data.as_slice()]).collect();
        crash_point("log.before_append");
        let written = self.file.write_at(&parts, start);
        crash_point("log.after_append");
        written.map_err(|error| {
            let error = LogError::io("write", self.segment.name.log_file())(error);
            match self.cut_back(start) {
                Ok(()) => error,
                Err(worse) => worse,
            }
        })
    }

    /// Removes what a failed write left behind, durably: a later crash must not find it before
    /// groups that were written after it.
    fn cut_back(&self, end: u64) -> Result<(), LogError> {
        let name = self.segment.name.log_file();
        self.file.set_len(end).map_err(LogError::io("cut", name.clone()))?;
        self.file.sync_data().map_err(LogError::io("sync", name)).inspect_err(|error| {
            (self.shared.environment.on_sync_failure)(error);
        })
    }

    fn sync(&self) -> Result<(), Hindrance> {
        crash_point("log.before_fsync");
        let started = Instant::now();
        let synced = self.file.sync_data();
        self.shared.sync.record(started.elapsed());
        if let Err(error) = synced {
            let error = LogError::io("sync", self.segment.name.log_file())(error);
            (self.shared.environment.on_sync_failure)(&error);
            return Err(Hindrance::Fatal(error));
        }
        crash_point("log.after_fsync");
        Ok(())
    }

    /// Lets readers see the groups, and gives their buffers back.
    fn publish(&mut self, pending: &mut VecDeque<PendingGroup>, count: usize) {
        for group in pending.iter_mut().take(count) {
            for control in group.state.drain(..) {
                self.register(&control);
                self.state.apply(control);
            }
            self.next_sequence = group.header.next_sequence();
            self.register_pairs(&group.entries);
        }
        let mut offset = self.segment.durable_bytes();
        for group in pending.iter().take(count) {
            load::keep_written(&self.shared, &self.segment, offset, group);
            offset += u64::from(group.header.total_bytes);
        }
        self.segment.grow(|index| {
            for group in pending.iter().take(count) {
                index.add_group(&group.header, &group.entries);
            }
        });
        let durable =
            Durable { sequence: self.next_sequence - 1, position: self.state.position.clone() };
        self.shared.durable.send_replace(durable);
        self.shared.wake.notify();
        self.shared.queue.done(pending.drain(..count));
    }

    fn register(&self, control: &Control) {
        match control {
            Control::Schema(schema) => {
                let mut registry = self.shared.registry.write();
                registry.schemas.insert(schema.id, Arc::new(schema.clone()));
            }
            Control::Stream(stream) => {
                let mut registry = self.shared.registry.write();
                registry.streams.insert(stream.id, stream.name.as_str().into());
            }
            Control::PluginActivation(plugin) => {
                let mut registry = self.shared.registry.write();
                registry.plugins.insert(plugin.name.clone(), plugin.clone());
            }
            Control::SnapshotProgress(progress) => {
                let mut registry = self.shared.registry.write();
                registry.snapshots.insert(table(progress), progress.clone());
            }
            _ => {}
        }
    }

    /// Remembers which streams carry which schemas. Mostly it is known, and nobody is kept waiting.
    fn register_pairs(&self, entries: &[DirectoryEntry]) {
        let pair = |entry: &DirectoryEntry| (entry.stream, entry.schema);
        let is_known = {
            let registry = self.shared.registry.read();
            entries.iter().all(|entry| registry.pairs.contains(&pair(entry)))
        };
        if !is_known {
            self.shared.registry.write().pairs.extend(entries.iter().map(pair));
        }
    }

    fn must_roll(&self, next_bytes: u64, now: i64) -> bool {
        let holds_more_than_its_checkpoint = self.segment.with_index(|index| index.group_count) > 1;
        let limit = self.shared.options.effective_segment_bytes();
        let full = self.segment.durable_bytes() + next_bytes > limit;
        // Without this a quiet log would keep its oldest change far longer than asked.
        let old = self
            .shared
            .options
            .retain_age
            .is_some_and(|age| retention::is_older(self.segment.created_unix_ns, now, age / 4));
        holds_more_than_its_checkpoint && (full || old)
    }

    fn look_at_age(&mut self) -> Result<(), LogError> {
        let now = (self.shared.environment.now)();
        if self.must_roll(0, now) {
            match self.roll(now) {
                Err(error) if !error.is_disk_full() => return Err(error),
                _ => {}
            }
        }
        retention::delete_aged(&self.shared, now)
    }

    /// Begins the next segment and closes this one.
    fn roll(&mut self, now: i64) -> Result<(), LogError> {
        let environment = &self.shared.environment;
        let begun = create_segment(
            environment,
            self.shared.id,
            self.segment.name.next(self.next_sequence),
            self.segment.ordinal + 1,
            &self.state,
            now,
        )?;
        let closed = std::mem::replace(&mut self.segment, Arc::new(begun.segment));
        self.file = begun.file;
        write_index(environment.disk.as_ref(), &closed);
        self.shared.segments.write().0.push_back(Arc::clone(&self.segment));
        self.shared.wake.notify();
        Ok(())
    }

    fn set_blocked(&self, reason: Option<BlockedReason>) {
        let mut blocked = self.shared.blocked.lock();
        if blocked.as_ref().map(|blocked| &blocked.reason) == reason.as_ref() {
            return;
        }
        match &reason {
            Some(BlockedReason::DiskFull) => tracing::error!(
                code = "LOG_BLOCKED_DISK_FULL",
                "the disk is full, the source waits; free space and the log goes on by itself"
            ),
            Some(BlockedReason::RetainBytes { pin }) => tracing::error!(
                code = "LOG_BLOCKED_RETAIN_BYTES",
                pin,
                "the log has its full size and a reader still needs it, the source waits"
            ),
            None => tracing::info!("the log has space again and goes on"),
        }
        let is_blocked = reason.is_some();
        *blocked = reason.map(|reason| Blocked { reason, since: SystemTime::now() });
        drop(blocked);
        self.shared.queue.set_blocked(is_blocked);
    }
}

/// Writes the sidecar of a closed segment. It can be rebuilt, so a failure only costs a scan at the
/// next start.
pub(crate) fn write_index(disk: &dyn Disk, segment: &Segment) {
    let bytes = segment.with_index(SegmentIndex::encode);
    let name = segment.name.index_file();
    let aside = format!("{name}.tmp");
    let written = disk
        .create(&aside)
        .and_then(|file| file.write_at(&[&bytes], 0))
        .and_then(|()| disk.rename(&aside, &name));
    if let Err(error) = written {
        tracing::warn!(%error, file = name, "no index for a closed segment");
        let _ = disk.remove(&aside);
    }
}

const _: () = assert!(SEGMENT_HEADER_BYTES == 64 && GROUP_HEADER_BYTES == 72);
