//! Bad input end to end: what the user reads (code, what, where, next step), the exit status, that
//! nothing was acknowledged past the fault, and that the pipeline goes on once it is mended.
//!
//! A Kafka topic that cannot be written is among the Kafka sink's tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod configuration;
mod disk;
mod plugin;
mod plugin_config;
mod proxy;
mod server;
mod slot;
mod tables;
mod wire;
