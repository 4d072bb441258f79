//! The sink's cursor: checked against the log when it is read, written at most a few times a
//! second, or committed with each transaction.
//!
//! At least once it lies in a file beside the log, exactly once in the cursor topic. Where both are
//! there, for the delivery was changed, the one with the larger sequence counts: either way of
//! delivering takes the other's cursor over before it sends anything. A cursor of another log counts
//! for nothing unless a later one of this log stands against it. Beside the topic a second file
//! notes now and then how far transactions have come: it holds the log's end when the gateway starts
//! while the brokers are down, and tells a topic that was lost from one that was never written.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use offtake_failpoint::mutate;
use offtake_log::{CursorFile, Log};
use offtake_proto::v1;
use prost::Message;

use crate::deliveries::Covered;
use crate::status::StatusCell;
use crate::{KafkaError, KafkaOptions};

/// Version of the cursor record.
pub(crate) const FORMAT: u32 = 1;
/// Name of this sink in the record.
pub(crate) const SINK: &str = "kafka";
/// Least time between two writes while changes flow. What lies between is sent again after a crash.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);

/// Least time between two notes of how far transactions have come.
const NOTE_INTERVAL: Duration = Duration::from_secs(5);
/// The note's file, beside the cursor's.
const NOTE_FILE: &str = "kafka.transactions.cursor";

/// The cursor has caught up when it reaches an end that the log had so long ago at most. Under load
/// it never stands at the very end.
const CAUGHT_UP: Duration = Duration::from_secs(1);

/// The cursor and its file.
pub(crate) struct Cursor {
    file: CursorFile,
    note: CursorFile,
    /// What the note says.
    noted: Option<v1::SinkCursor>,
    noted_at: Instant,
    record: v1::SinkCursor,
    /// Whether the record was ever written somewhere.
    is_written: bool,
    /// Schemas that `record.schema_digest` is over: how many, and the id of the last.
    digested: (usize, u32),
    dirty: bool,
    stuck: bool,
    written: Instant,
    activations: Vec<v1::PluginActivation>,
    status: Arc<StatusCell>,
    /// An end of the log that was seen, and when; `None`: caught up.
    pursued: Option<(u64, Instant)>,
}

impl Cursor {
    /// Reads the cursor, or makes the one of a sink that has published nothing of this log. The
    /// status is told when what was in the log before is published.
    ///
    /// # Errors
    /// It is another log's or pipeline's, past the log's end, or cannot be read.
    pub(crate) fn open(
        options: &KafkaOptions,
        log: &Log,
        status: &Arc<StatusCell>,
    ) -> Result<Cursor, KafkaError> {
        let file = CursorFile::new(&options.cursor_path);
        let note = CursorFile::new(options.cursor_path.with_file_name(NOTE_FILE));
        let noted = read(&note, &options.cursor_path.with_file_name(NOTE_FILE), options, log)?;
        let written = read(&file, &options.cursor_path, options, log)?;
        let is_written = written.is_some();
        let mut record = written.unwrap_or_else(|| v1::SinkCursor {
            format: FORMAT,
            pipeline: options.pipeline.clone(),
            sink: SINK.to_owned(),
            log_id: log.id().to_vec().into(),
            sequence: log.earliest_sequence().saturating_sub(1),
            ..v1::SinkCursor::default()
        });
        if mutate("mutate.forget_cursor") {
            record.sequence = log.durable().borrow().sequence;
        }
        let now = Instant::now();
        let mut cursor = Cursor {
            file,
            note,
            noted,
            noted_at: now,
            record,
            is_written,
            digested: (0, 0),
            dirty: false,
            stuck: false,
            written: now,
            activations: log.plugins(),
            status: Arc::clone(status),
            pursued: Some((log.durable().borrow().sequence, now)),
        };
        // Plugins that began to work before the cursor, or in a segment that is gone, are at work.
        cursor.digest_plugins();
        cursor.pursue(log, now);
        cursor.tell_published();
        Ok(cursor)
    }

    /// Counts the cursor's writes, wherever they went.
    pub(crate) fn generation(&self) -> u64 {
        self.record.generation
    }

    /// The cursor is at this sequence or past it, whatever the topic says.
    pub(crate) fn least_sequence(&self) -> u64 {
        self.noted.as_ref().map_or(0, |noted| noted.sequence).max(self.record.sequence)
    }

    /// Takes what the cursor topic says into account, once per producer and before anything is
    /// sent. `exactly_once`: how is delivered from now on.
    ///
    /// # Errors
    /// It is another log's, past the log's end, or lost.
    pub(crate) fn decide(
        &mut self,
        published: Option<v1::SinkCursor>,
        exactly_once: bool,
        options: &KafkaOptions,
        log: &Log,
    ) -> Result<(), KafkaError> {
        match published {
            // A later cursor of this log supersedes another log's.
            Some(foreign)
                if foreign.log_id != self.record.log_id
                    && self.is_written
                    && self.record.generation > foreign.generation => {}
            Some(record) => {
                let place = format!("in topic {}", options.delivery.cursor_topic);
                let record = checked(record, &place, options, log)?;
                self.take(record);
            }
            None => self.without_record(exactly_once, options)?,
        }
        if exactly_once && mutate("mutate.repeat") {
            let earliest = log.earliest_sequence().saturating_sub(1);
            self.record.sequence = self.record.sequence.saturating_sub(1).max(earliest);
        }
        self.tell_published();
        Ok(())
    }

    /// The topic has no cursor of this pipeline. That is right as long as there was none.
    fn without_record(
        &mut self,
        exactly_once: bool,
        options: &KafkaOptions,
    ) -> Result<(), KafkaError> {
        let Some(noted) = self.noted.clone() else { return Ok(()) };
        if self.is_written && self.record.sequence >= noted.sequence {
            return Ok(());
        }
        if exactly_once {
            let topic = options.delivery.cursor_topic.clone();
            return Err(KafkaError::CursorLost { topic, least: noted.sequence });
        }
        self.take(noted);
        Ok(())
    }

    /// Goes on from another record of this log, if it is further.
    fn take(&mut self, record: v1::SinkCursor) {
        let generation = record.generation.max(self.record.generation);
        let place = |record: &v1::SinkCursor| (record.sequence, record.generation);
        if !self.is_written || place(&record) >= place(&self.record) {
            let moved = !self.is_written || self.record.sequence != record.sequence;
            self.record = record;
            self.dirty |= moved;
            self.is_written = true;
        }
        self.record.generation = generation;
        self.digest_plugins();
    }

    /// The record that says that everything up to there is published; it counts once it is
    /// committed.
    pub(crate) fn proposed(&mut self, covered: &Covered, log: &Log) -> v1::SinkCursor {
        self.digest_schemas(log);
        let mut record = self.record.clone();
        record.generation += 1;
        record.sequence = record.sequence.max(covered.sequence);
        if let Some(source) = &covered.source {
            record.source = Some(v1::SourcePosition::clone(source));
        }
        record.open_transaction = covered.open.as_deref().cloned();
        record.unpublished_changes = covered.unpublished;
        record
    }

    /// A proposed record is committed: durable in Kafka.
    pub(crate) fn committed(&mut self, record: v1::SinkCursor, log: &Log) {
        self.record = record;
        self.is_written = true;
        self.dirty = true;
        self.tell_published();
        self.pursue(log, Instant::now());
    }

    /// Notes how far transactions have come, if that is long enough ago, or `now` in any case. The
    /// note may be old, so a full disk is no matter.
    pub(crate) fn keep_note(&mut self, now: bool) -> Result<(), KafkaError> {
        if !self.dirty || (!now && self.noted.is_some() && self.noted_at.elapsed() < NOTE_INTERVAL)
        {
            return Ok(());
        }
        match self.note.store(&self.record) {
            Err(error) if !error.is_disk_full() => return Err(KafkaError::CursorFile(error)),
            _ => {}
        }
        self.noted = Some(self.record.clone());
        self.noted_at = Instant::now();
        self.dirty = false;
        Ok(())
    }

    /// Whether a source position would say more than the record does.
    pub(crate) fn is_news(&self, source: Option<&v1::SourcePosition>) -> bool {
        source.is_some() && self.record.source.as_ref() != source
    }

    fn tell_published(&self) {
        if self.record.source.is_some() {
            self.status.published.send_replace(self.record.source.clone());
        }
    }

    fn digest_schemas(&mut self, log: &Log) {
        let schemas = log.schemas();
        let over = (schemas.len(), schemas.last().map_or(0, |schema| schema.id));
        if over != self.digested || self.record.schema_digest.is_empty() {
            self.digested = over;
            let digest = sha256(schemas.iter().map(|schema| schema.encode_to_vec()));
            self.record.schema_digest = digest.into();
        }
    }

    /// The source transaction that the cursor stands in, where that is told.
    pub(crate) fn open_transaction(&self) -> Option<&v1::OpenTransaction> {
        self.record.open_transaction.as_ref()
    }

    /// The source's place.
    pub(crate) fn source(&self) -> Option<&v1::SourcePosition> {
        self.record.source.as_ref()
    }

    /// The cursor as it is: what is said anew says no less, also inside a source transaction.
    pub(crate) fn here(&self) -> Covered {
        Covered {
            sequence: self.record.sequence,
            source: None,
            open: self.record.open_transaction.clone().map(Arc::new),
            unpublished: self.record.unpublished_changes,
            commit_unix_us: None,
        }
    }

    /// Changes of the source transaction that the cursor stands in that were not published.
    pub(crate) fn unpublished(&self) -> u64 {
        self.record.unpublished_changes
    }

    /// Everything up to here is published.
    pub(crate) fn sequence(&self) -> u64 {
        self.record.sequence
    }

    /// Moves forward. Not written yet.
    pub(crate) fn advance(&mut self, covered: Covered) {
        if covered.sequence > self.record.sequence {
            self.record.sequence = covered.sequence;
            self.dirty = true;
        }
        if let Some(source) = covered.source {
            self.dirty |= self.record.source.as_ref() != Some(&*source);
            self.record.source = Some((*source).clone());
        }
        let open = covered.open.as_deref();
        if self.record.open_transaction.as_ref() != open {
            self.record.open_transaction = open.cloned();
            self.dirty = true;
        }
        self.record.unpublished_changes = covered.unpublished;
    }

    /// A plugin began to work; its digests belong to the record.
    pub(crate) fn activated(&mut self, activation: v1::PluginActivation) {
        self.activations.retain(|known| known.name != activation.name);
        self.activations.push(activation);
        self.digest_plugins();
    }

    fn digest_plugins(&mut self) {
        if self.activations.is_empty() {
            return;
        }
        self.activations.sort_by(|one, other| one.name.cmp(&other.name));
        let digest = sha256(self.activations.iter().map(|activation| {
            format!("{}:{}:{}", activation.name, activation.digest, activation.config_digest)
                .into_bytes()
        }));
        self.record.plugin_digest = digest.into();
    }

    /// Notices when the cursor has caught up with the log: from then on latencies are told.
    fn pursue(&mut self, log: &Log, now: Instant) {
        let Some((end, seen)) = self.pursued else { return };
        if self.record.sequence < end {
            return;
        }
        if now.saturating_duration_since(seen) <= CAUGHT_UP {
            self.pursued = None;
            self.status.latency.go_live();
        } else {
            self.pursued = Some((log.durable().borrow().sequence, now));
        }
    }

    /// Writes the cursor if it moved and the last write is long enough ago, or `now` in any case.
    /// `true`: what [`Cursor::sequence`] tells has become durable. A full disk is waited for: the
    /// cursor that is there is not wrong, only old.
    pub(crate) fn write(&mut self, log: &Log, now: bool) -> Result<bool, KafkaError> {
        self.pursue(log, Instant::now());
        if !self.dirty || (!now && self.written.elapsed() < WRITE_INTERVAL) {
            return Ok(false);
        }
        self.record.generation += 1;
        self.digest_schemas(log);
        let stored = self.file.store(&self.record);
        self.written = Instant::now();
        let was_stuck = std::mem::replace(&mut self.stuck, false);
        match stored {
            Ok(()) => {}
            Err(error) if error.is_disk_full() => {
                self.stuck = true;
                self.status.waiting(format!("the cursor cannot be written: {error}"));
                return Ok(false);
            }
            Err(error) => return Err(KafkaError::CursorFile(error)),
        }
        self.dirty = false;
        self.is_written = true;
        self.tell_published();
        if was_stuck {
            self.status.running();
        }
        Ok(true)
    }

    /// Whether the disk was full at the last write.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck
    }
}

/// A cursor of this pipeline and log from a file; `None`: there is no such file.
fn read(
    file: &CursorFile,
    path: &Path,
    options: &KafkaOptions,
    log: &Log,
) -> Result<Option<v1::SinkCursor>, KafkaError> {
    let Some(record) = file.read().map_err(KafkaError::CursorFile)? else { return Ok(None) };
    checked(record, &path.display().to_string(), options, log).map(Some)
}

fn checked(
    record: v1::SinkCursor,
    place: &str,
    options: &KafkaOptions,
    log: &Log,
) -> Result<v1::SinkCursor, KafkaError> {
    let file = place.to_owned();
    let id = log.id();
    if record.log_id != id[..] {
        return Err(KafkaError::CursorForeign {
            file,
            found: hexadecimal(&record.log_id),
            expected: hexadecimal(&id),
        });
    }
    if record.pipeline != options.pipeline || record.sink != SINK {
        return Err(KafkaError::CursorPipeline {
            file,
            found: record.pipeline,
            expected: options.pipeline.clone(),
        });
    }
    let latest = log.durable().borrow().sequence;
    if record.sequence > latest {
        return Err(KafkaError::CursorAhead { cursor: record.sequence, latest });
    }
    Ok(record)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(parts: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(&part);
    }
    hash.finalize().to_vec()
}

#[cfg(test)]
mod tests;
