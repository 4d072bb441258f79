//! The topic that tells where source transactions begin and end, as Debezium has it
//! (`provide.transaction.metadata`).
//!
//! What a record says follows from the log, and how far a transaction is published stands in the
//! cursor beside the sequence: a session that goes on inside a transaction says the same bytes as
//! the one before would have said, and with exactly-once delivery they are in the same Kafka
//! transaction as the changes. A beginning comes with the first change of a transaction in the log;
//! an end when the log says so, or with the next transaction's beginning. A transaction of which
//! nothing is in the log has neither. The bytes are the encoder's business.

use std::collections::VecDeque;
use std::sync::Arc;

use offtake_change::Lsn;
use offtake_change::wire::ChangeView;
use offtake_encode::debezium::{Counts, Message, MessageFormat, TransactionRecords};
use offtake_encode::partition_of;
use offtake_log::Run;
use offtake_proto::v1;

use crate::flight::{Break, Flight};
use crate::handover;
use crate::publications::Asked;
use crate::session::Publisher;
use crate::topic_names::topic_of;

/// What the transaction topic has to know.
#[derive(Debug)]
pub(crate) struct TransactionTopic {
    name: Arc<str>,
    /// Made before the first record, when the registry knows the schemas.
    records: Option<TransactionRecords>,
    open: Option<Open>,
    /// The transactions that end in the group that is being sent, and the places past their
    /// commits.
    ended: VecDeque<(v1::Transaction, Lsn)>,
}

/// A transaction that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    id: String,
    commit: Lsn,
    commit_unix_us: i64,
}

impl TransactionTopic {
    pub(crate) fn new(name: &str) -> TransactionTopic {
        TransactionTopic { name: name.into(), records: None, open: None, ended: VecDeque::new() }
    }

    /// Goes on where a cursor stands.
    pub(crate) fn resume(&mut self, open: Option<&v1::OpenTransaction>, counts: &mut Counts) {
        counts.clear();
        self.ended.clear();
        self.open = open.map(|open| {
            let collections =
                open.collections.iter().map(|count| (count.collection.as_str(), count.events));
            counts.resume(open.id.as_bytes(), collections);
            Open {
                id: open.id.clone(),
                commit: lsn_of(open.commit.as_ref()),
                commit_unix_us: open.commit_unix_us,
            }
        });
    }

    /// What a cursor has to say of the open transaction.
    pub(crate) fn open(&self, counts: &Counts) -> Option<Arc<v1::OpenTransaction>> {
        let open = self.open.as_ref()?;
        let counted = match counts.is_of(open.id.as_bytes()) {
            true => counts.collections(),
            false => Vec::new(),
        };
        let count = |(collection, events): (&str, u64)| v1::CollectionCount {
            collection: collection.to_owned(),
            events,
        };
        Some(Arc::new(v1::OpenTransaction {
            id: open.id.clone(),
            commit: Some(v1::Position { at: Some(v1::position::At::Lsn(open.commit.0)) }),
            commit_unix_us: open.commit_unix_us,
            collections: counted.into_iter().map(count).collect(),
        }))
    }

    /// Notes that a transaction ends in the group that is being sent.
    pub(crate) fn note_end(&mut self, end: v1::TransactionEnd) {
        let past = lsn_of(end.end.as_ref());
        self.ended.extend(end.transaction.map(|transaction| (transaction, past)));
    }

    /// The place past the commit of the open transaction, if that was noted. What was noted before
    /// it is forgotten.
    fn take_end(&mut self) -> Option<Lsn> {
        let is_it = |(ended, _): &(v1::Transaction, Lsn)| {
            self.is_open(ended.id.as_bytes(), lsn_of(ended.commit.as_ref()))
        };
        let index = self.ended.iter().position(is_it)?;
        self.ended.drain(..=index).next_back().map(|(_, past)| past)
    }

    fn is_open(&self, id: &[u8], commit: Lsn) -> bool {
        self.open.as_ref().is_some_and(|open| open.id.as_bytes() == id && open.commit == commit)
    }
}

fn lsn_of(position: Option<&v1::Position>) -> Lsn {
    match position.and_then(|position| position.at.as_ref()) {
        Some(v1::position::At::Lsn(lsn)) => Lsn(*lsn),
        _ => Lsn::ZERO,
    }
}

impl Publisher<'_> {
    /// Says that a transaction begins, if this is its first change, and that the one before ended.
    pub(crate) fn enter_transaction(
        &mut self,
        flight: &mut Flight<'_>,
        change: &ChangeView<'_>,
    ) -> Result<(), Break> {
        let (Some(topic), Some(transaction)) = (&self.transaction_topic, &change.transaction)
        else {
            return Ok(());
        };
        if topic.is_open(transaction.id, transaction.commit) {
            return Ok(());
        }
        // What the log does not say is not known better than by the place where this one follows.
        let known = self.transaction_topic.as_mut().and_then(TransactionTopic::take_end);
        self.end_transaction(flight, known.unwrap_or(transaction.previous_commit))?;
        let target = self.transaction_target(flight)?;
        let Some(topic) = &mut self.transaction_topic else { return Ok(()) };
        let Some(records) = &mut topic.records else { return Ok(()) };
        // Where the source does not say, the first change is all that is known.
        let at = if transaction.begin == Lsn::ZERO { change.lsn } else { transaction.begin };
        let message = records.begin(transaction.id, at.0, transaction.commit_unix_us)?;
        flight.take_record(target, &message, transaction.commit_unix_us)?;
        topic.open = Some(Open {
            id: String::from_utf8_lossy(transaction.id).into_owned(),
            commit: transaction.commit,
            commit_unix_us: transaction.commit_unix_us,
        });
        Ok(())
    }

    /// Says that the open transaction ended, if it did in the group that was sent.
    pub(crate) fn leave_transaction(&mut self, flight: &mut Flight<'_>) -> Result<(), Break> {
        let Some(topic) = &mut self.transaction_topic else { return Ok(()) };
        let end = topic.take_end();
        topic.ended.clear();
        match end {
            Some(end) => self.end_transaction(flight, end),
            None => Ok(()),
        }
    }

    /// `end`: just past the commit; zero: not known.
    fn end_transaction(&mut self, flight: &mut Flight<'_>, end: Lsn) -> Result<(), Break> {
        let Some(open) = self.transaction_topic.as_mut().and_then(|topic| topic.open.take()) else {
            return Ok(());
        };
        let target = self.transaction_target(flight)?;
        let Some(topic) = &mut self.transaction_topic else { return Ok(()) };
        let Some(records) = &mut topic.records else { return Ok(()) };
        let counts = self.encoder.counts();
        if !counts.is_of(open.id.as_bytes()) {
            // Nothing of it was published: the counts are those of one before.
            counts.clear();
        }
        let end = if end == Lsn::ZERO { open.commit } else { end };
        let message = records.end(open.id.as_bytes(), end.0, open.commit_unix_us, counts)?;
        flight.take_record(target, &message, open.commit_unix_us)?;
        self.encoder.counts().clear();
        Ok(())
    }

    /// Waits until the registry knows the topic's schemas, if one of these runs is of a transaction:
    /// before anything of the group is sent, so that what came before can be committed meanwhile.
    pub(crate) fn prepare_transactions(
        &mut self,
        flight: &mut Flight<'_>,
        runs: &[Run],
    ) -> Result<(), Break> {
        let Some(TransactionTopic { name, records: None, .. }) = &self.transaction_topic else {
            return Ok(());
        };
        let is_of_one = |run: &Run| {
            let first = run.changes().next();
            first.is_some_and(|change| change.is_ok_and(|change| change.transaction.is_some()))
        };
        if !runs.iter().any(is_of_one) {
            return Ok(());
        }
        let name = Arc::clone(name);
        let records = self.registered(flight, |publisher| publisher.transaction_records(&name))?;
        if let Some(topic) = &mut self.transaction_topic {
            topic.records = Some(records);
        }
        Ok(())
    }

    /// Index of the topic, waiting until it can be written.
    fn transaction_target(&mut self, flight: &mut Flight<'_>) -> Result<usize, Break> {
        let Some(topic) = &self.transaction_topic else { return Ok(0) };
        if let Some(target) = flight.transaction_target {
            return Ok(target);
        }
        let name = Arc::clone(&topic.name);
        let target = self.own_target(flight, &name)?;
        flight.transaction_target = Some(target);
        Ok(target)
    }

    /// The topic's records, once the registry knows their schemas.
    fn transaction_records(&mut self, name: &str) -> Asked<TransactionRecords> {
        let format: MessageFormat = self.options.topics.rule(name).format;
        let mut options = self.options.plan_options(format);
        let records = TransactionRecords::new(&options);
        let (key, value) = records.schemas();
        let frames = self.publications.own_frames(&topic_of(name), format, (&key, &value))?;
        Ok(frames.map(|(key, value)| {
            (options.key_frame, options.value_frame) = (key, value);
            TransactionRecords::new(&options)
        }))
    }

    /// The encoder and this topic at the cursor, as far as transactions are told.
    pub(crate) fn resume_transaction(&mut self) {
        let open = self.cursor.open_transaction();
        match &mut self.transaction_topic {
            Some(topic) => topic.resume(open, self.encoder.counts()),
            None => self.encoder.counts().clear(),
        }
    }

    /// What the next cursor has to say of the open transaction.
    pub(crate) fn open_transaction(&mut self) -> Option<Arc<v1::OpenTransaction>> {
        let Publisher { transaction_topic, encoder, .. } = self;
        transaction_topic.as_ref()?.open(encoder.counts())
    }
}

impl Flight<'_> {
    /// Takes a record that is about no row. It counts for the group that is being sent.
    fn take_record(
        &mut self,
        target: usize,
        message: &Message<'_>,
        unix_us: i64,
    ) -> Result<(), Break> {
        let partitions = self.targets[target].partitions;
        let partition = message.key.map_or(0, |key| partition_of(key, partitions));
        if self.is_full(target, partition, message) {
            self.hand_over()?;
        }
        let group = self.deliveries.next_group();
        let timestamp = unix_us.div_euclid(1000).max(0);
        self.handover.push(target, partition, group, timestamp, message, None);
        self.pending.sent(group);
        if let Some(transactions) = &mut self.transactions {
            transactions.took(handover::size(message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use offtake_encode::debezium::Encoder;

    use super::*;

    fn open(collections: &[(&str, u64)]) -> v1::OpenTransaction {
        let count = |(collection, events): &(&str, u64)| v1::CollectionCount {
            collection: (*collection).to_owned(),
            events: *events,
        };
        v1::OpenTransaction {
            id: "758".to_owned(),
            commit: Some(v1::Position { at: Some(v1::position::At::Lsn(24_962_808)) }),
            commit_unix_us: 1_700_000_000_000_001,
            collections: collections.iter().map(count).collect(),
        }
    }

    #[test]
    fn a_cursor_inside_a_transaction_says_what_a_session_goes_on_with() {
        for collections in [&[("public.b", 3), ("public.a", 1)][..], &[]] {
            let mut topic = TransactionTopic::new("shop.transaction");
            let mut encoder = Encoder::default();
            let record = open(collections);
            topic.resume(Some(&record), encoder.counts());
            assert!(topic.is_open(b"758", Lsn(24_962_808)));
            assert!(!topic.is_open(b"758", Lsn(24_962_809)), "numbers come around");
            assert_eq!(topic.open(encoder.counts()).as_deref(), Some(&record));
            topic.resume(None, encoder.counts());
            assert_eq!(topic.open(encoder.counts()), None);
            assert_eq!(encoder.counts().total(), 0);
        }
    }
}
