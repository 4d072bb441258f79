//! The sink's cursor: checked against the log when it is read, written at most a few times a
//! second.

use std::time::{Duration, Instant};

use offtake_failpoint::mutate;
use offtake_log::{CursorFile, Log};
use offtake_proto::v1;
use prost::Message;

use crate::deliveries::Covered;
use crate::{KafkaError, KafkaOptions};

/// Version of the cursor record.
const FORMAT: u32 = 1;
/// Name of this sink in the record.
const SINK: &str = "kafka";
/// Least time between two writes while changes flow. What lies between is sent again after a crash.
const WRITE_INTERVAL: Duration = Duration::from_millis(250);

/// The cursor and its file.
pub(crate) struct Cursor {
    file: CursorFile,
    record: v1::SinkCursor,
    dirty: bool,
    written: Instant,
    activations: Vec<v1::PluginActivation>,
}

impl Cursor {
    /// Reads the cursor, or makes the one of a sink that has published nothing of this log.
    ///
    /// # Errors
    /// It is another log's or pipeline's, past the log's end, or cannot be read.
    pub(crate) fn open(options: &KafkaOptions, log: &Log) -> Result<Cursor, KafkaError> {
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
        Ok(Cursor { file, record, dirty: false, written: Instant::now(), activations: Vec::new() })
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
        self.activations.sort_by(|one, other| one.name.cmp(&other.name));
        let digest = sha256(self.activations.iter().map(|activation| {
            format!("{}:{}:{}", activation.name, activation.digest, activation.config_digest)
                .into_bytes()
        }));
        self.record.plugin_digest = digest.into();
    }

    /// Writes the cursor if it moved and the last write is long enough ago, or `now` in any case.
    pub(crate) fn write(&mut self, log: &Log, now: bool) -> Result<(), KafkaError> {
        if !self.dirty || (!now && self.written.elapsed() < WRITE_INTERVAL) {
            return Ok(());
        }
        self.record.generation += 1;
        self.record.schema_digest =
            sha256(log.schemas().iter().map(|schema| schema.encode_to_vec())).into();
        self.file.store(&self.record).map_err(KafkaError::CursorFile)?;
        self.dirty = false;
        self.written = Instant::now();
        Ok(())
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
