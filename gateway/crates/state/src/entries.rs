//! The entries of one plugin, with what they weigh and when they end.
//!
//! Time only moves forward, by whole seconds of commit times. An entry that ends is gone at the
//! moment that time reaches its end, whether or not anybody looks: what remains follows from the
//! changes alone. Before the first commit time is known (rows of the first copy of a table have
//! none) the ends count from that first one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use offtake_proto::v1;

/// What an entry weighs beside its key and value, in bytes.
pub const ENTRY_BYTES: u64 = 64;

/// A value, and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: Arc<[u8]>,
    /// The second from which on it is gone; `None`: never.
    pub(crate) expires: Option<i64>,
}

/// What an entry counts for against the quota.
pub(crate) fn weight(key: &[u8], value: &[u8]) -> u64 {
    key.len() as u64 + value.len() as u64 + ENTRY_BYTES
}

/// The entries of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    by_key: HashMap<Arc<[u8]>, Entry>,
    by_end: BTreeSet<(i64, Arc<[u8]>)>,
    bytes: u64,
    time: i64,
}

impl Entries {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// What they weigh together, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Seconds since 1970-01-01 UTC that time has come to; 0: no commit time is known.
    pub fn time(&self) -> i64 {
        self.time
    }

    /// The entry of a key, if it is still there at a time that is not before the entries' own.
    pub(crate) fn at(&self, key: &[u8], now: i64) -> Option<&Entry> {
        let is_live = |entry: &&Entry| self.time == 0 || entry.expires.is_none_or(|end| end > now);
        self.by_key.get(key).filter(is_live)
    }

    /// The entry of a key as of the entries' own time.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.by_key.get(key)
    }

    /// What those entries weigh that end by then.
    pub(crate) fn ending(&self, now: i64) -> u64 {
        if self.time == 0 || now <= self.time {
            return 0;
        }
        let ended = self.by_end.iter().take_while(|(end, _)| *end <= now);
        ended.map(|(_, key)| self.by_key.get(key).map_or(0, |it| weight(key, &it.value))).sum()
    }

    /// Moves time forward and forgets what ends by then.
    pub(crate) fn advance(&mut self, now: i64) {
        if now <= self.time {
            return;
        }
        if self.time == 0 {
            // Ends that were counted from the first commit time: this is it.
            self.by_end.clear();
            for (key, entry) in &mut self.by_key {
                if let Some(end) = &mut entry.expires {
                    *end = end.saturating_add(now);
                    self.by_end.insert((*end, Arc::clone(key)));
                }
            }
        }
        self.time = now;
        while let Some((end, _)) = self.by_end.first()
            && *end <= now
            && let Some((_, key)) = self.by_end.pop_first()
        {
            if let Some(entry) = self.by_key.remove(&key) {
                self.bytes -= weight(&key, &entry.value);
            }
        }
    }

    pub(crate) fn put(&mut self, key: Arc<[u8]>, entry: Entry) {
        self.remove(&key);
        self.bytes += weight(&key, &entry.value);
        if let Some(end) = entry.expires {
            self.by_end.insert((end, Arc::clone(&key)));
        }
        self.by_key.insert(key, entry);
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        let Some((key, entry)) = self.by_key.remove_entry(key) else { return };
        self.bytes -= weight(&key, &entry.value);
        if let Some(end) = entry.expires {
            self.by_end.remove(&(end, key));
        }
    }

    /// Takes in a delta, which is of this plugin.
    pub(crate) fn apply(&mut self, delta: &v1::StateDelta) {
        if delta.cleared {
            *self = Entries::default();
        }
        self.advance(delta.time);
        delta.deleted.iter().for_each(|key| self.remove(key));
        for put in &delta.put {
            let entry = Entry { value: Arc::from(&put.value[..]), expires: put.expires };
            self.put(Arc::from(&put.key[..]), entry);
        }
    }

    /// Every entry with its key, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<[u8]>, &Entry)> {
        self.by_key.iter()
    }
}
