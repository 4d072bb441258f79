//! The gRPC service that streams the log to subscribers.
//!
//! A subscriber is an HTTP/2 response body that holds a place in the log. It is polled when HTTP/2
//! has room, reads the next group, and hands on the runs as they lie in the log: a five-byte prefix
//! and shared bytes, nothing is encoded again. A subscriber that does not read is not polled, so it
//! costs a place and at most one group, and it delays nobody. Health and reflection answer beside
//! it, so that `grpcurl` needs no file.
//!
//! This crate alone names tonic's server. It does not write the log, keep cursors for clients, or
//! decide who may read what: every subscriber is the anonymous principal so far.
//!
//! Reads are inline: a group comes from the log's block cache or the page cache in well under a
//! millisecond. A reader whose last read was slower than that is on a cold part of the log; its
//! reads go to tokio's blocking threads until one is fast again.

mod connection;
mod describe;
mod error;
mod frame;
mod latency;
mod open;
mod options;
mod outbox;
mod run;
mod server;
mod service;
mod status;
mod subscription;
mod token;

pub use error::GrpcError;
pub use options::{GrpcOptions, TlsOptions};
pub use server::{GrpcServer, bind};
pub use status::{GrpcStatus, SubscriberStatus};
