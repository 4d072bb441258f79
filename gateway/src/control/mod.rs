//! What the command asks of a gateway that runs beside it: one request and one answer, a line of JSON
//! each, over a socket in the log's folder.
//!
//! Whoever may open that folder may read every row, so it needs no further password, and nothing of
//! it is on the network. What is only looked at is the admin listener's.

mod client;
pub mod replay;
mod server;
mod socket;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::pipeline::{Halt, Recording, Reloaded, TrialReport, Wanted};

pub use client::{ask, other_answer};
pub use replay::{MOST_LETTERS, ReplayDesk, ReplayedLetter};
pub use server::{ControlServer, Desk};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Take plugins over as the configuration has them now; no names: all that differ.
    Reload {
        /// Names of plugins.
        plugins: Vec<String>,
    },
    /// Put a plugin's component before back to work.
    RollBack {
        /// Name of the plugin.
        plugin: String,
    },
    /// Run a component beside the one at work.
    Try {
        /// Name of the plugin.
        plugin: String,
        /// The component's file, as the gateway finds it.
        wasm: PathBuf,
        /// Globs of tables whose rows are read for it.
        #[serde(default)]
        tables: Vec<String>,
        /// So many rows of each, at most.
        #[serde(default)]
        rows: u64,
    },
    /// Give recent changes as they came from the source.
    Record(Wanted),
    /// Have dead letters come again.
    ReplayDeadLetters {
        /// The letters' own sequences.
        sequences: Vec<u64>,
        /// The changes themselves instead of the rows as they are now.
        as_it_was: bool,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To a reload or a rollback.
    Reloaded(Reloaded),
    /// To a try.
    Trial(TrialReport),
    /// To a recording.
    Recorded(Recording),
    /// To a replay.
    Replayed {
        /// What became of each letter.
        letters: Vec<ReplayedLetter>,
    },
    /// It was not done.
    Refused {
        /// Stable code.
        code: String,
        /// What is wrong.
        cause: String,
        /// What to do.
        next_step: String,
    },
}

impl From<Halt> for Answer {
    fn from(halt: Halt) -> Answer {
        Answer::Refused {
            code: halt.code.into_owned(),
            cause: halt.cause,
            next_step: halt.next_step,
        }
    }
}
