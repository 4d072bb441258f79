//! Watches that the gateway never confirms to the database what its log does not hold durably.
//!
//! About ten times a second the slot's `confirmed_flush_lsn` is read from the server, and after it
//! the durable position from `/status`. Durable positions only grow, so whatever was confirmed at
//! the first reading must be durable at the second. Where a slot begins is no confirmation: the
//! first value that is seen of it counts for nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_postgres::{Client, NoTls};

use crate::gateway;

/// Between two samples.
const INTERVAL: Duration = Duration::from_millis(100);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct AckTally {
    /// Pairs of readings that could be compared.
    pub samples: u64,
    /// Of those, where more was confirmed than was durable.
    pub violations: u64,
    /// The first of them.
    pub first: Option<String>,
}

/// A monitor at work; it ends when dropped.
#[derive(Debug)]
pub struct AckMonitor {
    tally: Arc<Mutex<AckTally>>,
    task: tokio::task::JoinHandle<()>,
}

impl AckMonitor {
    /// Watches a slot of the server at `url`, and the gateway whose admin listener is there.
    pub fn start(url: &str, slot: &str, admin: SocketAddr) -> AckMonitor {
        let tally = Arc::new(Mutex::new(AckTally::default()));
        let kept = Arc::clone(&tally);
        let (url, slot) = (url.to_owned(), slot.to_owned());
        let task = tokio::spawn(async move {
            let mut begin = None;
            let mut client = None;
            loop {
                tokio::time::sleep(INTERVAL).await;
                // Server or gateway may be away: that is no sample.
                let _ = sample(&url, &slot, admin, &mut client, &mut begin, &kept).await;
            }
        });
        AckMonitor { tally, task }
    }

    /// What was seen so far.
    pub fn tally(&self) -> AckTally {
        self.tally.lock().expect("no holder panics").clone()
    }
}

impl Drop for AckMonitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sample(
    url: &str,
    slot: &str,
    admin: SocketAddr,
    client: &mut Option<Client>,
    begin: &mut Option<u64>,
    tally: &Mutex<AckTally>,
) -> Result<()> {
    if client.as_ref().is_none_or(Client::is_closed) {
        let (new, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        *client = Some(new);
    }
    let server = client.as_ref().context("no connection")?;
    let sql = "select confirmed_flush_lsn::text from pg_replication_slots \
               where slot_name = $1 and confirmed_flush_lsn is not null";
    let Some(row) = server.query_opt(sql, &[&slot]).await? else { return Ok(()) };
    let confirmed = lsn(row.get(0))?;
    let created = *begin.get_or_insert(confirmed);
    let answer = tokio::task::spawn_blocking(move || gateway::get(admin, "/status")).await??;
    let status: serde_json::Value = serde_json::from_str(&answer.1)?;
    let durable = lsn(status["source"]["durable_lsn"].as_str().context("no durable position")?)?;
    let mut tally = tally.lock().expect("no holder panics");
    tally.samples += 1;
    if confirmed > durable && confirmed != created {
        tally.violations += 1;
        let text = || format!("{confirmed:X} was confirmed while {durable:X} was durable");
        tally.first.get_or_insert_with(text);
    }
    Ok(())
}

/// A position as the server writes it: two hexadecimal halves.
fn lsn(text: &str) -> Result<u64> {
    let (high, low) = text.split_once('/').with_context(|| format!("{text} is no position"))?;
    Ok(u64::from_str_radix(high, 16)? << 32 | u64::from_str_radix(low, 16)?)
}
