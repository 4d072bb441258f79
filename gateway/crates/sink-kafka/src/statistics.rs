//! The client library's statistics: what it writes once a second as JSON (its STATISTICS.md), and
//! what of that is shown.
//!
//! The sink's thread only keeps the bytes; they are read by the thread of `watch`, for with many
//! partitions they are long. Counters begin anew with every producer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

/// More than the statistics of some ten thousand partitions; longer ones are not kept.
const MAX_BYTES: usize = 32 << 20;

/// What is shown of the producer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientStatistics {
    /// Messages in the client's queues and on their way.
    pub queued_messages: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Average bytes of a batch in the last second; 0: none was sent.
    pub batch_bytes: u64,
    /// Average messages of a batch in the last second; 0: none was sent.
    pub batch_messages: u64,
    /// The idempotent producer's state, as the library calls it: `Assigned` when all is well.
    pub producer_state: String,
    /// The transaction's state, as the library calls it; `Init` without transactions.
    pub transaction_state: String,
    /// How long that state lasts, in milliseconds.
    pub transaction_state_ms: u64,
    /// The producer's epoch; -1: none yet. A larger one fences this producer.
    pub producer_epoch: i64,
    /// Times that the producer was given an id.
    pub producer_ids: u64,
    /// The brokers, by address.
    pub brokers: Vec<BrokerStatistics>,
}

/// What is shown of one broker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerStatistics {
    /// `host:port`.
    pub broker: String,
    /// The broker's id.
    pub id: i32,
    /// The connection's state, as the library calls it: `UP` when all is well.
    pub state: String,
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
    /// Connections that were made.
    pub connects: u64,
    /// Average time to an answer in the last second, in microseconds.
    pub round_trip_us: u64,
    /// The same, the 99th percentile.
    pub round_trip_p99_us: u64,
    /// Longest time in the last second for which the broker told the client to hold back, because
    /// of a quota, in milliseconds.
    pub throttle_ms: u64,
}

impl BrokerStatistics {
    /// Whether there is a connection, past login.
    pub fn is_connected(&self) -> bool {
        matches!(self.state.as_str(), "UP" | "UPDATE")
    }
}

impl ClientStatistics {
    /// For how long the brokers told the client to hold back lately, because of a quota, in
    /// milliseconds; 0: they did not.
    pub fn throttle_ms(&self) -> u64 {
        self.brokers.iter().map(|broker| broker.throttle_ms).max().unwrap_or_default()
    }
}

/// The newest statistics, kept by the thread that gets them for the one that reads them.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    json: Mutex<Vec<u8>>,
}

impl Kept {
    /// Keeps a copy, in memory that is kept too.
    pub(crate) fn keep(&self, json: &[u8]) {
        let mut kept = self.json.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clear();
        if json.len() <= MAX_BYTES {
            kept.extend_from_slice(json);
        }
    }

    /// Takes them into `into`, whose memory is kept in turn. `false`: there are none that are new.
    pub(crate) fn take(&self, into: &mut Vec<u8>) -> bool {
        into.clear();
        let mut kept = self.json.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *kept, into);
        !into.is_empty()
    }
}

/// A partition with messages that are not acknowledged yet.
pub(crate) type Backlog = BTreeMap<String, Vec<i32>>;

/// Reads the library's JSON: what is shown, and which partitions have messages waiting. `None`: it
/// is not what it should be, which is not worth more than not to be shown.
pub(crate) fn read(json: &[u8]) -> Option<(ClientStatistics, Backlog)> {
    let raw: Raw = serde_json::from_slice(json).ok()?;
    let (mut batches, mut batch_bytes, mut batch_messages) = (0, 0, 0);
    let mut backlog = Backlog::new();
    for (name, topic) in raw.topics {
        batches += topic.batchsize.cnt;
        batch_bytes += topic.batchsize.sum;
        batch_messages += topic.batchcnt.sum;
        let waiting: Vec<i32> = topic
            .partitions
            .values()
            .filter(|partition| partition.partition >= 0 && partition.waits())
            .map(|partition| partition.partition)
            .collect();
        if !waiting.is_empty() {
            backlog.insert(name, waiting);
        }
    }
    let brokers = raw.brokers.into_values().filter(|broker| broker.nodeid >= 0);
    let mut brokers: Vec<BrokerStatistics> = brokers.map(RawBroker::shown).collect();
    brokers.sort_by_key(|broker| broker.id);
    // The age of the first state is counted from the start of the machine.
    let first = matches!(raw.eos.txn_state.as_str(), "" | "Init");
    let transaction_state_ms =
        if first { 0 } else { raw.eos.txn_stateage.try_into().unwrap_or_default() };
    let statistics = ClientStatistics {
        queued_messages: raw.msg_cnt,
        queued_bytes: raw.msg_size,
        batch_bytes: batch_bytes.checked_div(batches).unwrap_or_default(),
        batch_messages: batch_messages.checked_div(batches).unwrap_or_default(),
        producer_state: raw.eos.idemp_state,
        transaction_state: raw.eos.txn_state,
        transaction_state_ms,
        producer_epoch: raw.eos.producer_epoch.unwrap_or(-1),
        producer_ids: raw.eos.epoch_cnt,
        brokers,
    };
    Some((statistics, backlog))
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Raw {
    msg_cnt: u64,
    msg_size: u64,
    brokers: BTreeMap<String, RawBroker>,
    topics: BTreeMap<String, RawTopic>,
    eos: RawProducer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawBroker {
    nodeid: i32,
    nodename: String,
    state: String,
    outbuf_cnt: i64,
    waitresp_cnt: i64,
    tx: u64,
    txbytes: u64,
    txerrs: u64,
    rxerrs: u64,
    txretries: u64,
    req_timeouts: u64,
    connects: i64,
    rtt: RawWindow,
    throttle: RawWindow,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawTopic {
    batchsize: RawTotal,
    batchcnt: RawTotal,
    partitions: BTreeMap<String, RawPartition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPartition {
    partition: i32,
    msgq_cnt: i64,
    xmit_msgq_cnt: i64,
    msgs_inflight: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawWindow {
    avg: i64,
    max: i64,
    p99: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawTotal {
    sum: u64,
    cnt: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawProducer {
    idemp_state: String,
    txn_state: String,
    txn_stateage: i64,
    producer_epoch: Option<i64>,
    epoch_cnt: u64,
}

impl RawPartition {
    fn waits(&self) -> bool {
        self.msgq_cnt > 0 || self.xmit_msgq_cnt > 0 || self.msgs_inflight > 0
    }
}

impl RawBroker {
    fn shown(self) -> BrokerStatistics {
        let count = |number: i64| u64::try_from(number).unwrap_or_default();
        BrokerStatistics {
            broker: self.nodename,
            id: self.nodeid,
            state: self.state,
            queued_requests: count(self.outbuf_cnt),
            unanswered_requests: count(self.waitresp_cnt),
            requests: self.tx,
            sent_bytes: self.txbytes,
            retries: self.txretries,
            timeouts: self.req_timeouts,
            errors: self.txerrs + self.rxerrs,
            connects: count(self.connects),
            round_trip_us: count(self.rtt.avg),
            round_trip_p99_us: count(self.rtt.p99),
            throttle_ms: count(self.throttle.max),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &str = r#"{
        "name": "x#producer-1", "msg_cnt": 7, "msg_size": 900,
        "brokers": {
            "127.0.0.1:1/bootstrap": {"nodeid": -1, "nodename": "127.0.0.1:1", "state": "DOWN"},
            "127.0.0.1:9/2": {"nodeid": 2, "nodename": "127.0.0.1:9", "state": "UP",
                "outbuf_cnt": 1, "waitresp_cnt": 2, "tx": 30, "txbytes": 4000, "txerrs": 1,
                "rxerrs": 2, "txretries": 5, "req_timeouts": 6, "connects": 1,
                "rtt": {"avg": 1500, "p99": 9000, "max": 9900},
                "throttle": {"avg": 100, "max": 850}}
        },
        "topics": {"t": {"batchsize": {"sum": 900, "cnt": 3}, "batchcnt": {"sum": 6, "cnt": 3},
            "partitions": {
                "0": {"partition": 0, "msgq_cnt": 1},
                "1": {"partition": 1, "msgq_cnt": 0, "xmit_msgq_cnt": 0},
                "-1": {"partition": -1, "msgq_cnt": 1}}}},
        "eos": {"idemp_state": "Assigned", "txn_state": "InTransaction", "txn_stateage": 12,
            "producer_id": 4, "producer_epoch": 3, "epoch_cnt": 1}
    }"#;

    #[test]
    fn what_is_shown_is_read_from_the_librarys_own_names() {
        let (shown, backlog) = read(SAMPLE.as_bytes()).unwrap();
        assert_eq!((shown.queued_messages, shown.queued_bytes), (7, 900));
        assert_eq!((shown.batch_bytes, shown.batch_messages), (300, 2));
        assert_eq!((shown.producer_epoch, shown.producer_ids), (3, 1));
        assert_eq!(shown.transaction_state, "InTransaction");
        assert_eq!(shown.throttle_ms(), 850);
        let [broker] = &shown.brokers[..] else { panic!("{:?}", shown.brokers) };
        assert!(broker.is_connected());
        assert_eq!((broker.id, broker.broker.as_str()), (2, "127.0.0.1:9"));
        assert_eq!((broker.retries, broker.timeouts, broker.errors), (5, 6, 3));
        assert_eq!((broker.round_trip_us, broker.round_trip_p99_us), (1500, 9000));
        assert_eq!(backlog, Backlog::from([("t".to_owned(), vec![0])]));
    }

    #[test]
    fn statistics_are_taken_once() {
        let (kept, mut taken) = (Kept::default(), Vec::new());
        assert!(!kept.take(&mut taken));
        kept.keep(b"{}");
        assert!(kept.take(&mut taken) && taken == b"{}");
        assert!(!kept.take(&mut taken));
    }

    proptest! {
        #[test]
        fn damaged_statistics_are_left_out(at in 0..SAMPLE.len(), byte in any::<u8>()) {
            let mut json = SAMPLE.as_bytes().to_vec();
            json[at] = byte;
            // Whatever it is, it is read or not; nothing else happens.
            let _ = read(&json);
            let _ = read(&json[..at]);
        }
    }
}
