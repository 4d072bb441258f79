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
    collections: HashMap<Arc<str>, Collection>,
}

/// The events of one table in a transaction.
#[derive(Clone, Copy, Debug)]
struct Collection {
    /// Events of the transaction before its first one.
    first: u64,
    events: u64,
}

impl Counts {
    /// Counts one more event of a transaction.
    pub(super) fn next(&mut self, transaction: &[u8], collection: &Arc<str>) -> Order {
        if self.transaction != transaction {
            self.clear();
            self.transaction.extend_from_slice(transaction);
        }
        let first = self.total;
        self.total += 1;
        let counted = match self.collections.get_mut(collection) {
            Some(counted) => counted,
            None => self
                .collections
                .entry(Arc::clone(collection))
                .or_insert(Collection { first, events: 0 }),
        };
        counted.events += 1;
        Order { total: self.total, in_collection: counted.events }
    }

    /// Forgets the transaction: it ended, or is sent once more from its beginning.
    pub fn clear(&mut self) {
        self.transaction.clear();
        self.total = 0;
        self.collections.clear();
    }

    /// Goes on with a transaction whose first events were counted before: how many of each table,
    /// in the order of [`Counts::collections`].
    pub fn resume<'c>(
        &mut self,
        transaction: &[u8],
        collections: impl Iterator<Item = (&'c str, u64)>,
    ) {
        self.clear();
        self.transaction.extend_from_slice(transaction);
        for (name, events) in collections {
            self.collections.insert(name.into(), Collection { first: self.total, events });
            self.total += events;
        }
    }

    /// Whether an event of the transaction of that id was counted.
    pub fn is_of(&self, transaction: &[u8]) -> bool {
        self.total > 0 && self.transaction == transaction
    }

    /// Events so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Events so far of each table, in the order of their first events.
    pub fn collections(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, Collection)> =
            self.collections.iter().map(|(name, counted)| (&**name, *counted)).collect();
        // Each has an event of its own, so no two have the same place.
        all.sort_unstable_by_key(|(_, counted)| counted.first);
        all.into_iter().map(|(name, counted)| (name, counted.events)).collect()
    }

    /// Events so far of each table, in the order of the peer's hash map.
    pub(super) fn in_map_order(&self) -> Vec<(&str, u64)> {
        let all = self.collections();
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

    #[test]
    fn a_transaction_that_is_resumed_goes_on_where_it_was() {
        let names: Vec<Arc<str>> = (0..5).map(|n| format!("public.t{}", 9 - n).into()).collect();
        let events = [0, 1, 0, 2, 1, 1, 3, 0, 4, 2];
        let mut whole = Counts::default();
        for &event in &events {
            whole.next(b"7", &names[event]);
        }
        for cut in 0..events.len() {
            let (mut before, mut after) = (Counts::default(), Counts::default());
            for &event in &events[..cut] {
                before.next(b"7", &names[event]);
            }
            after.next(b"6", &names[0]);
            after.resume(b"7", before.collections().into_iter());
            assert_eq!(after.total(), cut as u64);
            for &event in &events[cut..] {
                after.next(b"7", &names[event]);
            }
            assert_eq!(after.collections(), whole.collections(), "cut after {cut}");
            assert_eq!(after.in_map_order(), whole.in_map_order(), "cut after {cut}");
        }
    }
}
