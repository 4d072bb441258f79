//! What a plugin keeps from one change to the next, over fresh instances and restarts.
//!
//! Keys and values are bytes. The gateway keeps them with the position: after a crash both are as of
//! the same change, and a call that fails leaves nothing of what it wrote. What a call wrote it reads
//! back at once. Ask for all keys of a batch in one go: each function is one call of the gateway.
//!
//! A plugin that uses this says so ([`Info::keeping_state`](crate::Info::keeping_state)) and is
//! granted it (`state = {}` under `[plugin.NAME]`). It may be used in `process` and nowhere else.
//! Limits: 4 KiB a key, 1 MiB a value, 16 MiB read and 16 MiB written a call, and the quota.
//!
//! Outside a gateway (in a plugin's own unit tests) it is a map that each thread has for itself, in
//! which nothing ends.

#[cfg(target_family = "wasm")]
use crate::bindings::offtake::transform::state as gateway;

/// The value of a key.
pub fn get(key: &[u8]) -> Option<Vec<u8>> {
    get_many(&[key.to_vec()]).pop().flatten()
}

/// The values of keys, in their order.
pub fn get_many(keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
    gateway::get_many(keys)
}

/// Sets a value. With `ttl_seconds` it is gone once so many seconds have passed, by commit times.
pub fn put(key: &[u8], value: &[u8], ttl_seconds: Option<u32>) {
    put_many(&[(key.to_vec(), value.to_vec())], ttl_seconds);
}

/// Sets values, as [`put`] does.
pub fn put_many(entries: &[(Vec<u8>, Vec<u8>)], ttl_seconds: Option<u32>) {
    gateway::put_many(entries, ttl_seconds);
}

/// Deletes an entry, if there is one.
pub fn delete(key: &[u8]) {
    delete_many(&[key.to_vec()]);
}

/// Deletes entries.
pub fn delete_many(keys: &[Vec<u8>]) {
    gateway::delete_many(keys);
}

/// What stands for the gateway in a plugin's own tests.
#[cfg(not(target_family = "wasm"))]
mod gateway {
    use std::cell::RefCell;
    use std::collections::HashMap;

    std::thread_local! {
        static ENTRIES: RefCell<HashMap<Vec<u8>, Vec<u8>>> = RefCell::default();
    }

    pub(super) fn get_many(keys: &[Vec<u8>]) -> Vec<Option<Vec<u8>>> {
        ENTRIES.with_borrow(|entries| keys.iter().map(|key| entries.get(key).cloned()).collect())
    }

    pub(super) fn put_many(puts: &[(Vec<u8>, Vec<u8>)], _ttl_seconds: Option<u32>) {
        ENTRIES.with_borrow_mut(|entries| entries.extend(puts.iter().cloned()));
    }

    pub(super) fn delete_many(keys: &[Vec<u8>]) {
        ENTRIES.with_borrow_mut(|entries| entries.retain(|key, _| !keys.contains(key)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_a_gateway_it_is_a_map() {
        put(b"a", b"1", None);
        put_many(&[(b"b".to_vec(), b"2".to_vec())], Some(5));
        assert_eq!(get_many(&[b"b".to_vec(), b"c".to_vec()]), [Some(b"2".to_vec()), None]);
        delete(b"a");
        assert_eq!(get(b"a"), None);
    }
}
