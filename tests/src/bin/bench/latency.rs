//! Latency from a commit to the consumer's hand at a steady rate, and what the disk takes for one
//! sync.
//!
//! The commit's time is the server's own, carried by every change; the consumer's clock is the same
//! machine's.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Bench;
use super::process::Talker;
use super::quantile::Quantiles;
use super::record::Record;

/// Changes a second.
const RATE: u64 = 200;
/// How long a system may take until its first change, and after the last was written.
const DEADLINE: Duration = Duration::from_secs(60);
/// Syncs that are measured.
const SYNCS: u64 = 500;
/// Bytes that each adds to the file.
const SYNC_BYTES: usize = 4096;

/// A first row that shows that the system streams, a second's rows of warm-up, and those measured.
#[derive(Clone, Debug)]
pub struct Load {
    table: String,
    first: u64,
    measured: u64,
}

impl Load {
    /// A load of [`RATE`] for the benchmark's seconds, with numbers that nobody used yet.
    pub fn new(bench: &Bench, table: &str) -> Load {
        let measured = RATE * bench.seconds;
        Load { table: table.to_owned(), first: bench.take_numbers(measured + RATE + 1), measured }
    }

    /// Changes in all.
    pub fn changes(&self) -> u64 {
        1 + RATE + self.measured
    }

    /// Of them, before those that are measured.
    pub fn skip(&self) -> u64 {
        1 + RATE
    }

    /// Writes the rows and takes the consumer's report.
    ///
    /// # Errors
    /// The server refuses, or the consumer does not get everything in time.
    pub fn measure(&self, bench: &Bench, consumer: &Talker) -> Result<Record> {
        bench.database.insert_steadily(&self.table, self.first, 1, RATE)?;
        consumer.wait_for("first", DEADLINE)?;
        bench.database.insert_steadily(&self.table, self.first + 1, self.changes() - 1, RATE)?;
        let words = consumer.wait_for("latency", DEADLINE)?;
        let values: Vec<f64> = words.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
        let [p50, p99, most] = values.try_into().ok().context("three figures were expected")?;
        Ok(Record::new("latency", "").with_latency((p50, p99, most)))
    }
}

/// What `fdatasync` takes after an append, in the folder.
///
/// # Errors
/// The file cannot be written.
pub fn sync(folder: &Path) -> Result<Record> {
    let path = folder.join("sync-probe");
    let mut file = File::create(&path)?;
    let mut latencies = Quantiles::default();
    for _ in 0..SYNCS {
        file.write_all(&[7; SYNC_BYTES])?;
        let begin = Instant::now();
        file.sync_data()?;
        latencies.add(begin.elapsed().as_secs_f64() * 1000.0);
    }
    std::fs::remove_file(path)?;
    Ok(Record::new("latency", "fdatasync after 4 KiB").with_latency(latencies.summary()))
}
