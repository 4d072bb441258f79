//! Killed at every hand-over of the protocol, under load.

use offtake_tests::brokers::Brokers;
use offtake_tests::crash_points::KAFKA_EXACTLY_ONCE_CRASH_POINTS;
use offtake_tests::kafka::{Cluster, Kafka, skipped};
use offtake_tests::postgres::{Postgres, Version};
use offtake_tests::torture::{Plan, Torture};

fn plan<'k>(kafka: Brokers<'k>, kills: u32, crash_points: Vec<&'static str>) -> Plan<'k> {
    let seed = std::env::var("TORTURE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(5);
    Plan {
        seed,
        kills,
        mutation: String::new(),
        configuration: "[log]\ndir = \"data\"\n".to_owned(),
        crash_points,
        kafka: Some(kafka),
        workers: 1,
        exactly_once: true,
        broker_faults: false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_committed_records_gets_everything_once_over_kills_at_every_hand_over() {
    if skipped("a_reader_of_committed_records_gets_everything_once_over_kills_at_every_hand_over") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::shared(Version::System);
    let points = KAFKA_EXACTLY_ONCE_CRASH_POINTS.to_vec();
    // Three of the start, each point once, and random ones.
    let kills = 3 + points.len() + points.len().div_ceil(5);
    let plan = plan(Brokers::One(Kafka::shared()), kills as u32, points.clone());
    let torture = Torture::prepare(postgres, folder.path(), plan.clone()).await.unwrap();
    let report = torture.run(postgres).await.unwrap_or_else(|error| panic!("{error:?}"));
    println!("{}", report.line(&plan));
    for point in points {
        assert_eq!(report.kills.get(point), Some(&1), "{point}");
    }
    let kafka = report.kafka.unwrap();
    assert!(kafka.records > 0 && kafka.tombstones > 0 && kafka.moved > 0, "{kafka:?}");
    assert_eq!((kafka.resent, kafka.restarts), (0, 0), "something is there twice: {kafka:?}");
    assert!(kafka.transactions > 100, "{kafka:?}");
}

/// Three brokers, of which the one that coordinates the transactions is paused for longer than an
/// answer is waited for, then paused between a commit and its answer with the gateway killed in
/// between, then one that leads data is killed, then the coordinator; between them the gateway is
/// killed around its commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_coordinator_and_leader_fail_and_the_gateway_is_killed() {
    let name =
        "nothing_is_lost_or_doubled_while_coordinator_and_leader_fail_and_the_gateway_is_killed";
    if skipped(name) {
        return;
    }
    let cluster = Cluster::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::shared(Version::System);
    let points = vec!["kafka.before_commit", "kafka.during_commit", "kafka.after_commit"];
    let plan = Plan {
        // The first four faults.
        seed: 6,
        broker_faults: true,
        ..plan(Brokers::Three(&cluster), 12, points)
    };
    let torture = Torture::prepare(postgres, folder.path(), plan.clone()).await.unwrap();
    let report = torture.run(postgres).await.unwrap_or_else(|error| {
        panic!("{error:?}\n{}", cluster.log_tails());
    });
    println!("{}", report.line(&plan));
    assert_eq!(report.broker_faults, 4);
    let kafka = report.kafka.unwrap();
    assert_eq!((kafka.resent, kafka.restarts), (0, 0), "something is there twice: {kafka:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_begins_before_its_cursor_is_noticed_as_a_doubling() {
    if skipped("a_sink_that_begins_before_its_cursor_is_noticed_as_a_doubling") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let postgres = Postgres::shared(Version::System);
    let plan = Plan {
        mutation: "mutate.repeat=every:1".to_owned(),
        // Killed when something is committed: before that there is nothing to repeat.
        ..plan(Brokers::One(Kafka::shared()), 9, vec!["kafka.before_commit", "kafka.after_commit"])
    };
    let torture = Torture::prepare(postgres, folder.path(), plan).await.unwrap();
    let error = torture.run(postgres).await.expect_err("a repeated change went unnoticed");
    let text = format!("{error:#}");
    assert!(text.contains("Kafka") && text.contains("twice"), "{text}");
}
