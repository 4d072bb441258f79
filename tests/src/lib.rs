//! The test harness: real servers up and down, the gateway as a user runs it, a seeded load, and
//! the checker that compares what was received with what was committed.

pub mod checker;
pub mod gateway;
pub mod kafka;
pub mod postgres;
pub mod subscriber;
pub mod torture;
pub mod workload;
