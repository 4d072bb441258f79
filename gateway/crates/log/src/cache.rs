//! The block cache that all readers share, bounded in bytes.
//!
//! A block is checked when it is loaded and then handed out as slices of the same memory. Eviction
//! is by second chance: close to least recently used, at constant cost.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::reader::GroupIndex;

/// Segment's ordinal and offset in it. A group and its blocks begin at different offsets.
pub(crate) type Key = (u64, u64);

/// What is kept.
#[derive(Clone, Debug)]
pub(crate) enum Cached {
    /// A group's directory and control records, small groups with their runs.
    Group(Arc<GroupIndex>),
    /// Neighbouring runs of a group.
    Block(Bytes),
}

#[derive(Debug)]
pub(crate) struct BlockCache {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Key, Entry>,
    queue: VecDeque<Key>,
    used: usize,
}

#[derive(Debug)]
struct Entry {
    value: Cached,
    bytes: usize,
    referenced: bool,
}

/// What an entry costs beside its bytes.
const ENTRY_OVERHEAD: usize = 128;

impl BlockCache {
    pub(crate) fn new(capacity: usize) -> BlockCache {
        BlockCache { capacity, inner: Mutex::default() }
    }

    pub(crate) fn group(&self, key: Key) -> Option<Arc<GroupIndex>> {
        match self.get(key)? {
            Cached::Group(group) => Some(group),
            Cached::Block(_) => None,
        }
    }

    pub(crate) fn block(&self, key: Key) -> Option<Bytes> {
        match self.get(key)? {
            Cached::Block(block) => Some(block),
            Cached::Group(_) => None,
        }
    }

    fn get(&self, key: Key) -> Option<Cached> {
        let mut inner = self.inner.lock();
        let entry = inner.entries.get_mut(&key)?;
        entry.referenced = true;
        Some(entry.value.clone())
    }

    pub(crate) fn insert(&self, key: Key, value: Cached, bytes: usize) {
        let bytes = bytes + ENTRY_OVERHEAD;
        if bytes > self.capacity {
            return;
        }
        let mut inner = self.inner.lock();
        if inner.entries.contains_key(&key) {
            return;
        }
        inner.used += bytes;
        inner.entries.insert(key, Entry { value, bytes, referenced: false });
        inner.queue.push_back(key);
        while inner.used > self.capacity {
            let Some(key) = inner.queue.pop_front() else {
                break;
            };
            match inner.entries.get_mut(&key) {
                Some(entry) if entry.referenced => {
                    entry.referenced = false;
                    inner.queue.push_back(key);
                }
                _ => {
                    if let Some(entry) = inner.entries.remove(&key) {
                        inner.used -= entry.bytes;
                    }
                }
            }
        }
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.inner.lock().used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_within_its_bytes_and_keeps_what_is_used() {
        let cache = BlockCache::new(10 * (1000 + ENTRY_OVERHEAD));
        let block = || Cached::Block(Bytes::from(vec![0; 1000]));
        cache.insert((0, 0), block(), 1000);
        for offset in 1..100 {
            assert!(cache.block((0, 0)).is_some(), "evicted at {offset}");
            cache.insert((0, offset), block(), 1000);
            assert!(cache.used() <= 10 * (1000 + ENTRY_OVERHEAD));
        }
        assert!(cache.block((0, 1)).is_none());
        assert!(cache.block((0, 99)).is_some());
        cache.insert((1, 0), block(), 100_000);
        assert!(cache.block((1, 0)).is_none());
    }
}
