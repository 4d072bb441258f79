//! What one call of a plugin reads and writes, before it is decided whether it counts.
//!
//! Reads see the call's own writes. Limits are checked at the write that exceeds them, so that the
//! fault names it; what a call may hold of memory beside the state itself is bounded here.

use std::collections::HashMap;
use std::sync::Arc;

use crate::entries::{Entries, Entry, weight};

/// Longest key, in bytes.
const KEY_BYTES: usize = 4 << 10;
/// Longest value, in bytes.
const VALUE_BYTES: usize = 1 << 20;
/// What one call may write, and what it may read, in bytes.
const CALL_BYTES: u64 = 16 << 20;

/// A plugin asked its state for what it may not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The state would be larger than was granted.
    #[error("its state would have {bytes} bytes, and may have {quota}")]
    Quota {
        /// What the state would weigh.
        bytes: u64,
        /// What it may weigh.
        quota: u64,
    },
    /// A key or value is too long, or one call reads or writes too much.
    #[error("{what} of {bytes} bytes, and {limit} are allowed")]
    TooMuch {
        /// What it is.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The largest that is accepted.
        limit: u64,
    },
    /// Asked outside a call with changes.
    #[error("it asked for its state while it was configured or told a schema")]
    OutsideCall,
}

/// What one call wrote so far.
#[derive(Debug)]
pub(crate) struct Call {
    /// The call's time, not before the entries'.
    pub(crate) now: i64,
    /// `None`: deleted.
    pub(crate) writes: HashMap<Arc<[u8]>, Option<Entry>>,
    /// What the state would weigh with them.
    bytes: u64,
    written: u64,
    read: u64,
}

impl Call {
    /// A call at a time, which does not go back behind the entries'.
    pub(crate) fn new(entries: &Entries, seconds: i64) -> Call {
        let now = seconds.max(entries.time());
        Call {
            now,
            writes: HashMap::new(),
            bytes: entries.bytes() - entries.ending(now),
            written: 0,
            read: 0,
        }
    }

    pub(crate) fn get(
        &mut self,
        entries: &Entries,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StateError> {
        let value = self.value(entries, key).map(|value| value.to_vec());
        self.read += weight(&[], value.as_deref().unwrap_or_default());
        within("one call reads state", self.read, CALL_BYTES)?;
        Ok(value)
    }

    fn value(&self, entries: &Entries, key: &[u8]) -> Option<Arc<[u8]>> {
        match self.writes.get(key) {
            Some(written) => written.as_ref().map(|entry| Arc::clone(&entry.value)),
            None => entries.at(key, self.now).map(|entry| Arc::clone(&entry.value)),
        }
    }

    pub(crate) fn put(
        &mut self,
        entries: &Entries,
        quota: u64,
        key: &[u8],
        value: &[u8],
        seconds: Option<u32>,
    ) -> Result<(), StateError> {
        within("a value", value.len() as u64, VALUE_BYTES as u64)?;
        if seconds == Some(0) {
            return self.delete(entries, key);
        }
        self.forget(entries, key)?;
        self.count_write(key, value)?;
        let bytes = self.bytes + weight(key, value);
        if bytes > quota {
            return Err(StateError::Quota { bytes, quota });
        }
        self.bytes = bytes;
        let expires = seconds.map(|seconds| self.now.saturating_add(seconds.into()));
        self.writes.insert(Arc::from(key), Some(Entry { value: Arc::from(value), expires }));
        Ok(())
    }

    pub(crate) fn delete(&mut self, entries: &Entries, key: &[u8]) -> Result<(), StateError> {
        self.forget(entries, key)?;
        self.count_write(key, &[])?;
        self.writes.insert(Arc::from(key), None);
        Ok(())
    }

    /// Takes what the key has now off the weight.
    fn forget(&mut self, entries: &Entries, key: &[u8]) -> Result<(), StateError> {
        within("a key", key.len() as u64, KEY_BYTES as u64)?;
        if let Some(value) = self.value(entries, key) {
            self.bytes -= weight(key, &value);
        }
        Ok(())
    }

    fn count_write(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.written += weight(key, value);
        within("one call writes state", self.written, CALL_BYTES)
    }
}

fn within(what: &'static str, bytes: u64, limit: u64) -> Result<(), StateError> {
    if bytes > limit { Err(StateError::TooMuch { what, bytes, limit }) } else { Ok(()) }
}
