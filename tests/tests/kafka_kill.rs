//! Kafka gets every change at least once, in order, and what is sent again byte for byte, when the
//! gateway is killed again and again; and the checker notices a sink that forgets its place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use offtake_tests::brokers::Brokers;
use offtake_tests::crash_points::{GRPC_CRASH_POINTS, KAFKA_CRASH_POINTS};
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::torture::{Plan, Torture};

fn plan(kills: u32, mutation: &str, crash_points: Vec<&'static str>) -> Plan<'static> {
    let seed = std::env::var("TORTURE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(3);
    Plan {
        seed,
        kills,
        mutation: mutation.to_owned(),
        configuration: "[log]\ndir = \"data\"\n".to_owned(),
        crash_points,
        kafka: Some(Brokers::One(Kafka::shared())),
        workers: 1,
        exactly_once: false,
        broker_faults: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kafka_and_a_subscriber_get_everything_over_thirteen_kills_at_every_point_of_both() {
    if skipped("kafka_and_a_subscriber_get_everything_over_thirteen_kills_at_every_point_of_both") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::shared(Version::System);
    let points: Vec<&str> = KAFKA_CRASH_POINTS.iter().chain(&GRPC_CRASH_POINTS).copied().collect();
    // Three of the start, eight of the sinks and two random ones: each point comes once.
    let plan = plan(13, "", points.clone());
    let torture = Torture::prepare(postgres, folder.path(), plan.clone()).await.unwrap();
    let report = torture.run(postgres).await.unwrap_or_else(|error| panic!("{error:?}"));
    println!("{}", report.line(&plan));
    for point in points {
        assert_eq!(report.kills.get(point), Some(&1), "{point}");
    }
    let kafka = report.kafka.unwrap();
    assert!(kafka.records > kafka.resent && kafka.tombstones > 0 && kafka.moved > 0, "{kafka:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_forgets_its_cursor_is_noticed_as_a_loss() {
    if skipped("a_sink_that_forgets_its_cursor_is_noticed_as_a_loss") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::shared(Version::System);
    // Killed before a send: what was not sent is durable in the log, so to begin after it loses it.
    let plan = plan(5, "mutate.forget_cursor=every:1", vec!["kafka.before_send"]);
    let torture = Torture::prepare(postgres, folder.path(), plan).await.unwrap();
    let error = torture.run(postgres).await.expect_err("a forgotten cursor went unnoticed");
    let text = format!("{error:#}");
    assert!(text.contains("Kafka") && text.contains("lost"), "{text}");
}
