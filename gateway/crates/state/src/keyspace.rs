//! One plugin's state while it runs: calls, and what they changed since the last delta.
//!
//! Shared by the instances of the plugin, which come and go, and by who shows figures; one thread
//! makes calls. A call ends with [`Keyspace::keep`] or [`Keyspace::discard`]; what was kept since
//! leaves with [`Keyspace::take_delta`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use offtake_proto::v1;
use parking_lot::Mutex;

use crate::call::{Call, StateError};
use crate::entries::Entries;

/// Keys that are written between two groups of the log, in bytes at most: also those that are put
/// and deleted again, which no quota counts.
const CHANGED_BYTES: u64 = 64 << 20;

/// How much a plugin keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries.
    pub keys: u64,
    /// What they weigh: keys, values, and [`ENTRY_BYTES`](crate::ENTRY_BYTES) each.
    pub bytes: u64,
    /// What they may weigh.
    pub quota: u64,
}

/// One plugin's state. Cheap to clone; clones are the same state.
#[derive(Clone)]
pub struct Keyspace {
    shared: Arc<Mutex<Inner>>,
    /// What puts through this one are held to.
    quota: u64,
}

struct Inner {
    entries: Entries,
    call: Option<Call>,
    /// Keys that were written since the last delta.
    changed: BTreeSet<Arc<[u8]>>,
    /// What these keys weigh.
    changed_bytes: u64,
    /// The time that the last delta told.
    told: i64,
}

impl fmt::Debug for Keyspace {
    /// Keys and values come from rows and are left out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Keyspace").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl Keyspace {
    /// An empty state that may weigh so many bytes.
    pub fn new(quota: u64) -> Keyspace {
        let inner = Inner {
            entries: Entries::default(),
            call: None,
            changed: BTreeSet::new(),
            changed_bytes: 0,
            told: 0,
        };
        Keyspace { shared: Arc::new(Mutex::new(inner)), quota }
    }

    /// The same state for a version of the plugin that is granted another quota.
    pub fn with_quota(&self, quota: u64) -> Keyspace {
        Keyspace { shared: Arc::clone(&self.shared), quota }
    }

    /// Begins with what the log and its checkpoint hold.
    pub fn restore(&self, entries: Entries) {
        let mut inner = self.shared.lock();
        inner.told = entries.time();
        inner.entries = entries;
    }

    /// How much there is.
    pub fn usage(&self) -> Usage {
        let inner = self.shared.lock();
        let entries = &inner.entries;
        Usage { keys: entries.len() as u64, bytes: entries.bytes(), quota: self.quota }
    }

    /// Seconds since 1970-01-01 UTC that the state's time has come to; 0: no commit time is known.
    pub fn time(&self) -> i64 {
        self.shared.lock().entries.time()
    }

    /// Begins a call at a time in seconds; one before the state's own counts as that. What an
    /// unfinished call wrote is discarded.
    pub fn begin(&self, seconds: i64) {
        let mut inner = self.shared.lock();
        inner.call = Some(Call::new(&inner.entries, seconds));
    }

    /// The values of keys, in their order.
    ///
    /// # Errors
    /// Outside a call, or more than one may read.
    pub fn get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StateError> {
        self.during(|call, entries, _| keys.iter().map(|key| call.get(entries, key)).collect())
    }

    /// Sets values, which end after so many seconds.
    ///
    /// # Errors
    /// Outside a call, or beyond a limit.
    pub fn put(
        &self,
        entries: &[(Vec<u8>, Vec<u8>)],
        seconds: Option<u32>,
    ) -> Result<(), StateError> {
        let mut puts = entries.iter();
        self.during(|call, entries, quota| {
            puts.try_for_each(|(key, value)| call.put(entries, quota, key, value, seconds))
        })
    }

    /// Deletes entries.
    ///
    /// # Errors
    /// Outside a call, or beyond a limit.
    pub fn delete(&self, keys: &[Vec<u8>]) -> Result<(), StateError> {
        self.during(|call, entries, _| keys.iter().try_for_each(|key| call.delete(entries, key)))
    }

    fn during<T>(
        &self,
        work: impl FnOnce(&mut Call, &Entries, u64) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut inner = self.shared.lock();
        let Inner { entries, call, changed_bytes, .. } = &mut *inner;
        if *changed_bytes > CHANGED_BYTES {
            return Err(StateError::TooMuch {
                what: "keys written since the last group of the log",
                bytes: *changed_bytes,
                limit: CHANGED_BYTES,
            });
        }
        work(call.as_mut().ok_or(StateError::OutsideCall)?, entries, self.quota)
    }

    /// Ends the call; what it wrote counts.
    pub fn keep(&self) {
        let mut inner = self.shared.lock();
        let Inner { entries, call, changed, changed_bytes, .. } = &mut *inner;
        let Some(call) = call.take() else { return };
        entries.advance(call.now);
        for (key, write) in call.writes {
            // What is not there needs no record that it was deleted.
            let is_change = write.is_some() || entries.get(&key).is_some();
            if is_change && changed.insert(Arc::clone(&key)) {
                *changed_bytes += key.len() as u64;
            }
            match write {
                Some(entry) => entries.put(key, entry),
                None => entries.remove(&key),
            }
        }
    }

    /// Ends the call as if it had not been.
    pub fn discard(&self) {
        self.shared.lock().call = None;
    }

    /// What was kept since this was last asked; `None`: nothing, and time stands where it stood.
    pub fn take_delta(&self, plugin: &str) -> Option<v1::StateDelta> {
        let mut inner = self.shared.lock();
        let Inner { entries, changed, changed_bytes, told, .. } = &mut *inner;
        *changed_bytes = 0;
        if changed.is_empty() && *told == entries.time() {
            return None;
        }
        *told = entries.time();
        let mut delta =
            v1::StateDelta { plugin: plugin.to_owned(), time: *told, ..v1::StateDelta::default() };
        for key in std::mem::take(changed) {
            let key_bytes = key.to_vec().into();
            match entries.get(&key) {
                Some(entry) => delta.put.push(v1::StateEntry {
                    key: key_bytes,
                    value: entry.value.to_vec().into(),
                    expires: entry.expires,
                }),
                None => delta.deleted.push(key_bytes),
            }
        }
        Some(delta)
    }

    /// The entries as they are, for a comparison.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> Entries {
        self.shared.lock().entries.clone()
    }
}
