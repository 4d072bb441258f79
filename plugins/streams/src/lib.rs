//! Names of streams that plugins make of a table's name or of a row's values.
//!
//! [`Rewrite`] makes one name of another by a regular expression and a replacement, in the syntax
//! that the routers of Kafka Connect and Debezium have. [`Names`] judges what comes out before the
//! gateway does: a name that is none fails its row alone, and not the whole call. Which row goes where
//! is not decided here.

mod names;
mod rewrite;
mod text;

pub use names::Names;
pub use rewrite::Rewrite;
pub use text::{put_bytes, put_text};
