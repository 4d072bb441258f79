//! A decoder for PostgreSQL's logical replication: bytes in, borrowed messages out.
//!
//! Two layers share the crate. [`Frame`] reads what the server sends on a copy-both connection
//! (`XLogData` and keepalives) and [`StandbyStatusUpdate`] writes the client's answer. [`Protocol`]
//! reads the payload of an `XLogData`, a message of the `pgoutput` plugin, for protocol versions 1
//! to 4. Message layouts follow the PostgreSQL documentation's chapters "Streaming Replication
//! Protocol" and "Logical Replication Message Formats".
//!
//! Nothing is allocated for a message and no IO happens here. Every read is checked: bytes that are
//! no whole, well-formed message give an error, never a panic. What values mean is not known here;
//! a tuple's columns are handed out as the server sent them. `Debug` never shows a row's value.

mod decode;
mod error;
mod frame;
mod message;
mod reader;
mod relation;
mod time;
mod tuple;

pub use decode::Protocol;
pub use error::DecodeError;
pub use frame::{Frame, Keepalive, StandbyStatusUpdate, XLogData};
pub use message::{
    Begin, BeginPrepare, Commit, CommitPrepared, Delete, Insert, LogicalMessage, Message, OldTuple,
    Origin, Prepare, Relations, RollbackPrepared, StreamAbort, StreamCommit, StreamStart, Truncate,
    Type, Update,
};
pub use relation::{Relation, RelationColumn, RelationColumns, ReplicaIdentity};
pub use time::{postgres_to_unix_us, unix_to_postgres_us};
pub use tuple::{Tuple, TupleValue, TupleValues};
