//! Which groups of the log the brokers have acknowledged whole.
//!
//! Delivery reports come in any order over partitions; the cursor may only follow the contiguous
//! prefix. Every group that is sent takes a slot of a fixed ring and counts its messages there;
//! reports count down; the oldest groups that are at zero are done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::SystemTime;

use offtake_change::Histogram;
use offtake_proto::v1;

/// Groups that may be on their way at once. Full means: wait for reports.
pub(crate) const MAX_GROUPS: usize = 1024;

/// Messages that are still to be acknowledged, a slot a group. Reports arrive on the thread that
/// sends, so the orderings need not be strong; the atomics only make it shareable.
#[derive(Debug)]
pub(crate) struct Pending {
    slots: Box<[AtomicI64]>,
    acknowledged: AtomicU64,
}

impl Pending {
    pub(crate) fn new() -> Pending {
        Pending {
            slots: (0..MAX_GROUPS).map(|_| AtomicI64::new(0)).collect(),
            acknowledged: AtomicU64::new(0),
        }
    }

    fn slot(&self, group: usize) -> &AtomicI64 {
        // The index is taken modulo the ring's size.
        &self.slots[group % MAX_GROUPS]
    }

    /// A message of a group is on its way.
    pub(crate) fn sent(&self, group: usize) {
        self.slot(group).fetch_add(1, Ordering::Relaxed);
    }

    /// A message of a group is acknowledged.
    pub(crate) fn acknowledged(&self, group: usize) {
        self.slot(group).fetch_sub(1, Ordering::Relaxed);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages acknowledged since they were last taken.
    pub(crate) fn acknowledged_count(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// The same, and the count begins anew.
    pub(crate) fn take_acknowledged(&self) -> u64 {
        self.acknowledged.swap(0, Ordering::Relaxed)
    }
}

/// What a group stands for when it is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Covered {
    /// Everything up to here.
    pub(crate) sequence: u64,
    /// The source's position, where the group or one before it says one.
    pub(crate) source: Option<Arc<v1::SourcePosition>>,
    /// The source transaction that it stands in, where that is told.
    pub(crate) open: Option<Arc<v1::OpenTransaction>>,
    /// Changes of the transaction that it stands in that are not published, where the headers tell of
    /// that.
    pub(crate) unpublished: u64,
    /// When the newest transaction that ends in the group was committed.
    pub(crate) commit_unix_us: Option<i64>,
}

/// The groups on their way, oldest first.
#[derive(Debug)]
pub(crate) struct Deliveries {
    pending: Arc<Pending>,
    next: usize,
    groups: VecDeque<(usize, Covered)>,
}

impl Deliveries {
    pub(crate) fn new(pending: Arc<Pending>) -> Deliveries {
        Deliveries { pending, next: 0, groups: VecDeque::with_capacity(MAX_GROUPS) }
    }

    /// Whether a group must be done before another may begin.
    pub(crate) fn is_full(&self) -> bool {
        self.groups.len() + 1 >= MAX_GROUPS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The number under which the next group's messages are sent.
    pub(crate) fn next_group(&self) -> usize {
        self.next
    }

    /// All messages of the group are handed over.
    pub(crate) fn finish_group(&mut self, covered: Covered) {
        self.groups.push_back((self.next, covered));
        self.next = self.next.wrapping_add(1);
    }

    /// What the contiguous prefix of done groups stands for, if it grew. Each group's commit is
    /// observed.
    pub(crate) fn advance(&mut self, latency: &Histogram) -> Option<Covered> {
        let mut done = None;
        while let Some((group, _)) = self.groups.front() {
            if self.pending.slot(*group).load(Ordering::Relaxed) != 0 {
                break;
            }
            done = self.groups.pop_front().map(|(_, covered)| covered);
            if let Some(commit_unix_us) = done.as_ref().and_then(|covered| covered.commit_unix_us) {
                latency.observe_commit(commit_unix_us, SystemTime::now());
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covered(sequence: u64) -> Covered {
        Covered { sequence, ..Covered::default() }
    }

    #[test]
    fn a_gap_holds_everything_after_it() {
        let pending = Arc::new(Pending::new());
        let latency = Histogram::default();
        let mut deliveries = Deliveries::new(Arc::clone(&pending));
        let mut groups = Vec::new();
        for sequence in 1..=3 {
            groups.push(deliveries.next_group());
            pending.sent(deliveries.next_group());
            deliveries.finish_group(covered(sequence));
        }
        pending.acknowledged(groups[1]);
        pending.acknowledged(groups[2]);
        assert_eq!(deliveries.advance(&latency), None);
        pending.acknowledged(groups[0]);
        assert_eq!(deliveries.advance(&latency), Some(covered(3)));
        assert!(deliveries.is_empty());
        assert_eq!(pending.take_acknowledged(), 3);
    }

    #[test]
    fn a_group_without_messages_is_done_in_its_turn() {
        let latency = Histogram::default();
        let mut deliveries = Deliveries::new(Arc::new(Pending::new()));
        deliveries.finish_group(covered(7));
        assert_eq!(deliveries.advance(&latency), Some(covered(7)));
        assert_eq!(deliveries.advance(&latency), None);
    }

    #[test]
    fn every_commit_is_observed_once_when_nothing_before_it_is_missing() {
        let pending = Arc::new(Pending::new());
        let latency = Histogram::default();
        let observed = || latency.snapshot().0.iter().sum::<u64>();
        let mut deliveries = Deliveries::new(Arc::clone(&pending));
        let first = deliveries.next_group();
        pending.sent(first);
        for (sequence, commit_unix_us) in [(1, Some(1)), (2, None), (3, Some(3))] {
            deliveries.finish_group(Covered { commit_unix_us, ..covered(sequence) });
        }
        assert_eq!(deliveries.advance(&latency), None);
        assert_eq!(observed(), 0);
        pending.acknowledged(first);
        assert!(deliveries.advance(&latency).is_some());
        assert_eq!(observed(), 2);
        assert_eq!(deliveries.advance(&latency), None);
        assert_eq!(observed(), 2);
    }

    proptest! {
        /// Whatever the order of reports, the cursor is the end of the longest done prefix.
        #[test]
        fn the_cursor_is_the_longest_done_prefix(
            sizes in prop::collection::vec(0usize..4, 1..40),
            order in any::<u64>(),
        ) {
            let pending = Arc::new(Pending::new());
            let latency = Histogram::default();
            let mut deliveries = Deliveries::new(Arc::clone(&pending));
            let mut reports = Vec::new();
            for (index, &size) in sizes.iter().enumerate() {
                let group = deliveries.next_group();
                for _ in 0..size {
                    pending.sent(group);
                    reports.push(index);
                }
                deliveries.finish_group(covered(index as u64 + 1));
            }
            let mut left = sizes.clone();
            let mut cursor = 0;
            let mut random = order | 1;
            loop {
                if let Some(done) = deliveries.advance(&latency) {
                    prop_assert!(done.sequence > cursor);
                    cursor = done.sequence;
                }
                let prefix = left.iter().take_while(|&&size| size == 0).count() as u64;
                prop_assert_eq!(cursor, prefix);
                if reports.is_empty() {
                    break;
                }
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let report = reports.swap_remove((random >> 33) as usize % reports.len());
                left[report] -= 1;
                pending.acknowledged(report);
            }
            prop_assert!(deliveries.is_empty());
        }
    }
}
