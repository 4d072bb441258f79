//! A quota slows the sink down and nothing else.

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;
use serde_json::Value;

use crate::{MEMORY_LIMIT, PATIENCE, TABLE, expect_versions, kafka_has_everything, write};

const KEYS: usize = 2000;
const VERSIONS: usize = 6;

fn set_quota(kafka: &Kafka, change: &[&str]) {
    let entity = ["--entity-type", "clients", "--entity-default"];
    let begin = ["--bootstrap-server", kafka.brokers(), "--alter"];
    let arguments = [&begin[..], change, &entity[..]].concat();
    kafka.tool("kafka.admin.ConfigCommand", &arguments).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_is_told_and_slows_kafka_alone() {
    if skipped("a_quota_is_told_and_slows_kafka_alone") {
        return;
    }
    // Quotas are the whole broker's, so it is not the shared one.
    let kafka = tokio::task::block_in_place(Kafka::start).unwrap();
    let postgres = Postgres::shared(Version::System);
    let section = format!(
        "[kafka]\nbrokers = [\"{}\"]\nproperties = {{ \"compression.codec\" = \"none\" }}",
        kafka.brokers()
    );
    let mut fixture = Fixture::new(postgres, "quota", TABLE, "", &section).await.unwrap();
    let topic = format!("{}.public.t", fixture.database);
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    write(&fixture, KEYS, 1).await;
    kafka_has_everything(&fixture, KEYS as u64);
    set_quota(&kafka, &["--add-config", "producer_byte_rate=100000"]);
    for version in 2..=VERSIONS {
        write(&fixture, KEYS, version).await;
    }
    let told =
        |status: &Value| status["kafka"]["client"]["throttle_ms"].as_u64().unwrap_or_default() > 0;
    fixture.gateway.wait_for_status("the quota to be told", PATIENCE, told).unwrap();
    subscriber
        .wait_for("gRPC not to wait", PATIENCE, |store| store.changes.len() == KEYS * VERSIONS)
        .await
        .unwrap();
    let mut held_back = false;
    let deadline = std::time::Instant::now() + PATIENCE;
    while !held_back {
        assert!(std::time::Instant::now() < deadline, "`offtake status` does not tell the quota");
        held_back = fixture.command(&["status"]).unwrap().out.contains("held back by the brokers'");
    }
    let status = fixture.gateway.status().unwrap();
    assert!(status["kafka"]["lag_changes"].as_u64() > Some(0), "{status:#}");
    assert!(fixture.gateway.peak_memory_bytes().unwrap() < MEMORY_LIMIT);
    set_quota(&kafka, &["--delete-config", "producer_byte_rate"]);
    kafka_has_everything(&fixture, (KEYS * VERSIONS) as u64);
    expect_versions(&kafka, &topic, KEYS, VERSIONS);
    fixture.stop().unwrap();
}
