//! Faults of a three-broker cluster.

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::{Cluster, skipped};
use offtake_tests::postgres::{Postgres, Version};
use tokio::task::block_in_place;

use crate::{MEMORY_LIMIT, TABLE, expect_versions, kafka_has_everything, waits_for, write};

const KEYS: usize = 500;

async fn fixture(cluster: &Cluster, hint: &str, partitions: i32, replicas: i32) -> Fixture {
    let postgres = Postgres::shared(Version::System);
    let brokers = cluster.brokers().replace(',', "\", \"");
    let section = format!("[kafka]\nbrokers = [\"{brokers}\"]");
    let fixture = Fixture::new(postgres, hint, TABLE, "", &section).await.unwrap();
    let topic = format!("{}.public.t", fixture.database);
    let least = if replicas == 1 { "1" } else { "2" };
    block_in_place(|| {
        let config = [("min.insync.replicas", least)];
        cluster.create_replicated(&topic, partitions, replicas, &config).unwrap();
    });
    fixture
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaders_that_die_hold_up_what_has_no_other_and_nothing_is_lost_or_out_of_order() {
    if skipped("leaders_that_die_hold_up_what_has_no_other_and_nothing_is_lost_or_out_of_order") {
        return;
    }
    let cluster = block_in_place(Cluster::start).unwrap();
    // With other copies: another broker leads, and the pipeline goes on without it.
    let mut replicated = fixture(&cluster, "replicated", 3, 3).await;
    let topic = format!("{}.public.t", replicated.database);
    replicated.start().unwrap();
    write(&replicated, KEYS, 1).await;
    kafka_has_everything(&replicated, KEYS as u64);
    let leader = cluster.leader_of(&topic, 0).unwrap();
    cluster.node(leader).kill().unwrap();
    for version in 2..=5 {
        write(&replicated, KEYS, version).await;
    }
    kafka_has_everything(&replicated, 5 * KEYS as u64);
    cluster.revive().unwrap();
    expect_versions(&cluster, &topic, KEYS, 5);
    replicated.stop().unwrap();

    // Without: it waits, says for which partition and which broker, and goes on afterwards.
    let mut alone = fixture(&cluster, "alone", 3, 1).await;
    let topic = format!("{}.public.t", alone.database);
    alone.start().unwrap();
    write(&alone, KEYS, 1).await;
    kafka_has_everything(&alone, KEYS as u64);
    let leader = cluster.leader_of(&topic, 1).unwrap();
    cluster.node(leader).kill().unwrap();
    for version in 2..=5 {
        write(&alone, KEYS, version).await;
    }
    let status = waits_for(&alone, "KAFKA_NO_LEADER");
    let cause = status["kafka"]["cause"].as_str().unwrap();
    assert!(cause.contains(&topic) && cause.contains(&leader.to_string()), "{cause}");
    assert!(alone.gateway.peak_memory_bytes().unwrap() < MEMORY_LIMIT);
    assert_eq!(status["state"], "RUNNING", "{status:#}");
    cluster.revive().unwrap();
    kafka_has_everything(&alone, 5 * KEYS as u64);
    expect_versions(&cluster, &topic, KEYS, 5);
    alone.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_copies_in_sync_and_brokers_that_all_come_back_at_once_lose_nothing() {
    if skipped("too_few_copies_in_sync_and_brokers_that_all_come_back_at_once_lose_nothing") {
        return;
    }
    let cluster = block_in_place(Cluster::start).unwrap();
    let mut fixture = fixture(&cluster, "in_sync", 1, 3).await;
    let topic = format!("{}.public.t", fixture.database);
    block_in_place(|| cluster.set_topic_config(&topic, "min.insync.replicas", "3")).unwrap();
    fixture.gateway.edit("[kafka]", "[kafka]\ndelivery = \"at_least_once\"").unwrap();
    fixture.start().unwrap();
    write(&fixture, KEYS, 1).await;
    kafka_has_everything(&fixture, KEYS as u64);
    let leader = cluster.leader_of(&topic, 0).unwrap();
    let follower = cluster.nodes().iter().find(|node| node.id() != leader).unwrap();
    follower.kill().unwrap();
    write(&fixture, KEYS, 2).await;
    let status = waits_for(&fixture, "KAFKA_NOT_IN_SYNC");
    assert!(status["kafka"]["cause"].as_str().unwrap().contains(&topic), "{status:#}");
    cluster.revive().unwrap();
    kafka_has_everything(&fixture, 2 * KEYS as u64);

    // The whole cluster: what it knew of itself comes from its disks.
    for node in cluster.nodes() {
        node.kill().unwrap();
    }
    write(&fixture, KEYS, 3).await;
    waits_for(&fixture, "KAFKA_UNREACHABLE");
    cluster.revive().unwrap();
    kafka_has_everything(&fixture, 3 * KEYS as u64);
    expect_versions(&cluster, &topic, KEYS, 3);
    fixture.stop().unwrap();
}
