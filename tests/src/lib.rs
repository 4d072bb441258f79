//! The test harness: real servers up and down, the gateway as a user runs it, a seeded load, and
//! the checker that compares what was received with what was committed.

pub mod ack_monitor;
pub mod brokers;
pub mod checker;
pub mod confluent;
pub mod crash_points;
pub mod debezium;
pub mod fixture;
pub mod gateway;
pub mod kafka;
pub mod kafka_checker;
pub mod kafka_expected;
pub mod kafka_runs;
pub mod kafka_transactions;
pub mod pgvector;
pub mod ports;
pub mod postgres;
pub mod registry;
pub mod subscriber;
pub mod torture;
pub mod workload;
