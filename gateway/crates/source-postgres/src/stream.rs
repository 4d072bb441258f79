//! The loop of a connection: frames in, events out, status back, and the snapshot in between.
//!
//! Feedback never waits for a consumer. When there is no room for events the loop stops reading,
//! the server's data stays in the network, and status messages go on; so they do while tables are
//! copied. Batches are handed over when they are full or when nothing more has arrived and no transaction is
//! open.

use std::time::{Duration, Instant};

use offtake_change::Lsn;
use offtake_failpoint::crash_point;
use offtake_pgoutput::Frame;

use crate::SourceError;
use crate::assemble::{LookedUp, Taken, Unknown};
use crate::pace::Pace;
use crate::replay::{self, ReplayRequest};
use crate::run::{SourceEvent, unix_now_ns};
use crate::session::Session;
use crate::snapshot::{self, Outcome, Prepared};
use crate::source::{Phase, Source};
use crate::status::SourceState;

/// A server that says nothing for so long, though it was asked, is gone.
const SILENCE: Duration = Duration::from_secs(90);
/// How often the server is asked how far it is while a snapshot's place is approached.
const ASK_INTERVAL: Duration = Duration::from_millis(500);
/// Pause before a snapshot that failed is taken again.
const SNAPSHOT_PAUSE: Duration = Duration::from_secs(1);
/// What the catalogue may take to tell of a table.
const CATALOGUE_DEADLINE: Duration = Duration::from_secs(30);

/// What ended a walk over the frames that are here.
enum Walk {
    /// Everything whole is done.
    Drained,
    /// The batch is full, or the stream has to wait.
    Stopped,
    /// A table's definition has to be looked up first.
    Definition(Unknown),
}

/// What the loop woke up for.
enum Wake {
    Data(Result<usize, SourceError>),
    Room(bool),
    Acknowledged(Lsn),
    Timer,
    Prepared(Result<Prepared, SourceError>),
    Copied(Outcome),
    Replay(ReplayRequest),
}

/// What the loop knows besides the source.
struct Place {
    /// The stream is at the snapshot's place.
    held: bool,
    /// Furthest keepalive: everything that commits before was sent.
    server_sent: Lsn,
    /// The server's end of its log, as far as it told.
    server_end: Lsn,
    last_idle: Instant,
    last_heard: Instant,
    last_asked: Instant,
    /// Nothing came for a while: what there is of a transaction is sent on.
    is_late: bool,
    pace: Pace,
}

impl Source {
    /// Streams until the connection breaks or a person must decide.
    pub(crate) async fn stream_changes(
        &mut self,
        catalogue: &mut Session,
    ) -> Result<(), SourceError> {
        let now = Instant::now();
        let mut place = Place {
            held: false,
            server_sent: Lsn::ZERO,
            server_end: Lsn::ZERO,
            last_idle: now.checked_sub(self.options.idle_interval).unwrap_or(now),
            last_heard: now,
            last_asked: now.checked_sub(ASK_INTERVAL).unwrap_or(now),
            is_late: false,
            pace: Pace::new(now),
        };
        self.note_phase();
        loop {
            let walk = self.walk(&mut place)?;
            if let Walk::Definition(unknown) = walk {
                self.look_up(catalogue, unknown).await?;
                continue;
            }
            if let Some((_, feedback)) = &self.stream {
                self.status.set_received(feedback.furthest(), place.server_end);
            }
            self.hand_over_batch(std::mem::take(&mut place.is_late))?;
            self.hand_over_amendments()?;
            self.begin_copy_if_there(&mut place);
            self.hand_over_idle(&mut place)?;
            self.feed_back(&mut place).await?;
            if matches!(walk, Walk::Stopped) && self.may_walk(&place) {
                // There was room at once.
                tokio::task::yield_now().await;
                continue;
            }
            let wake = self.wait(&place).await?;
            self.woken(wake, &mut place)?;
        }
    }

    fn note_phase(&self) {
        let state = match &self.phase {
            Phase::Settled | Phase::Approaching(_) => SourceState::Streaming,
            Phase::Preparing(_) => SourceState::Preparing,
            Phase::Copying(_) => SourceState::Copying,
        };
        self.status.set_state(state);
    }

    /// Whether frames may be taken.
    fn may_walk(&self, place: &Place) -> bool {
        !place.held
            && !matches!(self.phase, Phase::Preparing(_) | Phase::Copying(_))
            && self.assembler.batch.size_bytes() < self.options.batch_bytes
    }

    /// Takes the frames that are here.
    fn walk(&mut self, place: &mut Place) -> Result<Walk, SourceError> {
        let approached = match &self.phase {
            Phase::Approaching(prepared) => Some(prepared.consistent_point),
            _ => None,
        };
        self.assembler.hold_at = approached;
        loop {
            if !self.may_walk(place) {
                return Ok(Walk::Stopped);
            }
            let Some((stream, feedback)) = &mut self.stream else { return Ok(Walk::Drained) };
            let Some((raw, frame)) = stream.peek()? else { return Ok(Walk::Drained) };
            match frame {
                Frame::XLogData(data) => {
                    let (at, end) = (Lsn(data.wal_start), Lsn(data.wal_end));
                    match self.assembler.take(data)? {
                        Taken::Done => {}
                        Taken::Held => {
                            place.held = true;
                            return Ok(Walk::Stopped);
                        }
                        Taken::Definition(unknown) => return Ok(Walk::Definition(unknown)),
                    }
                    feedback.received(at);
                    place.server_end = place.server_end.max(end);
                }
                Frame::Keepalive(keepalive) => {
                    let sent = Lsn(keepalive.wal_end);
                    feedback.received(sent);
                    if keepalive.reply_requested {
                        feedback.demand();
                    }
                    place.server_sent = place.server_sent.max(sent);
                    place.server_end = place.server_end.max(sent);
                    if approached.is_some_and(|point| sent >= point)
                        && !self.assembler.in_transaction()
                    {
                        place.held = true;
                    }
                }
            }
            stream.consume(raw);
        }
    }

    /// Looks up what the stream does not tell of a table.
    async fn look_up(
        &mut self,
        catalogue: &mut Session,
        unknown: Unknown,
    ) -> Result<(), SourceError> {
        let Unknown { relation, namespace, table, type_ids } = unknown;
        let mut renamed = None;
        match self.captured.takes(&self.states, relation, &namespace, &table) {
            Ok(true) => {}
            Ok(false) => {
                if self.captured.is_late(relation, &namespace, &table) {
                    self.late.ask();
                }
                self.assembler.looked_up(relation, LookedUp::NotCaptured);
                return Ok(());
            }
            Err(error) => renamed = Some(error),
        }
        let question = self.definitions.look_up(catalogue, relation, &type_ids);
        let facts = tokio::time::timeout(CATALOGUE_DEADLINE, question).await.map_err(|_| {
            SourceError::Io {
                address: self.options.connect.address(),
                error: std::io::ErrorKind::TimedOut.into(),
            }
        })??;
        let under = match renamed {
            None => None,
            Some(error) => {
                // Written under a name that it had for a while: it has its own again.
                let own =
                    self.captured.table(relation).zip(facts.as_ref()).filter(|(own, now)| {
                        own.namespace == now.namespace && own.name == now.table
                    });
                let (own, _) = own.ok_or(error)?;
                tracing::warn!(
                    table = own.qualified_name(),
                    name = format!("{namespace}.{table}"),
                    "rows were written under another name, which the table has no more"
                );
                Some((own.namespace.clone(), own.name.clone()))
            }
        };
        self.assembler.looked_up(relation, LookedUp::Captured { facts, under });
        Ok(())
    }

    /// Tells the log of tables that were forgotten, between transactions.
    fn hand_over_amendments(&mut self) -> Result<(), SourceError> {
        if self.assembler.in_transaction() || !self.assembler.batch.is_empty() {
            return Ok(());
        }
        while self.outgoing.is_none()
            && let Some(progress) = self.amendments.pop_front()
        {
            self.offer(SourceEvent::Snapshot(progress))?;
        }
        Ok(())
    }

    /// Sends the batch on when nothing else waits for room. The server sends a transaction when it
    /// has committed and a message at a time, so its end is on the way: a small one goes whole.
    fn hand_over_batch(&mut self, is_late: bool) -> Result<(), SourceError> {
        if self.outgoing.is_some() || self.assembler.batch.is_empty() {
            return Ok(());
        }
        let is_full = self.assembler.batch.size_bytes() >= self.options.batch_bytes;
        if self.assembler.in_transaction() && !is_full && !is_late {
            return Ok(());
        }
        let batch = self.assembler.take_batch(unix_now_ns());
        self.status.set_handed_over(self.assembler.progress.end, batch.rows.len() as u64);
        self.offer(SourceEvent::Batch(batch))
    }

    /// Hands over an event at once, or lets it wait for room.
    fn offer(&mut self, event: SourceEvent) -> Result<(), SourceError> {
        match self.events.try_send(event) {
            Ok(()) => Ok(()),
            Err(flume::TrySendError::Full(event)) => {
                self.outgoing = Some(self.events.clone().into_send_async(event));
                Ok(())
            }
            Err(flume::TrySendError::Disconnected(_)) => Err(SourceError::Closed),
        }
    }

    fn nothing_is_left(&self) -> bool {
        self.outgoing.is_none()
            && self.amendments.is_empty()
            && self.assembler.batch.is_empty()
            && !self.assembler.in_transaction()
    }

    /// At the snapshot's place, with everything before it handed over, the copy begins.
    fn begin_copy_if_there(&mut self, place: &mut Place) {
        if !place.held || !self.nothing_is_left() {
            return;
        }
        match std::mem::replace(&mut self.phase, Phase::Settled) {
            Phase::Approaching(prepared) if self.replay.is_some() => {
                if let Some(request) = self.replay.take() {
                    let rows = replay::send(*prepared, request, self.events.clone());
                    self.phase = Phase::Copying(Box::pin(rows));
                }
            }
            Phase::Approaching(prepared) => {
                let copy = snapshot::copy(
                    *prepared,
                    self.events.clone(),
                    std::sync::Arc::clone(&self.status),
                    self.options.batch_bytes,
                );
                self.phase = Phase::Copying(Box::pin(copy));
                self.note_phase();
            }
            other => self.phase = other,
        }
    }

    /// Where nothing is open and everything is handed over, the server's place is ours too.
    fn hand_over_idle(&mut self, place: &mut Place) -> Result<(), SourceError> {
        let progress = &self.assembler.progress;
        let known = progress.start();
        let passed = self.assembler.passed;
        let idle = place.server_sent.max(passed);
        if idle <= known || !self.nothing_is_left() || progress.partial.is_some() {
            return Ok(());
        }
        if !matches!(self.phase, Phase::Settled | Phase::Approaching(_)) || place.held {
            return Ok(());
        }
        // A message outside of a transaction would be sent again until its place is passed.
        let is_due = place.last_idle.elapsed() >= self.options.idle_interval
            || idle.bytes_since(known) >= self.options.idle_bytes
            || passed > known && self.assembler.message_passed;
        if !is_due {
            return Ok(());
        }
        place.last_idle = Instant::now();
        self.assembler.message_passed = false;
        self.assembler.progress.idle = idle;
        self.offer(SourceEvent::Idle(idle))
    }

    /// Tells the server where we are, when that is due.
    async fn feed_back(&mut self, place: &mut Place) -> Result<(), SourceError> {
        if !self.may_walk(place) {
            // Nothing is heard because nothing is read.
            place.last_heard = Instant::now();
        }
        let Some((stream, feedback)) = &mut self.stream else { return Ok(()) };
        if place.last_heard.elapsed() >= SILENCE {
            return Err(SourceError::Io {
                address: self.options.connect.address(),
                error: std::io::Error::new(std::io::ErrorKind::TimedOut, "the server is silent"),
            });
        }
        let approaching = matches!(self.phase, Phase::Approaching(_)) && !place.held;
        let ask_every = if approaching { ASK_INTERVAL } else { SILENCE / 3 };
        let long_silent = approaching || place.last_heard.elapsed() >= SILENCE / 3;
        if long_silent && place.last_asked.elapsed() >= ask_every {
            place.last_asked = Instant::now();
            feedback.ask_for_keepalive();
        }
        if feedback.due() > Instant::now() {
            return Ok(());
        }
        crash_point("source.before_feedback");
        let message = feedback.message(unix_now_ns() / 1_000);
        stream.send(&message).await?;
        self.status.set_confirmed(feedback.flushed());
        crash_point("source.after_feedback");
        Ok(())
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self, place: &Place) -> Result<Wake, SourceError> {
        let may_read = self.may_walk(place);
        let Some((stream, feedback)) = &mut self.stream else { return Err(SourceError::Closed) };
        let soon = Instant::now() + ASK_INTERVAL;
        let timer = tokio::time::sleep_until(feedback.due().min(soon).into());
        let room = async {
            match &mut self.outgoing {
                Some(waiting) => waiting.await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let is_settled = matches!(self.phase, Phase::Settled) && self.replay.is_none();
        let phase = async {
            match &mut self.phase {
                Phase::Preparing(prepared) => Wake::Prepared(prepared.await),
                Phase::Copying(outcome) => Wake::Copied(outcome.await),
                Phase::Settled | Phase::Approaching(_) => std::future::pending().await,
            }
        };
        let replay = async {
            match &mut self.replays {
                Some(replays) => replays.recv().await,
                None => None,
            }
        };
        let acknowledged = async {
            // Without a sender nothing more is acknowledged; the events' channel ends the run.
            if self.acknowledged.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            *self.acknowledged.borrow_and_update()
        };
        Ok(tokio::select! {
            read = stream.fill(), if may_read => Wake::Data(read),
            taken = room => Wake::Room(taken),
            place = acknowledged => Wake::Acknowledged(place),
            wake = phase => wake,
            Some(request) = replay, if is_settled => Wake::Replay(request),
            () = timer => Wake::Timer,
        })
    }

    fn woken(&mut self, wake: Wake, place: &mut Place) -> Result<(), SourceError> {
        match wake {
            Wake::Data(read) => {
                let read = read?;
                place.last_heard = Instant::now();
                // A TLS read gives a few KiB however much is waiting: pausing would throttle it.
                if self.stream.as_ref().is_some_and(|(stream, _)| stream.reads_all()) {
                    place.pace.read(read);
                }
            }
            Wake::Room(true) => self.outgoing = None,
            Wake::Room(false) => return Err(SourceError::Closed),
            Wake::Acknowledged(durable) => {
                if let Some((_, feedback)) = &mut self.stream {
                    feedback.acknowledged(durable);
                }
            }
            Wake::Timer => place.is_late = true,
            Wake::Replay(request) => self.begin_replay(request),
            Wake::Prepared(prepared) => self.prepared(prepared, place)?,
            Wake::Copied(outcome) => {
                for progress in outcome.done {
                    self.states.set(progress);
                }
                self.phase = Phase::Settled;
                place.last_heard = Instant::now();
                match outcome.result {
                    Ok(()) => {
                        place.held = false;
                        self.note_phase();
                    }
                    Err(error) => {
                        // The stream goes on, to the place of the next snapshot.
                        place.held = false;
                        self.take_snapshot_again(error)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the snapshot that rows are to be read from again; the stream waits until it is taken.
    fn begin_replay(&mut self, request: ReplayRequest) {
        let Some(server) = self.server.clone() else { return };
        if request.answer.is_disconnected() {
            return;
        }
        let tables = request.tables(self.captured.tables());
        let options = std::sync::Arc::clone(&self.options);
        self.phase =
            Phase::Preparing(replay::prepare(options, server, tables, self.definitions.clone()));
        self.replay = Some(request);
        self.note_phase();
    }

    /// The stream goes on to the place of the snapshot. Nothing is forgotten here of a table that
    /// was dropped: the stream may still have to bring changes of it.
    /// A snapshot was taken, or could not be.
    fn prepared(
        &mut self,
        prepared: Result<Prepared, SourceError>,
        place: &mut Place,
    ) -> Result<(), SourceError> {
        let start = self.assembler.progress.start();
        let prepared = prepared.and_then(|prepared| prepared.not_before(start));
        // The stream was not read meanwhile.
        place.last_heard = Instant::now();
        match prepared {
            prepared if self.replay.is_some() => self.replay_prepared(prepared),
            Ok(prepared) => {
                tracing::info!(consistent_point = %prepared.consistent_point, "snapshot taken");
                self.approach(prepared);
                self.note_phase();
            }
            Err(error) => {
                self.phase = Phase::Settled;
                self.take_snapshot_again(error)?;
            }
        }
        Ok(())
    }

    fn replay_prepared(&mut self, prepared: Result<Prepared, SourceError>) {
        self.phase = match prepared {
            Ok(prepared) => Phase::Approaching(Box::new(prepared)),
            Err(error) => {
                tracing::warn!(code = error.code(), error = %error, "rows are not read again");
                if let Some(request) = self.replay.take() {
                    request.refuse(&replay::refusal(&error));
                }
                Phase::Settled
            }
        };
        self.note_phase();
    }

    /// Plans the next try for the tables that are not done; the stream waits until it is taken.
    fn take_snapshot_again(&mut self, error: SourceError) -> Result<(), SourceError> {
        if !error.is_transient() {
            return Err(error);
        }
        tracing::warn!(code = error.code(), error = %error, "the snapshot is taken again");
        let Some(server) = self.server.clone() else { return Err(error) };
        let options = std::sync::Arc::clone(&self.options);
        let tables = self.unsettled();
        let definitions = self.definitions.clone();
        self.phase = Phase::Preparing(Box::pin(async move {
            tokio::time::sleep(SNAPSHOT_PAUSE).await;
            snapshot::prepare_by_temporary_slot(options, server, tables, definitions, None).await
        }));
        self.note_phase();
        Ok(())
    }
}
