//! What plugins keep: keyed state, its changes for the log, and its checkpoint.
//!
//! A [`Keyspace`] is one plugin's state, in memory. A call of the plugin reads and writes through a
//! write set that is kept only with the call's verdict. What was kept leaves as a
//! [`StateDelta`](offtake_proto::v1::StateDelta), which enters the log in one group with the changes
//! that it comes from; [`States`] are put together again from a [`Checkpoint`] and the deltas behind
//! it, each once and in their order.
//!
//! Time is that of commits, never that of a clock: the same changes give the same state, whenever
//! they are taken in. This crate knows neither the log's files nor WebAssembly; who calls when, and
//! where a checkpoint may begin, is the pipeline's.

mod call;
mod checkpoint;
mod entries;
mod keyspace;
mod states;
#[cfg(test)]
mod tests;

pub use call::StateError;
pub use checkpoint::{Checkpoint, CheckpointError, CheckpointFile, Place};
pub use entries::{ENTRY_BYTES, Entries};
pub use keyspace::{Keyspace, Usage};
pub use states::States;
