//! One subscription: a place in the log, turned into frames as HTTP/2 asks for them.
//!
//! Frames are made only when the previous one was taken. Everything that is durable is gathered
//! without waiting; when nothing is left, the subscription sleeps until the log grows, a Progress
//! frame is due, or the server shuts down. Whether a client may subscribe, and from where, was
//! decided in `open.rs`.

use std::collections::HashSet;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use offtake_failpoint::crash_point;
use offtake_log::{Control as Record, Durable, Log, ReadError, ReadGroup, Reader, Run};
use offtake_proto::v1;
use offtake_proto::v1::frame::Control;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tonic::Status;

use crate::latency::Commits;
use crate::open::{Ending, Streams};
use crate::options::HEARTBEAT;
use crate::outbox::{Done, Outbox};
use crate::run::{DamagedRun, Piece, RunCutter};
use crate::status::Registration;

/// A read slower than this was not served from memory.
const SLOW_READ: Duration = Duration::from_millis(1);
/// Groups read in a row before other tasks get the thread.
const GROUPS_A_TURN: u32 = 32;

/// What `open.rs` settled.
pub(crate) struct Opening {
    pub(crate) log: Log,
    pub(crate) durable: watch::Receiver<Durable>,
    pub(crate) shutdown: watch::Receiver<bool>,
    pub(crate) registration: Registration,
    pub(crate) selection: Streams,
    pub(crate) token: Bytes,
    pub(crate) after: u64,
    pub(crate) max_frame_bytes: usize,
    pub(crate) progress_interval: Duration,
}

/// A running subscription.
pub(crate) struct Subscription {
    opening: Opening,
    /// None only while a slow read is on a blocking thread.
    reader: Option<Reader>,
    slow_disk: bool,
    outbox: Outbox,
    group: Option<Group>,
    run: Option<RunCutter>,
    announced: Announced,
    /// Everything up to here is in frames that were made, or is of other streams.
    covered: u64,
    /// Everything up to here was handed to HTTP/2, or is of other streams.
    sent: u64,
    frame_sent: bool,
    commits: Commits,
    progress: Progress,
    ending: Option<Status>,
    over: bool,
}

struct Group {
    runs: std::vec::IntoIter<Run>,
    /// To be sent after the runs.
    marks: Vec<v1::SnapshotMark>,
    last_sequence: u64,
}

#[derive(Default)]
struct Announced {
    streams: HashSet<u32>,
    schemas: HashSet<u32>,
    pairs: HashSet<(u32, u32)>,
    last: Option<(u32, u32)>,
}

struct Progress {
    sequence: Option<u64>,
    /// When the last one was sent; before the first: when the subscription began.
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

/// Why no more frames can be made.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Run(#[from] DamagedRun),
    #[error("{what} {id} is used by a change but unknown to the log")]
    Unknown { what: &'static str, id: u32 },
    #[error("a read of the log was cut off")]
    Cancelled,
}

/// Whether the log had more.
#[derive(PartialEq, Eq)]
enum Filled {
    /// A frame is ready, or the turn is over.
    More,
    /// Everything durable is in frames.
    CaughtUp,
}

impl Subscription {
    /// Begins with the Opened frame.
    pub(crate) fn new(mut opening: Opening, reader: Reader, earliest: v1::Cursor) -> Subscription {
        opening.durable.mark_unchanged();
        let mut outbox = Outbox::new(opening.max_frame_bytes);
        outbox.push_control(Control::Opened(v1::Opened {
            token: opening.token.clone(),
            first_sequence: opening.after.saturating_add(1),
            earliest: Some(earliest),
            generation: 0,
        }));
        let now = Instant::now();
        Subscription {
            outbox,
            slow_disk: false,
            group: None,
            run: None,
            announced: Announced::default(),
            covered: opening.after,
            sent: opening.after,
            frame_sent: false,
            commits: Commits::default(),
            progress: Progress {
                sequence: None,
                at: now,
                timer: Box::pin(tokio::time::sleep_until(now + HEARTBEAT)),
            },
            ending: None,
            over: false,
            reader: Some(reader),
            opening,
        }
    }

    /// The next bytes or trailers of the response; none after the trailers.
    pub(crate) async fn next(&mut self) -> Option<Frame<Bytes>> {
        if std::mem::take(&mut self.frame_sent) {
            crash_point("grpc.after_send");
        }
        loop {
            if self.over {
                return None;
            }
            if self.ending.is_none() && self.outbox.at_frame_start() && self.must_stop() {
                self.shut_down();
            }
            if let Some(frame) = self.pop() {
                return Some(frame);
            }
            if let Some(status) = self.ending.take() {
                self.over = true;
                return Some(Frame::trailers(trailers(&status)));
            }
            match self.fill().await {
                Err(failed) => self.fail(&failed),
                Ok(_) if self.outbox.is_ready() => {}
                Ok(filled) => self.progress_or_wait(filled == Filled::CaughtUp).await,
            }
        }
    }

    fn pop(&mut self) -> Option<Frame<Bytes>> {
        let chunk = self.outbox.pop()?;
        if chunk.first {
            crash_point("grpc.before_send");
            self.opening.registration.set_waiting(false);
        }
        self.opening.registration.count_bytes(chunk.bytes.len());
        if let Some(Done { sequence, changes }) = chunk.done {
            self.frame_sent = true;
            self.opening.registration.count_changes(changes);
            self.sent = self.sent.max(sequence.unwrap_or(0));
            self.opening.registration.set_sequence(self.sent);
            self.commits.sent(self.sent, self.opening.registration.latency());
        }
        Some(Frame::data(chunk.bytes))
    }

    fn must_stop(&self) -> bool {
        // An error means that the server is gone altogether.
        self.opening.shutdown.has_changed().unwrap_or(true)
    }

    /// Reads and gathers until a frame is ready, the log has no more, or the turn is over.
    async fn fill(&mut self) -> Result<Filled, Failed> {
        for _ in 0..GROUPS_A_TURN {
            self.cut_group()?;
            if self.outbox.is_ready() {
                return Ok(Filled::More);
            }
            // Seen before reading, so that what becomes durable meanwhile wakes us.
            self.opening.durable.mark_unchanged();
            match self.read().await? {
                Some(group) => self.begin_group(group),
                None => {
                    self.outbox.close();
                    return Ok(Filled::CaughtUp);
                }
            }
        }
        self.cut_group()?;
        self.outbox.close();
        tokio::task::yield_now().await;
        Ok(Filled::More)
    }

    /// Reads inline while the log answers from memory, else on a thread that may block.
    async fn read(&mut self) -> Result<Option<ReadGroup>, Failed> {
        let mut reader = self.reader.take().ok_or(Failed::Cancelled)?;
        let begin = Instant::now();
        let (reader, group) = if self.slow_disk {
            tokio::task::spawn_blocking(move || {
                let group = reader.next_group();
                (reader, group)
            })
            .await
            .map_err(|_| Failed::Cancelled)?
        } else {
            let group = reader.next_group();
            (reader, group)
        };
        self.reader = Some(reader);
        self.slow_disk = begin.elapsed() > SLOW_READ;
        Ok(group?)
    }

    fn begin_group(&mut self, group: ReadGroup) {
        self.commits.gathered(&group);
        let mut marks = Vec::new();
        for record in &group.controls {
            if let Record::PluginActivation(plugin) = record {
                self.outbox.push_control(Control::Notice(self.at_work(plugin)));
            }
            if let Record::SnapshotProgress(progress) = record
                && let Some(mark) = self.opening.selection.mark(&self.opening.log, progress)
            {
                if mark.phase() == v1::Phase::Begin {
                    self.outbox.push_control(Control::Snapshot(mark));
                } else {
                    marks.push(mark);
                }
            }
        }
        self.group =
            Some(Group { runs: group.runs.into_iter(), marks, last_sequence: group.last_sequence });
    }

    /// The notice that a plugin, as it is recorded, works on what follows.
    fn at_work(&self, plugin: &v1::PluginActivation) -> v1::Notice {
        v1::Notice {
            code: "PLUGIN_AT_WORK".to_owned(),
            text: format!("plugin {} is of component {}", plugin.name, plugin.digest),
            sequence: self.covered,
        }
    }

    /// Moves runs of the current group into frames until one is ready or the group is done.
    fn cut_group(&mut self) -> Result<(), Failed> {
        loop {
            if let Some(run) = &mut self.run {
                match run.take(self.outbox.room(), self.outbox.is_closed())? {
                    Piece::Changes { bytes, count, last_sequence } => {
                        self.outbox.push_changes(bytes, count, last_sequence);
                    }
                    Piece::Large { change, sequence } => self.outbox.push_parts(sequence, &change),
                    Piece::NoRoom => self.outbox.close(),
                    Piece::End => self.run = None,
                }
            } else {
                let Some(group) = &mut self.group else { return Ok(()) };
                if let Some(run) = group.runs.next() {
                    self.announce(run.stream, run.schema)?;
                    self.run = Some(RunCutter::new(run, self.opening.after)?);
                } else {
                    for mark in std::mem::take(&mut group.marks) {
                        self.outbox.push_control(Control::Snapshot(mark));
                    }
                    self.covered = self.covered.max(group.last_sequence);
                    self.group = None;
                    return Ok(());
                }
            }
            if self.outbox.is_ready() {
                return Ok(());
            }
        }
    }

    /// Sends stream and schema ahead of their first change.
    fn announce(&mut self, stream: u32, schema: u32) -> Result<(), Failed> {
        if self.announced.last == Some((stream, schema)) {
            return Ok(());
        }
        self.announced.last = Some((stream, schema));
        if !self.announced.pairs.insert((stream, schema)) {
            return Ok(());
        }
        if self.announced.streams.insert(stream) {
            let name = self.opening.log.stream_name(stream);
            let name = name.ok_or(Failed::Unknown { what: "stream", id: stream })?;
            self.outbox
                .push_control(Control::Stream(v1::Stream { id: stream, name: name.to_string() }));
        }
        if self.announced.schemas.insert(schema) {
            let definition = self.opening.log.schema(schema);
            let definition = definition.ok_or(Failed::Unknown { what: "schema", id: schema })?;
            self.outbox.push_control(Control::Schema((*definition).clone()));
        }
        Ok(())
    }

    /// Sends a Progress frame when one is due, else sleeps until something happens.
    async fn progress_or_wait(&mut self, caught_up: bool) {
        self.sent = self.sent.max(self.covered);
        self.opening.registration.set_sequence(self.sent);
        self.opening.registration.set_waiting(caught_up);
        if caught_up {
            self.commits.caught_up();
        }
        let due = self.progress_due();
        if Instant::now() >= due {
            self.push_progress(caught_up);
            return;
        }
        if !caught_up {
            return;
        }
        if self.progress.timer.deadline() != due {
            self.progress.timer.as_mut().reset(due);
        }
        tokio::select! {
            changed = self.opening.durable.changed() => if changed.is_err() {
                // No writer any more: the log stays readable, and only time or shutdown end this.
                tokio::select! {
                    _ = self.opening.shutdown.changed() => self.opening.shutdown.mark_changed(),
                    () = self.progress.timer.as_mut() => {}
                }
            },
            _ = self.opening.shutdown.changed() => self.opening.shutdown.mark_changed(),
            () = self.progress.timer.as_mut() => {}
        }
    }

    /// At once for the first; then after the interval when there is news, else at the heartbeat.
    fn progress_due(&self) -> Instant {
        let interval = self.opening.progress_interval;
        match self.progress.sequence {
            None => self.progress.at,
            Some(sequence) if self.covered > sequence => self.progress.at + interval,
            Some(_) => self.progress.at + interval.max(HEARTBEAT),
        }
    }

    fn push_progress(&mut self, caught_up: bool) {
        let position = self.opening.durable.borrow().position.clone();
        self.outbox.push_control(Control::Progress(v1::Progress {
            sequence: self.covered,
            source_unix_us: position.map_or(0, |position| position.last_commit_unix_us),
            source_lag_bytes: self.opening.registration.source_lag_bytes(),
            caught_up,
        }));
        self.progress.sequence = Some(self.covered);
        self.progress.at = Instant::now();
    }

    fn shut_down(&mut self) {
        self.outbox.forget_unsent();
        let resume = v1::Cursor { token: self.opening.token.clone(), sequence: self.sent };
        self.end(Ending::shutting_down(resume));
    }

    fn fail(&mut self, failed: &Failed) {
        // What was gathered before the failure is whole and goes out first.
        self.outbox.close();
        let arrived = self.sent.max(self.outbox.last_sequence().unwrap_or(0));
        let resume = v1::Cursor { token: self.opening.token.clone(), sequence: arrived };
        let ending = match failed {
            Failed::Read(ReadError::TooOld { earliest }) => Ending::too_old(*earliest),
            Failed::Read(ReadError::Io { .. }) => Ending::unreadable(resume),
            // Only a runtime that is being shut down cuts a read off.
            Failed::Cancelled => Ending::shutting_down(resume),
            Failed::Read(_) | Failed::Run(_) | Failed::Unknown { .. } => Ending::damaged(),
        };
        tracing::warn!(
            subscriber = self.opening.registration.id(),
            code = ending.code,
            reason = %failed,
            "a subscription ended"
        );
        self.end(ending);
    }

    fn end(&mut self, ending: Ending) {
        let earliest = v1::Cursor {
            token: self.opening.token.clone(),
            sequence: self.opening.log.earliest_sequence().saturating_sub(1),
        };
        let (ended, status) = ending.into_frame(Some(earliest));
        self.outbox.push_control(Control::Ended(ended));
        self.ending = Some(status);
    }
}

/// The trailers of a status.
pub(crate) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Our messages and no metadata: nothing that a header could refuse.
    let _ = status.add_header(&mut trailers);
    trailers
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use offtake_proto::v1;
    use offtake_proto::v1::subscribe_request::Start;
    use prost::Message;

    use crate::open::{Opened, open};
    use crate::service::tests::Rig;

    /// Data chunks of a subscription up to the first Progress.
    async fn chunks(rig: &Rig) -> Vec<Bytes> {
        let start = Some(Start::Earliest(true));
        let request = v1::SubscribeRequest { start, ..Default::default() };
        let Ok(Opened::Running(mut subscription)) = open(&rig.shared, &request, None) else {
            panic!("not opened");
        };
        let mut chunks = Vec::new();
        loop {
            let chunk = subscription.next().await.unwrap().into_data().unwrap();
            if let Ok(v1::Frame { control: Some(v1::frame::Control::Progress(_)), .. }) =
                v1::Frame::decode(chunk.get(5..).unwrap_or_default())
            {
                return chunks;
            }
            chunks.push(chunk);
        }
    }

    #[tokio::test]
    async fn subscribers_share_the_bytes_of_the_log() {
        let mut rig = Rig::new();
        rig.push(100, 1000);
        let (one, other) = (chunks(&rig).await, chunks(&rig).await);
        assert_eq!(one, other);
        let shared: usize = one
            .iter()
            .zip(&other)
            .filter(|(one, other)| one.as_ptr() == other.as_ptr())
            .map(|(one, _)| one.len())
            .sum();
        assert!(shared > 100 * 1000, "only {shared} bytes are shared");
    }

    #[tokio::test]
    async fn latency_counts_what_is_sent_after_the_history() {
        let mut rig = Rig::new();
        rig.push(3, 10);
        let start = Some(Start::Earliest(true));
        let request = v1::SubscribeRequest { start, ..Default::default() };
        let Ok(Opened::Running(mut subscription)) = open(&rig.shared, &request, None) else {
            panic!("not opened");
        };
        let latency = rig.shared.status.latency();
        let observed = || latency.snapshot().0.iter().sum::<u64>();
        // Opened, Stream, Schema, the history, Progress.
        for _ in 0..5 {
            subscription.next().await.unwrap();
        }
        assert_eq!((rig.shared.status.changes(), observed()), (3, 0));
        rig.push(2, 10);
        subscription.next().await.unwrap();
        assert_eq!((rig.shared.status.changes(), observed()), (5, 1));
    }

    #[tokio::test]
    async fn shutdown_in_the_middle_of_a_frame_finishes_it_and_resumes_after_it() {
        let mut rig = Rig::new();
        rig.push(3, 200 << 10);
        let start = Some(Start::Earliest(true));
        let request = v1::SubscribeRequest { start, ..Default::default() };
        let Ok(Opened::Running(mut subscription)) = open(&rig.shared, &request, None) else {
            panic!("not opened");
        };
        // Opened, Stream, Schema, and the prefix of the first changes frame.
        for _ in 0..4 {
            subscription.next().await.unwrap();
        }
        rig.shutdown.send_replace(true);
        let changes = subscription.next().await.unwrap().into_data().unwrap();
        assert_eq!(v1::Frame::decode(changes).unwrap().changes.len(), 1);
        let ended = subscription.next().await.unwrap().into_data().unwrap();
        let Some(v1::frame::Control::Ended(ended)) =
            v1::Frame::decode(&ended[5..]).unwrap().control
        else {
            panic!("no end");
        };
        assert_eq!((ended.code.as_str(), ended.resume.unwrap().sequence), ("SHUTTING_DOWN", 1));
        let trailers = subscription.next().await.unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "14");
        assert!(subscription.next().await.is_none());
    }
}
