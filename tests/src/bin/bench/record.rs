//! What one measurement gave, as a line of the table and as an object in `target/bench/*.json`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::process::Usage;

/// One measurement. What was not measured is left out of the JSON.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// `drain`, `latency`, `start` or `snapshot`.
    pub work: String,
    /// What was measured, with its variant.
    pub system: String,
    /// From the first change to the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes_per_s: Option<f64>,
    /// CPU seconds a million changes of the system itself (the gateway, the engine, the client),
    /// its start included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_s_per_million: Option<f64>,
    /// Peak resident memory of the system itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_mib: Option<f64>,
    /// Half of the changes took no longer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 99 of 100 took no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The slowest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// From the process' start to the first change at the consumer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_change_s: Option<f64>,
    /// From the process' start to the last change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_s: Option<f64>,
    /// Changes or rows that were moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<u64>,
    /// Rate over that of `pg_recvlogical`, or of `COPY` for a snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_to_limit: Option<f64>,
    /// Rate over that of Debezium's best variant of the same destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_to_debezium: Option<f64>,
    /// CPU seconds a million changes of every process that took part.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub processes_cpu_s_per_million: BTreeMap<String, f64>,
    /// The sum of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all_cpu_s_per_million: Option<f64>,
    /// Share of the drain's time that the log spent in `fdatasync`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_share: Option<f64>,
    /// Changes for one `fdatasync` of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes_per_sync: Option<f64>,
    /// Transactions that were committed to Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transactions: Option<u64>,
    /// Mean time from the last change of one to its commit's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit_ms: Option<f64>,
    /// CPU seconds a million changes of the system's threads, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub threads_cpu_s_per_million: BTreeMap<String, f64>,
}

impl Record {
    /// An empty one.
    pub fn new(work: &str, system: &str) -> Record {
        Record { work: work.to_owned(), system: system.to_owned(), ..Record::default() }
    }

    /// Enters the moments of a drain, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn with_times(mut self, changes: u64, start: u64, first: u64, done: u64) -> Record {
        let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e9;
        self.changes = Some(changes);
        self.changes_per_s = Some(changes as f64 / seconds(first, done).max(1e-9));
        self.first_change_s = Some(seconds(start, first));
        self.total_s = Some(seconds(start, done));
        self
    }

    /// Enters what processes used; `own` names the system's own.
    #[must_use]
    pub fn with_usage(mut self, own: &str, usage: &BTreeMap<String, Usage>) -> Record {
        let Some(changes) = self.changes else { return self };
        let per_million = |seconds: f64| seconds * 1e6 / changes as f64;
        for (name, usage) in usage {
            // A process that slept through is left out.
            if usage.cpu_seconds > 0.0 {
                self.processes_cpu_s_per_million
                    .insert(name.clone(), per_million(usage.cpu_seconds));
            }
        }
        self.all_cpu_s_per_million = Some(self.processes_cpu_s_per_million.values().sum());
        if let Some(usage) = usage.get(own) {
            self.cpu_s_per_million = Some(per_million(usage.cpu_seconds));
            self.peak_rss_mib = Some(usage.peak_bytes as f64 / f64::from(1 << 20));
        }
        self
    }

    /// Takes a second turn of the same drain into account: its changes, its time and what it used.
    pub fn join(&mut self, turn: &Record) {
        let mean = |one: Option<f64>, other: Option<f64>| Some(f64::midpoint(one?, other?));
        let rate = |record: &Record| record.changes_per_s.map(f64::recip);
        self.changes_per_s = mean(rate(self), rate(turn)).map(f64::recip);
        self.cpu_s_per_million = mean(self.cpu_s_per_million, turn.cpu_s_per_million);
        self.all_cpu_s_per_million = mean(self.all_cpu_s_per_million, turn.all_cpu_s_per_million);
        self.commit_ms = mean(self.commit_ms, turn.commit_ms);
        self.peak_rss_mib = self.peak_rss_mib.zip(turn.peak_rss_mib).map(|(a, b)| a.max(b));
        for (name, cpu) in &mut self.processes_cpu_s_per_million {
            let other = turn.processes_cpu_s_per_million.get(name).copied();
            *cpu = f64::midpoint(*cpu, other.unwrap_or_default());
        }
    }

    /// Enters CPU seconds of threads.
    #[must_use]
    pub fn with_threads(mut self, threads: BTreeMap<String, f64>) -> Record {
        let Some(changes) = self.changes else { return self };
        self.threads_cpu_s_per_million =
            threads.into_iter().map(|(name, cpu)| (name, cpu * 1e6 / changes as f64)).collect();
        self
    }

    /// Enters a latency's half, 99 of 100, and most.
    #[must_use]
    pub fn with_latency(mut self, (p50, p99, most): (f64, f64, f64)) -> Record {
        (self.p50_ms, self.p99_ms, self.max_ms) = (Some(p50), Some(p99), Some(most));
        self
    }
}

/// Writes `work.json` into the folder: the list of its records.
///
/// # Errors
/// The file cannot be written.
pub fn write(folder: &Path, records: &[Record]) -> Result<()> {
    let mut works: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in records {
        works.entry(&record.work).or_default().push(record);
    }
    for (work, records) in works {
        let text = serde_json::to_string_pretty(&records)? + "\n";
        std::fs::write(folder.join(format!("{work}.json")), text)?;
    }
    Ok(())
}

/// Prints the records as tables, one a kind of work.
pub fn print(records: &[Record]) {
    let of = |work: &str| records.iter().filter(|record| record.work == work).collect::<Vec<_>>();
    let drains = of("drain");
    if !drains.is_empty() {
        print_drains(&drains);
    }
    let latencies = of("latency");
    if !latencies.is_empty() {
        println!(
            "\nLatency, milliseconds from the commit  {:>9} {:>9} {:>9}",
            "p50", "p99", "most"
        );
        for record in latencies {
            let cells = [record.p50_ms, record.p99_ms, record.max_ms].map(|value| cell(value, 2));
            println!("  {:<36} {:>9} {:>9} {:>9}", record.system, cells[0], cells[1], cells[2]);
        }
    }
    let starts = of("start");
    if !starts.is_empty() {
        println!("\nFirst change after the process' start  {:>9} {:>9}", "s", "MiB");
        for record in starts {
            let cells = [cell(record.first_change_s, 3), cell(record.peak_rss_mib, 0)];
            println!("  {:<36} {:>9} {:>9}", record.system, cells[0], cells[1]);
        }
    }
    let snapshots = of("snapshot");
    if !snapshots.is_empty() {
        println!(
            "\nSnapshot                               {:>9} {:>9} {:>9} {:>9}",
            "rows/s", "of COPY", "CPU-s/M", "MiB"
        );
        for record in snapshots {
            println!(
                "  {:<36} {:>9} {:>9} {:>9} {:>9}",
                record.system,
                cell(record.changes_per_s, 0),
                cell(record.ratio_to_limit, 2),
                cell(record.cpu_s_per_million, 2),
                cell(record.peak_rss_mib, 0)
            );
        }
    }
}

fn print_drains(records: &[&Record]) {
    println!(
        "\nDrain                                  {:>9} {:>8} {:>8} {:>8} {:>8} {:>6} {:>8}",
        "changes/s", "of limit", "of Dbz", "CPU-s/M", "all", "MiB", "first s"
    );
    for record in records {
        println!(
            "  {:<36} {:>9} {:>8} {:>8} {:>8} {:>8} {:>6} {:>8}",
            record.system,
            cell(record.changes_per_s, 0),
            cell(record.ratio_to_limit, 2),
            cell(record.ratio_to_debezium, 2),
            cell(record.cpu_s_per_million, 2),
            cell(record.all_cpu_s_per_million, 2),
            cell(record.peak_rss_mib, 0),
            cell(record.first_change_s, 2),
        );
    }
    println!("\n  CPU seconds a million changes, each process (the system's own: its threads)");
    for record in records {
        let list = |costs: &BTreeMap<String, f64>| {
            let costs = costs.iter().map(|(name, cost)| format!("{name} {cost:.2}"));
            costs.collect::<Vec<_>>().join(", ")
        };
        println!("  {:<36} {}", record.system, list(&record.processes_cpu_s_per_million));
        if !record.threads_cpu_s_per_million.is_empty() {
            println!("  {:<36}   ({})", "", list(&record.threads_cpu_s_per_million));
        }
        if let (Some(share), Some(changes)) = (record.sync_share, record.changes_per_sync) {
            let percent = share * 100.0;
            println!(
                "  {:<36}   fdatasync: {percent:.0} % of the time, one for {changes:.0} changes",
                ""
            );
        }
        if let (Some(transactions), Some(commit)) = (record.transactions, record.commit_ms) {
            println!("  {:<36}   {transactions} transactions, {commit:.1} ms a commit", "");
        }
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}
