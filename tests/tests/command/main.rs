//! The `offtake` command as a user and a service manager meet it: what it prints, how it ends, and
//! what it leaves alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod check;
mod help;
mod metrics;
mod reconnect;
mod start_over;
mod stop;
mod tail;
mod words;

/// One table, one row.
const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
