//! Running parts and their end: who stops whom, in which order.
//!
//! On a stop the source ends first, then the worker drains what was handed over and makes it
//! durable, then the sinks. On a halt source and worker end and everything that serves the log
//! stays, until the process is told to stop. A halt is told by the thread that meets it, before it
//! winds up: what follows (a final flush, the other side's complaint) neither delays nor hides it.

use std::sync::Arc;
use std::thread::JoinHandle;

use offtake_change::{Histogram, Lsn};
use offtake_sink_kafka::DeadLetterRequest;
use offtake_source_postgres::{ReplayRequest, SourceError, SourceStatus};
use tokio::sync::{mpsc, watch};

use super::build::{Parts, source_halt};
use super::chain::Chain;
use super::halt::Halt;
use super::inbox::Requests;
use super::live::Live;
use super::plugin_state::Keeper;
use super::reload::RecentInputs;
use super::source;
use super::state::{State, StateCell};
use super::worker::{Switch, Worker, WorkerCounters, WorkerParts};

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
    /// The plugins at work.
    pub live: Arc<Live>,
    /// What trials of plugins run over.
    pub inputs: Arc<RecentInputs>,
    /// Has other versions of the plugins take over.
    pub switches: flume::Sender<Switch>,
    /// Where rows are asked for again.
    pub replays: mpsc::Sender<ReplayRequest>,
    /// Writes checkpoints of what plugins keep.
    _keeper: Option<Keeper>,
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
    /// Starts the worker's thread and the source's task; neither where the parts say that a person
    /// must decide first. `letters`: what a sink could not take.
    ///
    /// # Errors
    /// A plugin that cannot be instantiated.
    pub fn start(
        parts: Parts,
        letters: flume::Receiver<DeadLetterRequest>,
        state: StateCell,
    ) -> Result<Running, Halt> {
        let mut chain = Chain::new(&parts.plugins, &parts.router, &parts.recovered.plugins)?;
        if parts.accepted_midway {
            chain.record_again();
        }
        let mut keeper = None;
        if let Some(mut kept) = parts.kept.filter(|_| parts.halt.is_none()) {
            chain.forget_states(std::mem::take(&mut kept.forgotten));
            keeper = Some(kept.start()?);
        }
        let (stop, stopping) = watch::channel(false);
        let (ended_sender, ended) = watch::channel(None);
        // One at a time: who asks waits.
        let (replays, asked) = mpsc::channel(1);
        let (switches, switched) = flume::bounded(1);
        let running = Running {
            replays,
            state: state.clone(),
            slot: parts.source.slot.clone(),
            source_status: Arc::default(),
            counters: Arc::default(),
            commit_to_log: Arc::default(),
            live: Arc::new(Live::new(&parts.plugins)),
            inputs: Arc::new(parts.inputs),
            switches,
            _keeper: keeper,
            stop,
            ended,
        };
        if let Some(halt) = parts.halt {
            state.halt(&halt);
            ended_sender.send_replace(Some(Ended::Halted(halt)));
            return Ok(running);
        }
        let (early, early_seen) = watch::channel(0);
        let resume = source::resume(&parts.recovered);
        let wired = WorkerParts {
            writer: parts.writer,
            router: parts.router,
            chain,
            state: state.clone(),
            counters: Arc::clone(&running.counters),
            digest: parts.digest,
            early,
            live: Arc::clone(&running.live),
            inputs: Arc::clone(&running.inputs),
            switching: parts.switching,
        };
        let mut worker = Worker::new(wired, &parts.recovered);
        worker.employ(parts.workers, &parts.plugins)?;
        let requests = Requests { letters: Some(letters), switches: Some(switched) };
        let (events, received) = flume::bounded(CHANNEL_BATCHES);
        let (told, source_stop) = (state.clone(), running.stop.clone());
        let worker = std::thread::Builder::new()
            .name("pipeline".to_owned())
            .spawn(move || {
                let _stop = StopsSource(source_stop);
                let outcome = worker.run(&received, requests);
                if let Err(halt) = &outcome {
                    told.halt(halt);
                }
                outcome
            })
            .map_err(|error| {
                Halt::new("THREAD", format!("cannot start a thread: {error}"), "raise the limit")
            })?;
        let (acknowledge, acknowledged) = watch::channel(Lsn::ZERO);
        tokio::spawn(source::acknowledge(
            parts.log.clone(),
            parts.published,
            acknowledge,
            early_seen,
            Arc::clone(&running.commit_to_log),
        ));
        let (options, told) = (parts.source, Arc::clone(&running.source_status));
        let source = spawn_source(state.clone(), move || {
            offtake_source_postgres::run(
                options,
                resume,
                events,
                acknowledged,
                told,
                stopping,
                Some(asked),
            )
        })?;
        tokio::spawn(join(source, worker, state, ended_sender));
        Ok(running)
    }

    /// Waits for a halt, or until source and worker have ended. After a halt they may still be
    /// ending: a full log holds what was taken in.
    pub async fn halted_or_ended(&self) -> Ended {
        let mut states = self.state.subscribe();
        let halt = states.wait_for(|state| matches!(state, State::Halted(_)));
        tokio::select! {
            biased;
            state = halt => match state.as_deref() {
                Ok(State::Halted(halt)) => Ended::Halted(halt.clone()),
                _ => Ended::Stopped,
            },
            ended = self.ended() => ended,
        }
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
    told: StateCell,
    run: impl FnOnce() -> Run + Send + 'static,
) -> Result<JoinHandle<Result<(), SourceError>>, Halt> {
    let failed = |error: std::io::Error| {
        Halt::new("THREAD", format!("cannot start a thread: {error}"), "raise the limit")
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    std::thread::Builder::new()
        .name("source".to_owned())
        .spawn(move || {
            let outcome = runtime.block_on(run());
            if let Err(error) = &outcome {
                told.halt(&source_halt(error));
            }
            outcome
        })
        .map_err(failed)
}

/// Waits for both ends and says how it went. The halt that was told first is the cause, what the
/// other side says is its consequence.
async fn join(
    source: JoinHandle<Result<(), SourceError>>,
    worker: JoinHandle<Result<(), Halt>>,
    state: StateCell,
    ended: watch::Sender<Option<Ended>>,
) {
    let joined = tokio::task::spawn_blocking(move || (source.join(), worker.join())).await;
    let told = state.halted().cloned();
    let halt = match joined {
        _ if told.is_some() => told,
        Ok((_, Ok(Err(halt)))) => Some(halt),
        Ok((Ok(Ok(())), Ok(Ok(())))) => None,
        Ok((Ok(Err(error)), Ok(Ok(())))) => Some(source_halt(&error)),
        _ => Some(Halt::new(
            "DEFECT",
            "a part of the pipeline ended unexpectedly; the position is kept",
            "restart the gateway and report this as a defect, with the log lines before it",
        )),
    };
    let end = match halt {
        None => Ended::Stopped,
        Some(halt) => {
            state.halt(&halt);
            Ended::Halted(halt)
        }
    };
    ended.send_replace(Some(end));
}
