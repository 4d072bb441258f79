//! What the service is doing: its subscribers, for `status` and the metrics.
//!
//! A subscription counts into atomics of its own; a snapshot is taken by whoever asks. Latency is one
//! histogram over all subscribers; which commits it counts is decided in `latency.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use offtake_change::Histogram;
use parking_lot::Mutex;

/// Live figures of the service.
#[derive(Debug, Default)]
pub struct GrpcStatus {
    subscribers: Mutex<BTreeMap<u64, Arc<Subscriber>>>,
    next_id: AtomicU64,
    refused: AtomicU64,
    changes: AtomicU64,
    bytes: AtomicU64,
    source_lag_bytes: AtomicU64,
    latency: Arc<Histogram>,
}

/// One subscriber at the time of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriberStatus {
    /// Number of the subscription, from 1, unique while the process lives.
    pub id: u64,
    /// Where the client connects from.
    pub peer: Option<SocketAddr>,
    /// Names or globs that it asked for; empty: all streams.
    pub streams: Vec<String>,
    /// Everything up to here was handed to HTTP/2 or is of other streams.
    pub sequence: u64,
    /// Changes handed to HTTP/2.
    pub changes: u64,
    /// Bytes handed to HTTP/2.
    pub bytes: u64,
    /// When the subscription began.
    pub since: SystemTime,
    /// Everything durable was handed on: the subscription waits for the log, not for the client.
    pub waiting: bool,
}

/// A subscriber's own counters.
#[derive(Debug)]
pub(crate) struct Subscriber {
    id: u64,
    peer: Option<SocketAddr>,
    streams: Vec<String>,
    since: SystemTime,
    sequence: AtomicU64,
    changes: AtomicU64,
    bytes: AtomicU64,
    waiting: AtomicBool,
}

/// Keeps a subscriber on the list; dropping it takes the subscriber off.
#[derive(Debug)]
pub(crate) struct Registration {
    status: Arc<GrpcStatus>,
    subscriber: Arc<Subscriber>,
}

impl GrpcStatus {
    /// The subscribers, oldest first.
    pub fn subscribers(&self) -> Vec<SubscriberStatus> {
        self.subscribers.lock().values().map(|subscriber| subscriber.snapshot()).collect()
    }

    /// Number of subscribers.
    pub fn subscriber_count(&self) -> usize {
        self.subscribers.lock().len()
    }

    /// Subscriptions refused since the start, over the limit or for their cursor.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Changes handed to HTTP/2 since the start, over all subscribers, those that left included.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Bytes handed to HTTP/2 since the start, over all subscribers, those that left included.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// From a commit in the source until it was handed to HTTP/2, over all subscribers, gone ones
    /// included; what a subscriber reads before it has caught up for the first time is left out.
    pub fn latency(&self) -> Arc<Histogram> {
        Arc::clone(&self.latency)
    }

    /// Takes how far the source's log is ahead of ours; Progress frames tell it to subscribers.
    pub fn set_source_lag_bytes(&self, bytes: u64) {
        self.source_lag_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Lists a new subscriber, unless there are `limit` already.
    pub(crate) fn register(
        self: &Arc<GrpcStatus>,
        limit: usize,
        peer: Option<SocketAddr>,
        streams: Vec<String>,
    ) -> Option<Registration> {
        let mut subscribers = self.subscribers.lock();
        if subscribers.len() >= limit {
            return None;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let subscriber = Arc::new(Subscriber {
            id,
            peer,
            streams,
            since: SystemTime::now(),
            sequence: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
        });
        subscribers.insert(id, Arc::clone(&subscriber));
        Some(Registration { status: Arc::clone(self), subscriber })
    }
}

impl Subscriber {
    fn snapshot(&self) -> SubscriberStatus {
        SubscriberStatus {
            id: self.id,
            peer: self.peer,
            streams: self.streams.clone(),
            sequence: self.sequence.load(Ordering::Relaxed),
            changes: self.changes.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            since: self.since,
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }
}

impl Registration {
    pub(crate) fn source_lag_bytes(&self) -> u64 {
        self.status.source_lag_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn latency(&self) -> &Histogram {
        &self.status.latency
    }

    pub(crate) fn id(&self) -> u64 {
        self.subscriber.id
    }

    pub(crate) fn count_bytes(&self, bytes: usize) {
        self.subscriber.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.status.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_changes(&self, changes: u64) {
        self.subscriber.changes.fetch_add(changes, Ordering::Relaxed);
        self.status.changes.fetch_add(changes, Ordering::Relaxed);
    }

    pub(crate) fn set_sequence(&self, sequence: u64) {
        self.subscriber.sequence.store(sequence, Ordering::Relaxed);
    }

    pub(crate) fn set_waiting(&self, waiting: bool) {
        self.subscriber.waiting.store(waiting, Ordering::Relaxed);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.status.subscribers.lock().remove(&self.subscriber.id);
        tracing::debug!(subscriber = self.subscriber.id, "a subscription is over");
    }
}
