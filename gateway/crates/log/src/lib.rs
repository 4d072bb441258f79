//! The durable, ordered, retained record of everything after the plugins.
//!
//! One pipeline thread builds groups of encoded changes ([`LogWriter`]), one writer thread makes
//! them durable, any number of [`Reader`]s copy them out at their own pace. The bytes of a run are
//! the bytes that subscribers get. What lies on disk is a contract, specified in `FORMAT.md` beside
//! this crate's sources and changed only additively.
//!
//! What holds, and where it is kept:
//!
//! - A sequence is published only after `fdatasync` of its group returned (`append`).
//! - Sequences are dense: a gap is damage, found when the log is opened (`recover`).
//! - Only the incomplete tail of one unfinished write is ever cut off (`scan`).
//! - A full disk or a full log blocks and goes on by itself; a failed sync ends the process.
//! - What a [`Pin`] or a [`Hold`] keeps is not deleted (`retention`).
//!
//! No network, no runtime: only `tokio::sync::watch` is used, to wake asynchronous readers.

mod append;
mod cache;
mod control;
mod cursor;
mod dead_letter;
mod direct;
mod disk;
mod error;
mod format;
mod load;
mod log;
mod options;
mod overdraft;
mod peek;
mod queue;
mod reader;
mod recover;
mod remove;
mod retention;
mod roll;
mod scan;
mod segment;
mod selection;
mod stats;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub use control::Control;
pub use cursor::CursorFile;
pub use dead_letter::{
    DeadLetter, DeadLetterStream, dead_letter_schema, dead_letter_stream, without_original,
};
pub use error::{Damage, LogError, ReadError};
pub use log::{Durable, Log};
pub use options::{Beginning, LogOptions};
pub use overdraft::Overdraft;
pub use peek::peek;
pub use reader::{ReadGroup, Reader, Run};
pub use recover::{Opened, Recovered, new_id, open};
pub use remove::remove;
pub use retention::{Pin, PinStats};
pub use selection::Selection;
pub use stats::{Blocked, BlockedReason, LogStats, StreamStats, SyncStats};
pub use walk::{Hold, LogPlace, Walk};
pub use writer::LogWriter;
