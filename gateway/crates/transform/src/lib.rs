//! The WebAssembly host: runs plugins over batches of changes within limits.
//!
//! A plugin is a component of the world `offtake:transform/transform` (`sdk/wit/transform.wit`), or a
//! core module that keeps to `sdk/abi.md`. An [`Engine`] compiles it, or takes its own earlier work
//! from a cache; a [`Plugin`] is what was compiled and configured; an [`Instance`] is one that runs, owned by one thread. An instance is
//! given a batch and the rows of it that the plugin is to see, gathers the columns that the plugin
//! asked for, calls it, checks the whole verdict and only then applies it to the batch in place.
//!
//! What a plugin does wrong ends as a [`Fault`]: the batch is as it was before that call, and the
//! instance is spent. [`Isolated`] finds the changes that it belongs to; what becomes of them
//! (stop, skip, set aside) is the caller's matter. A plugin reaches nothing of the machine: no file,
//! no network, no clock, no randomness. This crate alone knows wasmtime.

mod abi;
mod bindings;
mod builtin;
mod cache;
mod canonical;
mod classify;
mod clock;
mod code_in_use;
mod column;
mod complete;
mod component;
mod config_schema;
mod custom_section;
mod defined;
mod door;
mod emit;
mod engine;
mod error;
mod fault;
mod fits;
mod gather;
mod host;
mod instance;
mod interest;
mod isolated;
mod limits;
mod list_text;
mod mac;
mod namings;
mod operation;
mod patches;
mod plugin;
mod preamble;
mod routes;
mod runner;
mod shape;
mod ticker;
mod verdict;

pub use builtin::{BUILTIN_NAMES, builtin};
pub use canonical::{cell_of_text, column_of_type, put_list_text};
pub use config_schema::{
    ConfigFinding, ConfigMistake, ConfigSchema, JudgedConfig, NamedColumn, Nearest, SchemaMistake,
};
pub use emit::Emission;
pub use engine::{Engine, EngineOptions};
pub use error::PluginError;
pub use fault::{Fault, FaultCode};
pub use host::{CustomMetric, MetricKind};
pub use instance::{Counters, FailedRow, Instance, Processed};
pub use interest::{ColumnLoss, Interest, column_loss};
pub use isolated::Isolated;
pub use limits::Limits;
pub use plugin::{Info, Plugin, PluginSpec};
pub use shape::Shape;

/// Changes in one call of a plugin, at most.
pub const CALL_ROWS: usize = 256;
