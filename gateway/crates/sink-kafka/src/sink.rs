//! The sink as the pipeline sees it: started, asked for its status, stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use offtake_change::Histogram;
use offtake_log::{Log, Pin};
use offtake_proto::v1;
use tokio::sync::watch;

use crate::cursor::Cursor;
use crate::session::Publisher;
use crate::status::{KafkaStatus, StatusCell};
use crate::{KafkaError, KafkaOptions};

/// Name under which the log keeps what is not published yet.
const PIN: &str = "kafka";

/// The request to stop, and until when what is on its way may take.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: AtomicBool,
    deadline: Mutex<Option<Instant>>,
}

impl Stop {
    fn ask(&self, deadline: Instant) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
        self.asked.store(true, Ordering::Release);
    }

    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    pub(crate) fn is_overdue(&self) -> bool {
        let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// A running sink. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct KafkaSink {
    log: Log,
    status: Arc<StatusCell>,
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
    /// Held here too, so that a halted sink still keeps what it has not published.
    _pin: Arc<Pin>,
}

impl KafkaSink {
    /// Starts the sink's thread. The brokers need not be there. Start it before the log's first
    /// group is submitted, so that retention cannot pass the cursor.
    ///
    /// # Errors
    /// The options are wrong. A cursor that cannot be used (another log's or pipeline's, past the
    /// log's end or before its beginning, unreadable) halts the sink alone instead:
    /// [`KafkaSink::status`] says so.
    pub fn start(options: KafkaOptions, log: Log) -> Result<KafkaSink, KafkaError> {
        options.check()?;
        let status = Arc::new(StatusCell::new());
        let stop = Arc::new(Stop::default());
        let cursor = match Cursor::open(&options, &log, &status) {
            Ok(cursor) => cursor,
            Err(error) => {
                halt(&status, &error);
                // Where the cursor says nothing of this log, nothing of it is published.
                let held = match error {
                    KafkaError::CursorAhead { cursor, .. } => cursor,
                    _ => log.earliest_sequence().saturating_sub(1),
                };
                let pin = Arc::new(log.pin(PIN, held));
                return Ok(KafkaSink { log, status, stop, thread: None, _pin: pin });
            }
        };
        status.cursor.store(cursor.sequence(), Ordering::Relaxed);
        let pin = Arc::new(log.pin(PIN, cursor.least_sequence()));
        crate::watch::start(options.clone(), Arc::clone(&status), Arc::clone(&stop))?;
        let thread = {
            let (log, status, stop, pin) =
                (log.clone(), Arc::clone(&status), Arc::clone(&stop), Arc::clone(&pin));
            std::thread::Builder::new()
                .name("kafka-sink".to_owned())
                .spawn(move || {
                    let publisher = Publisher::new(&options, &log, &status, &stop, cursor, &pin);
                    match publisher.and_then(|mut publisher| publisher.run()) {
                        Ok(()) => status.stopped(),
                        Err(error) => halt(&status, &error),
                    }
                })
                .map_err(KafkaError::Thread)?
        };
        Ok(KafkaSink { log, status, stop, thread: Some(thread), _pin: pin })
    }

    /// A picture of the sink now.
    pub fn status(&self) -> KafkaStatus {
        self.status.snapshot(self.log.durable().borrow().sequence)
    }

    /// From a commit in the source until all in-sync replicas have acknowledged it and everything
    /// before it, for the newest transaction of each group of the log. Only what came after the
    /// sink had caught up with the log once counts.
    pub fn latency(&self) -> Arc<Histogram> {
        self.status.latency.told()
    }

    /// How long commits take, from the end of a transaction's data on.
    pub fn commit_duration(&self) -> Arc<Histogram> {
        Arc::clone(&self.status.commit_seconds)
    }

    /// The source's place up to which everything is published and the cursor that says so durable:
    /// what a source may forget that is acknowledged by its sinks. `None`: not known yet.
    pub fn published(&self) -> watch::Receiver<Option<v1::SourcePosition>> {
        self.status.published.subscribe()
    }

    /// Stops: nothing new is sent, what is on its way is waited for until the deadline, the cursor
    /// is written. A thread that hangs longer is left behind; its cursor is not wrong, only old.
    pub fn stop(mut self, deadline: Duration) {
        let deadline = Instant::now() + deadline;
        self.stop.ask(deadline);
        let Some(thread) = self.thread.take() else { return };
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        if thread.is_finished() {
            // A panic was reported by the panic hook already.
            let _ = thread.join();
        } else {
            tracing::warn!("kafka sink did not stop in time");
        }
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        if !self.stop.is_asked() {
            self.stop.ask(Instant::now());
        }
    }
}

fn halt(status: &StatusCell, error: &KafkaError) {
    tracing::error!(
        code = error.code(),
        cause = %error,
        next_step = error.next_step(),
        "kafka sink halted"
    );
    status.halted(error);
}
