//! Debezium's messages, byte for byte: the real Debezium 3.6.3 and the gateway read one PostgreSQL
//! at the same time, over every type, table shape and operation, and what they publish is compared.
//!
//! The engine writes through Kafka Connect's own converters into files; the gateway writes to a real
//! broker and a consumer reads it. Only what must differ is taken out before (`compare.rs` says
//! what). What may differ beside that is listed in `allowed.rs`, with the reasons of `DEBEZIUM.md`;
//! anything else fails. A report goes to `target/tests/debezium.md`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allowed;
mod compare;
mod follower;
mod json;
mod report;
mod run;
mod sets;

use offtake_tests::kafka::skipped;
use offtake_tests::postgres::Version;

use crate::report::Report;
use crate::run::Run;
use crate::sets::SETS;

/// The sets with the values of `schemas.enable` they are compared with.
fn runs(full: bool) -> Vec<Run> {
    // A word for one who looks into one set: its name.
    let only = std::env::var("OFFTAKE_DEBEZIUM_SETS").ok();
    let wanted =
        |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name));
    let sets = SETS.iter().filter(|set| wanted(set.name));
    sets.flat_map(|set| {
        let schemas = if full { &[false, true] } else { set.schemas };
        schemas.iter().map(move |&schemas| Run { set, schemas })
    })
    .collect()
}

fn full() -> bool {
    std::env::var_os("OFFTAKE_TEST_FULL").is_some()
}

async fn compare(version: Version) {
    let runs = runs(full());
    let outcomes = run::record(version, &runs).await.unwrap();
    let report = Report::new(&outcomes);
    report.write(&format!("{version:?}").to_lowercase()).unwrap();
    println!("{}", report.summary());
    assert!(report.is_clean(), "what Debezium publishes differs:\n{}", report.problems());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_debeziums_byte_for_byte() {
    if skipped("every_message_is_debeziums_byte_for_byte") {
        return;
    }
    compare(Version::System).await;
}
