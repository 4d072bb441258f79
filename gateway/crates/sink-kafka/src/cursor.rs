//! The sink's cursor: checked against the log when it is read, written at most a few times a
//! second.

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
const FORMAT: u32 = 1;
/// Name of this sink in the record.
const SINK: &str = "kafka";
/// Least time between two writes while changes flow. What lies between is sent again after a crash.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);

/// The cursor has caught up when it reaches an end that the log had so long ago at most. Under load
/// it never stands at the very end.
const CAUGHT_UP: Duration = Duration::from_secs(1);

/// The cursor and its file.
pub(crate) struct Cursor {
    file: CursorFile,
    record: v1::SinkCursor,
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
        let mut record = match file.read().map_err(KafkaError::CursorFile)? {
            Some(record) => checked(record, options, log)?,
            None => v1::SinkCursor {
                format: FORMAT,
                pipeline: options.pipeline.clone(),
                sink: SINK.to_owned(),
                log_id: log.id().to_vec().into(),
                sequence: log.earliest_sequence().saturating_sub(1),
                ..v1::SinkCursor::default()
            },
        };
        if mutate("mutate.forget_cursor") {
            record.sequence = log.durable().borrow().sequence;
        }
        let now = Instant::now();
        let mut cursor = Cursor {
            file,
            record,
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
        Ok(cursor)
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
        self.record.schema_digest =
            sha256(log.schemas().iter().map(|schema| schema.encode_to_vec())).into();
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

fn checked(
    record: v1::SinkCursor,
    options: &KafkaOptions,
    log: &Log,
) -> Result<v1::SinkCursor, KafkaError> {
    let file = options.cursor_path.display().to_string();
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
mod tests {
    use std::collections::BTreeMap;

    use offtake_log::{Control, LogOptions, LogWriter, Opened};

    use super::*;
    use crate::TopicOptions;

    fn options(folder: &std::path::Path) -> KafkaOptions {
        KafkaOptions {
            pipeline: "shop".to_owned(),
            brokers: vec!["127.0.0.1:1".to_owned()],
            properties: BTreeMap::new(),
            topics: TopicOptions::default(),
            oauth: None,
            cursor_path: folder.join("kafka.cursor"),
        }
    }

    fn opened(folder: &std::path::Path) -> Opened {
        offtake_log::open(LogOptions::new(folder.join("log"))).unwrap()
    }

    fn activate(writer: &mut LogWriter, config_digest: &str) {
        writer.control(Control::PluginActivation(v1::PluginActivation {
            name: "mask".to_owned(),
            digest: "d".to_owned(),
            config_digest: config_digest.to_owned(),
            ..Default::default()
        }));
        writer.flush().unwrap();
    }

    fn push(writer: &mut LogWriter, changes: usize) {
        let stream = writer.register_stream("t");
        for _ in 0..changes {
            writer.push(stream, 1, |_, out| out.push(0));
        }
        writer.flush().unwrap();
    }

    fn commit(cursor: &Cursor) -> u64 {
        cursor.status.latency.observe_commit(1, std::time::SystemTime::now());
        cursor.status.latency.told().snapshot().0.iter().sum()
    }

    #[test]
    fn plugins_that_began_before_this_start_are_in_the_cursors_digest() {
        let folder = tempfile::tempdir().unwrap();
        let status = Arc::new(StatusCell::new());
        let digest = |log: &Log| {
            let cursor = Cursor::open(&options(folder.path()), log, &status).unwrap();
            cursor.record.plugin_digest.clone()
        };
        let mut first = opened(folder.path());
        assert!(digest(&first.log).is_empty());
        activate(&mut first.writer, "c");
        let with_one = digest(&first.log);
        assert_eq!(with_one.len(), 32);
        drop(first);
        let mut second = opened(folder.path());
        assert_eq!(digest(&second.log), with_one);
        activate(&mut second.writer, "other");
        assert_ne!(digest(&second.log), with_one);
    }

    #[test]
    fn latency_is_told_only_from_where_the_cursor_caught_up_with_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut opened = opened(folder.path());
        push(&mut opened.writer, 5);
        let status = Arc::new(StatusCell::new());
        let mut cursor = Cursor::open(&options(folder.path()), &opened.log, &status).unwrap();
        assert_eq!(commit(&cursor), 0, "history");
        let log = opened.log.clone();
        let move_to = |cursor: &mut Cursor, sequence, now| {
            cursor.advance(Covered { sequence, ..Covered::default() });
            cursor.pursue(&log, now);
        };
        let began = Instant::now();
        move_to(&mut cursor, 4, began);
        assert_eq!(commit(&cursor), 0, "not there yet");
        // It took long, so there may be more by now.
        push(&mut opened.writer, 5);
        let later = began + 10 * CAUGHT_UP;
        move_to(&mut cursor, 5, later);
        assert_eq!(commit(&cursor), 0, "the end has moved on");
        move_to(&mut cursor, 10, later);
        assert_eq!(commit(&cursor), 1);
        // A cursor that is at the end when it is opened has nothing to catch up with.
        cursor.write(&opened.log, true).unwrap();
        let status = Arc::new(StatusCell::new());
        let again = Cursor::open(&options(folder.path()), &opened.log, &status).unwrap();
        assert_eq!(commit(&again), 1);
    }
}
