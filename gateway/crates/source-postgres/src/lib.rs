//! The PostgreSQL source: a server's tables and their changes as batches, complete and in order.
//!
//! [`run`] connects, checks that the server and the slot are the log's own, copies the tables that
//! are still to be copied and then streams; it hands [`SourceEvent`]s over and tells the server
//! nothing is done with before the pipeline acknowledged it. The way of a byte: `transport` →
//! `frame_buffer` → `wire` → `copy_both` → `assemble` (with `relation`, `row`, `value`) → `stream`.
//! The way of a decision: `run` → `source` → `captured`, `start_checks`, `publication`, `slot`,
//! `snapshot`.
//! Single rows are read again by `replay`, a few of each table for a trial by `sample`.
//! What the server says beside the stream is watched by `run` (slot) and `late_tables`.
//! Nothing is known here of the log, of plugins or of sinks.

mod array;
mod assemble;
mod auth;
mod built_in_types;
mod cancel;
mod captured;
mod catalog;
mod connect;
mod copy_both;
mod copy_text;
mod definitions;
mod error;
mod feedback;
mod frame_buffer;
mod glob;
mod late_tables;
mod messages;
mod pace;
mod preflight;
mod progress;
mod publication;
mod relation;
mod replay;
mod row;
mod run;
mod sample;
mod session;
mod slot;
mod snapshot;
mod source;
mod start_checks;
mod status;
mod stream;
mod tls;
mod transport;
mod types;
mod value;
mod wire;

pub use catalog::{Server, Table, TableColumn, matching_tables, read_server, table_of_oid};
pub use connect::{ConnectOptions, Secret, SslMode};
pub use error::{ServerError, SourceError};
pub use glob::{GlobError, Selection, TableGlob};
pub use messages::message_schema;
pub use preflight::{Finding, Level, Preflight, check};
pub use progress::{Resume, adopted, lsn as lsn_of, position as position_of};
pub use publication::{Publication, PublishedTable, read_publication};
pub use relation::{Relation, RelationCache, TableFacts};
pub use replay::{Entered, Refusal, ReplayRequest, ReplayRow, Replayed, ReplayedChange, SentPart};
pub use row::RowDecoder;
pub use run::{SnapshotMode, SourceEvent, SourceOptions, run};
pub use sample::{Sample, sample};
pub use session::{Session, SqlRow, quote_identifier, quote_literal, quote_table};
pub use slot::{SlotFacts, SystemIdentity, drop_slot, slot_facts};
pub use status::{SnapshotStatus, SourceState, SourceStatus, StatusReport};
pub use types::{ColumnFacts, TypeCatalog, TypeFacts};
pub use value::{ColumnDecoder, ValueError, decode_text};
