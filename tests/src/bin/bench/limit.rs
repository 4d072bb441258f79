//! The limit: PostgreSQL's own `pg_recvlogical` with pgoutput, into /dev/null.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::database::Database;
use super::process::{Sampler, bytes_written, ended, now_unix_ns};
use super::record::Record;

/// How long the drain may take.
const DEADLINE: Duration = Duration::from_secs(600);
/// The client has written this much: it has its first changes.
const FIRST_BYTES: u64 = 100;

/// Drains the slot up to `end` (an LSN after the last change).
///
/// # Errors
/// `pg_recvlogical` cannot be run or fails.
pub fn drain(
    database: &Database,
    slot: &str,
    table: &str,
    end: &str,
    changes: u64,
) -> Result<Record> {
    let sampler = Sampler::start(database.server_pid()?);
    let start = now_unix_ns();
    let mut client = Command::new("pg_recvlogical")
        .args(["-d", &database.url(), "-S", slot, "--start", "--no-loop", "-f", "/dev/null"])
        .args(["-o", "proto_version=1", "-o", &format!("publication_names={table}")])
        .args(["--endpos", end])
        .stdin(Stdio::null())
        .spawn()
        .context("pg_recvlogical cannot be run; install the `postgresql-client` package")?;
    sampler.watch_new("pg_recvlogical", client.id());
    let deadline = Instant::now() + DEADLINE;
    let mut first = None;
    while !ended(client.id()) {
        if first.is_none() && bytes_written(client.id()).is_some_and(|bytes| bytes > FIRST_BYTES) {
            first = Some(now_unix_ns());
        }
        if Instant::now() > deadline {
            client.kill()?;
            client.wait()?;
            bail!("pg_recvlogical did not end within {DEADLINE:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let done = now_unix_ns();
    // Not waited for yet: an ended process still has its CPU time.
    let usage = sampler.finish();
    let status = client.wait()?;
    ensure!(status.success(), "pg_recvlogical: {status}");
    Ok(Record::new("drain", "pg_recvlogical to /dev/null")
        .with_times(changes, start, first.unwrap_or(start), done)
        .with_usage("pg_recvlogical", &usage))
}
