//! How changes are delivered to Kafka, as the status and the metrics show it.

use offtake_sink_kafka::KafkaStatus;
use serde::Serialize;

use super::metrics::Page;
use super::status::HistogramView;

/// At least once or exactly once, and how that goes.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryView {
    /// `exactly_once` or `at_least_once`; nothing while the brokers are still to be asked.
    pub delivery: Option<&'static str>,
    /// How far exactly once can be relied on: `guarded`, `unverified` or `off`.
    pub eos: &'static str,
    /// Transactions since the process began.
    pub transactions: TransactionsView,
    /// From the end of a transaction's data to its commit.
    pub commit_seconds: HistogramView,
}

/// Transactions since the process began.
#[derive(Clone, Debug, Serialize)]
pub struct TransactionsView {
    /// Committed.
    pub committed: u64,
    /// Given up and sent again.
    pub aborted: u64,
    /// Ended inside a source transaction that is larger than a transaction may be.
    pub cut: u64,
    /// Committed, but perhaps asked for twice: a new producer followed.
    pub doubtful: u64,
}

impl DeliveryView {
    /// The delivery of a sink, without how long its commits take.
    pub fn of(status: &KafkaStatus) -> DeliveryView {
        let counts = status.transactions;
        DeliveryView {
            delivery: status.delivery.map(|delivery| delivery.name()),
            eos: status.level.name(),
            transactions: TransactionsView {
                committed: counts.committed,
                aborted: counts.aborted,
                cut: counts.cut,
                doubtful: counts.doubtful,
            },
            commit_seconds: HistogramView::default(),
        }
    }

    /// The same as metrics.
    pub(super) fn write(&self, page: &mut Page) {
        page.family("offtake_kafka_delivery", "gauge", "1 for the way changes are delivered.");
        for delivery in ["exactly_once", "at_least_once"] {
            let is = u8::from(self.delivery == Some(delivery));
            page.sample("offtake_kafka_delivery", &[("delivery", delivery)], is);
        }
        let name = "offtake_kafka_transactions_total";
        page.family(name, "counter", "Kafka transactions, by how they ended.");
        let counts = &self.transactions;
        for (end, count) in [("committed", counts.committed), ("aborted", counts.aborted)] {
            page.sample(name, &[("end", end)], count);
        }
        page.one(
            "offtake_kafka_transactions_cut_total",
            "counter",
            "Kafka transactions that ended inside a source transaction.",
            counts.cut,
        );
        page.one(
            "offtake_kafka_transactions_doubtful_total",
            "counter",
            "Commits that may have been asked for twice and were followed by a new producer.",
            counts.doubtful,
        );
        page.histogram(
            "offtake_kafka_commit_seconds",
            "From the end of a Kafka transaction's data to its commit.",
            &self.commit_seconds,
        );
    }
}
