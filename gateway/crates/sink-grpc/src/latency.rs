//! Which commits of a subscription count for the latency, and when.
//!
//! The newest transaction of each group of the log stands for the group, so that it costs nothing a
//! change. A subscriber that reads old history would fill the histogram with the history's age:
//! commits count only once the subscription has had everything that was durable. One that falls
//! behind afterwards is counted as slow as it is.

use std::collections::VecDeque;
use std::time::SystemTime;

use offtake_change::Histogram;
use offtake_log::{Control, ReadGroup};

/// Commits that are gathered and not sent. More of them stand for groups between the first and the
/// newest: it is a sample.
const MAX_UNSENT: usize = 64;

/// Commits on their way to the subscriber.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    caught_up: bool,
    unsent: VecDeque<Commit>,
}

#[derive(Debug)]
struct Commit {
    /// Its last change for this subscriber, or a later one of the group.
    sequence: u64,
    unix_us: i64,
}

impl Commits {
    /// Everything that is durable was sent.
    pub(crate) fn caught_up(&mut self) {
        self.caught_up = true;
    }

    /// A group is about to be put into frames.
    pub(crate) fn gathered(&mut self, group: &ReadGroup) {
        if !self.caught_up {
            return;
        }
        let Some(commit) = newest(group) else { return };
        if self.unsent.len() >= MAX_UNSENT {
            self.unsent.pop_back();
        }
        self.unsent.push_back(commit);
    }

    /// Everything up to a sequence was handed to HTTP/2.
    pub(crate) fn sent(&mut self, sequence: u64, latency: &Histogram) {
        while let Some(commit) = self.unsent.pop_front_if(|commit| commit.sequence <= sequence) {
            latency.observe_commit(commit.unix_us, SystemTime::now());
        }
    }
}

/// The newest transaction of which the group has changes for this subscriber.
fn newest(group: &ReadGroup) -> Option<Commit> {
    let last = group.runs.last()?;
    let sequence = last.first_sequence + u64::from(last.count.saturating_sub(1));
    let wanted = |stream| group.runs.iter().any(|run| run.stream == stream);
    group.controls.iter().rev().find_map(|control| match control {
        Control::TransactionEnd(end) if end.streams.iter().any(|count| wanted(count.stream)) => {
            let unix_us = end.transaction.as_ref()?.commit_unix_us;
            Some(Commit { sequence, unix_us })
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use offtake_log::Run;
    use offtake_proto::v1;

    use super::*;

    /// A group of one change, and an end of a transaction that has changes of `ended`.
    fn group(sequence: u64, ended: u32) -> ReadGroup {
        let bytes = Default::default();
        let run = Run { stream: 1, schema: 1, first_sequence: sequence, count: 1, bytes };
        let end = v1::TransactionEnd {
            transaction: Some(v1::Transaction { commit_unix_us: 7, ..Default::default() }),
            streams: vec![v1::StreamCount { stream: ended, changes: 1 }],
            ..Default::default()
        };
        ReadGroup {
            controls: vec![Control::TransactionEnd(end)],
            runs: vec![run],
            last_sequence: sequence,
            ..ReadGroup::default()
        }
    }

    fn observed(latency: &Histogram) -> u64 {
        latency.snapshot().0.iter().sum()
    }

    #[test]
    fn history_does_not_count_and_what_follows_counts_when_it_is_sent() {
        let latency = Histogram::default();
        let mut commits = Commits::default();
        commits.gathered(&group(1, 1));
        commits.sent(1, &latency);
        commits.caught_up();
        commits.gathered(&group(2, 1));
        commits.gathered(&group(3, 1));
        commits.sent(1, &latency);
        assert_eq!(observed(&latency), 0);
        commits.sent(2, &latency);
        assert_eq!(observed(&latency), 1);
        commits.sent(9, &latency);
        assert_eq!(observed(&latency), 2);
    }

    #[test]
    fn a_transaction_without_a_change_for_the_subscriber_does_not_count() {
        let latency = Histogram::default();
        let mut commits = Commits::default();
        commits.caught_up();
        commits.gathered(&group(1, 2));
        commits.gathered(&ReadGroup { runs: Vec::new(), ..group(2, 1) });
        commits.sent(2, &latency);
        assert_eq!(observed(&latency), 0);
    }

    #[test]
    fn a_subscriber_that_takes_nothing_costs_a_bounded_sample() {
        let latency = Histogram::default();
        let mut commits = Commits::default();
        commits.caught_up();
        let last = 10 * MAX_UNSENT as u64;
        for sequence in 1..=last {
            commits.gathered(&group(sequence, 1));
        }
        assert_eq!(commits.unsent.len(), MAX_UNSENT);
        commits.sent(last - 1, &latency);
        assert_eq!(observed(&latency), MAX_UNSENT as u64 - 1);
        commits.sent(last, &latency);
        assert_eq!(observed(&latency), MAX_UNSENT as u64);
    }
}
