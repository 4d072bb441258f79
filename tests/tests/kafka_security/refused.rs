//! What is refused: the check says why at once, a run waits, says why, and lets nothing else wait.

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::security::{LIMITED, PASSWORD, SecureKafka, USER};
use offtake_tests::kafka::skipped;
use offtake_tests::subscriber::Subscriber;
use serde_json::Value;

use crate::{PATIENCE, ROWS, Way, expect_rows, insert, login, property};

/// Asserts that the check says it, that a run waits because of it, and that gRPC goes on.
async fn expect_refused(way: &Way, code: &str, words: &[&str]) -> Fixture {
    let mut fixture = way.fixture().await;
    let checked = fixture.command(&["check"]).unwrap().expect(2, &[code]);
    let line = checked.out.lines().find(|line| line.contains(code)).unwrap();
    for word in words {
        assert!(line.contains(word), "{}: there is no {word:?} in {line}", way.name);
    }
    assert!(line.contains("; next: "), "{line}");
    fixture.start().unwrap();
    let subscriber = Subscriber::start(fixture.gateway.grpc, &[]);
    insert(&fixture).await;
    let waits =
        |status: &Value| status["kafka"]["state"] == "WAITING" && status["kafka"]["code"] == code;
    let status = fixture.gateway.wait_for_status("Kafka to be refused", PATIENCE, waits).unwrap();
    let cause = status["kafka"]["cause"].as_str().unwrap();
    for word in words {
        assert!(cause.contains(word), "{}: there is no {word:?} in {cause}", way.name);
    }
    assert!(status["kafka"]["next_step"].as_str().unwrap().len() > 10);
    subscriber
        .wait_for("gRPC to go on", PATIENCE, |store| store.changes.len() == ROWS)
        .await
        .unwrap();
    let (_, metrics) = fixture.gateway.get("/metrics").unwrap();
    assert!(metrics.contains(&format!("offtake_kafka_waiting{{code=\"{code}\"}} 1")), "{metrics}");
    let said = fixture.command(&["status"]).unwrap();
    assert!(said.out.contains(code) && said.out.contains("next: "), "{}", said.out);
    assert!(!fixture.gateway.output().contains("Passw0rd"), "{}", way.name);
    fixture
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_as_such() {
    if skipped("a_wrong_password_is_told_as_such") {
        return;
    }
    let kafka = SecureKafka::shared();
    let wrong = format!("${{file:{}}}", kafka.file("wrong").display());
    for (name, mechanism) in [("wrong_plain", "PLAIN"), ("wrong_scram", "SCRAM-SHA-512")] {
        let way = Way::new(name, kafka.sasl(), login(mechanism, USER, &wrong));
        expect_refused(&way, "KAFKA_LOGIN", &["uthentication failed"]).await.stop().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_the_brokers_come_to_know_goes_on_by_itself() {
    if skipped("a_login_that_the_brokers_come_to_know_goes_on_by_itself") {
        return;
    }
    let kafka = SecureKafka::shared();
    // A user of its own to the other tests, for their mechanism is another.
    let properties = login("SCRAM-SHA-256", LIMITED, "${env:KAFKA_PASSWORD}");
    kafka.set_password(LIMITED, "another-Passw0rd").unwrap();
    let way = Way::new("late_login", kafka.sasl(), properties);
    kafka.rights(true, "late_login", &["Create", "Describe", "DescribeConfigs", "Write"]).unwrap();
    let mut fixture = expect_refused(&way, "KAFKA_LOGIN", &["uthentication failed"]).await;
    kafka.set_password(LIMITED, PASSWORD).unwrap();
    expect_rows(kafka, &fixture);
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_not_trusted_and_a_missing_client_certificate_are_told() {
    if skipped("an_authority_that_is_not_trusted_and_a_missing_client_certificate_are_told") {
        return;
    }
    let kafka = SecureKafka::shared();
    let protocol = property("security.protocol", "ssl");
    let other = property("ssl.ca.location", kafka.file("other-ca.crt").display());
    let ours = property("ssl.ca.location", kafka.file("ca.crt").display());
    for (name, brokers, properties, word) in [
        ("missing_ca", kafka.tls(), vec![protocol.clone()], "certificate"),
        ("other_ca", kafka.tls(), vec![protocol.clone(), other], "certificate"),
        ("no_certificate", kafka.tls(), vec![protocol, ours], "certificate"),
    ] {
        let way = Way::new(name, brokers, properties);
        expect_refused(&way, "KAFKA_TLS", &[word]).await.stop().unwrap();
    }
}
