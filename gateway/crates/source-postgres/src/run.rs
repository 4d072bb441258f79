//! The source as a whole: options in, events out, connecting again until a person must decide.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use offtake_change::{Batch, Lsn, TableSchema};
use offtake_proto::v1;
use tokio::sync::{mpsc, watch};

use crate::SourceError;
use crate::connect::ConnectOptions;
use crate::late_tables::LateTables;
use crate::progress::Resume;
use crate::replay::{ReplayRequest, ReplayedChange};
use crate::session::Session;
use crate::slot::slot_facts;
use crate::source::Source;
use crate::status::{SourceState, SourceStatus};

/// First pause before connecting again; doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A connection that lasted this long was a good one: the pauses begin anew.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);
/// How often the server is asked about the slot.
const SLOT_INTERVAL: Duration = Duration::from_secs(10);
/// How long the last word to the server may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Whether tables are read whole before their changes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SnapshotMode {
    /// Each table once.
    #[default]
    Initial,
    /// Changes only.
    Never,
}

/// What the source reads and how.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Server and login.
    pub connect: ConnectOptions,
    /// Name of the pipeline, for log lines.
    pub pipeline: String,
    /// Globs over `schema.table`.
    pub tables: Vec<String>,
    /// Globs of tables to leave out.
    pub exclude: Vec<String>,
    /// Replication slot; created while the log is empty.
    pub slot: String,
    /// Publication; created and extended where the role may.
    pub publication: String,
    /// Whether a missing publication is created, and tables are added to one that lacks them.
    pub create_publication: bool,
    /// Whether logical messages are read.
    pub messages: bool,
    /// Whether tables are read whole first.
    pub snapshot: SnapshotMode,
    /// Size at which a batch is handed over; one that is not full is handed over as soon as
    /// nothing more has arrived.
    pub batch_bytes: usize,
    /// Shortest time between two idle positions.
    pub idle_interval: Duration,
    /// Bytes of log after which an idle position is handed over sooner.
    pub idle_bytes: u64,
    /// Longest time between two status messages to the server.
    pub status_interval: Duration,
    /// Largest row image taken.
    pub max_row_bytes: usize,
}

impl SourceOptions {
    /// Options with the defaults of the configuration reference.
    pub fn new(connect: ConnectOptions, name: &str) -> SourceOptions {
        SourceOptions {
            connect,
            pipeline: name.to_owned(),
            tables: vec!["public.*".to_owned()],
            exclude: Vec::new(),
            slot: format!("offtake_{name}"),
            publication: format!("offtake_{name}"),
            create_publication: true,
            messages: true,
            snapshot: SnapshotMode::Initial,
            batch_bytes: 256 << 10,
            idle_interval: Duration::from_secs(60),
            idle_bytes: 64 << 20,
            status_interval: Duration::from_secs(10),
            max_row_bytes: 64 << 20,
        }
    }

    /// What decides which rows a transaction has as the server sends it.
    pub(crate) fn protocol_options(&self) -> String {
        format!("proto_version=1,messages={}", self.messages)
    }

    /// Largest replication message: two images of a row and what is around them.
    pub(crate) fn message_limit(&self) -> usize {
        self.max_row_bytes.saturating_mul(2).saturating_add(64 << 10)
    }
}

/// What the source hands over, in order.
#[derive(Debug)]
pub enum SourceEvent {
    /// The server is the right one; comes first, once a run.
    Started {
        /// What positions are good for from here on.
        identity: v1::SourceIdentity,
        /// The captured tables as they are now.
        tables: Vec<Arc<TableSchema>>,
    },
    /// Changes.
    Batch(Batch),
    /// The state of a table's snapshot moved.
    Snapshot(v1::SnapshotProgress),
    /// There is nothing for us before this place; to be made durable before it is acknowledged.
    Idle(Lsn),
    /// A row that was asked for again; comes between transactions.
    Replay(Box<ReplayedChange>),
}

/// Runs the source until `shutdown` is true, nobody takes events any more, or a person must decide.
///
/// `acknowledged` is how far everything handed over is durable: the only thing that the server is
/// told as flushed. A broken connection is made again from the place that was handed over.
/// `replays`: rows that are asked for again while it runs.
///
/// # Errors
/// Only what connecting again does not cure; [`SourceError::next_step`] says what does.
pub async fn run(
    options: SourceOptions,
    resume: Resume,
    events: flume::Sender<SourceEvent>,
    acknowledged: watch::Receiver<Lsn>,
    status: Arc<SourceStatus>,
    mut shutdown: watch::Receiver<bool>,
    replays: Option<mpsc::Receiver<ReplayRequest>>,
) -> Result<(), SourceError> {
    let options = Arc::new(options);
    let mut source =
        Source::new(Arc::clone(&options), resume, events, acknowledged, Arc::clone(&status))?;
    source.replays = replays;
    let late = Arc::clone(&source.late);
    let result = tokio::select! {
        result = connect_again_and_again(&mut source, &status) => result,
        () = watch_server(&options, &status, &late) => Ok(()),
        // An error means that nobody is left to say stop, which is a stop too.
        _ = shutdown.wait_for(|&stop| stop) => Ok(()),
    };
    // The slot is told what is durable by now, and free for the next run.
    let _ = tokio::time::timeout(FAREWELL, source.farewell()).await;
    status.set_state(SourceState::Stopped);
    match result {
        Err(SourceError::Closed) => Ok(()),
        other => other,
    }
}

async fn connect_again_and_again(
    source: &mut Source,
    status: &SourceStatus,
) -> Result<(), SourceError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let Err(error) = source.connect_and_stream().await else { return Ok(()) };
        if !error.is_transient() {
            tracing::error!(code = error.code(), error = %error, "source halted");
            return Err(error);
        }
        if began.elapsed() >= GOOD_CONNECTION {
            pause = FIRST_PAUSE;
        }
        tracing::warn!(
            code = error.code(),
            error = %error,
            pause_ms = pause.as_millis() as u64,
            "source disconnected, connecting again"
        );
        status.reconnecting(&error);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Asks about the slot and for new tables on a connection of its own, for the status and for log
/// lines alone. Does not end.
async fn watch_server(options: &SourceOptions, status: &SourceStatus, late: &LateTables) {
    let mut session: Option<(Session, u32)> = None;
    loop {
        if session.is_none()
            && let Ok(mut opened) = Session::connect(&options.connect).await
            && let Ok(server) = crate::catalog::read_server(&mut opened).await
        {
            session = Some((opened, server.version));
        }
        if let Some((open, version)) = &mut session {
            match slot_facts(open, *version, &options.slot).await {
                Ok(facts) => {
                    if let Some(facts) = &facts
                        && matches!(facts.wal_status.as_str(), "unreserved" | "lost")
                    {
                        tracing::warn!(
                            slot = options.slot,
                            wal_status = facts.wal_status,
                            retained_bytes = facts.retained_bytes,
                            "the server is about to give up, or gave up, the slot"
                        );
                    }
                    status.set_slot(facts);
                }
                Err(_) => session = None,
            }
        }
        if let Some((open, version)) = &mut session
            && late.look(open, *version, options, status).await.is_err()
        {
            session = None;
        }
        tokio::select! {
            () = tokio::time::sleep(SLOT_INTERVAL) => {}
            () = late.asked() => {}
        }
    }
}

pub(crate) fn unix_now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
