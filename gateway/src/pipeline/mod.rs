//! Wiring: from a checked configuration to running parts, and back down again.
//!
//! Here the source, the worker, the log and the sinks are joined by one channel and one `watch`;
//! what each does is its own crate's. Nothing here knows a format.

mod adopt;
mod build;
mod chain;
mod chosen;
mod dead_letters;
mod definitions;
mod failure;
mod halt;
mod inbox;
mod live;
mod messages;
mod named_columns;
mod outputs;
mod plugin_config;
mod plugin_state;
mod protect;
mod reload;
mod router;
mod source;
mod state;
mod supervise;
mod ways;
mod worker;

pub use adopt::beginning;
pub use build::{Accepted, Parts, check_midway, load_plugins, source_halt, source_options};
pub use chain::{Configured, guard, hexadecimal};
pub use chosen::held_back;
pub use halt::{Halt, chain as chain_text};
pub use live::Live;
pub use messages::{UnprotectedMessages, message_definition, with_messages};
pub use named_columns::{COLUMN_UNKNOWN, Handed, NamedColumns, UnknownColumn, handed_to};
pub use outputs::Outputs;
pub use plugin_config::CONFIG_INVALID;
pub use protect::Guard;
pub use reload::{
    Files, MOST_ROWS, Recording, Reloaded, Reloader, TrialReport, Wanted, watch_plugins,
};
pub use router::{Router, router};
pub use source::resume;
pub use state::{State, StateCell};
pub use supervise::{Ended, Running};
pub use ways::check_state_order;
pub use worker::{WorkerCounters, log_halt};
