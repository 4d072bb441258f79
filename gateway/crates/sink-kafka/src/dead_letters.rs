//! How the sink has a change made a dead letter that Kafka does not take.
//!
//! The log has one writer, the pipeline's thread, and the sink finds only after the log that a
//! message is too large. So it asks through this channel and passes the change when the dead letter
//! is durable. One request is under way at a time; the pipeline answers it before it takes in
//! anything further.

use std::sync::Arc;

use offtake_change::TableSchema;

/// A change that is to become a dead letter.
#[derive(Debug)]
pub struct DeadLetterRequest {
    /// Its sequence.
    pub sequence: u64,
    /// The stream that it was for.
    pub stream: Arc<str>,
    /// Its schema.
    pub schema: TableSchema,
    /// Stable code of the error.
    pub code: &'static str,
    /// The error; holds no value of the row.
    pub error: String,
    /// The change, encoded as in the log.
    pub change: Vec<u8>,
    written: flume::Sender<u64>,
}

impl DeadLetterRequest {
    /// The dead letter is handed to the log, under this sequence.
    pub fn written(self, sequence: u64) {
        // A sink that has ended meanwhile finds it in the log at its next start.
        let _ = self.written.try_send(sequence);
    }
}

/// The sink's end.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    requests: flume::Sender<DeadLetterRequest>,
}

/// A channel for dead letters: the sink's end, and the pipeline's.
pub fn dead_letters() -> (DeadLetters, flume::Receiver<DeadLetterRequest>) {
    let (requests, received) = flume::bounded(1);
    (DeadLetters { requests }, received)
}

/// What a request is about.
pub(crate) struct Wanted<'a> {
    pub(crate) sequence: u64,
    pub(crate) stream: Arc<str>,
    pub(crate) schema: TableSchema,
    pub(crate) code: &'static str,
    pub(crate) error: String,
    pub(crate) change: &'a [u8],
}

impl DeadLetters {
    /// Asks, and gives where the answer comes; `None`: the pipeline does not run, or answers another
    /// request.
    pub(crate) fn ask(&self, wanted: &Wanted<'_>) -> Option<flume::Receiver<u64>> {
        if self.requests.is_disconnected() || self.requests.is_full() {
            return None;
        }
        let (written, answer) = flume::bounded(1);
        let request = DeadLetterRequest {
            sequence: wanted.sequence,
            stream: Arc::clone(&wanted.stream),
            schema: wanted.schema.clone(),
            code: wanted.code,
            error: wanted.error.clone(),
            change: wanted.change.to_vec(),
            written,
        };
        self.requests.try_send(request).ok().map(|()| answer)
    }
}
