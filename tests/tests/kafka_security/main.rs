//! Every way into a broker, with a pipeline from end to end over each; what is refused, with the
//! words that an operator reads; and rights that are taken away under way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reach;
mod refused;
mod rights;
mod token;

use std::time::Duration;

use offtake_tests::fixture::Fixture;
use offtake_tests::kafka::security::SecureKafka;
use offtake_tests::postgres::{Postgres, Version};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// Rows that a pipeline publishes.
const ROWS: usize = 100;
/// The way into the broker that a test of this file uses.
struct Way {
    name: &'static str,
    brokers: String,
    /// Lines of `properties`.
    properties: Vec<String>,
    /// Further tables below `[kafka]`.
    rest: String,
}

impl Way {
    fn new(name: &'static str, brokers: String, properties: Vec<String>) -> Way {
        Way { name, brokers, properties, rest: String::new() }
    }

    fn section(&self) -> String {
        let properties = self.properties.join(", ");
        format!(
            "[kafka]\nbrokers = [\"{}\"]\nproperties = {{ {properties} }}\n{}",
            self.brokers, self.rest
        )
    }

    /// A database with a table, and a gateway that goes this way.
    async fn fixture(&self) -> Fixture {
        let postgres = Postgres::shared(Version::System);
        let sql = "create table t (id int primary key, note text)";
        let section = self.section();
        let mut fixture = Fixture::new(postgres, self.name, sql, "", &section).await.unwrap();
        let password = offtake_tests::kafka::security::PASSWORD.to_owned();
        fixture.gateway.environment.push(("KAFKA_PASSWORD".to_owned(), password));
        fixture
    }
}

fn property(name: &str, value: impl std::fmt::Display) -> String {
    format!("\"{name}\" = \"{value}\"")
}

/// Properties of a login by user and password; the password as a reference.
fn login(mechanism: &str, user: &str, password: &str) -> Vec<String> {
    vec![
        property("security.protocol", "sasl_plaintext"),
        property("sasl.mechanisms", mechanism),
        property("sasl.username", user),
        property("sasl.password", password),
    ]
}

async fn insert(fixture: &Fixture) {
    let sql = format!("insert into t select i, 'x' from generate_series(1, {ROWS}) i");
    fixture.client.batch_execute(&sql).await.unwrap();
}

fn topic(fixture: &Fixture) -> String {
    format!("{}.public.t", fixture.database)
}

/// Waits until every row is in the topic.
fn expect_rows(kafka: &SecureKafka, fixture: &Fixture) {
    let everything = |status: &Value| {
        status["kafka"]["sequence"] == ROWS && status["kafka"]["state"] == "RUNNING"
    };
    fixture.gateway.wait_for_status("Kafka to have every row", PATIENCE, everything).unwrap();
    assert_eq!(kafka.read_committed(&topic(fixture)).unwrap().len(), ROWS);
}
