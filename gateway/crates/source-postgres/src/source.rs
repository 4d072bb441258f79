//! What a run of the source remembers over its connections, and how a connection begins: the
//! server is looked at, publication and slot are made or checked, and what must be copied is
//! planned.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use flume::r#async::SendFut;
use offtake_change::Lsn;
use offtake_failpoint::crash_point;
use offtake_proto::v1::{SnapshotProgress, SnapshotState, SourceIdentity};
use tokio::sync::{mpsc, watch};

use crate::SourceError;
use crate::assemble::Assembler;
use crate::captured::{Captured, check_names};
use crate::catalog::{Server, Table, matching_tables, names_of, read_server};
use crate::copy_both::ReplicationStream;
use crate::definitions::Definitions;
use crate::feedback::Feedback;
use crate::glob::Selection;
use crate::late_tables::LateTables;
use crate::progress::{Progress, Resume, SnapshotStates, position};
use crate::publication::{Publication, ensure_publication, names, read_publication, unpublished};
use crate::replay::ReplayRequest;
use crate::run::{SnapshotMode, SourceEvent, SourceOptions};
use crate::session::Session;
use crate::slot::{SlotFacts, SlotKind, create_slot, identify_system, slot_facts};
use crate::snapshot::{self, Outcome, Prepared};
use crate::start_checks;
use crate::status::{SourceState, SourceStatus};

pub(crate) type PreparedFuture =
    Pin<Box<dyn Future<Output = Result<Prepared, SourceError>> + Send>>;
pub(crate) type OutcomeFuture = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Where the snapshot of unfinished tables stands. It outlives a connection of the stream.
pub(crate) enum Phase {
    /// Nothing to copy.
    Settled,
    /// A snapshot is being taken; the stream waits.
    Preparing(PreparedFuture),
    /// The stream goes on to the snapshot's place.
    Approaching(Box<Prepared>),
    /// The tables are being copied; the stream waits.
    Copying(OutcomeFuture),
}

pub(crate) struct Source {
    pub(crate) options: Arc<SourceOptions>,
    pub(crate) events: flume::Sender<SourceEvent>,
    pub(crate) acknowledged: watch::Receiver<Lsn>,
    pub(crate) status: Arc<SourceStatus>,
    resume: Resume,
    pub(crate) states: SnapshotStates,
    /// Chosen once a run.
    pub(crate) captured: Captured,
    /// What came after that and matches.
    pub(crate) late: Arc<LateTables>,
    /// Tables that were forgotten since, of which the log is to be told.
    pub(crate) amendments: VecDeque<SnapshotProgress>,
    started: bool,
    /// Captured tables, by OID, that the publication did not have when this run began.
    unpublished: Vec<u32>,
    pub(crate) assembler: Assembler,
    pub(crate) phase: Phase,
    /// Where rows are asked for again.
    pub(crate) replays: Option<mpsc::Receiver<ReplayRequest>>,
    /// Rows that are asked for and not read yet: the phase is theirs.
    pub(crate) replay: Option<ReplayRequest>,
    /// An event that waits for room. Kept over connections: dropping it could lose or double it.
    pub(crate) outgoing: Option<SendFut<'static, SourceEvent>>,
    pub(crate) definitions: Definitions,
    pub(crate) server: Option<Server>,
    /// The open stream, kept here so that a last message can be sent when the run is stopped.
    pub(crate) stream: Option<(ReplicationStream, Feedback)>,
}

impl Source {
    pub(crate) fn new(
        options: Arc<SourceOptions>,
        resume: Resume,
        events: flume::Sender<SourceEvent>,
        acknowledged: watch::Receiver<Lsn>,
        status: Arc<SourceStatus>,
    ) -> Result<Source, SourceError> {
        let progress = Progress::from_position(resume.position.as_ref());
        let database = options.connect.database.clone();
        let definitions = Definitions::new(&database, &resume.schemas);
        Ok(Source {
            states: SnapshotStates::new(&resume.snapshots),
            assembler: Assembler::new(progress, &database, definitions.clone())?,
            definitions,
            captured: Captured::new(Selection::new(&options.tables, &options.exclude)?),
            late: Arc::default(),
            amendments: VecDeque::new(),
            started: false,
            unpublished: Vec::new(),
            phase: Phase::Settled,
            replays: None,
            replay: None,
            outgoing: None,
            server: None,
            stream: None,
            options,
            events,
            acknowledged,
            status,
            resume,
        })
    }

    /// One connection, from its beginning to its end.
    pub(crate) async fn connect_and_stream(&mut self) -> Result<(), SourceError> {
        self.stream = None;
        if self.phase_is_settled() {
            self.status.set_state(SourceState::Connecting);
        }
        let mut replication =
            Session::connect_for_replication(&self.options.connect, self.options.message_limit())
                .await?;
        let mut catalogue = Session::connect(&self.options.connect).await?;
        let server = read_server(&mut catalogue).await?;
        server.check()?;
        let system = identify_system(&mut replication).await?;
        start_checks::check_identity(&self.options, self.resume.position.as_ref(), &system)?;
        let identity = SourceIdentity {
            kind: "postgres".to_owned(),
            system_id: system.system_id.clone(),
            timeline: system.timeline,
            database: server.database.clone(),
            slot: self.options.slot.clone(),
            publication: self.options.publication.clone(),
            options: self.options.protocol_options(),
        };
        start_checks::check_partial(self.resume.position.as_ref(), &identity)?;
        let first_of_run = !self.started;
        if first_of_run {
            self.choose_tables(&mut catalogue).await?;
        }
        let announced = self.is_slot_announced();
        let facts = self.check_slot(announced, &mut catalogue, &server).await?;
        if first_of_run && self.options.snapshot == SnapshotMode::Initial {
            let user = &self.options.connect.user;
            start_checks::check_readable(&mut catalogue, user, &self.unsettled()).await?;
        }
        let publication = self.ensure_published(&mut catalogue, &server).await?;
        if first_of_run {
            self.start(identity, &mut catalogue, &server, &publication).await?;
        }
        self.server = Some(server.clone());
        if facts.is_none() {
            self.create_slot(replication, &mut catalogue, &server, system.end).await?;
            replication = Session::connect_for_replication(
                &self.options.connect,
                self.options.message_limit(),
            )
            .await?;
        } else if announced {
            self.adopt_announced_slot(facts.as_ref()).await?;
        }
        self.plan_snapshot(&server).await?;
        self.assembler.reconnected()?;
        let start = self.assembler.progress.start();
        let stream = self.start_stream(replication, start).await?;
        // Not what the log has: sinks may be behind it, and the source waits for them where it is told
        // to. Nor less than the slot has, to which older servers would go back.
        let confirmed = facts.map_or(Lsn::ZERO, |facts| facts.confirmed_flush);
        let acknowledged = (*self.acknowledged.borrow_and_update()).max(confirmed);
        let feedback =
            Feedback::new(self.options.status_interval, server.wal_sender_timeout_ms, acknowledged);
        tracing::info!(slot = self.options.slot, start = %start, "streaming");
        self.stream = Some((stream, feedback));
        self.stream_changes(&mut catalogue).await
    }

    /// Tells the server what is durable and leaves, so that the slot is free at once.
    pub(crate) async fn farewell(&mut self) {
        let Some((mut stream, mut feedback)) = self.stream.take() else { return };
        feedback.acknowledged(*self.acknowledged.borrow());
        let message = feedback.message(crate::run::unix_now_ns() / 1_000);
        if stream.send(&message).await.is_ok() {
            stream.close().await;
        }
    }

    fn phase_is_settled(&self) -> bool {
        matches!(self.phase, Phase::Settled)
    }

    async fn choose_tables(&mut self, catalogue: &mut Session) -> Result<(), SourceError> {
        let selection = self.captured.selection();
        let tables = matching_tables(catalogue, selection).await?;
        let known = self.states.iter().map(|known| known.relation_id);
        let names = names_of(catalogue, known).await?;
        check_names(&self.states, selection, &names)?;
        if tables.is_empty() {
            return Err(SourceError::NoTables {
                database: self.options.connect.database.clone(),
                globs: self.options.tables.join(", "),
            });
        }
        self.late.chosen(tables.iter().map(|table| table.oid));
        self.captured.choose(tables);
        Ok(())
    }

    /// Whether the log says that a slot is about to be created, and not yet that it was.
    fn is_slot_announced(&self) -> bool {
        let end = self.assembler.progress.end;
        start_checks::is_slot_announced(end, &self.states, &self.captured.tables())
    }

    /// The slot as it is once nobody else reads from it; it fits the log then.
    async fn check_slot(
        &mut self,
        announced: bool,
        catalogue: &mut Session,
        server: &Server,
    ) -> Result<Option<SlotFacts>, SourceError> {
        let empty = self.resume.log_is_empty && self.states.is_empty();
        let durable =
            start_checks::durable(self.resume.position.as_ref()).max(*self.acknowledged.borrow());
        let slot = &self.options.slot;
        let found = slot_facts(catalogue, server.version, slot).await?;
        start_checks::check_slot(&self.options, found.as_ref(), empty, announced, durable)?;
        // A slot in use may still move, or vanish where its creation is being given up.
        let facts = start_checks::wait_until_free(catalogue, server, slot).await?;
        start_checks::check_slot(&self.options, facts.as_ref(), empty, announced, durable)?;
        Ok(facts)
    }

    async fn ensure_published(
        &mut self,
        catalogue: &mut Session,
        server: &Server,
    ) -> Result<Publication, SourceError> {
        let name = self.options.publication.clone();
        let found = read_publication(catalogue, server.version, &name).await?;
        let tables = self.captured.tables();
        let missing = unpublished(found.as_ref(), &tables);
        if self.started {
            // Tables were chosen and published at the start of the run. Adding one again that was
            // taken out meanwhile would hide the gap.
            if !missing.is_empty() {
                tracing::warn!(tables = names(&missing), "captured tables are published no more");
            }
            return Ok(found.unwrap_or_default());
        }
        self.unpublished = missing.iter().map(|table| table.oid).collect();
        let mut taken_out = missing;
        taken_out.retain(|table| self.states.is_captured(table));
        if !taken_out.is_empty() {
            // The log has them, and the server never sends what was written since: added again by us,
            // nobody would know.
            return Err(SourceError::Unpublished { publication: name, tables: names(&taken_out) });
        }
        let may_change = self.options.create_publication;
        ensure_publication(catalogue, server.version, &name, found, &tables, may_change).await
    }

    async fn start(
        &mut self,
        identity: SourceIdentity,
        catalogue: &mut Session,
        server: &Server,
        publication: &Publication,
    ) -> Result<(), SourceError> {
        let tables = self.captured.tables();
        let tables =
            self.definitions.of_tables(catalogue, &tables, publication, server.version).await?;
        self.emit(SourceEvent::Started { identity, tables }).await?;
        self.started = true;
        let start = self.assembler.progress.start();
        if self.states.is_adopted() {
            self.adopt_tables(start).await?;
        }
        for progress in self.captured.amendments(&self.states, start) {
            self.states.set(progress.clone());
            self.emit(SourceEvent::Snapshot(progress)).await?;
        }
        Ok(())
    }

    /// Creates the lasting slot. The log says so before it happens: a slot that is found after a
    /// crash in between is then known to be ours.
    async fn create_slot(
        &mut self,
        mut replication: Session,
        catalogue: &mut Session,
        server: &Server,
        now_at: Lsn,
    ) -> Result<(), SourceError> {
        self.status.set_state(SourceState::Preparing);
        self.announce_tables(None).await?;
        self.emit_idle(now_at).await?;
        self.wait_until_acknowledged(now_at).await?;
        // The time that took is time in which another gateway may have created it.
        let found = slot_facts(catalogue, server.version, &self.options.slot).await?;
        if found.is_some() {
            return Err(SourceError::SlotExists { slot: self.options.slot.clone() });
        }
        crash_point("source.before_slot_create");
        let kind = match self.options.snapshot {
            SnapshotMode::Initial => SlotKind::Lasting,
            SnapshotMode::Never => SlotKind::LastingWithoutSnapshot,
        };
        let created =
            create_slot(&mut replication, server.version, &self.options.slot, kind).await?;
        crash_point("source.after_slot_create");
        let point = created.consistent_point;
        tracing::info!(slot = self.options.slot, consistent_point = %point, "slot created");
        // The position first: with it the slot is known, whatever else is cut off.
        self.emit_idle(point).await?;
        self.announce_tables(Some(point)).await?;
        if let Some(snapshot) = created.snapshot {
            let tables = self.unsettled();
            let prepared = snapshot::prepare(
                &self.options,
                server,
                tables,
                &self.definitions,
                &snapshot,
                point,
            );
            let start = self.assembler.progress.start();
            match prepared.await.and_then(|prepared| prepared.not_before(start)) {
                Ok(prepared) => self.approach(prepared),
                // The slot stays; a temporary one will export another snapshot.
                Err(error) if error.is_transient() => {
                    tracing::warn!(error = %error, "the snapshot is taken again");
                }
                Err(error) => return Err(error),
            }
        }
        replication.close().await;
        Ok(())
    }

    /// The process ended between creating the slot and noting it.
    async fn adopt_announced_slot(&mut self, facts: Option<&SlotFacts>) -> Result<(), SourceError> {
        let Some(facts) = facts else { return Ok(()) };
        let point = facts.confirmed_flush;
        tracing::info!(slot = self.options.slot, confirmed = %point, "slot of a cut-off start found");
        self.emit_idle(point).await?;
        self.announce_tables(Some(point)).await
    }

    /// Says of every table that is not settled what will become of it.
    async fn announce_tables(&mut self, point: Option<Lsn>) -> Result<(), SourceError> {
        let state = match self.options.snapshot {
            SnapshotMode::Initial => SnapshotState::Pending,
            SnapshotMode::Never => SnapshotState::Skipped,
        };
        for table in self.captured.tables() {
            let known = self.states.of(&table);
            // What was decided of a table when it was first captured stays, whatever is configured
            // since: one that was captured without its rows is not copied later.
            if known.is_some_and(|known| {
                known.state() == SnapshotState::Done
                    || known.consistent_point.is_some()
                        && (known.state() == state || known.state() == SnapshotState::Skipped)
            }) {
                continue;
            }
            let progress = SnapshotProgress {
                namespace: table.namespace.clone(),
                table: table.name.clone(),
                state: state.into(),
                rows: 0,
                consistent_point: point.map(position),
                estimate: table.estimated_rows,
                relation_id: table.oid,
            };
            self.states.set(progress.clone());
            self.emit(SourceEvent::Snapshot(progress)).await?;
        }
        Ok(())
    }

    /// The log went on from a lost one: what is captured now was copied into that. The amendment of
    /// the name that says so comes after all of them, so a crash in between begins this again. What was
    /// not published until now was not copied, and is.
    async fn adopt_tables(&mut self, start: Lsn) -> Result<(), SourceError> {
        let mut tables = self.captured.tables();
        tables.retain(|table| !self.unpublished.contains(&table.oid));
        for table in tables {
            let progress = SnapshotProgress {
                namespace: table.namespace.clone(),
                table: table.name.clone(),
                state: SnapshotState::Done.into(),
                rows: 0,
                consistent_point: Some(position(start)),
                estimate: table.estimated_rows,
                relation_id: table.oid,
            };
            self.states.set(progress.clone());
            self.emit(SourceEvent::Snapshot(progress)).await?;
        }
        Ok(())
    }

    /// Captured tables that are still to be copied.
    pub(crate) fn unsettled(&self) -> Vec<Table> {
        let mut tables = self.captured.tables();
        tables.retain(|table| !self.states.is_settled(table));
        tables
    }

    /// Tables that are new, made anew or were cut off are copied from a temporary slot's snapshot.
    async fn plan_snapshot(&mut self, server: &Server) -> Result<(), SourceError> {
        if !self.phase_is_settled() || self.unsettled().is_empty() {
            return Ok(());
        }
        let start = self.assembler.progress.start();
        self.announce_tables(Some(start)).await?;
        let tables = self.unsettled();
        if !tables.is_empty() {
            tracing::info!(tables = tables.len(), "tables to be copied at a later place");
            self.phase = Phase::Preparing(Box::pin(snapshot::prepare_by_temporary_slot(
                Arc::clone(&self.options),
                server.clone(),
                tables,
                self.definitions.clone(),
                None,
            )));
        }
        Ok(())
    }

    /// A snapshot is taken: what was dropped meanwhile is forgotten, the rest waits for its place.
    pub(crate) fn approach(&mut self, prepared: Prepared) {
        for table in &prepared.gone {
            self.forget(table);
        }
        self.phase = if prepared.is_empty() {
            Phase::Settled
        } else {
            Phase::Approaching(Box::new(prepared))
        };
    }

    /// There is no such table any more, and nothing to copy. One that has its name now is another,
    /// and is taken by the next run.
    fn forget(&mut self, table: &Table) {
        tracing::warn!(
            table = table.qualified_name(),
            relation = table.oid,
            "a table was dropped before it was copied and is captured no more"
        );
        self.captured.forget(table.oid);
        let removed = SnapshotProgress {
            namespace: table.namespace.clone(),
            table: table.name.clone(),
            state: SnapshotState::Removed.into(),
            rows: 0,
            consistent_point: Some(position(self.assembler.progress.start())),
            estimate: 0,
            relation_id: table.oid,
        };
        self.states.set(removed.clone());
        self.amendments.push_back(removed);
    }

    async fn start_stream(
        &mut self,
        replication: Session,
        start: Lsn,
    ) -> Result<ReplicationStream, SourceError> {
        let options = &self.options;
        ReplicationStream::start(
            replication,
            &options.slot,
            &options.publication,
            options.messages,
            start,
        )
        .await
        .map_err(|error| start_checks::explain(error, &options.slot))
    }

    /// Hands over an event, and first what waits for room.
    pub(crate) async fn emit(&mut self, event: SourceEvent) -> Result<(), SourceError> {
        if let Some(waiting) = &mut self.outgoing {
            waiting.await.map_err(|_| SourceError::Closed)?;
            self.outgoing = None;
        }
        let sent = self.outgoing.insert(self.events.clone().into_send_async(event)).await;
        self.outgoing = None;
        sent.map_err(|_| SourceError::Closed)
    }

    /// Hands over that there is nothing for us before this place.
    async fn emit_idle(&mut self, place: Lsn) -> Result<(), SourceError> {
        let place = place.max(self.assembler.progress.start());
        self.assembler.progress.idle = place;
        self.emit(SourceEvent::Idle(place)).await
    }

    async fn wait_until_acknowledged(&mut self, place: Lsn) -> Result<(), SourceError> {
        let waited = self.acknowledged.wait_for(|&acknowledged| acknowledged >= place).await;
        waited.map(|_| ()).map_err(|_| SourceError::Closed)
    }
}
