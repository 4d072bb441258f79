//! What the pipeline is doing, shared with the admin server, the gRPC service and the supervisor.
//!
//! One value behind a `watch` channel: whoever wants to know reads the last one or waits for the
//! next. The state is told, not inferred, by the part that changes it.

use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tokio::sync::watch;

use super::halt::Halt;

/// What the pipeline is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Opening the log, loading plugins, connecting.
    Starting,
    /// Copying tables.
    Snapshot,
    /// Following the source.
    Running,
    /// Waiting for a person; the log is served on.
    Halted(Halt),
    /// Told to stop.
    Stopping,
}

impl State {
    /// One word, as the gRPC service's `Describe` gives it.
    pub fn name(&self) -> &'static str {
        match self {
            State::Starting => "STARTING",
            State::Snapshot => "SNAPSHOT",
            State::Running => "RUNNING",
            State::Halted(_) => "HALTED",
            State::Stopping => "STOPPING",
        }
    }
}

/// The writing end. A halt or stop is final: a later state does not replace it.
#[derive(Clone, Debug)]
pub struct StateCell {
    sender: watch::Sender<State>,
    /// The first halt, kept while stopping too.
    halt: Arc<OnceLock<Halt>>,
}

impl StateCell {
    /// A pipeline that is starting.
    pub fn new() -> StateCell {
        StateCell { sender: watch::Sender::new(State::Starting), halt: Arc::default() }
    }

    /// Says what the pipeline does now, unless it has halted or is stopping.
    pub fn set(&self, state: State) {
        self.replace(state);
    }

    /// Says at once, here and in our own log, that a person must decide. The first cause counts:
    /// what follows from it is not told.
    pub fn halt(&self, halt: &Halt) {
        if self.halt.set(halt.clone()).is_ok() {
            tracing::error!(
                code = %halt.code, cause = %halt.cause, next = %halt.next_step, "HALTED"
            );
            self.replace(State::Halted(halt.clone()));
        }
    }

    /// The first halt, also after the state went on to stopping.
    pub fn halted(&self) -> Option<&Halt> {
        self.halt.get()
    }

    fn replace(&self, state: State) {
        self.sender.send_if_modified(|current| {
            let is_final = match current {
                State::Stopping => true,
                State::Halted(_) => state != State::Stopping,
                _ => false,
            };
            let changes = !is_final && *current != state;
            if changes {
                *current = state;
            }
            changes
        });
    }

    /// The state now.
    pub fn get(&self) -> State {
        self.sender.borrow().clone()
    }

    /// A reading end.
    pub fn subscribe(&self) -> watch::Receiver<State> {
        self.sender.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_halt_stays_until_the_process_stops() {
        let cell = StateCell::new();
        cell.set(State::Running);
        let halt = State::Halted(Halt::new("X", "y", "z"));
        cell.set(halt.clone());
        cell.set(State::Running);
        assert_eq!(cell.get(), halt);
        cell.set(State::Stopping);
        cell.set(State::Running);
        assert_eq!(cell.get(), State::Stopping);
    }

    #[test]
    fn of_two_halts_the_first_cause_wins() {
        let cell = StateCell::new();
        let (first, second) = (Halt::new("FIRST", "", ""), Halt::new("SECOND", "", ""));
        cell.halt(&first);
        cell.halt(&second);
        assert_eq!(cell.get(), State::Halted(first.clone()));
        cell.set(State::Stopping);
        cell.halt(&second);
        assert_eq!((cell.get(), cell.halted()), (State::Stopping, Some(&first)));
    }
}
