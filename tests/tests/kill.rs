//! Nothing is lost, doubled, invented or out of order when the gateway is killed again and again,
//! and the checker that says so notices when the gateway is made wrong on purpose.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use anyhow::Result;
use offtake_tests::crash_points::{CRASH_POINTS, GRPC_CRASH_POINTS};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::torture::{Plan, Torture};

fn plan(seed: u64, kills: u32, mutation: &str) -> Plan<'static> {
    Plan {
        seed,
        kills,
        mutation: mutation.to_owned(),
        configuration: "[log]\ndir = \"data\"\n".to_owned(),
        crash_points: CRASH_POINTS.iter().chain(&GRPC_CRASH_POINTS).copied().collect(),
        kafka: None,
        broker_faults: false,
    }
}

async fn torture(plan: Plan<'_>) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let postgres = Postgres::shared(Version::System);
    let torture = Torture::prepare(postgres, folder.path(), plan.clone()).await?;
    let report = torture.run(postgres).await?;
    Ok(report.line(&plan))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_under_load_lose_double_and_reorder_nothing() {
    let seed = std::env::var("TORTURE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("{}", torture(plan(seed, 20, "")).await.unwrap_or_else(|error| panic!("{error:?}")));
}

/// Runs the gateway with a mutation under load until it was due at least once, then checks.
async fn caught(mutation: &str, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::shared(Version::System);
    let torture = Torture::prepare(postgres, folder.path(), plan(7, 0, mutation)).await.unwrap();
    let outcome = torture.run_until_changes(postgres, 11_000, Duration::from_secs(120)).await;
    let error = outcome.err().unwrap_or_else(|| panic!("{mutation} went unnoticed"));
    let text = format!("{error:#}");
    assert!(text.contains(expected), "{mutation} was noticed as something else: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_change_in_ten_thousand_is_noticed() {
    caught("mutate.drop=every:10000", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubled_change_in_ten_thousand_is_noticed() {
    caught("mutate.double=every:10000", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_of_changes_in_the_wrong_order_is_noticed() {
    // Once in a hundred batches, which is fewer than one in ten thousand changes.
    caught("mutate.swap=every:100", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledging_before_durable_is_noticed_as_a_slot_ahead_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::shared(Version::System);
    let mut plan = plan(11, 8, "mutate.acknowledge_early=every:1");
    plan.crash_points = vec!["pipeline.before_submit"];
    let torture = Torture::prepare(postgres, folder.path(), plan).await.unwrap();
    let error = torture.run(postgres).await.expect_err("acknowledging early went unnoticed");
    let text = format!("{error:#}");
    assert!(text.contains("PG_SLOT_AHEAD"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledging_before_durable_is_noticed_by_the_monitor_while_it_happens() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::shared(Version::System);
    let plan = plan(13, 0, "mutate.acknowledge_early=every:1");
    let torture = Torture::prepare(postgres, folder.path(), plan).await.unwrap();
    let outcome = torture.run_until_changes(postgres, 2_000, Duration::from_secs(60)).await;
    let text = format!("{:#}", outcome.expect_err("acknowledging early went unnoticed"));
    assert!(text.contains("acknowledged early"), "{text}");
}
