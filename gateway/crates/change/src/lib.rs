//! The data model: batches of changes, values, table schemas, positions, and their wire form.
//!
//! Everything that moves through the gateway is described here, so that a source, a plugin, the
//! log and a sink agree without knowing each other. A [`Batch`] is an arena of bytes with offsets:
//! a source fills it, plugins patch it, [`wire`] writes it as the protobuf `Change` of
//! `proto/offtake/v1/change.proto` and reads that back in place. No IO happens here and no runtime
//! is known.

mod batch;
mod latency;
mod position;
mod schema;
mod text;
mod value;
pub mod wire;

pub use batch::{Batch, Boundary, HeaderRange, Image, Mark, NO_TRANSACTION, Row, Transaction};
pub use latency::{BOUNDS_SECONDS, Histogram};
pub use position::{Lsn, ParseLsnError};
pub use schema::{
    Column, Form, Kind, Operation, ReplicaIdentity, Snapshot, Subject, TableSchema, UnknownCode,
};
pub use value::{Cell, ListRef, ValueRef};
