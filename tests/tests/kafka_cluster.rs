//! The three-broker cluster of the harness itself: what is acknowledged survives a killed and a
//! paused leader, and the harness knows whom to hit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use offtake_tests::kafka::{Cluster, skipped};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const RECORDS: usize = 2000;

#[test]
fn acknowledged_records_survive_a_killed_and_a_paused_leader_of_the_cluster() {
    if skipped("acknowledged_records_survive_a_killed_and_a_paused_leader_of_the_cluster") {
        return;
    }
    let cluster = Cluster::start().unwrap();
    cluster.create_topic("t", 1, &[]).unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.brokers())
        .set("enable.idempotence", "true")
        .set("transactional.id", "the-harness")
        // A paused broker keeps its connections: by its default the client would wait a minute.
        .set("socket.timeout.ms", "4000")
        .create()
        .unwrap();
    producer.init_transactions(Duration::from_secs(60)).unwrap();
    assert!((1..=3).contains(&cluster.coordinator_of("the-harness").unwrap()));
    producer.begin_transaction().unwrap();
    for number in 0..RECORDS {
        if number == RECORDS / 4 {
            cluster.node(cluster.leader_of("t", 0).unwrap()).kill().unwrap();
        }
        if number == RECORDS / 2 {
            cluster.revive().unwrap();
            cluster.node(cluster.leader_of("t", 0).unwrap()).pause().unwrap();
        }
        let value = number.to_string();
        producer.send(BaseRecord::<(), str>::to("t").partition(0).payload(&value)).unwrap();
        producer.poll(Duration::from_millis(1));
    }
    producer.commit_transaction(Duration::from_secs(60)).unwrap();
    cluster.revive().unwrap();
    let values: Vec<String> = cluster
        .read_committed("t")
        .unwrap()
        .into_iter()
        .map(|record| String::from_utf8(record.value.unwrap()).unwrap())
        .collect();
    let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    assert_eq!(values, expected, "{}", cluster.log_tails());
}
