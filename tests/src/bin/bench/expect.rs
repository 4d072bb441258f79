//! What is expected of Offtake, and whether it was met. Timings never decide the exit status: a
//! machine that is busy with other things measures its own load.

use super::record::Record;

/// Prints one line an expectation that the records speak of.
pub fn print(records: &[Record]) {
    let lines = lines(records);
    if lines.is_empty() {
        return;
    }
    println!("\nExpected of Offtake");
    for (met, line) in lines {
        println!("  {:<7} {line}", if met { "met" } else { "MISSED" });
    }
}

fn lines(records: &[Record]) -> Vec<(bool, String)> {
    let mut lines = Vec::new();
    let mut at_least = |what: &str, value: Option<f64>, bound: f64| {
        lines.extend(
            value.map(|value| (value >= bound, format!("{what}: {value:.2}, at least {bound}"))),
        );
    };
    let grpc = find(records, "drain", "Offtake, mask, gRPC");
    let kafka = find(records, "drain", "Offtake, mask, gRPC, Kafka");
    let snapshot = find(records, "snapshot", "Offtake, snapshot into the log");
    at_least("mask and gRPC, rate over the limit's", grpc.and_then(|r| r.ratio_to_limit), 0.8);
    at_least("with Kafka, rate over Debezium's", kafka.and_then(|r| r.ratio_to_debezium), 3.0);
    at_least("snapshot, rate over COPY's", snapshot.and_then(|r| r.ratio_to_limit), 0.4);

    let mut below = |what: String, value: Option<f64>, bound: f64| {
        lines.extend(
            value.map(|value| (value <= bound, format!("{what}: {value:.2}, at most {bound}"))),
        );
    };
    below("mask and gRPC, CPU-s a million".into(), grpc.and_then(|r| r.cpu_s_per_million), 5.0);
    below("with Kafka, CPU-s a million".into(), kafka.and_then(|r| r.cpu_s_per_million), 6.0);
    let memory = records.iter().filter(|record| record.system.starts_with("Offtake"));
    let memory = memory.filter_map(|record| record.peak_rss_mib).reduce(f64::max);
    below("peak memory, MiB".into(), memory, 150.0);
    for record in records.iter().filter(|record| record.work == "latency") {
        if record.system.starts_with("Offtake") {
            below(format!("{}, p50 ms", record.system), record.p50_ms, 5.0);
            below(format!("{}, p99 ms", record.system), record.p99_ms, 20.0);
        }
    }
    for record in records.iter().filter(|record| record.work == "start") {
        below(format!("{}, first change s", record.system), record.first_change_s, 0.5);
    }
    lines
}

fn find<'r>(records: &'r [Record], work: &str, system: &str) -> Option<&'r Record> {
    records.iter().find(|record| record.work == work && record.system == system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_is_met_or_missed_and_silent_about_what_was_not_measured() {
        assert!(lines(&[]).is_empty());
        let mut record = Record::new("drain", "Offtake, mask, gRPC");
        record.ratio_to_limit = Some(0.79);
        record.cpu_s_per_million = Some(4.9);
        let met: Vec<bool> = lines(&[record]).into_iter().map(|(met, _)| met).collect();
        assert_eq!(met, [false, true]);
    }
}
