//! Consumers that nobody here wrote read what is in the topics: Confluent's Python client with its
//! deserialisers and a schema registry, `kafka-console-consumer` and `kcat`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod confluent;
mod golden;
mod plain;
