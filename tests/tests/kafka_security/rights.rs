//! Rights: what is missing is told, and what is taken away under way halts the Kafka sink alone.

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::security::{LIMITED, PASSWORD, SecureKafka};
use offtake_tests::kafka::skipped;
use offtake_tests::subscriber::Subscriber;
use serde_json::Value;

use crate::{PATIENCE, ROWS, Way, insert, login, topic};

/// Rows that are written once a right is gone.
const LATER: usize = 500;

async fn insert_later(fixture: &Fixture) {
    let sql = format!("insert into t select i, 'x' from generate_series(1001, 1000 + {LATER}) i");
    fixture.client.batch_execute(&sql).await.unwrap();
}

/// Waits until Kafka has that many changes.
fn published(fixture: &Fixture, rows: usize) -> Value {
    let everything = |status: &Value| status["kafka"]["sequence"] == rows;
    fixture.gateway.wait_for_status("Kafka to have the rows", PATIENCE, everything).unwrap()
}

/// Waits until Kafka halts; the words are in the cause, `next` is in what to do.
fn halts(fixture: &Fixture, code: &str, words: &str, next: &str) {
    let halted = |status: &Value| status["kafka"]["state"] == "HALTED";
    let status = fixture.gateway.wait_for_status("Kafka to halt", PATIENCE, halted).unwrap();
    assert_eq!(status["kafka"]["code"], code, "{status:#}");
    let of = |field: &str| status["kafka"][field].as_str().unwrap_or_default().to_owned();
    assert!(of("cause").contains(words), "{status:#}");
    assert!(of("next_step").contains(next), "{status:#}");
    assert_eq!(status["kafka"]["sequence"], ROWS, "the place is kept: {status:#}");
    assert_eq!(status["state"], "RUNNING", "the source goes on: {status:#}");
    let (_, metrics) = fixture.gateway.get("/metrics").unwrap();
    assert!(metrics.contains("offtake_kafka_halted 1"), "{metrics}");
}

/// The right is there again: a start goes on, and every row is there once.
fn goes_on(kafka: &SecureKafka, fixture: &mut Fixture) {
    fixture.stop().unwrap();
    fixture.start().unwrap();
    let all = ROWS + LATER;
    published(fixture, all);
    let records = kafka.read_committed(&topic(fixture)).unwrap();
    let mut keys: Vec<_> = records.into_iter().map(|record| record.key).collect();
    let sent = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!((keys.len(), sent), (all, all), "each row once");
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_taken_away_under_way_halt_kafka_with_what_to_grant_and_nothing_is_lost() {
    if skipped("rights_taken_away_under_way_halt_kafka_with_what_to_grant_and_nothing_is_lost") {
        return;
    }
    let kafka = SecureKafka::shared();
    let way =
        Way::new("rights", kafka.sasl(), login("SCRAM-SHA-512", LIMITED, "${env:KAFKA_PASSWORD}"));
    let mut fixture = way.fixture().await;
    let prefix = fixture.database.clone();
    let all = ["Create", "Describe", "DescribeConfigs", "Write"];
    kafka.rights(true, &prefix, &all).unwrap();
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    insert(&fixture).await;
    published(&fixture, ROWS);

    kafka.rights(false, &prefix, &["Write"]).unwrap();
    insert_later(&fixture).await;
    halts(&fixture, "KAFKA_TOPIC_DENIED", &topic(&fixture), "WRITE");
    subscriber
        .wait_for("gRPC to go on", PATIENCE, |store| store.changes.len() == ROWS + LATER)
        .await
        .unwrap();

    kafka.rights(true, &prefix, &["Write"]).unwrap();
    goes_on(kafka, &mut fixture);
}

/// A user that may write nowhere is refused before it names a topic: who starts again without having
/// granted anything reads another code for the same lack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_may_no_longer_write_anything_is_told_of_the_cluster() {
    if skipped("a_user_that_may_no_longer_write_anything_is_told_of_the_cluster") {
        return;
    }
    let kafka = SecureKafka::shared();
    let user = "reader";
    kafka.set_password(user, PASSWORD).unwrap();
    let properties = login("SCRAM-SHA-256", user, "${env:KAFKA_PASSWORD}");
    let mut way = Way::new("cluster", kafka.sasl(), properties);
    way.rest = "delivery = \"at_least_once\"\n".to_owned();
    let mut fixture = way.fixture().await;
    let prefix = fixture.database.clone();
    let topics = ["--topic", &prefix, "--resource-pattern-type", "prefixed"];
    kafka.rights_of(user, true, &topics, &["Create", "Describe", "Write"]).unwrap();
    fixture.start().unwrap();
    insert(&fixture).await;
    published(&fixture, ROWS);

    kafka.rights_of(user, false, &topics, &["Write"]).unwrap();
    insert_later(&fixture).await;
    halts(&fixture, "KAFKA_TOPIC_DENIED", &topic(&fixture), "WRITE");
    fixture.stop().unwrap();
    fixture.start().unwrap();
    halts(&fixture, "KAFKA_CLUSTER_DENIED", "does not allow this user to write", "WRITE");

    kafka.rights_of(user, true, &topics, &["Write"]).unwrap();
    goes_on(kafka, &mut fixture);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transactional_id_taken_away_under_way_halts_kafka_and_every_row_is_there_once() {
    if skipped("a_transactional_id_taken_away_under_way_halts_kafka_and_every_row_is_there_once") {
        return;
    }
    let kafka = SecureKafka::shared();
    let user = "transactional";
    kafka.set_password(user, PASSWORD).unwrap();
    let properties = login("SCRAM-SHA-256", user, "${env:KAFKA_PASSWORD}");
    let mut way = Way::new("transactional", kafka.sasl(), properties);
    way.rest = "delivery = \"exactly_once\"\n".to_owned();
    let mut fixture = way.fixture().await;
    let prefix = fixture.database.clone();
    let id = format!("offtake.{prefix}");
    let topics = ["--topic", &prefix, "--resource-pattern-type", "prefixed"];
    kafka.rights_of(user, true, &topics, &["Create", "Describe", "Write"]).unwrap();
    let cursors = ["--topic", "__offtake_cursors"];
    kafka.rights_of(user, true, &cursors, &["Create", "Describe", "Read", "Write"]).unwrap();
    let transactions = ["--transactional-id", id.as_str()];
    let both = ["Describe", "Write"];
    kafka.rights_of(user, true, &transactions, &both).unwrap();
    fixture.start().unwrap();
    insert(&fixture).await;
    let status = published(&fixture, ROWS);
    assert_eq!(status["kafka"]["delivery"], "exactly_once", "{status:#}");

    kafka.rights_of(user, false, &transactions, &both).unwrap();
    insert_later(&fixture).await;
    let next = "WRITE and DESCRIBE on the transactional id";
    halts(&fixture, "KAFKA_TRANSACTIONS_DENIED", &id, next);
    // Also from the beginning.
    fixture.stop().unwrap();
    fixture.start().unwrap();
    halts(&fixture, "KAFKA_TRANSACTIONS_DENIED", &id, next);

    kafka.rights_of(user, true, &transactions, &both).unwrap();
    goes_on(kafka, &mut fixture);
}
