//! Publishing in transactions: from the log into the open one, and on to its commit.
//!
//! While a commit is under way the next groups are read and encoded; they wait where messages always
//! wait, so there is a bound to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use offtake_failpoint::crash_point;
use offtake_log::Reader;
use offtake_proto::v1;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::Producer;

use crate::KafkaError;
use crate::flight::{Break, Flight};
use crate::session::{Ended, IDLE_WAIT, Publisher};
use crate::transaction::Transactions;

/// Shortest wait for the log while something is collected.
const LEAST_WAIT: Duration = Duration::from_millis(1);

impl Publisher<'_> {
    /// Publishes until the producer has to be replaced.
    pub(crate) fn publish_transactions(
        &mut self,
        flight: &mut Flight<'_>,
        reader: &mut Reader,
        began_with: u64,
    ) -> Result<Ended, Break> {
        loop {
            self.check(flight)?;
            self.settle(flight)?;
            flight.step()?;
            self.take_committed(flight)?;
            if flight.waits_for_reports() {
                // The library keeps what does not fill a request; nothing more comes to fill it.
                flight.flush();
            }
            let (closed, doubt) = flight
                .transactions
                .as_ref()
                .map_or((true, false), |it| (it.is_closed(), it.is_in_doubt));
            if closed && doubt {
                return Err(Break::Replace);
            }
            // Batches again, once everything that was there when one was too large is published.
            if closed && flight.one_by_one && self.cursor.sequence() >= began_with {
                return Ok(Ended::Rebuild { one_by_one: false });
            }
            match reader.next_group().map_err(KafkaError::Log)? {
                Some(group) => {
                    let coming = reader.rest_of_group().map_err(KafkaError::Log)?;
                    self.send_group(flight, group, &coming)?;
                    self.close_if_due(flight, false)?;
                    self.commit_before_a_halt(flight)?;
                }
                None => self.rest(flight, reader)?,
            }
        }
    }

    /// Commits what lies before a change that cannot be published: nobody waits for it any longer than
    /// for that change. Of one that is too large only the group is known, so every group is committed.
    fn commit_before_a_halt(&mut self, flight: &mut Flight<'_>) -> Result<(), Break> {
        let Some(transactions) = &flight.transactions else { return Ok(()) };
        let is_wanted = flight.one_by_one || self.halts_after == Some(transactions.sequence());
        if !is_wanted || !transactions.is_at_boundary() {
            return Ok(());
        }
        self.finish(flight)
    }

    /// A change cannot be published. `true`: the producer is replaced, to publish first what lies
    /// before it.
    pub(crate) fn has_more_before(&mut self, flight: &Flight<'_>) -> bool {
        let Some(transactions) = &flight.transactions else { return false };
        let here = self.cursor.sequence();
        let before = transactions.complete_up_to().filter(|&before| before > here);
        // Once for each place, so that it cannot go on for ever.
        let is_new = before.is_some() && before != self.halts_after;
        self.halts_after = before.or(self.halts_after);
        is_new
    }

    /// Goes on with commits while nothing can be sent. Without transactions it does nothing.
    pub(crate) fn commit_meanwhile(&mut self, flight: &mut Flight<'_>) -> Result<(), Break> {
        flight.step()?;
        self.take_committed(flight)?;
        self.close_if_due(flight, true)?;
        Ok(())
    }

    /// There is no more in the log for now.
    fn rest(&mut self, flight: &mut Flight<'_>, reader: &mut Reader) -> Result<(), Break> {
        if self.close_if_due(flight, true)? || flight.hand_over_rest()? {
            return Ok(());
        }
        self.release_held(flight)?;
        let Some(transactions) = &flight.transactions else { return Ok(()) };
        if transactions.is_closing() {
            return flight.wait_for_commit();
        }
        if flight.producer.in_flight_count() > 0 {
            flight.flush();
            return Ok(());
        }
        if let Some(left) = transactions.until_due() {
            reader.wait_blocking(left.clamp(LEAST_WAIT, IDLE_WAIT));
            return Ok(());
        }
        self.topics.rest();
        reader.wait_blocking(IDLE_WAIT);
        self.ask_for_brokers()?;
        Ok(())
    }

    /// Closes what is collected when it is time.
    fn close_if_due(&mut self, flight: &mut Flight<'_>, caught_up: bool) -> Result<bool, Break> {
        let Some(transactions) = &flight.transactions else { return Ok(false) };
        let sequence = transactions.sequence().max(self.cursor.sequence());
        let is_urgent = self.copies.is_unfinished(sequence) != self.copies.is_told_unfinished;
        if !transactions.is_due(caught_up, is_urgent) {
            return Ok(false);
        }
        let source = flight.source.clone();
        if let Some(transactions) = &mut flight.transactions
            && transactions.has_no_message()
            && !is_urgent
            && !self.cursor.is_news(source.as_deref())
            && transactions.sequence() <= self.cursor.sequence()
        {
            transactions.forget();
            return Ok(true);
        }
        self.close(flight)?;
        Ok(true)
    }

    fn close(&mut self, flight: &mut Flight<'_>) -> Result<(), Break> {
        flight.hand_over()?;
        self.take_committed(flight)?;
        let Some(transactions) = &flight.transactions else { return Ok(()) };
        let Some(covered) = transactions.collected.covered.clone() else { return Ok(()) };
        if !transactions.is_handed_over() {
            // Never so; but a cursor that says more than its transaction holds is a loss.
            tracing::error!(
                sequence = covered.sequence,
                "a kafka transaction lacks messages, its changes are sent again"
            );
            return Err(Break::Replace);
        }
        if !transactions.is_at_boundary() {
            self.tell_cut(covered.source.as_deref());
        }
        let record = self.cursor.proposed(&covered, self.log);
        crash_point("kafka.before_flush");
        flight.close(record, self.copies.tell(covered.sequence));
        Ok(())
    }

    /// Says once of each source transaction that it is in several of Kafka's.
    fn tell_cut(&mut self, source: Option<&v1::SourcePosition>) {
        let Some(partial) = source.and_then(|source| source.partial.as_ref()) else { return };
        if self.cut.as_deref() == Some(partial.transaction_id.as_str()) {
            return;
        }
        self.cut = Some(Arc::from(partial.transaction_id.as_str()));
        tracing::warn!(
            transaction = partial.transaction_id,
            changes = partial.logged_changes,
            "a source transaction is larger than a kafka transaction may be and is committed in parts"
        );
    }

    /// Takes a commit into account: the cursor moves, what lies before it may go.
    pub(crate) fn take_committed(&mut self, flight: &mut Flight<'_>) -> Result<(), KafkaError> {
        let Some(closing) = flight.committed.take() else { return Ok(()) };
        let now = SystemTime::now();
        for commit_unix_us in closing.commits {
            self.status.latency.observe_commit(commit_unix_us, now);
        }
        let moved = closing.record.sequence > self.cursor.sequence();
        self.cursor.committed(closing.record, self.log);
        self.status.cursor.store(self.cursor.sequence(), Ordering::Relaxed);
        self.pin.advance(self.cursor.sequence());
        if !self.oversized.is_empty() {
            self.oversized.forget(self.cursor.sequence());
        }
        if moved {
            self.fruitless = 0;
        }
        if self.waits_for_brokers() {
            self.status.running();
        }
        self.cursor.keep_note(false)
    }

    /// The last transaction of a stop: committed if it ends with a source transaction.
    pub(crate) fn finish(&mut self, flight: &mut Flight<'_>) -> Result<(), Break> {
        let collected = |flight: &Flight<'_>| {
            flight
                .transactions
                .as_ref()
                .is_some_and(|it| it.is_at_boundary() && !it.has_no_message())
        };
        loop {
            flight.step()?;
            self.take_committed(flight)?;
            let closing = flight.transactions.as_ref().is_some_and(Transactions::is_closing);
            match (closing, collected(flight)) {
                (true, _) => flight.wait_for_commit()?,
                (false, true) => self.close(flight)?,
                (false, false) => return Ok(()),
            }
        }
    }
}

impl Flight<'_> {
    /// Why the transaction has failed, if it has: asked by beginning another, which the library
    /// refuses in a transaction that is well, too.
    pub(crate) fn transaction_error(&self) -> Option<RDKafkaErrorCode> {
        match self.producer.begin_transaction() {
            Err(ClientError::Transaction(error)) => Some(error.code()),
            _ => None,
        }
        .filter(|code| *code != RDKafkaErrorCode::State)
    }
}
