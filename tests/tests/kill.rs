//! Nothing is lost, doubled, invented or out of order when the gateway is killed again and again,
//! and the checker that says so notices when the gateway is made wrong on purpose.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use anyhow::Result;
use offtake_tests::crash_points::{CRASH_POINTS, GRPC_CRASH_POINTS, WORKERS_CRASH_POINT};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::torture::{Plan, Report, Torture};

fn plan(seed: u64, kills: u32, mutation: &str) -> Plan<'static> {
    Plan {
        seed,
        kills,
        mutation: mutation.to_owned(),
        configuration: "[log]\ndir = \"data\"\n".to_owned(),
        crash_points: CRASH_POINTS.iter().chain(&GRPC_CRASH_POINTS).copied().collect(),
        kafka: None,
        workers: 1,
        exactly_once: false,
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_while_several_threads_run_plugins_lose_double_and_reorder_nothing() {
    let crash_points = vec![WORKERS_CRASH_POINT, "pipeline.before_submit", "log.after_fsync"];
    let plan = Plan { workers: 3, crash_points, ..plan(17, 12, "") };
    println!("{}", torture(plan).await.unwrap_or_else(|error| panic!("{error:?}")));
}

/// Runs the gateway under load, with a mutation or none, until a mutation was due, then checks.
async fn run_and_check(mutation: &str) -> Result<Report> {
    let folder = tempfile::tempdir()?;
    let postgres = Postgres::shared(Version::System);
    let torture = Torture::prepare(postgres, folder.path(), plan(7, 0, mutation)).await?;
    torture.run_until_changes(postgres, 11_000, Duration::from_secs(120)).await
}

/// What the checker says of a mutation. Only its words come with the seed: a run that failed for
/// another reason has noticed nothing.
async fn checkers_word(mutation: &str) -> String {
    let outcome = run_and_check(mutation).await;
    let text =
        format!("{:#}", outcome.err().unwrap_or_else(|| panic!("{mutation} went unnoticed")));
    text.strip_prefix("seed 7: ").unwrap_or_else(|| panic!("not the checker's: {text}")).to_owned()
}

/// How far the order that the checker found is ahead of the one it expected, in `row 2 of
/// transaction 7 has order 3`.
fn order_ahead(text: &str) -> Option<i64> {
    let (row, rest) = text.strip_prefix("row ")?.split_once(" of transaction ")?;
    let (_, order) = rest.split_once(" has order ")?;
    Some(order.parse::<i64>().ok()? - row.parse::<i64>().ok()?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_run_without_a_mutation_passes() {
    let report = run_and_check("").await.unwrap_or_else(|error| panic!("{error:?}"));
    assert!(report.figures.changes >= 11_000, "{:?}", report.figures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_change_in_ten_thousand_is_noticed() {
    let text = checkers_word("mutate.drop=every:10000").await;
    // The last row of a transaction is the one that tells of it; others leave a gap.
    let is_lost = ["lost: transaction ", "lost: message "].iter().any(|it| text.starts_with(it));
    assert!(is_lost || order_ahead(&text) == Some(1), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubled_change_in_ten_thousand_is_noticed() {
    let text = checkers_word("mutate.double=every:10000").await;
    // A message outside of a transaction stands twice at one place.
    let message = text.starts_with("message ") && text.contains("is behind");
    assert!(order_ahead(&text) == Some(-1) || message, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_of_changes_in_the_wrong_order_is_noticed() {
    // Once in a hundred batches, which is fewer than one in ten thousand changes.
    let text = checkers_word("mutate.swap=every:100").await;
    // Two of one transaction, or the last of one and the only one of the next.
    let commits = text.starts_with("the commit of transaction ") && text.contains("not after");
    // Or one and a message outside of transactions.
    let messages = text.contains(" is behind ");
    assert!(order_ahead(&text) == Some(1) || commits || messages, "{text}");
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
