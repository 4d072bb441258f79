//! The drain: every system gets a slot while the table is empty, the rows are loaded once, and each
//! system drains its slot alone, one after the other. The snapshot is measured on the same rows.

use anyhow::Result;
use offtake_tests::gateway::Gateway;

use super::debezium::Debezium;
use super::record::Record;
use super::{Bench, debezium, limit, offtake};

/// Table and publication.
const TABLE: &str = "orders";
/// Slot of the limit.
const LIMIT: &str = "recvlogical";

/// Runs what is wanted of it.
///
/// # Errors
/// A measurement that cannot be made.
pub fn run(bench: &Bench) -> Result<Vec<Record>> {
    let database = &bench.database;
    database.create_table(TABLE)?;
    let drains = bench.wants("drain");
    let with_debezium = drains && bench.wants("debezium");
    let debezium = if with_debezium { Some(Debezium::get()?) } else { None };
    if drains {
        database.create_slot(LIMIT)?;
    }
    if with_debezium {
        for variant in variants(bench) {
            database.create_slot(&variant.slot())?;
        }
    }
    let mut warm_up = if drains { warm_up(bench)? } else { None };
    let mut gateways = if drains { prepare(bench)? } else { Vec::new() };
    println!("Loading {} rows …", bench.changes);
    let size = database.load(TABLE, bench.changes)?;
    println!("A row is {size} bytes as JSON.");
    let end = database.current_lsn()?;

    let mut records = Vec::new();
    if drains && bench.wants("limit") {
        println!("Draining with pg_recvlogical …");
        records.push(limit::drain(database, LIMIT, TABLE, &end, bench.changes)?);
    }
    if let Some(gateway) = &mut warm_up {
        println!("Draining once for the broker's sake …");
        offtake::drain(bench, offtake::Variant::ExactlyOnce, gateway)?;
    }
    for (variant, gateway) in &mut gateways {
        println!("Draining with {} …", variant.name());
        let record = offtake::drain(bench, *variant, gateway)?;
        match records.iter_mut().find(|earlier| earlier.system == record.system) {
            Some(earlier) => earlier.join(&record),
            None => records.push(record),
        }
    }
    if let Some(debezium) = debezium {
        for variant in variants(bench) {
            println!("Draining with {} …", variant.name());
            records.push(debezium.drain(bench, variant, TABLE)?);
        }
    }
    compare(&mut records);
    if bench.wants("snapshot") {
        records.extend(snapshots(bench)?);
    }
    Ok(records)
}

fn variants(bench: &Bench) -> impl Iterator<Item = debezium::Variant> {
    debezium::Variant::ALL.into_iter().filter(|variant| bench.has_kafka() || !variant.kafka)
}

/// A gateway whose drain is not counted: whoever came first would pay for what the broker's machine
/// code is compiled for, and who asks for transactions for that of the transactions.
fn warm_up(bench: &Bench) -> Result<Option<Gateway>> {
    let variant = offtake::Variant::ExactlyOnce;
    let wanted = bench.has_kafka() && bench.wants("offtake");
    wanted.then(|| offtake::prepare(bench, variant, "offtake_warm_up", TABLE)).transpose()
}

/// In the order of their drains. At least once and exactly once differ by less than the machine does
/// from one minute to the next, so they have two turns each, of which neither has the earlier ones.
fn prepare(bench: &Bench) -> Result<Vec<(offtake::Variant, Gateway)>> {
    use offtake::Variant::{AtLeastOnce, ExactlyOnce};
    let mut gateways = Vec::new();
    if bench.wants("offtake") {
        let again = [(ExactlyOnce, "_again"), (AtLeastOnce, "_again")];
        for (variant, turn) in
            offtake::Variant::ALL.map(|variant| (variant, "")).into_iter().chain(again)
        {
            if bench.wants_variant(variant.slot()) && (bench.has_kafka() || !variant.has_kafka()) {
                let name = format!("{}{turn}", variant.slot());
                gateways.push((variant, offtake::prepare(bench, variant, &name, TABLE)?));
            }
        }
    }
    Ok(gateways)
}

/// Enters the ratios: to the limit, and to the best of Debezium with the same destination.
fn compare(records: &mut [Record]) {
    let best = |records: &[Record], with: &dyn Fn(&str) -> bool| {
        let rates = records.iter().filter(|record| with(&record.system));
        rates.filter_map(|record| record.changes_per_s).reduce(f64::max)
    };
    let limit = best(records, &|system| system.starts_with("pg_recvlogical"));
    let to = |destination: &'static str| {
        move |system: &str| system.starts_with("Debezium") && system.contains(destination)
    };
    let nowhere = best(records, &to("nowhere"));
    let kafka = best(records, &to("Kafka"));
    for record in records.iter_mut().filter(|record| record.system.starts_with("Offtake")) {
        let peer = if record.system.contains("Kafka") { kafka } else { nowhere };
        let over = |other: Option<f64>| Some(record.changes_per_s? / other?);
        (record.ratio_to_limit, record.ratio_to_debezium) = (over(limit), over(peer));
    }
    for record in records.iter_mut().filter(|record| record.system.starts_with("Debezium")) {
        record.ratio_to_limit = limit.and_then(|limit| Some(record.changes_per_s? / limit));
    }
}

fn snapshots(bench: &Bench) -> Result<Vec<Record>> {
    println!("Snapshot …");
    // The first copy brings the table into memory; the second is the limit.
    bench.database.copy_seconds(TABLE)?;
    let seconds = bench.database.copy_seconds(TABLE)?;
    let mut copy = Record::new("snapshot", "psql, COPY TO STDOUT");
    copy.changes = Some(bench.changes);
    copy.changes_per_s = Some(bench.changes as f64 / seconds);
    copy.total_s = Some(seconds);
    let mut records = vec![copy];
    if bench.wants("offtake") {
        let mut record = offtake::snapshot(bench, TABLE)?;
        let rate = record.changes_per_s;
        record.ratio_to_limit = records[0].changes_per_s.and_then(|copy| Some(rate? / copy));
        records.push(record);
    }
    Ok(records)
}
