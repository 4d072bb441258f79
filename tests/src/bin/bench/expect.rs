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
    let once = find(records, "drain", "Offtake, mask, Kafka at least once");
    let exactly = find(records, "drain", "Offtake, mask, Kafka exactly once");
    let avro = find(records, "drain", "Offtake, mask, Kafka, Avro");
    let snapshot = find(records, "snapshot", "Offtake, snapshot into the log");
    at_least("mask and gRPC, rate over the limit's", grpc.and_then(|r| r.ratio_to_limit), 0.8);
    at_least(
        "with gRPC and Kafka, rate over Debezium's",
        kafka.and_then(|r| r.ratio_to_debezium),
        3.0,
    );
    at_least("Kafka, rate over Debezium's", once.and_then(|r| r.ratio_to_debezium), 3.5);
    let of = |one: Option<&Record>, other: Option<&Record>| {
        Some(one?.changes_per_s? / other?.changes_per_s?)
    };
    at_least("exactly once, rate over at least once", of(exactly, once), 0.92);
    at_least("snapshot, rate over COPY's", snapshot.and_then(|r| r.ratio_to_limit), 0.4);

    let mut below = |what: String, value: Option<f64>, bound: f64| {
        lines.extend(
            value.map(|value| (value <= bound, format!("{what}: {value:.2}, at most {bound}"))),
        );
    };
    below("mask and gRPC, CPU-s a million".into(), grpc.and_then(|r| r.cpu_s_per_million), 5.0);
    below("gRPC and Kafka, CPU-s a million".into(), kafka.and_then(|r| r.cpu_s_per_million), 6.0);
    below("Kafka, CPU-s a million".into(), once.and_then(|r| r.cpu_s_per_million), 5.0);
    below("exactly once, CPU-s a million".into(), exactly.and_then(|r| r.cpu_s_per_million), 5.0);
    below("Kafka in Avro, CPU-s a million".into(), avro.and_then(|r| r.cpu_s_per_million), 5.0);
    below("Kafka, CPU a change over Debezium's".into(), cpu_over_debezium(records, once), 0.1);
    let memory = records.iter().filter(|record| record.system.starts_with("Offtake"));
    let memory = memory.filter_map(|record| record.peak_rss_mib).reduce(f64::max);
    below("peak memory, MiB".into(), memory, 150.0);
    for record in records.iter().filter(|record| record.work == "latency") {
        if record.system.starts_with("Offtake") {
            if record.system.contains("exactly once") {
                below(format!("{}, p99 ms", record.system), record.p99_ms, 150.0);
                continue;
            }
            below(format!("{}, p50 ms", record.system), record.p50_ms, 5.0);
            below(format!("{}, p99 ms", record.system), record.p99_ms, 20.0);
        }
    }
    for record in records.iter().filter(|record| record.work == "start") {
        below(format!("{}, first change s", record.system), record.first_change_s, 0.5);
    }
    lines
}

/// CPU a change over that of Debezium to Kafka, whichever of its settings takes less.
fn cpu_over_debezium(records: &[Record], offtake: Option<&Record>) -> Option<f64> {
    let peers = records
        .iter()
        .filter(|record| record.work == "drain" && record.system.starts_with("Debezium to Kafka"));
    let least = peers.filter_map(|record| record.cpu_s_per_million).reduce(f64::min)?;
    Some(offtake?.cpu_s_per_million? / least)
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
