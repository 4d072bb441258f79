//! Kafka Connect's data model, which Debezium's messages are made of: schemas as a tree
//! ([`Schema`]) and formats that write values of them ([`Format`]).

mod format;
mod schema;

pub use format::{Format, Mark, Node, Place};
pub use schema::{Field, Kind, Schema, Value};
