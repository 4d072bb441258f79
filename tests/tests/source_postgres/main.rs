//! The PostgreSQL source against real servers: what it hands over, in which order, and what it
//! tells the server.
//!
//! The pipeline is played by `recorder`, which keeps what a log would keep. 15 (the distribution's)
//! and 18 are always tested, 14, 16 and 17 too where `OFFTAKE_TEST_FULL` is set.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changes;
mod halts;
mod late;
mod recorder;
mod renames;
mod resume;
mod security;
mod snapshots;
mod tables;
mod while_pending;

use offtake_tests::postgres::Version;

/// The versions to test.
fn versions() -> Vec<Version> {
    let mut versions = vec![Version::System, Version::V18];
    if std::env::var_os("OFFTAKE_TEST_FULL").is_some() {
        versions.extend([Version::V14, Version::V16, Version::V17]);
    }
    versions
}
