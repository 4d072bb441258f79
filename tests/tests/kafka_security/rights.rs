//! Rights: what is missing is told, and what is taken away under way halts the Kafka sink alone.

use offtake_tests::kafka::security::{LIMITED, SecureKafka};
use offtake_tests::kafka::skipped;
use offtake_tests::subscriber::Subscriber;
use serde_json::Value;

use crate::{PATIENCE, ROWS, Way, insert, login, topic};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_taken_away_under_way_halt_kafka_with_what_to_grant_and_nothing_is_lost() {
    if skipped("rights_taken_away_under_way_halt_kafka_with_what_to_grant_and_nothing_is_lost") {
        return;
    }
    let kafka = SecureKafka::shared();
    let way =
        Way::new("rights", kafka.sasl(), login("SCRAM-SHA-512", LIMITED, "${env:KAFKA_PASSWORD}"));
    let mut fixture = way.fixture().await;
    let topic = topic(&fixture);
    let prefix = fixture.database.clone();
    let all = ["Create", "Describe", "DescribeConfigs", "Write"];
    kafka.rights(true, &prefix, &all).unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    insert(&fixture).await;
    let first = |status: &Value| status["kafka"]["sequence"] == ROWS;
    fixture.gateway.wait_for_status("the first rows", PATIENCE, first).unwrap();

    kafka.rights(false, &prefix, &["Write"]).unwrap();
    fixture
        .client
        .batch_execute("insert into t select i, 'later' from generate_series(1001, 1500) i")
        .await
        .unwrap();
    let halted = |status: &Value| status["kafka"]["state"] == "HALTED";
    let status = fixture.gateway.wait_for_status("Kafka to halt", PATIENCE, halted).unwrap();
    assert_eq!(status["kafka"]["code"], "KAFKA_TOPIC_DENIED", "{status:#}");
    let of = |field: &str| status["kafka"][field].as_str().unwrap_or_default().to_owned();
    assert!(of("cause").contains(&topic), "{status:#}");
    assert!(of("next_step").contains("WRITE"), "{status:#}");
    let all_rows = ROWS + 500;
    subscriber
        .wait_for("gRPC to go on", PATIENCE, |store| store.changes.len() == all_rows)
        .await
        .unwrap();
    let (_, metrics) = fixture.gateway.get("/metrics").unwrap();
    assert!(metrics.contains("offtake_kafka_halted 1"), "{metrics}");

    kafka.rights(true, &prefix, &["Write"]).unwrap();
    fixture.stop().unwrap();
    fixture.start().unwrap();
    let everything = |status: &Value| status["kafka"]["sequence"] == all_rows;
    fixture.gateway.wait_for_status("every row", PATIENCE, everything).unwrap();
    let mut keys: Vec<_> =
        kafka.read_committed(&topic).unwrap().into_iter().map(|record| record.key).collect();
    let sent = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), sent), (all_rows, all_rows), "each row once");
    fixture.stop().unwrap();
}
