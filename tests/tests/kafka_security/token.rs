//! OAUTHBEARER: tokens from an endpoint and from a file, renewed under way, and what goes wrong with
//! them.

use offtake_tests::kafka::security::SecureKafka;
use offtake_tests::kafka::skipped;
use offtake_tests::kafka::tokens::{CLIENT_ID, CLIENT_SECRET, TokenEndpoint};
use serde_json::Value;

use crate::{PATIENCE, Way, expect_rows, insert, property};

fn way(name: &'static str, kafka: &SecureKafka, oauth: &str) -> Way {
    let properties = vec![property("security.protocol", "sasl_plaintext")];
    let rest = format!("[kafka.oauth]\n{oauth}\n");
    Way { rest, ..Way::new(name, kafka.sasl(), properties) }
}

fn asked(endpoint: &TokenEndpoint, secret: &str) -> String {
    format!(
        "token_url = \"{}\"\nclient_id = \"{CLIENT_ID}\"\nclient_secret = \"{secret}\"\n\
         scope = \"kafka\"",
        endpoint.url()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_an_endpoint_lets_the_pipeline_in_and_is_renewed() {
    if skipped("a_token_of_an_endpoint_lets_the_pipeline_in_and_is_renewed") {
        return;
    }
    let kafka = SecureKafka::shared();
    // Short enough to be renewed while the test runs.
    let endpoint = TokenEndpoint::start(kafka.signer().token(8), 8).unwrap();
    let way = way("oauth", kafka, &asked(&endpoint, CLIENT_SECRET));
    let mut fixture = way.fixture().await;
    fixture.command(&["check"]).unwrap().expect(0, &["kafka brokers", " 0 errors"]);
    endpoint.give(kafka.signer().token(8), 8);
    fixture.start().unwrap();
    let given = endpoint.given();
    insert(&fixture).await;
    expect_rows(kafka, &fixture);
    // From here on every token lasts.
    endpoint.give(kafka.signer().token(600), 600);
    let deadline = std::time::Instant::now() + PATIENCE;
    while endpoint.given() == given {
        assert!(std::time::Instant::now() < deadline, "the token is not renewed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    fixture.client.batch_execute("update t set note = 'y' where id = 1").await.unwrap();
    let more = |status: &Value| status["kafka"]["sequence"] == 101;
    fixture.gateway.wait_for_status("the renewed token to be used", PATIENCE, more).unwrap();
    assert!(!fixture.gateway.output().contains(CLIENT_SECRET));
    fixture.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_a_file_lets_the_pipeline_in() {
    if skipped("a_token_in_a_file_lets_the_pipeline_in") {
        return;
    }
    let kafka = SecureKafka::shared();
    let file = kafka.file("token");
    std::fs::write(&file, kafka.signer().token(600)).unwrap();
    let way = way("token_file", kafka, &format!("token_file = \"{}\"", file.display()));
    let mut fixture = way.fixture().await;
    fixture.start().unwrap();
    insert(&fixture).await;
    expect_rows(kafka, &fixture);
    fixture.stop().unwrap();
    // The cursor in Kafka is removed by a client of its own, which needs a token too.
    fixture.command(&["resync", "--yes"]).unwrap().expect(0, &["next: offtake run"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_cannot_be_had_or_has_expired_is_told_and_a_better_one_goes_on() {
    if skipped("a_token_that_cannot_be_had_or_has_expired_is_told_and_a_better_one_goes_on") {
        return;
    }
    let kafka = SecureKafka::shared();
    let endpoint = TokenEndpoint::start(kafka.signer().token(600), 600).unwrap();
    let expired = kafka.file("expired");
    std::fs::write(&expired, kafka.signer().token(-60)).unwrap();
    let gone = asked(&endpoint, CLIENT_SECRET).replace("/token", ":1/token");
    for (name, oauth, word) in [
        ("refused_token", asked(&endpoint, "wrong"), "wrong client secret"),
        ("expired_token", format!("token_file = \"{}\"", expired.display()), "expired"),
        ("no_endpoint", gone, "token endpoint"),
    ] {
        let mut fixture = way(name, kafka, &oauth).fixture().await;
        let checked = fixture.command(&["check"]).unwrap();
        assert!(
            checked.out.contains("KAFKA_TOKEN") && checked.out.contains(word),
            "{name}: {}\n{}",
            checked.out,
            checked.errors
        );
        fixture.start().unwrap();
        insert(&fixture).await;
        let told = |status: &Value| {
            let cause = status["kafka"]["cause"].as_str().unwrap_or_default();
            status["kafka"]["code"] == "KAFKA_TOKEN" && cause.contains(word)
        };
        fixture.gateway.wait_for_status("the token's fault", PATIENCE, told).unwrap();
        if name == "expired_token" {
            std::fs::write(&expired, kafka.signer().token(600)).unwrap();
            expect_rows(kafka, &fixture);
        }
        fixture.stop().unwrap();
    }
}
