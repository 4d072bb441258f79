//! Changes counted within their transactions, as the peer's transaction block and its records of
//! beginnings and ends tell (`TransactionContext`).

use std::collections::HashMap;
use std::sync::Arc;

use super::envelope::Order;
use crate::java_map;

/// The counts of the transaction that is being encoded.
///
/// They are of what is published: changes that are skipped do not count, a moved key counts twice.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    transaction: Vec<u8>,
    total: u64,
    collections: HashMap<Arc<str>, u64>,
}

impl Counts {
    /// Counts one more event of a transaction.
    pub(super) fn next(&mut self, transaction: &[u8], collection: &Arc<str>) -> Order {
        if self.transaction != transaction {
            self.clear();
            self.transaction.extend_from_slice(transaction);
        }
        self.total += 1;
        let count = match self.collections.get_mut(collection) {
            Some(count) => count,
            None => self.collections.entry(Arc::clone(collection)).or_default(),
        };
        *count += 1;
        Order { total: self.total, in_collection: *count }
    }

    /// Forgets the transaction: it ended, or is sent once more from its beginning.
    pub fn clear(&mut self) {
        self.transaction.clear();
        self.total = 0;
        self.collections.clear();
    }

    /// Whether an event of the transaction of that id was counted.
    pub fn is_of(&self, transaction: &[u8]) -> bool {
        self.total > 0 && self.transaction == transaction
    }

    /// Events so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Events so far of each table, in the order of the peer's hash map.
    pub(super) fn collections(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> =
            self.collections.iter().map(|(name, count)| (&**name, *count)).collect();
        // The map is filled in an order of its own; equal buckets would need the first event's.
        all.sort_unstable();
        let names = all.iter().map(|(name, _)| *name);
        let order = java_map::order(names, java_map::DEFAULT_CAPACITY);
        order.into_iter().filter_map(|index| all.get(index).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_transaction_begins_at_one() {
        let mut counts = Counts::default();
        let (one, two): (Arc<str>, Arc<str>) = ("public.one".into(), "public.two".into());
        let mut next = |id: &str, table| {
            let order = counts.next(id.as_bytes(), table);
            (order.total, order.in_collection)
        };
        assert_eq!(next("7", &one), (1, 1));
        assert_eq!(next("7", &two), (2, 1));
        assert_eq!(next("7", &one), (3, 2));
        assert_eq!(next("8", &one), (1, 1));
        assert!(counts.is_of(b"8") && !counts.is_of(b"7"));
        assert_eq!(counts.collections(), [("public.one", 1)]);
        counts.clear();
        assert!(!counts.is_of(b"8"));
    }
}
