//! The shared handle: what is durable, what is held, and where readers and pins begin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_proto::v1;
use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::watch;

use crate::cache::BlockCache;
use crate::disk::Lock;
use crate::options::{Environment, LogOptions};
use crate::overdraft::Overdrafts;
use crate::queue::Queue;
use crate::reader::Reader;
use crate::retention::{Pin, Pins};
use crate::segment::SegmentList;
use crate::stats::{Blocked, LogStats, StreamStats, SyncMeter};
use crate::{ReadError, Selection};

/// What is durable.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durable {
    /// Last durable sequence; 0: none.
    pub sequence: u64,
    /// The source's last durable position.
    pub position: Option<Arc<v1::SourcePosition>>,
}

/// What the writer thread, the pipeline thread and the readers share.
pub(crate) struct Shared {
    pub(crate) id: [u8; 16],
    pub(crate) environment: Environment,
    pub(crate) options: LogOptions,
    pub(crate) segments: RwLock<SegmentList>,
    pub(crate) registry: RwLock<Registry>,
    pub(crate) pins: Pins,
    pub(crate) overdrafts: Overdrafts,
    pub(crate) durable: watch::Sender<Durable>,
    pub(crate) wake: Wake,
    pub(crate) cache: BlockCache,
    pub(crate) queue: Queue,
    pub(crate) sync: SyncMeter,
    pub(crate) blocked: Mutex<Option<Blocked>>,
    /// Nobody else opens the folder, let alone removes it, while somebody still reads here: a
    /// pipeline that has halted serves its log.
    pub(crate) _lock: Lock,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shared").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Schemas and streams that are durable, which goes with which, and the plugins at work.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) schemas: BTreeMap<u32, Arc<v1::Schema>>,
    pub(crate) streams: BTreeMap<u32, Arc<str>>,
    /// Stream and schema of every run that is held, or was since the log was opened.
    pub(crate) pairs: BTreeSet<(u32, u32)>,
    /// The last activation of every plugin, by its name.
    pub(crate) plugins: BTreeMap<String, v1::PluginActivation>,
    /// The last state of every table's snapshot, by namespace and name.
    pub(crate) snapshots: BTreeMap<(String, String), v1::SnapshotProgress>,
}

/// Wakes readers on plain threads.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    version: Mutex<u64>,
    changed: Condvar,
}

impl Wake {
    pub(crate) fn version(&self) -> u64 {
        *self.version.lock()
    }

    pub(crate) fn notify(&self) {
        *self.version.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits until the version is another. `false`: it is still the same.
    pub(crate) fn wait(&self, seen: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut version = self.version.lock();
        while *version == seen {
            if self.changed.wait_until(&mut version, deadline).timed_out() {
                return *version != seen;
            }
        }
        true
    }
}

/// A handle on the log for everybody but the pipeline thread. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Log {
    pub(crate) shared: Arc<Shared>,
}

impl Log {
    /// The log's identity, random and for good.
    pub fn id(&self) -> [u8; 16] {
        self.shared.id
    }

    /// Follows what is durable.
    pub fn durable(&self) -> watch::Receiver<Durable> {
        self.shared.durable.subscribe()
    }

    /// The first sequence that is still held; one more than the last where no change is.
    pub fn earliest_sequence(&self) -> u64 {
        self.shared.segments.read().oldest().first_sequence
    }

    /// A reader of what follows a sequence. Give `earliest_sequence() - 1` for everything.
    ///
    /// # Errors
    /// The sequence is no longer held, or not yet; the folder cannot be read.
    pub fn reader(&self, after: u64, streams: Selection) -> Result<Reader, ReadError> {
        Reader::new(Arc::clone(&self.shared), after, streams)
    }

    /// A durable schema by its log-wide id.
    pub fn schema(&self, id: u32) -> Option<Arc<v1::Schema>> {
        self.shared.registry.read().schemas.get(&id).cloned()
    }

    /// A durable stream's name by its log-wide id.
    pub fn stream_name(&self, id: u32) -> Option<Arc<str>> {
        self.shared.registry.read().streams.get(&id).cloned()
    }

    /// All durable streams, in the order of their ids.
    pub fn streams(&self) -> Vec<v1::Stream> {
        let registry = self.shared.registry.read();
        let stream = |(id, name): (&u32, &Arc<str>)| v1::Stream { id: *id, name: name.to_string() };
        registry.streams.iter().map(stream).collect()
    }

    /// All durable schemas, in the order of their ids.
    pub fn schemas(&self) -> Vec<Arc<v1::Schema>> {
        self.shared.registry.read().schemas.values().cloned().collect()
    }

    /// The durable schemas of a stream's changes, in the order of their ids: of those that are held,
    /// and of those that were since the log was opened.
    pub fn schemas_of(&self, stream: u32) -> Vec<Arc<v1::Schema>> {
        let registry = self.shared.registry.read();
        let pairs = registry.pairs.range((stream, 0)..=(stream, u32::MAX));
        pairs.filter_map(|(_, schema)| registry.schemas.get(schema).cloned()).collect()
    }

    /// The last durable activation of every plugin, in the order of their names.
    pub fn plugins(&self) -> Vec<v1::PluginActivation> {
        self.shared.registry.read().plugins.values().cloned().collect()
    }

    /// The last durable state of every table's snapshot.
    pub fn snapshots(&self) -> Vec<v1::SnapshotProgress> {
        self.shared.registry.read().snapshots.values().cloned().collect()
    }

    /// Keeps everything after a sequence until the pin is advanced or dropped.
    ///
    /// Nothing is deleted before the first group is submitted, so whoever has a cursor from an
    /// earlier run pins it between [`crate::open`] and the first [`crate::LogWriter::submit`].
    pub fn pin(&self, name: &str, after: u64) -> Pin {
        Pin::new(Arc::clone(&self.shared), name, after)
    }

    /// Figures. Asks the disk for its free space, so not for a hot path.
    pub fn stats(&self) -> LogStats {
        let shared = &self.shared;
        let last_sequence = shared.durable.borrow().sequence;
        let segments = shared.segments.read();
        LogStats {
            bytes: segments.bytes(),
            segments: segments.0.len(),
            first_sequence: segments.oldest().first_sequence,
            last_sequence,
            blocked: shared.blocked.lock().clone(),
            queued_groups: shared.queue.len(),
            sync: shared.sync.stats(),
            streams: self.stream_stats(&segments),
            pins: shared.pins.list(),
            cache_bytes: shared.cache.used(),
            free_bytes: shared.environment.disk.free_bytes().ok(),
        }
    }

    /// Ends the writer: what is queued is written, except while the log is blocked; a `submit` or
    /// `flush` that waits for space returns [`crate::LogError::Closed`]. Reading goes on.
    pub fn close(&self) {
        self.shared.queue.close();
    }

    fn stream_stats(&self, segments: &SegmentList) -> Vec<StreamStats> {
        let registry = self.shared.registry.read();
        let mut streams: BTreeMap<u32, StreamStats> = BTreeMap::new();
        for (&stream, name) in &registry.streams {
            let name = name.to_string();
            streams.insert(stream, StreamStats { stream, name, changes: 0, bytes: 0 });
        }
        for segment in &segments.0 {
            segment.with_index(|index| {
                for (stream, count) in &index.streams {
                    if let Some(stats) = streams.get_mut(stream) {
                        stats.changes += count.changes;
                        stats.bytes += count.bytes;
                    }
                }
            });
        }
        streams.into_values().collect()
    }
}
