//! Before the first transaction of a producer: alone, and knowing the cursor.
//!
//! The order is that of protocol EO-1: the transactional id is taken, which shuts every earlier
//! producer out and ends what it left open; only then is the cursor read, so that the last commit of
//! the one before is in it; then a first transaction writes the cursor under this process' name. A
//! producer that finds itself shut out reads whose name stands there: its own means that the
//! brokers ended a transaction that took too long, and it goes on; another's means that another
//! gateway took over, and a person decides.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use offtake_failpoint::crash_point;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

use crate::committer::{Call, Committer};
use crate::copies::Copies;
use crate::cursor_topic::{CursorTopic, Place, Published, Step};
use crate::delivery::{self, Decision, Mode, UNVERIFIED};
use crate::flight::{Break, Flight};
use crate::session::{Ended, LOOK_WAIT, Publisher};
use crate::topics::passes;
use crate::transaction::{Transactions, failure};
use crate::{KafkaError, client};

/// Between two looks whether a call has ended or a stop is wanted.
const LOOK: Duration = Duration::from_millis(20);
/// Producers that are begun to shut out one that delivered exactly once, when this one does not.
const MAX_FENCES: u32 = 5;
/// What an abort may take when the sink halts: an open transaction holds up the readers of its topics
/// until the brokers end it.
const ABORT_PATIENCE: Duration = Duration::from_secs(2);

/// By what this process can tell that it is still the one that publishes.
pub(crate) struct Ownership {
    /// This process in the cursor's record.
    instance: Arc<str>,
    /// A record under that name was committed.
    is_claimed: bool,
    /// The cursor topic was taken into account, for at-least-once delivery.
    is_taken_over: bool,
}

impl Default for Ownership {
    fn default() -> Ownership {
        let random = offtake_log::new_id().unwrap_or_else(|_| {
            // Without random numbers the process and the time have to do.
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let (process, now) =
                (u128::from(std::process::id()), now.unwrap_or_default().as_nanos());
            (process << 96 | now).to_le_bytes()
        });
        let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ownership { instance: name.into(), is_claimed: false, is_taken_over: false }
    }
}

impl Publisher<'_> {
    /// How to deliver; `None`: told to stop before the brokers answered.
    pub(crate) fn decide(&mut self) -> Result<Option<Mode>, KafkaError> {
        if self.mode.is_none() {
            let options = self.options;
            let decided = self.until(|| delivery::decide(options))?;
            match decided {
                None => return Ok(None),
                Some(Decision { mode, weaker: Some(reason) }) if !mode.is_exactly_once() => {
                    self.use_mode(delivery::fall_back(&reason));
                }
                Some(Decision { mode, weaker }) => {
                    if let Some(reason) = weaker {
                        tracing::warn!(
                            code = UNVERIFIED,
                            reason,
                            "exactly once is as good as the brokers"
                        );
                    }
                    self.use_mode(mode);
                }
            }
        }
        Ok(self.mode)
    }

    fn use_mode(&mut self, mode: Mode) {
        tracing::info!(
            delivery = mode.delivery.name(),
            level = mode.level.name(),
            "kafka delivery is decided"
        );
        self.mode = Some(mode);
        self.status.decided(mode);
    }

    /// Takes a step again and again until it is done. `None`: told to stop.
    fn until<T>(&mut self, mut step: impl FnMut() -> Step<T>) -> Result<Option<T>, KafkaError> {
        while !self.stop.is_asked() {
            match step()? {
                Ok(done) => return Ok(Some(done)),
                Err(reason) => {
                    self.status.waiting(reason);
                    // Where nobody answers at all, that is what is to be said. It takes its time.
                    if let Err(silent) = self.topics.reachable()? {
                        self.status.waiting(silent);
                    }
                }
            }
            self.pause(LOOK_WAIT);
        }
        Ok(None)
    }

    /// At-least-once delivery goes on from the cursor that exactly-once delivery left in Kafka, if it
    /// did. `false`: told to stop.
    pub(crate) fn take_over(&mut self) -> Result<bool, KafkaError> {
        if self.ownership.is_taken_over {
            return Ok(true);
        }
        let mut topic = CursorTopic::new(self.options)?;
        let Some(place) = self.until(|| topic.find())? else { return Ok(false) };
        let published = match place {
            None => None,
            Some(place) => match self.last_published(&mut topic, &place)? {
                None => return Ok(false),
                Some(published) => published,
            },
        };
        let record = published.map(|published| published.record);
        self.cursor.decide(record, false, self.options, self.log)?;
        // In the file before the first message, so that the file alone tells what may be doubled.
        if self.cursor.write(self.log, true)? {
            self.pin.advance(self.cursor.sequence());
        }
        crash_point("kafka.after_take_over");
        self.status.cursor.store(self.cursor.sequence(), Ordering::Relaxed);
        self.ownership.is_taken_over = true;
        Ok(true)
    }

    /// What exactly-once delivery has published, once nothing of it can be added to: whoever wrote
    /// it is shut out first, which also ends what it left open. `None`: told to stop.
    fn last_published(
        &mut self,
        topic: &mut CursorTopic<'_>,
        place: &Place,
    ) -> Result<Option<Option<Published>>, KafkaError> {
        let Some(published) = self.until(|| topic.read(place))? else { return Ok(None) };
        let is_news = published
            .as_ref()
            .is_none_or(|published| self.cursor.generation() <= published.record.generation);
        let is_open = topic.has_open_transaction(place);
        if !is_open && (published.is_none() || !is_news) {
            return Ok(Some(published));
        }
        for attempt in 1..=MAX_FENCES {
            let flight = self.flight(client::Kind { one_by_one: false, transactional: true })?;
            let committer = Committer::start(Arc::clone(&flight.producer))?;
            match self.initialise(&flight, &committer, false) {
                Ok(None) => break,
                Ok(Some(Ended::Stopped)) => return Ok(None),
                // Not allowed any more: what is open is ended by the brokers in time.
                Err(KafkaError::TransactionsDenied { .. }) => break,
                Err(error) => return Err(error),
                Ok(Some(_)) => self.pause(LOOK_WAIT * attempt),
            }
        }
        topic.wait_for_open_transactions();
        self.until(|| topic.read(place))
    }

    /// One transactional producer's life.
    pub(crate) fn transactional_session(&mut self, one_by_one: bool) -> Result<Ended, KafkaError> {
        let mut topic = CursorTopic::new(self.options)?;
        let Some(place) = self.until(|| topic.find_or_create())? else { return Ok(Ended::Stopped) };
        // Looked at before anybody is shut out: who could not go on has no reason to.
        if !self.recover(&mut topic, &place)? {
            return Ok(Ended::Stopped);
        }
        let mut flight = self.flight(client::Kind { one_by_one, transactional: true })?;
        let committer = Committer::start(Arc::clone(&flight.producer))?;
        crash_point("kafka.before_init");
        if let Some(ended) = self.initialise(&flight, &committer, one_by_one)? {
            return Ok(ended);
        }
        crash_point("kafka.after_init");
        topic.wait_for_open_transactions();
        if !self.recover(&mut topic, &place)? {
            return Ok(Ended::Stopped);
        }
        drop(topic);
        crash_point("kafka.after_recovery");
        flight.transactions = Some(Transactions::new(
            committer,
            place,
            Arc::clone(&self.ownership.instance),
            self.options.delivery.transaction_interval,
            self.options.transaction_timeout(),
        ));
        let outcome = self.claim(&mut flight).and_then(|()| {
            let began_with = self.log.durable().borrow().sequence;
            let mut reader = self.reader(&mut flight)?;
            self.publish_transactions(&mut flight, &mut reader, began_with)
        });
        let outcome = outcome.or_else(|broken| self.judge_break(&mut flight, broken));
        self.end_transactions(&mut flight, &outcome)?;
        outcome
    }

    /// Reads the cursor. `false`: told to stop.
    ///
    /// # Errors
    /// It is another gateway's, another log's, lost.
    fn recover(&mut self, topic: &mut CursorTopic<'_>, place: &Place) -> Result<bool, KafkaError> {
        let Some(published) = self.until(|| topic.read(place))? else { return Ok(false) };
        if let Some(Published { instance, .. }) = &published
            && self.ownership.is_claimed
            && **instance != *self.ownership.instance
        {
            return Err(KafkaError::Fenced {
                pipeline: self.options.pipeline.clone(),
                id: self.options.transactional_id(),
            });
        }
        let is_known_to_be_whole =
            published.as_ref().is_some_and(|published| !published.is_in_snapshot);
        let here = published.as_ref().map_or(0, |published| published.record.sequence);
        let record = published.map(|published| published.record);
        self.cursor.decide(record, true, self.options, self.log)?;
        // What the topic says holds for its own cursor alone.
        let whole = is_known_to_be_whole && here == self.cursor.sequence();
        self.copies = Copies::new(whole, self.log);
        self.status.cursor.store(self.cursor.sequence(), Ordering::Relaxed);
        Ok(true)
    }

    /// Shuts out every earlier producer and ends what it left open. `Some`: the session ends.
    fn initialise(
        &mut self,
        flight: &Flight<'_>,
        committer: &Committer,
        one_by_one: bool,
    ) -> Result<Option<Ended>, KafkaError> {
        use RDKafkaErrorCode as Code;
        committer.call(Call::Init);
        loop {
            if self.stop.is_asked() {
                return Ok(Some(Ended::Stopped));
            }
            // The library asks for its token and tells why nobody answers only when it is polled.
            flight.producer.poll(Duration::ZERO);
            let Some(answer) = committer.answer(LOOK) else { continue };
            let Err(error) = answer.result else { return Ok(None) };
            let code = failure(&error).code;
            let reason = format!("transactions cannot begin: {code}");
            match code {
                Code::TransactionalIdAuthorizationFailed | Code::UnsupportedFeature
                    if self.options.delivery.delivery.is_none() && !self.ownership.is_claimed =>
                {
                    self.use_mode(delivery::fall_back(&reason));
                    return Ok(Some(Ended::Rebuild { one_by_one }));
                }
                Code::TransactionalIdAuthorizationFailed => {
                    return Err(KafkaError::TransactionsDenied {
                        id: self.options.transactional_id(),
                    });
                }
                Code::UnsupportedFeature => {
                    return Err(KafkaError::TransactionsUnsupported { reason: code.to_string() });
                }
                Code::ClusterAuthorizationFailed => {
                    return Err(KafkaError::ClusterDenied(code.to_string()));
                }
                Code::InvalidTransactionTimeout => {
                    let ms = self.options.transaction_timeout().as_millis();
                    return Err(KafkaError::TransactionTimeout { ms });
                }
                _ => self.status.waiting(reason),
            }
            match &error {
                // The library goes on with it and wants to be asked again.
                ClientError::Transaction(error) if error.is_retriable() && passes(code) => {
                    committer.call(Call::Init);
                }
                _ => return Ok(Some(Ended::Rebuild { one_by_one })),
            }
        }
    }

    /// Commits the cursor as it is, under this process' name.
    fn claim(&mut self, flight: &mut Flight<'_>) -> Result<(), Break> {
        let here = self.cursor.here();
        let record = self.cursor.proposed(&here, self.log);
        flight.enter()?;
        flight.close(record, self.copies.tell(here.sequence));
        while flight.committed.is_none() {
            flight.step()?;
            if flight.committed.is_none() {
                flight.wait_for_commit()?;
            }
        }
        self.take_committed(flight)?;
        self.ownership.is_claimed = true;
        self.status.running();
        Ok(())
    }

    /// Ends what is open, so that no reader waits for it until the brokers would end it: committed
    /// if that is possible before the deadline of a stop, else aborted. A producer that is replaced
    /// leaves that to the next one.
    fn end_transactions(
        &mut self,
        flight: &mut Flight<'_>,
        outcome: &Result<Ended, KafkaError>,
    ) -> Result<(), KafkaError> {
        let is_begun = |flight: &Flight<'_>| {
            flight.transactions.as_ref().is_some_and(|transactions| transactions.is_begun)
        };
        match outcome {
            Ok(Ended::Rebuild { .. }) => {
                self.status.aborted.fetch_add(u64::from(is_begun(flight)), Ordering::Relaxed);
                return Ok(());
            }
            Ok(Ended::Stopped) => {
                flight.is_draining = true;
                // Whatever stands in the way: what is not committed is sent again.
                let finished = self.finish(flight);
                if let Err(Break::Error(error)) = finished {
                    tracing::debug!(%error, "the last transaction is not committed");
                }
            }
            Err(_) => {}
        }
        if is_begun(flight) {
            self.status.aborted.fetch_add(1, Ordering::Relaxed);
            abort(flight);
        }
        self.cursor.keep_note(true)
    }
}

/// Aborts the open transaction, unless its commit is on its way or that takes too long.
fn abort(flight: &mut Flight<'_>) {
    let Some(transactions) = &flight.transactions else { return };
    if transactions.is_committing() {
        return;
    }
    transactions.committer.call(Call::Abort);
    let deadline = Instant::now() + ABORT_PATIENCE;
    while Instant::now() < deadline && transactions.committer.answer(Duration::ZERO).is_none() {
        // The library counts reports that nobody took as messages on their way.
        flight.pause();
    }
}
