//! A topic that is deleted under way is not made anew in silence.

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Kafka, skipped};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::subscriber::Subscriber;
use serde_json::Value;

use crate::{PATIENCE, TABLE, kafka_has_everything, write};

const KEYS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_under_way_halts_kafka_alone_and_is_not_made_anew() {
    if skipped("a_topic_deleted_under_way_halts_kafka_alone_and_is_not_made_anew") {
        return;
    }
    let kafka = Kafka::shared();
    let postgres = Postgres::shared(Version::System);
    let section = format!("[kafka]\nbrokers = [\"{}\"]", kafka.brokers());
    let mut fixture = Fixture::new(postgres, "deleted", TABLE, "", &section).await.unwrap();
    let topic = format!("{}.public.t", fixture.database);
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    write(&fixture, KEYS, 1).await;
    kafka_has_everything(&fixture, KEYS as u64);

    tokio::task::block_in_place(|| kafka.delete_topic(&topic)).unwrap();
    write(&fixture, KEYS, 2).await;
    let halted = |status: &Value| status["kafka"]["state"] == "HALTED";
    let status = fixture.gateway.wait_for_status("Kafka to halt", PATIENCE, halted).unwrap();
    assert_eq!(status["kafka"]["code"], "KAFKA_TOPIC_GONE", "{status:#}");
    let of = |field: &str| status["kafka"][field].as_str().unwrap_or_default().to_owned();
    assert!(of("cause").contains(&topic) && of("next_step").contains("resync"), "{status:#}");
    assert_eq!(kafka.partitions(&topic).unwrap(), 0, "the topic was made anew");
    subscriber
        .wait_for("gRPC to go on", PATIENCE, |store| store.changes.len() == 2 * KEYS)
        .await
        .unwrap();

    // A restart is the decision to have another one: it goes on from where it was.
    fixture.stop().unwrap();
    fixture.start().unwrap();
    kafka_has_everything(&fixture, 2 * KEYS as u64);
    let records = kafka.read_committed(&topic).unwrap();
    assert_eq!(records.len(), KEYS, "what was not published yet, and nothing else");
    fixture.stop().unwrap();
}
