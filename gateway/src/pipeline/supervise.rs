//! Running parts and their end: who stops whom, in which order.
//!
//! On a stop the source ends first, then the worker drains what was handed over and makes it
//! durable, then the sinks. On a halt source and worker end and everything that serves the log
//! stays, until the process is told to stop.

use std::sync::Arc;
use std::thread::JoinHandle;

use offtake_change::{Histogram, Lsn};
use offtake_source_postgres::{SourceError, SourceStatus};
use tokio::sync::watch;

use super::build::Parts;
use super::chain::{Chain, PluginCounters, hexadecimal};
use super::halt::Halt;
use super::source;
use super::state::{State, StateCell};
use super::worker::{Worker, WorkerCounters};

/// Batches between source and worker. Each is at most a batch's size, so this bounds the memory
/// between them; more would only hide a slow worker.
const CHANNEL_BATCHES: usize = 4;

/// A running source and worker.
pub struct Running {
    /// What they do.
    pub state: StateCell,
    /// The slot's name.
    pub slot: String,
    /// The source about itself.
    pub source_status: Arc<SourceStatus>,
    /// What went through.
    pub counters: Arc<WorkerCounters>,
    /// From commit to log.
    pub commit_to_log: Arc<Histogram>,
    /// Name, digest and counters of the plugins.
    pub plugins: Vec<(String, String, Arc<PluginCounters>)>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Option<Ended>>,
}

/// How source and worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As told.
    Stopped,
    /// For a person to decide.
    Halted(Halt),
}

impl Running {
    /// Starts the worker's thread and the source's task.
    ///
    /// # Errors
    /// A plugin that cannot be instantiated.
    pub fn start(parts: Parts, state: StateCell) -> Result<Running, Halt> {
        let chain = Chain::new(&parts.plugins, &parts.recovered.plugins)?;
        let plugins = parts
            .plugins
            .iter()
            .map(|(plugin, counters)| {
                (plugin.name().to_owned(), hexadecimal(&plugin.digest()), Arc::clone(counters))
            })
            .collect();
        let counters = Arc::new(WorkerCounters::default());
        let commit_to_log = Arc::new(Histogram::default());
        let source_status = Arc::new(SourceStatus::default());
        let (early, early_seen) = watch::channel(0);
        let resume = source::resume(&parts.recovered);
        let worker = Worker::new(
            parts.writer,
            parts.router,
            chain,
            &parts.recovered,
            state.clone(),
            Arc::clone(&counters),
            parts.digest,
            early,
        );
        let (stop, stopping) = watch::channel(false);
        let (events, received) = flume::bounded(CHANNEL_BATCHES);
        let (told, source_stop) = (state.clone(), stop.clone());
        let worker = std::thread::Builder::new()
            .name("pipeline".to_owned())
            .spawn(move || {
                let _stop = StopsSource(source_stop);
                let outcome = worker.run(&received);
                if let Err(halt) = &outcome {
                    told.set(State::Halted(halt.clone()));
                }
                outcome
            })
            .map_err(|error| {
                Halt::new("THREAD", format!("cannot start a thread: {error}"), "raise the limit")
            })?;
        let (acknowledge, acknowledged) = watch::channel(Lsn::ZERO);
        tokio::spawn(source::acknowledge(
            parts.log.clone(),
            acknowledge,
            early_seen,
            Arc::clone(&commit_to_log),
        ));
        let slot = parts.source.slot.clone();
        let (options, told) = (parts.source, Arc::clone(&source_status));
        let source = spawn_source(move || {
            offtake_source_postgres::run(options, resume, events, acknowledged, told, stopping)
        })?;
        let (ended_sender, ended) = watch::channel(None);
        tokio::spawn(join(source, worker, state.clone(), ended_sender));
        Ok(Running { state, slot, source_status, counters, commit_to_log, plugins, stop, ended })
    }

    /// Waits until source and worker have ended.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Ended::Stopped),
            Err(_) => Ended::Stopped,
        }
    }

    /// Tells the source to end; the worker drains and ends after it.
    pub fn stop(&self) {
        self.state.set(State::Stopping);
        self.stop.send_replace(true);
    }
}

/// Tells the source to end when the worker ends, however it does: an idle source would notice only
/// when it next has something to hand over.
struct StopsSource(watch::Sender<bool>);

impl Drop for StopsSource {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// The source has a thread and a runtime of its own: whatever serving subscribers costs, its
/// feedback to the server is on time.
fn spawn_source<Run: Future<Output = Result<(), SourceError>>>(
    run: impl FnOnce() -> Run + Send + 'static,
) -> Result<JoinHandle<Result<(), SourceError>>, Halt> {
    let failed = |error: std::io::Error| {
        Halt::new("THREAD", format!("cannot start a thread: {error}"), "raise the limit")
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    std::thread::Builder::new()
        .name("source".to_owned())
        .spawn(move || runtime.block_on(run()))
        .map_err(failed)
}

/// Waits for both ends and says how it went. The worker's halt comes first: it ends the channel,
/// and what the source then says is only a consequence.
async fn join(
    source: JoinHandle<Result<(), SourceError>>,
    worker: JoinHandle<Result<(), Halt>>,
    state: StateCell,
    ended: watch::Sender<Option<Ended>>,
) {
    let told = state.clone();
    let joined = tokio::task::spawn_blocking(move || {
        let source = source.join();
        if let Ok(Err(error)) = &source {
            // The worker may be held by a full log; the halt is told all the same.
            told.set(State::Halted(super::build::source_halt(error)));
        }
        (source, worker.join())
    })
    .await;
    let halt = match joined {
        Ok((_, Ok(Err(halt)))) => Some(halt),
        Ok((Ok(Ok(())), Ok(Ok(())))) => None,
        Ok((Ok(Err(error)), Ok(Ok(())))) => Some(super::build::source_halt(&error)),
        _ => Some(Halt::new(
            "DEFECT",
            "a part of the pipeline ended unexpectedly; the position is kept",
            "restart the gateway and report this as a defect, with the log lines before it",
        )),
    };
    let end = match halt {
        None => Ended::Stopped,
        Some(halt) => {
            tracing::error!(code = %halt.code, cause = %halt.cause, next = %halt.next_step, "HALTED");
            state.set(State::Halted(halt.clone()));
            Ended::Halted(halt)
        }
    };
    ended.send_replace(Some(end));
}
