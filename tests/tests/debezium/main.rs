//! Debezium's messages, byte for byte: the real Debezium 3.6.3 and the gateway read one PostgreSQL
//! at the same time, over every type, table shape and operation, and what they publish is compared.
//!
//! The engine writes through Kafka Connect's own converters into files; the gateway writes to a real
//! broker and a consumer reads it. Only what must differ is taken out before (`compare.rs` says
//! what). What may differ beside that is listed in `allowed.rs`, with the reasons of `DEBEZIUM.md`;
//! anything else fails. A report goes to `target/tests/debezium-VERSION.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allowed;
mod compare;
mod follower;
mod json;
mod report;
mod run;
mod sets;

use offtake_tests::kafka::skipped;
use offtake_tests::pgvector;
use offtake_tests::postgres::Version;

use crate::report::Report;
use crate::run::{POSTGRES, Run, VECTORS};
use crate::sets::{SETS, Set};

/// The sets that one is interested in, by name with commas between; left out: all.
fn chosen() -> Option<String> {
    std::env::var("OFFTAKE_DEBEZIUM_SETS").ok()
}

/// The sets with the values of `schemas.enable` they are compared with, or with those that are left.
fn runs(rest: bool) -> Vec<Run> {
    let chosen = chosen();
    let wanted = |set: &&Set| {
        chosen.as_ref().is_none_or(|chosen| chosen.split(',').any(|name| name == set.name))
    };
    let of_set = |set: &'static Set| {
        // With its own defaults Offtake refuses a value that its schema cannot hold, as documented.
        let both =
            [false, true].into_iter().filter(|schemas| !(*schemas && set.offtake.is_empty()));
        let wanted = both.filter(move |schemas| set.schemas.contains(schemas) != rest);
        wanted.map(move |schemas| Run { set, schemas })
    };
    SETS.iter().filter(wanted).flat_map(of_set).collect()
}

/// What differs under a version of PostgreSQL; empty: nothing.
async fn compare(version: Version, rest: bool) -> String {
    let runs = &runs(rest);
    let outcomes = match run::record(version, &POSTGRES, runs).await {
        Ok(outcomes) => outcomes,
        Err(error) => return format!("{version:?}: {error:?}\n"),
    };
    // What is meant for other runs does not occur in the rest.
    let report = Report::new(&outcomes, chosen().is_none() && !rest);
    let name = if rest { "_rest" } else { "" };
    report.write(&format!("{version:?}{name}").to_lowercase()).unwrap();
    println!("{version:?}\n{}", report.summary());
    match report.is_clean() {
        true => String::new(),
        false => format!("{version:?}\n{}", report.problems()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_debeziums_byte_for_byte() {
    if skipped("every_message_is_debeziums_byte_for_byte") {
        return;
    }
    let full = std::env::var_os("OFFTAKE_TEST_FULL").is_some();
    let mut problems = compare(Version::System, false).await;
    if full {
        // After the others and not beside them: it is as many gateways and engines again.
        problems.push_str(&compare(Version::System, true).await);
        for version in [Version::V14, Version::V16, Version::V17, Version::V18] {
            problems.push_str(&compare(version, false).await);
        }
    }
    assert!(problems.is_empty(), "what Debezium publishes differs:\n{problems}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_are_debeziums_byte_for_byte() {
    if skipped("vectors_are_debeziums_byte_for_byte") {
        return;
    }
    pgvector::install().unwrap();
    let wanted = SETS.iter().filter(|set| ["plain", "default"].contains(&set.name));
    let runs: Vec<Run> = wanted.map(|set| Run { set, schemas: set.name == "default" }).collect();
    let outcomes = run::record(pgvector::VERSION, &VECTORS, &runs).await.unwrap();
    // What is meant elsewhere does not occur here.
    let report = Report::new(&outcomes, false);
    report.write("vectors").unwrap();
    println!("{}", report.summary());
    assert!(report.is_clean(), "what Debezium publishes differs:\n{}", report.problems());
}
