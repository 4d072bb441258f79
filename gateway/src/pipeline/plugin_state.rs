//! What plugins keep, beside the log: put together at the start, checkpointed as the log goes on.
//!
//! The writes of a call are in the log, in the group of its changes; the checkpoint is the states as
//! of a place in the log. At a start the log behind that place is applied to it, which gives exactly
//! the states as of the position that the source resumes from. While the pipeline runs a thread of
//! its own does the same whenever the log has begun another segment, from the file and the durable
//! log alone: it neither waits for the worker nor looks at its memory, so a blocked log cannot keep
//! it from letting go of what it holds.

use std::path::Path;
use std::time::Duration;

use offtake_log::{Control, Hold, Log, LogPlace, ReadError, Recovered};
use offtake_state::{Checkpoint, CheckpointError, CheckpointFile, Place, States};

use super::chain::Configured;
use super::halt::{Halt, chain};

/// The name of the hold on the log, as a blocked log shows it.
const HOLD: &str = "plugins' state";
/// Between two looks at whether the log has begun another segment.
const LOOK: Duration = Duration::from_millis(200);
/// Until a checkpoint that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The states of a pipeline's plugins.
pub struct Kept {
    log: Log,
    file: CheckpointFile,
    place: LogPlace,
    hold: Hold,
    /// Plugins that are no longer there and of which there is a state.
    pub forgotten: Vec<String>,
}

/// The thread that writes checkpoints; it ends when this is dropped.
pub struct Keeper {
    _running: flume::Sender<()>,
}

/// Why there is no new checkpoint.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error("the checkpoint")]
    File(#[from] CheckpointError),
    #[error("the log behind the checkpoint")]
    Log(#[from] ReadError),
    #[error("the checkpoint is gone")]
    Gone,
}

/// Gives every plugin the state that the log holds. `None`: no plugin keeps any, and none did.
/// Call before the first group is submitted.
///
/// # Errors
/// The state is not there, or not whole, or of another log: for a person to decide.
pub fn open(
    plugins: &[Configured],
    log: &Log,
    recovered: &Recovered,
    folder: &Path,
) -> Result<Option<Kept>, Halt> {
    let file = CheckpointFile::of_log(folder);
    let found = file.load().map_err(|error| checkpoint_halt(&error))?;
    let keeps = plugins.iter().any(|configured| configured.plugin.state().is_some());
    let checkpoint = match found {
        Some(checkpoint) if checkpoint.log_id != log.id() => return Err(of_another_log()),
        Some(checkpoint) => checkpoint,
        None => {
            if let Some(had) = recovered.plugins.iter().find(|plugin| plugin.stateful) {
                return Err(lost(&had.name));
            }
            if !keeps {
                return Ok(None);
            }
            // Before the first write enters the log: without a file there are none in it.
            let place = in_file(log.end());
            let first = Checkpoint { log_id: log.id(), place, states: States::default() };
            file.store(&first).map_err(|error| checkpoint_halt(&error))?;
            first
        }
    };
    let place = in_log(checkpoint.place);
    let hold = log.hold(HOLD, place);
    let mut states = checkpoint.states;
    apply(log, place, &mut states).map_err(|error| log_halt(&error))?;
    for plugin in plugins.iter().map(|configured| &configured.plugin) {
        if let Some(state) = plugin.state() {
            state.restore(states.take(plugin.name()));
        }
    }
    let forgotten: Vec<String> = states.plugins().map(str::to_owned).collect();
    for plugin in &forgotten {
        tracing::warn!(
            code = "PLUGIN_STATE_FORGOTTEN",
            plugin,
            "the plugin is no longer configured, what it kept is forgotten"
        );
    }
    Ok(Some(Kept { log: log.clone(), file, place, hold, forgotten }))
}

impl Kept {
    /// Starts the thread that writes checkpoints.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(self) -> Result<Keeper, Halt> {
        let (running, stopped) = flume::bounded(0);
        std::thread::Builder::new()
            .name("plugin-state".to_owned())
            .spawn(move || self.run(&stopped))
            .map_err(|error| {
                Halt::new("THREAD", format!("cannot start a thread: {error}"), "raise the limit")
            })?;
        Ok(Keeper { _running: running })
    }

    fn run(mut self, stopped: &flume::Receiver<()>) {
        let mut pause = LOOK;
        while stopped.recv_timeout(pause) == Err(flume::RecvTimeoutError::Timeout) {
            pause = LOOK;
            if self.log.end().segment == self.place.segment {
                continue;
            }
            if let Err(error) = self.checkpoint() {
                pause = RETRY;
                let cause = chain(&error);
                tracing::error!(
                    code = "PLUGIN_STATE_CHECKPOINT",
                    cause,
                    "no checkpoint of the plugins' state, the log keeps what is behind the last one"
                );
            }
        }
    }

    /// Takes into the checkpoint what the log has durable behind it, and lets the log go of that.
    fn checkpoint(&mut self) -> Result<(), NotKept> {
        let Checkpoint { log_id, place, mut states } = self.file.load()?.ok_or(NotKept::Gone)?;
        let place = apply(&self.log, in_log(place), &mut states)?;
        self.file.store(&Checkpoint { log_id, place: in_file(place), states })?;
        self.place = place;
        self.hold.advance(place);
        offtake_failpoint::crash_point("state.after_release");
        Ok(())
    }
}

/// Applies what the log has from a place on, and gives the place behind it.
fn apply(log: &Log, from: LogPlace, states: &mut States) -> Result<LogPlace, ReadError> {
    let mut walk = log.walk(from)?;
    while let Some(controls) = walk.next_controls()? {
        for control in &controls {
            if let Control::StateDelta(delta) = control {
                states.apply(delta);
            }
        }
    }
    Ok(walk.place())
}

fn in_log(Place { segment, offset }: Place) -> LogPlace {
    LogPlace { segment, offset }
}

fn in_file(LogPlace { segment, offset }: LogPlace) -> Place {
    Place { segment, offset }
}

/// The halt over a state that is not there. `plugin`: whose.
pub fn lost(plugin: &str) -> Halt {
    Halt::new(
        "PLUGIN_STATE_LOST",
        format!("what plugin {plugin} kept was in the log's folder and is not there any more"),
        "give back the whole folder of the log, or start over with `offtake resync`",
    )
}

fn of_another_log() -> Halt {
    Halt::new(
        "PLUGIN_STATE_OF_ANOTHER_LOG",
        format!("{} in the log's folder belongs to another log", CheckpointFile::NAME),
        "restore the log's folder as a whole, or start over with `offtake resync`",
    )
}

fn checkpoint_halt(error: &CheckpointError) -> Halt {
    Halt::new(error.code(), chain(error), error.next_step())
}

fn log_halt(error: &ReadError) -> Halt {
    let (code, cause, next) = match error {
        ReadError::TooOld { .. } | ReadError::Ahead { .. } => (
            "PLUGIN_STATE_OF_ANOTHER_LOG",
            format!("{} does not belong to what the log holds: {error}", CheckpointFile::NAME),
            "restore the log's folder as a whole, or start over with `offtake resync`",
        ),
        other => (other.code(), chain(other), "restore the log's folder; else `offtake resync`"),
    };
    Halt::new(code, cause, next)
}
