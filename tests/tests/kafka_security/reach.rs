//! A pipeline over every listener and mechanism.

use offtake_tests::kafka::security::{SecureKafka, USER};
use offtake_tests::kafka::skipped;

use crate::{Way, expect_rows, insert, login, property};

/// Within TLS, with the broker's certificate checked.
fn within_tls(kafka: &SecureKafka, mut properties: Vec<String>) -> Vec<String> {
    properties[0] = property("security.protocol", "sasl_ssl");
    properties.push(property("ssl.ca.location", kafka.file("ca.crt").display()));
    properties
}

fn ways(kafka: &SecureKafka) -> Vec<Way> {
    let file = format!("${{file:{}}}", kafka.file("right").display());
    let env = "${env:KAFKA_PASSWORD}";
    vec![
        Way::new("plain", kafka.sasl(), login("PLAIN", USER, env)),
        Way::new("scram256", kafka.sasl(), login("SCRAM-SHA-256", USER, &file)),
        Way::new("scram512", kafka.sasl(), login("SCRAM-SHA-512", USER, env)),
        Way::new(
            "mutual_tls",
            kafka.tls(),
            vec![
                property("security.protocol", "ssl"),
                property("ssl.ca.location", kafka.file("ca.crt").display()),
                property("ssl.certificate.location", kafka.file("client.crt").display()),
                property("ssl.key.location", kafka.file("client.key").display()),
            ],
        ),
        Way::new("plain_tls", kafka.sasl_tls(), within_tls(kafka, login("PLAIN", USER, &file))),
        Way::new(
            "scram_tls",
            kafka.sasl_tls(),
            within_tls(kafka, login("SCRAM-SHA-512", USER, env)),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_runs_over_every_listener_and_mechanism() {
    if skipped("a_pipeline_runs_over_every_listener_and_mechanism") {
        return;
    }
    let kafka = SecureKafka::shared();
    for way in ways(kafka) {
        let mut fixture = way.fixture().await;
        fixture.command(&["check"]).unwrap().expect(0, &["kafka brokers", " 0 errors"]);
        fixture.start().unwrap();
        insert(&fixture).await;
        expect_rows(kafka, &fixture);
        assert!(!fixture.gateway.output().contains("Passw0rd"), "{}", way.name);
        fixture.stop().unwrap();
    }
}
