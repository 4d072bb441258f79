//! Consumers that nobody here wrote read what is in the topics: Confluent's Python client with its
//! deserialisers and a schema registry, `kafka-console-consumer`, `kcat`, and Kafka Connect's file sink
//! behind Debezium's unwrap.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod confluent;
mod connect;
mod golden;
mod plain;
