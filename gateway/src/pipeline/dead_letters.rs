//! Changes that a plugin or a sink could not take, on their way into the dead-letter stream.
//!
//! What a dead letter looks like is the log's, and that there has to be one is the plugin's policy or
//! the sink's. Here is decided how much of the row it holds: of a stream whose route has a plugin that protects, or
//! that no route of this run writes, nothing but position, hash of the key and error.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use offtake_change::wire::{ChangeView, WireError};
use offtake_change::{Batch, Operation, TableSchema};
use offtake_log::{DeadLetter, DeadLetterStream, LogWriter};
use offtake_sink_kafka::DeadLetterRequest;
use sha2::{Digest, Sha256};

use super::chain::hexadecimal;
use super::failure::DeadRow;
use super::halt::Halt;

/// The sink that could not take a change.
const KAFKA: &str = "kafka";

/// What whoever could not take a change says.
struct Letter<'l> {
    origin: &'l str,
    sequence: u64,
    digest: Option<&'l str>,
    code: &'l str,
    error: &'l str,
    stream: &'l str,
    encoded: &'l [u8],
}

/// The pipeline's dead letters.
pub struct DeadLetterDesk {
    stream: DeadLetterStream,
    /// A change that a plugin failed at.
    encoded: Vec<u8>,
    /// Streams of which a dead letter may hold the row, unless they are closed as well.
    open: HashSet<String>,
    /// Streams that a route with a plugin that protects writes.
    closed: HashSet<String>,
}

impl DeadLetterDesk {
    /// That of the pipeline of that name.
    pub fn new(pipeline: &str) -> DeadLetterDesk {
        DeadLetterDesk {
            stream: DeadLetterStream::new(pipeline),
            encoded: Vec::new(),
            open: HashSet::new(),
            closed: HashSet::new(),
        }
    }

    /// A route writes the stream. Where one of its plugins protects something, no dead letter of the
    /// stream holds a row, whatever other routes write there.
    pub fn tell(&mut self, stream: &str, protects: bool) {
        let streams = if protects { &mut self.closed } else { &mut self.open };
        if !streams.contains(stream) {
            streams.insert(stream.to_owned());
        }
    }

    fn may_hold_row(&self, stream: &str) -> bool {
        self.open.contains(stream) && !self.closed.contains(stream)
    }

    /// Adds the dead letter of a change that a plugin failed at to the open group. `stream`: for
    /// which the change was; `schema`: the log's id of the source's definition.
    ///
    /// # Errors
    /// The change cannot be read.
    pub fn write_of_plugin(
        &mut self,
        writer: &mut LogWriter,
        batch: &Batch,
        dead: &DeadRow,
        stream: (&str, u32),
        schema: (&TableSchema, u32),
    ) -> Result<(), Halt> {
        let (stream, stream_id) = stream;
        let (schema, schema_id) = schema;
        // The change never gets a sequence of its own; the letter's is as good a name.
        let sequence = writer.next_sequence();
        self.encoded.clear();
        batch.encode(&dead.original, sequence, stream_id, schema_id, &mut self.encoded);
        let encoded = std::mem::take(&mut self.encoded);
        let change = ChangeView::parse(&encoded).map_err(damaged)?;
        let letter = Letter {
            origin: &dead.fault.plugin,
            sequence,
            digest: Some(&dead.digest),
            code: dead.fault.code(),
            error: &dead.fault.message,
            stream,
            encoded: &encoded,
        };
        self.push(writer, &letter, &change, schema)?;
        self.encoded = encoded;
        Ok(())
    }

    /// Adds the dead letter of a change that a sink could not take to the open group and gives its
    /// sequence.
    ///
    /// # Errors
    /// The change cannot be read.
    pub fn write(
        &mut self,
        writer: &mut LogWriter,
        request: &DeadLetterRequest,
    ) -> Result<u64, Halt> {
        let change = ChangeView::parse(&request.change).map_err(damaged)?;
        let letter = Letter {
            origin: KAFKA,
            sequence: request.sequence,
            digest: None,
            code: request.code,
            error: &request.error,
            stream: &request.stream,
            encoded: &request.change,
        };
        self.push(writer, &letter, &change, &request.schema)
    }

    fn push(
        &mut self,
        writer: &mut LogWriter,
        letter: &Letter<'_>,
        change: &ChangeView<'_>,
        schema: &TableSchema,
    ) -> Result<u64, Halt> {
        let key_hash = key_hash(change, schema).map_err(damaged)?;
        let operation = [change.operation.letter()];
        let letter = DeadLetter {
            origin: letter.origin,
            sequence: letter.sequence,
            digest: letter.digest,
            code: letter.code,
            error: letter.error,
            position: change.lsn,
            commit: change.transaction.map(|it| it.commit).unwrap_or_default(),
            stream: letter.stream,
            namespace: &schema.namespace,
            table: &schema.table,
            operation: std::str::from_utf8(&operation).unwrap_or_default(),
            key_hash: key_hash.as_deref(),
            change: self.may_hold_row(letter.stream).then_some(letter.encoded),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        Ok(self.stream.push(writer, &letter, i64::try_from(now).unwrap_or(i64::MAX)))
    }
}

fn damaged(error: WireError) -> Halt {
    Halt::new(
        "DEAD_LETTER_DAMAGED",
        format!("a change that is to become a dead letter cannot be read: {error}"),
        "restore the log's folder from a copy, or start over with `offtake resync`",
    )
}

/// SHA-256 over the key's columns as text, with a zero byte between two.
fn key_hash(change: &ChangeView<'_>, schema: &TableSchema) -> Result<Option<String>, WireError> {
    let row = match change.operation {
        Operation::Delete => change.before,
        _ => change.after,
    };
    let Some(row) = row.filter(|_| !schema.key.is_empty()) else { return Ok(None) };
    let mut text = Vec::new();
    for (index, &ordinal) in schema.key.iter().enumerate() {
        if index > 0 {
            text.push(0);
        }
        if let Some(value) = row.values().nth(ordinal as usize) {
            value?.put_text(&mut text);
        }
    }
    Ok(Some(hexadecimal(&Sha256::digest(&text))))
}
