//! What the Kafka client says of itself and of the brokers, in `/status` and `/metrics`.
//!
//! The figures are the client library's own of the last second; counters begin anew with every
//! producer. What the sink does with them is not looked at here.

use offtake_sink_kafka::{BrokerStatistics, ClientStatistics};
use serde::Serialize;

use super::metrics::Page;

/// The client's queues, its batches and its place in the cluster.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KafkaClientView {
    /// Messages in the client's queues and on their way.
    pub queued_messages: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Average bytes of a batch in the last second; 0: none was sent.
    pub batch_bytes: u64,
    /// Average messages of a batch in the last second; 0: none was sent.
    pub batch_messages: u64,
    /// For how long the brokers told the client to hold back lately, because of a quota.
    pub throttle_ms: u64,
    /// The idempotent producer's state, `Assigned` when all is well.
    pub producer_state: String,
    /// The producer's epoch; -1: none yet.
    pub producer_epoch: i64,
    /// Times that this producer was given an id.
    pub producer_ids: u64,
    /// The transaction's state, `Init` without transactions.
    pub transaction_state: String,
    /// How long that state lasts.
    pub transaction_state_ms: u64,
    /// The brokers.
    pub brokers: Vec<KafkaBrokerView>,
}

/// One broker.
#[derive(Clone, Debug, Default, Serialize)]
pub struct KafkaBrokerView {
    /// `host:port`.
    pub broker: String,
    /// The broker's id.
    pub id: i32,
    /// The connection's state, `UP` when all is well.
    pub state: String,
    /// Whether there is a connection, past login.
    pub connected: bool,
    /// Requests that wait to be sent.
    pub queued_requests: u64,
    /// Requests that wait for an answer.
    pub unanswered_requests: u64,
    /// Requests sent.
    pub requests: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Requests that were not answered in time.
    pub timeouts: u64,
    /// Errors of sending and receiving.
    pub errors: u64,
    /// Connections made.
    pub connects: u64,
    /// Average time to an answer in the last second.
    pub round_trip_us: u64,
    /// The same, the 99th percentile.
    pub round_trip_p99_us: u64,
    /// Longest time in the last second for which the broker told the client to hold back.
    pub throttle_ms: u64,
}

impl From<ClientStatistics> for KafkaClientView {
    fn from(client: ClientStatistics) -> KafkaClientView {
        KafkaClientView {
            queued_messages: client.queued_messages,
            queued_bytes: client.queued_bytes,
            batch_bytes: client.batch_bytes,
            batch_messages: client.batch_messages,
            throttle_ms: client.throttle_ms(),
            producer_state: client.producer_state,
            producer_epoch: client.producer_epoch,
            producer_ids: client.producer_ids,
            transaction_state: client.transaction_state,
            transaction_state_ms: client.transaction_state_ms,
            brokers: client.brokers.into_iter().map(KafkaBrokerView::from).collect(),
        }
    }
}

impl From<BrokerStatistics> for KafkaBrokerView {
    fn from(broker: BrokerStatistics) -> KafkaBrokerView {
        KafkaBrokerView {
            connected: broker.is_connected(),
            broker: broker.broker,
            id: broker.id,
            state: broker.state,
            queued_requests: broker.queued_requests,
            unanswered_requests: broker.unanswered_requests,
            requests: broker.requests,
            sent_bytes: broker.sent_bytes,
            retries: broker.retries,
            timeouts: broker.timeouts,
            errors: broker.errors,
            connects: broker.connects,
            round_trip_us: broker.round_trip_us,
            round_trip_p99_us: broker.round_trip_p99_us,
            throttle_ms: broker.throttle_ms,
        }
    }
}

/// The metrics of the client and its brokers.
pub(super) fn metrics(page: &mut Page, client: &KafkaClientView) {
    queues(page, client);
    page.one(
        "offtake_kafka_producer_epoch",
        "gauge",
        "The producer's epoch, -1 before it has one; a larger one elsewhere fences it.",
        client.producer_epoch,
    );
    page.one(
        "offtake_kafka_producer_ids_total",
        "counter",
        "Times that the producer was given an id.",
        client.producer_ids,
    );
    page.family(
        "offtake_kafka_transaction_state",
        "gauge",
        "1 for the state of the client's transaction.",
    );
    if !client.transaction_state.is_empty() {
        let labels = [("state", client.transaction_state.as_str())];
        page.sample("offtake_kafka_transaction_state", &labels, 1);
    }
    page.one(
        "offtake_kafka_transaction_state_seconds",
        "gauge",
        "How long that state lasts.",
        seconds(client.transaction_state_ms, 1e3),
    );
    brokers(page, &client.brokers);
}

fn queues(page: &mut Page, client: &KafkaClientView) {
    for (name, help, value) in [
        (
            "offtake_kafka_queued_messages",
            "Messages in the client's queues and on their way.",
            client.queued_messages,
        ),
        ("offtake_kafka_queued_bytes", "Bytes of those messages.", client.queued_bytes),
        (
            "offtake_kafka_batch_bytes",
            "Average bytes of a batch in the last second, 0 when none was sent.",
            client.batch_bytes,
        ),
        (
            "offtake_kafka_batch_messages",
            "Average messages of a batch in the last second, 0 when none was sent.",
            client.batch_messages,
        ),
    ] {
        page.one(name, "gauge", help, value);
    }
}

type Figure = fn(&KafkaBrokerView) -> f64;

fn brokers(page: &mut Page, brokers: &[KafkaBrokerView]) {
    let families: [(&str, &str, &str, Figure); 12] = [
        ("connected", "gauge", "1 while there is a connection, past login.", |broker| {
            f64::from(u8::from(broker.connected))
        }),
        ("queued_requests", "gauge", "Requests that wait to be sent.", |broker| {
            broker.queued_requests as f64
        }),
        ("unanswered_requests", "gauge", "Requests that wait for an answer.", |broker| {
            broker.unanswered_requests as f64
        }),
        ("requests_total", "counter", "Requests sent.", |broker| broker.requests as f64),
        ("sent_bytes_total", "counter", "Bytes sent.", |broker| broker.sent_bytes as f64),
        ("retries_total", "counter", "Requests sent again.", |broker| broker.retries as f64),
        ("timeouts_total", "counter", "Requests that were not answered in time.", |broker| {
            broker.timeouts as f64
        }),
        ("errors_total", "counter", "Errors of sending and receiving.", |broker| {
            broker.errors as f64
        }),
        ("connects_total", "counter", "Connections made.", |broker| broker.connects as f64),
        (
            "round_trip_seconds",
            "gauge",
            "Average time to an answer in the last second.",
            |broker| seconds(broker.round_trip_us, 1e6),
        ),
        (
            "round_trip_p99_seconds",
            "gauge",
            "99th percentile of the time to an answer in the last second.",
            |broker| seconds(broker.round_trip_p99_us, 1e6),
        ),
        (
            "throttle_seconds",
            "gauge",
            "Longest time in the last second that the broker told the client to hold back (quota).",
            |broker| seconds(broker.throttle_ms, 1e3),
        ),
    ];
    for (suffix, kind, help, figure) in families {
        let name = format!("offtake_kafka_broker_{suffix}");
        page.family(&name, kind, help);
        for broker in brokers {
            let id = broker.id.to_string();
            let labels = [("broker", broker.broker.as_str()), ("id", id.as_str())];
            page.sample(&name, &labels, figure(broker));
        }
    }
}

fn seconds(number: u64, in_a_second: f64) -> f64 {
    number as f64 / in_a_second
}
