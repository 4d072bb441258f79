//! A pipeline that changes between at least once and exactly once, and brokers that do not allow the
//! latter.

use std::time::Duration;

use offtake_sink_kafka::{Delivery, TransactionLevel};
use offtake_tests::kafka::{Kafka, skipped};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use crate::bench::*;
use crate::{assert_each_once, exactly_once};

#[test]
fn switching_back_and_forth_loses_and_doubles_nothing() {
    if skipped("switching_back_and_forth_loses_and_doubles_nothing") {
        return;
    }
    let kafka = Kafka::shared();
    let mut bench = bench(kafka, "switch");
    let mut next = 0;
    for round in 0..6 {
        let exactly = round % 2 == 1;
        bench.options.delivery = if exactly { exactly_once() } else { at_least_once() };
        let sink = bench.sink();
        for _ in 0..20 {
            let inserts: Vec<Write> =
                (next..next + 10).map(|id| Write::Insert(id, "a".to_owned())).collect();
            next += 10;
            bench.commit(&inserts);
        }
        let status = caught_up(&sink);
        let delivery = if exactly { Delivery::ExactlyOnce } else { Delivery::AtLeastOnce };
        assert_eq!(status.delivery, Some(delivery));
        // Stopped in order, so that at-least-once delivery has nothing to send again.
        sink.stop(Duration::from_secs(5));
        assert_each_once(kafka, &bench.topic, next);
    }
}

#[test]
fn brokers_that_do_not_verify_transactions_are_refused_or_said_aloud() {
    if skipped("brokers_that_do_not_verify_transactions_are_refused_or_said_aloud") {
        return;
    }
    let kafka = Kafka::start().unwrap();
    let verify = |value: &str| {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create().unwrap();
        let change = AlterConfig::new(ResourceSpecifier::Broker(1))
            .set("transaction.partition.verification.enable", value);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(admin.alter_configs([&change], &AdminOptions::new()));
        answer.unwrap().into_iter().for_each(|result| drop(result.unwrap()));
    };
    verify("false");
    let mut bench = bench(&kafka, "unverified");
    bench.commit(&[Write::Insert(0, "a".to_owned())]);
    bench.options.delivery = exactly_once();
    let sink = bench.sink();
    let halt = halted(&sink);
    assert_eq!(halt.code, "KAFKA_TRANSACTIONS_UNSUPPORTED");
    assert!(halt.cause.contains("transaction.partition.verification.enable"), "{halt:?}");
    assert!(halt.next_step.contains("at_least_once"), "{halt:?}");
    drop(sink);
    // Nobody asked for it: at least once, and it says so.
    bench.options.delivery.delivery = None;
    let sink = bench.sink();
    let status = caught_up(&sink);
    assert_eq!(status.delivery, Some(Delivery::AtLeastOnce));
    assert_eq!(status.level, TransactionLevel::Off);
    sink.stop(Duration::from_secs(5));
    verify("true");
    let sink = bench.sink();
    bench.commit(&[Write::Insert(1, "a".to_owned())]);
    let status = caught_up(&sink);
    assert_eq!(status.delivery, Some(Delivery::ExactlyOnce), "the default where it is allowed");
    assert_each_once(&kafka, &bench.topic, 2);
    sink.stop(Duration::from_secs(5));
}

#[test]
fn a_transaction_timeout_that_the_brokers_refuse_halts_and_names_it() {
    if skipped("a_transaction_timeout_that_the_brokers_refuse_halts_and_names_it") {
        return;
    }
    let kafka = Kafka::start_with("transaction.max.timeout.ms=10000\n").unwrap();
    let mut bench = bench(&kafka, "timeout");
    bench.options.delivery = exactly_once();
    let timeout = |ms: &str| [("transaction.timeout.ms".to_owned(), ms.to_owned())];
    bench.options.properties.extend(timeout("10000"));
    let sink = bench.sink();
    bench.commit(&[Write::Insert(0, "a".to_owned())]);
    caught_up(&sink);
    sink.stop(Duration::from_secs(5));
    bench.commit(&[Write::Insert(1, "a".to_owned())]);
    bench.options.properties.extend(timeout("10001"));
    let sink = bench.sink();
    let halt = halted(&sink);
    assert_eq!(halt.code, "KAFKA_TRANSACTION_TIMEOUT");
    assert!(halt.cause.contains("transaction.timeout.ms = 10001"), "{halt:?}");
    assert!(halt.next_step.contains("transaction.max.timeout.ms"), "{halt:?}");
    assert_eq!(sink.status().cursor, 1);
    assert_each_once(&kafka, &bench.topic, 1);
    sink.stop(Duration::from_secs(5));
    bench.options.properties.extend(timeout("10000"));
    let sink = bench.sink();
    caught_up(&sink);
    assert_each_once(&kafka, &bench.topic, 2);
    sink.stop(Duration::from_secs(5));
}
