//! The calls of the client library that wait for the transaction coordinator, on a thread of their
//! own.
//!
//! They are called without a time limit, as the library asks for: a call that gave up would leave it
//! unknown what goes on behind it. The sink's thread meanwhile encodes what comes next, takes
//! reports, and can still be told to stop; a call that hangs then is left behind.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::util::Timeout;

use crate::KafkaError;
use crate::context::SinkContext;

/// Times that a call is repeated because the library says so.
const MAX_RETRIES: u32 = 100;
/// Between two of them.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Fences every earlier producer of the transactional id and ends what it left open.
    Init,
    Commit,
    Abort,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) result: Result<(), ClientError>,
    pub(crate) took: Duration,
    /// The library wanted the call again.
    pub(crate) was_repeated: bool,
}

/// The thread. Dropping it lets the thread end after the call that it is in.
pub(crate) struct Committer {
    calls: Sender<Call>,
    answers: Receiver<Answer>,
}

impl Committer {
    pub(crate) fn start(producer: Arc<BaseProducer<SinkContext>>) -> Result<Committer, KafkaError> {
        let (calls, called) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        std::thread::Builder::new()
            .name("kafka-commit".to_owned())
            .spawn(move || {
                while let Ok(call) = called.recv() {
                    if answer.send(make(&producer, call)).is_err() {
                        return;
                    }
                }
            })
            .map_err(KafkaError::Thread)?;
        Ok(Committer { calls, answers })
    }

    /// Begins a call; one at a time.
    pub(crate) fn call(&self, call: Call) {
        // The thread ends only after this is dropped.
        let _ = self.calls.send(call);
    }

    /// The answer to the call that was begun, if it comes in that time.
    pub(crate) fn answer(&self, patience: Duration) -> Option<Answer> {
        self.answers.recv_timeout(patience).ok()
    }
}

fn make(producer: &BaseProducer<SinkContext>, call: Call) -> Answer {
    let begun = Instant::now();
    let mut repeated = 0;
    loop {
        let result = match call {
            Call::Init => producer.init_transactions(Timeout::Never),
            Call::Commit => producer.commit_transaction(Timeout::Never),
            Call::Abort => producer.abort_transaction(Timeout::Never),
        };
        let again = match &result {
            // An initialisation that timed out is told, so that the status can say it.
            Err(ClientError::Transaction(error)) => error.is_retriable() && call != Call::Init,
            _ => false,
        };
        if !again || repeated >= MAX_RETRIES {
            return Answer { result, took: begun.elapsed(), was_repeated: repeated > 0 };
        }
        repeated += 1;
        std::thread::sleep(RETRY_PAUSE);
    }
}
