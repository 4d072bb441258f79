//! Opens a subscription: which streams, from where, and whether the cursor is good.
//!
//! A request that is wrong in itself is refused by a gRPC status alone. A cursor that cannot be
//! served is answered by an `Ended` frame, which names the earliest place that can, and then by the
//! status in the trailers. What an ending looks like is decided here for both.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use offtake_log::{Log, ReadError, Reader, Selection};
use offtake_proto::v1;
use offtake_proto::v1::frame::Control;
use offtake_proto::v1::subscribe_request::Start;
use tonic::{Code, Status};

use crate::frame;
use crate::options::{
    DEFAULT_FRAME_BYTES, FRAME_BYTES, MAX_GLOB_BYTES, MAX_STREAM_GLOBS, PROGRESS_INTERVAL,
};
use crate::service::Shared;
use crate::subscription::{Opening, Subscription};
use crate::token::{Binding, Refused, normalized};

/// Every subscriber's name until there are principals.
const ANONYMOUS: &str = "";
/// Retention may move between asking for the earliest place and opening it.
const EARLIEST_ATTEMPTS: u32 = 5;

/// The streams of a request.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    globs: Vec<String>,
}

impl Streams {
    /// Checks the limits of a request's names and globs.
    pub(crate) fn new(globs: &[String]) -> Result<Streams, Status> {
        if globs.len() > MAX_STREAM_GLOBS {
            return Err(Status::invalid_argument(format!(
                "{} streams or globs in one request, at most {MAX_STREAM_GLOBS} are allowed",
                globs.len()
            )));
        }
        if globs.iter().any(|glob| glob.is_empty() || glob.len() > MAX_GLOB_BYTES) {
            return Err(Status::invalid_argument(format!(
                "a stream's name or glob is empty or longer than {MAX_GLOB_BYTES} bytes"
            )));
        }
        Ok(Streams { globs: normalized(globs).into_iter().map(str::to_owned).collect() })
    }

    pub(crate) fn selection(&self) -> Selection {
        if self.globs.is_empty() { Selection::all() } else { Selection::globs(&self.globs) }
    }

    pub(crate) fn token(&self, shared: &Shared) -> Bytes {
        shared.key.token(&self.binding(&shared.log))
    }

    fn binding(&self, log: &Log) -> Binding {
        Binding::new(log.id(), ANONYMOUS, &self.globs)
    }

    /// The mark of a table's snapshot, when one of these streams carries the table.
    ///
    /// The log knows which tables a stream has changes of. It does not say which stream a table
    /// without rows goes to: with globs such a table counts as selected when a selected stream has
    /// the table's name after the last prefix, as the default stream name has it.
    pub(crate) fn mark(
        &self,
        log: &Log,
        progress: &v1::SnapshotProgress,
    ) -> Option<v1::SnapshotMark> {
        let phase = match progress.state() {
            v1::SnapshotState::Copying if progress.rows == 0 => v1::Phase::Begin,
            v1::SnapshotState::Copying => v1::Phase::Running,
            v1::SnapshotState::Done => v1::Phase::End,
            _ => return None,
        };
        if !self.globs.is_empty() {
            let selection = self.selection();
            let carries = |stream: &v1::Stream| {
                let schemas = log.schemas_of(stream.id);
                match schemas.is_empty() {
                    true => names_table(&stream.name, &progress.namespace, &progress.table),
                    false => schemas.iter().any(|schema| {
                        schema.namespace == progress.namespace && schema.table == progress.table
                    }),
                }
            };
            let mut streams = log.streams().into_iter();
            if !streams.any(|stream| selection.matches(&stream.name) && carries(&stream)) {
                return None;
            }
        }
        Some(v1::SnapshotMark {
            table: format!("{}.{}", progress.namespace, progress.table),
            phase: phase.into(),
            rows: progress.rows,
            estimate: progress.estimate,
        })
    }
}

/// Whether a stream's name is a table's qualified name, or ends with it after a prefix.
pub(crate) fn names_table(stream: &str, namespace: &str, table: &str) -> bool {
    stream
        .strip_suffix(table)
        .and_then(|rest| rest.strip_suffix('.'))
        .and_then(|rest| rest.strip_suffix(namespace))
        .is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// The end of a subscription that the server ends on purpose.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) code: &'static str,
    status: Code,
    text: String,
    resume: Option<v1::Cursor>,
}

impl Ending {
    fn new(code: &'static str, status: Code, text: impl Into<String>) -> Ending {
        Ending { code, status, text: text.into(), resume: None }
    }

    fn refused(refused: Refused) -> Ending {
        match refused {
            Refused::Malformed => Ending::new(
                "CURSOR_MALFORMED",
                Code::InvalidArgument,
                "the cursor's token was not given by this gateway, or was altered",
            ),
            Refused::AnotherLog => Ending::new(
                "CURSOR_FROM_ANOTHER_LOG",
                Code::FailedPrecondition,
                "the cursor is from another log: its sequences mean other changes",
            ),
            Refused::OtherSelection => Ending::new(
                "CURSOR_OTHER_SELECTION",
                Code::FailedPrecondition,
                "the cursor is from a subscription to other streams; resume with the same streams",
            ),
        }
    }

    /// What follows the place is no longer held.
    pub(crate) fn too_old(earliest: u64) -> Ending {
        Ending::new(
            "CURSOR_TOO_OLD",
            Code::OutOfRange,
            format!(
                "the log begins at sequence {earliest} and no longer holds what follows that place"
            ),
        )
    }

    fn ahead(latest: u64) -> Ending {
        Ending::new(
            "CURSOR_AHEAD",
            Code::OutOfRange,
            format!("the cursor is past the log's end at sequence {latest}"),
        )
    }

    /// The log cannot be trusted from here on. Where and why is for the operator, not for clients.
    pub(crate) fn damaged() -> Ending {
        Ending::new(
            "LOG_DAMAGED",
            Code::DataLoss,
            "what follows is damaged in the log; the gateway's own log names the place",
        )
    }

    /// The log cannot be read at the moment.
    pub(crate) fn unreadable(resume: v1::Cursor) -> Ending {
        let ending = Ending::new(
            "LOG_UNREADABLE",
            Code::Unavailable,
            "the log cannot be read at the moment; the gateway's own log names the cause",
        );
        Ending { resume: Some(resume), ..ending }
    }

    /// The server stops; the subscription goes on after the cursor when it is back.
    pub(crate) fn shutting_down(resume: v1::Cursor) -> Ending {
        let ending =
            Ending::new("SHUTTING_DOWN", Code::Unavailable, "the gateway is shutting down");
        Ending { resume: Some(resume), ..ending }
    }

    /// The last frame, and the status that follows it.
    pub(crate) fn into_frame(self, earliest: Option<v1::Cursor>) -> (v1::Ended, Status) {
        let status = Status::new(self.status, format!("{}: {}", self.code, self.text));
        let Ending { code, text, resume, .. } = self;
        (v1::Ended { code: code.to_owned(), text, resume, earliest }, status)
    }
}

/// A subscription, or its end before it began.
pub(crate) enum Opened {
    Running(Box<Subscription>),
    /// An Ended frame and the status of the trailers.
    Ended(Bytes, Status),
}

/// Opens a subscription.
///
/// # Errors
/// A request that is wrong in itself, or one subscriber too many.
pub(crate) fn open(
    shared: &Shared,
    request: &v1::SubscribeRequest,
    peer: Option<SocketAddr>,
) -> Result<Opened, Status> {
    let streams = Streams::new(&request.streams)?;
    let token = streams.token(shared);
    let registration = shared
        .status
        .register(shared.options.max_subscribers, peer, streams.globs.clone())
        .ok_or_else(|| {
            shared.status.count_refused();
            Status::resource_exhausted(format!(
                "there are {} subscribers already, as many as are allowed",
                shared.options.max_subscribers
            ))
        })?;
    // Before the reader, so that what becomes durable meanwhile is noticed.
    let durable = shared.log.durable();
    let (reader, after) = match place(shared, &streams, request.start.as_ref()) {
        Ok(place) => place,
        Err(ending) => {
            shared.status.count_refused();
            tracing::debug!(code = ending.code, ?peer, "a cursor was refused");
            let (ended, status) = ending.into_frame(Some(earliest(shared, token)));
            return Ok(Opened::Ended(frame::control(Control::Ended(ended)), status));
        }
    };
    registration.set_sequence(after);
    tracing::debug!(subscriber = registration.id(), ?peer, after, "a subscription began");
    let opening = Opening {
        log: shared.log.clone(),
        durable,
        shutdown: shared.shutdown.clone(),
        registration,
        selection: streams,
        token: token.clone(),
        after,
        max_frame_bytes: frame_bytes(request.max_frame_bytes),
        progress_interval: progress_interval(shared, request.progress_interval_ms),
    };
    Ok(Opened::Running(Box::new(Subscription::new(opening, reader, earliest(shared, token)))))
}

/// The oldest cursor that the log still serves.
pub(crate) fn earliest(shared: &Shared, token: Bytes) -> v1::Cursor {
    v1::Cursor { token, sequence: shared.log.earliest_sequence().saturating_sub(1) }
}

/// A reader at the place asked for, and the sequence that it begins after.
fn place(
    shared: &Shared,
    streams: &Streams,
    start: Option<&Start>,
) -> Result<(Reader, u64), Ending> {
    let log = &shared.log;
    match start {
        Some(Start::After(cursor)) => {
            shared.key.check(&cursor.token, &streams.binding(log)).map_err(Ending::refused)?;
            open_reader(log, cursor.sequence, streams).map(|reader| (reader, cursor.sequence))
        }
        Some(Start::Earliest(true)) => {
            let mut attempts = 0;
            loop {
                let after = log.earliest_sequence().saturating_sub(1);
                attempts += 1;
                match log.reader(after, streams.selection()) {
                    Err(ReadError::TooOld { .. }) if attempts < EARLIEST_ATTEMPTS => {}
                    Err(error) => return Err(read_failed(&error, after)),
                    Ok(reader) => return Ok((reader, after)),
                }
            }
        }
        // `earliest: false` and `latest: false` ask for nothing else, so the default holds.
        _ => {
            let after = log.durable().borrow().sequence;
            open_reader(log, after, streams).map(|reader| (reader, after))
        }
    }
}

fn open_reader(log: &Log, after: u64, streams: &Streams) -> Result<Reader, Ending> {
    log.reader(after, streams.selection()).map_err(|error| read_failed(&error, after))
}

fn read_failed(error: &ReadError, after: u64) -> Ending {
    match error {
        ReadError::TooOld { earliest } => Ending::too_old(*earliest),
        ReadError::Ahead { latest } => Ending::ahead(*latest),
        ReadError::Io { .. } => {
            tracing::warn!(code = "LOG_UNREADABLE", after, reason = %error, "a subscription cannot begin");
            Ending { resume: None, ..Ending::unreadable(v1::Cursor::default()) }
        }
        error => {
            tracing::error!(code = "LOG_DAMAGED", after, reason = %error, "a subscription cannot begin");
            Ending::damaged()
        }
    }
}

fn frame_bytes(asked: u32) -> usize {
    match usize::try_from(asked) {
        Ok(0) | Err(_) => DEFAULT_FRAME_BYTES,
        Ok(asked) => asked.clamp(*FRAME_BYTES.start(), *FRAME_BYTES.end()),
    }
}

fn progress_interval(shared: &Shared, asked_ms: u32) -> Duration {
    match asked_ms {
        0 => shared.options.progress_interval,
        asked => Duration::from_millis(asked.into())
            .clamp(*PROGRESS_INTERVAL.start(), *PROGRESS_INTERVAL.end()),
    }
}
