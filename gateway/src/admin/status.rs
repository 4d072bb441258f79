//! One picture of the whole process, as `/status` gives it and `offtake status` prints it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use offtake_change::Histogram;
use offtake_log::Log;
use offtake_sink_grpc::GrpcStatus;
use offtake_sink_kafka::{KafkaSink, KafkaState, KafkaStatus};
use offtake_source_postgres::{SourceState, SourceStatus, lsn_of};
use serde::Serialize;

use super::connection::Connection;
use super::delivery::DeliveryView;
use super::kafka::KafkaClientView;
use super::plugin::PluginView;
use crate::pipeline::{Halt, Live, State, StateCell, WorkerCounters};

/// What the admin server looks at. Everything is shared; nothing is owned.
pub struct Observed {
    /// The pipeline's name.
    pub name: String,
    /// What it is doing.
    pub state: StateCell,
    /// The log.
    pub log: Log,
    /// The source, as it tells about itself.
    pub source: Arc<SourceStatus>,
    /// Since when the source is without its database.
    pub connection: Connection,
    /// The slot's name.
    pub slot: String,
    /// The worker's counters.
    pub counters: Arc<WorkerCounters>,
    /// Commit to log.
    pub commit_to_log: Arc<Histogram>,
    /// Every plugin.
    pub plugins: Arc<Live>,
    /// The Kafka sink, where there is one.
    pub kafka: Arc<Mutex<Option<KafkaSink>>>,
    /// The gRPC service, where there is one.
    pub grpc: Option<Arc<GrpcStatus>>,
    /// When the process began.
    pub started: Instant,
}

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The pipeline's name.
    pub name: String,
    /// The gateway's version.
    pub version: &'static str,
    /// What it is doing; with code, cause and next step when halted.
    #[serde(flatten)]
    pub state: State,
    /// The gateway's process.
    pub pid: u32,
    /// Since the process began.
    pub uptime_seconds: u64,
    /// The source and its slot.
    pub source: SourceView,
    /// The log.
    pub log: LogView,
    /// What went through.
    pub changes: ChangesView,
    /// From commit to log.
    pub commit_to_log: HistogramView,
    /// From commit to Kafka's acknowledgement, where there is a Kafka sink.
    pub commit_to_kafka: Option<HistogramView>,
    /// From commit to HTTP/2, over all subscribers, where there is a gRPC service.
    pub commit_to_subscriber: Option<HistogramView>,
    /// The plugins.
    pub plugins: Vec<PluginView>,
    /// The Kafka sink.
    pub kafka: Option<KafkaView>,
    /// What gRPC sent to subscribers, gone ones included.
    pub grpc: SentView,
    /// Open subscriptions.
    pub subscribers: Vec<SubscriberView>,
}

/// The source and its slot.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceView {
    /// `connecting`, `retrying`, `preparing`, `copying`, `streaming` or `stopped`.
    pub state: String,
    /// Whether there is a connection to the database, past login and first checks.
    pub connected: bool,
    /// How long the lost connection has been tried again; null: it is not lost.
    pub disconnected_seconds: Option<u64>,
    /// Why the connection is lost; null: it is not.
    pub last_error: Option<String>,
    /// The last error that connecting again has overcome.
    pub overcome_error: Option<String>,
    /// The slot's name.
    pub slot: String,
    /// The server's end of the write-ahead log, as last heard.
    pub server_lsn: String,
    /// The last position received.
    pub received_lsn: String,
    /// The position that is durable in the log.
    pub durable_lsn: String,
    /// What the server has confirmed.
    pub confirmed_flush_lsn: String,
    /// Server's end less what is durable; while disconnected: as last heard.
    pub slot_lag_bytes: u64,
    /// Age of the newest durable transaction while the source is ahead; while disconnected at
    /// least as long as that lasts.
    pub slot_lag_seconds: f64,
    /// What the slot keeps on the database's disk.
    pub retained_wal_bytes: u64,
    /// `reserved`, `extended`, `unreserved` or `lost`; null: not heard yet.
    pub wal_status: Option<String>,
    /// Times that the connection was lost and tried again.
    pub reconnects: u64,
    /// Tables that match and were created since the start: captured from the next restart on.
    pub late_tables: Vec<String>,
    /// The table being copied.
    pub snapshot: Option<SnapshotView>,
}

/// A table being copied.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotView {
    /// Schema and table.
    pub table: String,
    /// Rows copied.
    pub rows: u64,
    /// The server's estimate.
    pub estimate: u64,
    /// Rows a second since the snapshot began.
    pub rows_per_second: f64,
    /// Tables not yet done, this one included.
    pub tables_left: u64,
}

/// The log.
#[derive(Clone, Debug, Serialize)]
pub struct LogView {
    /// Hexadecimal id.
    pub id: String,
    /// Size on disk.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
    /// First sequence still held.
    pub earliest_sequence: u64,
    /// Last durable sequence.
    pub last_sequence: u64,
    /// Why it takes nothing now.
    pub blocked: Option<String>,
    /// Times that data was synced.
    pub fsyncs: u64,
    /// Time spent syncing.
    pub fsync_seconds: f64,
}

/// What went through.
#[derive(Clone, Debug, Serialize)]
pub struct ChangesView {
    /// From the source.
    pub source: u64,
    /// Into the log.
    pub logged: u64,
    /// Transactions.
    pub transactions: u64,
}

/// A histogram.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HistogramView {
    /// Counts a bucket, the last one beyond every bound.
    pub counts: Vec<u64>,
    /// Sum of all observations.
    pub sum_seconds: f64,
}

/// The Kafka sink.
#[derive(Clone, Debug, Serialize)]
pub struct KafkaView {
    /// `CONNECTING`, `RUNNING`, `WAITING`, `HALTED` or `STOPPED`.
    pub state: String,
    /// Code, cause and next step when it has halted, as of the pipeline itself.
    #[serde(flatten)]
    pub halted: Option<Halt>,
    /// Everything up to here is acknowledged.
    pub sequence: u64,
    /// Changes in the log beyond that.
    pub lag_changes: u64,
    /// Records acknowledged.
    pub acknowledged: u64,
    /// Bytes of keys and values handed to the client.
    pub bytes: u64,
    /// Code, cause and next step of what it waits for, when it does, under the same names.
    #[serde(flatten)]
    pub waits: Option<Halt>,
    /// Changes that became dead letters since the process began.
    pub dead_letters: u64,
    /// Why it waits, when it does.
    pub last_error: Option<String>,
    /// Times that the producer was built anew after an error.
    pub producers_replaced: u64,
    /// What the client says of itself and of the brokers.
    pub client: KafkaClientView,
    /// At least once or exactly once, and how that goes.
    #[serde(flatten)]
    pub delivery: DeliveryView,
}

/// What a sink sent since the process began.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SentView {
    /// Changes, each counted once a receiver.
    pub changes: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A subscription.
#[derive(Clone, Debug, Serialize)]
pub struct SubscriberView {
    /// Number of the subscription in this process.
    pub id: u64,
    /// The client's address.
    pub peer: String,
    /// What it chose.
    pub streams: Vec<String>,
    /// Everything up to here has been sent.
    pub sequence: u64,
    /// Durable changes beyond that, of all streams.
    pub lag_changes: u64,
}

impl Observed {
    /// The picture now.
    pub fn status(&self) -> Status {
        let last_sequence = self.log.durable().borrow().sequence;
        Status {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            state: self.state.get(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            source: self.source_view(),
            log: self.log_view(last_sequence),
            changes: ChangesView {
                source: self.counters.source_changes.load(Ordering::Relaxed),
                logged: self.counters.logged_changes.load(Ordering::Relaxed),
                transactions: self.counters.transactions.load(Ordering::Relaxed),
            },
            commit_to_log: histogram_view(&self.commit_to_log),
            commit_to_kafka: self.kafka_latency().map(|latency| histogram_view(&latency)),
            commit_to_subscriber: self.grpc.as_ref().map(|grpc| histogram_view(&grpc.latency())),
            plugins: self.plugins.get().iter().map(PluginView::from).collect(),
            kafka: self.kafka_view(),
            grpc: self.grpc.as_ref().map_or_else(SentView::default, |grpc| SentView {
                changes: grpc.changes(),
                bytes: grpc.bytes(),
            }),
            subscribers: self.subscriber_views(last_sequence),
        }
    }
}

impl Observed {
    /// Tells subscribers' Progress frames how far the source is ahead.
    pub fn pass_on_source_lag(&self) {
        if let Some(grpc) = &self.grpc {
            grpc.set_source_lag_bytes(self.source_view().slot_lag_bytes);
        }
    }

    fn source_view(&self) -> SourceView {
        let report = self.source.report();
        let lost = self.connection.observe(report.state, report.reconnects, Instant::now());
        let (last_error, overcome_error) = errors(report.last_error, lost.is_some());
        let durable = self.log.durable();
        let (end, idle, last_commit_unix_us) = match &durable.borrow().position {
            Some(position) => (
                lsn_of(position.end.as_ref()),
                lsn_of(position.idle.as_ref()),
                position.last_commit_unix_us,
            ),
            None => Default::default(),
        };
        let durable_lsn = end.max(idle);
        let slot = report.slot.unwrap_or_default();
        let server_end = report.server_end.max(slot.server_end);
        let slot_lag_bytes = server_end.bytes_since(durable_lsn);
        let snapshot = report.snapshot.map(|snapshot| SnapshotView {
            table: snapshot.table,
            rows: snapshot.rows,
            estimate: snapshot.estimate,
            rows_per_second: snapshot.rows_per_second,
            tables_left: snapshot.tables.saturating_sub(snapshot.tables_done) as u64,
        });
        let behind = server_end > durable_lsn && report.received > durable_lsn;
        SourceView {
            state: format!("{:?}", report.state).to_lowercase(),
            connected: is_connected(report.state),
            disconnected_seconds: lost.map(|lost| lost.as_secs()),
            last_error,
            overcome_error,
            slot: self.slot.clone(),
            server_lsn: server_end.to_string(),
            received_lsn: report.received.to_string(),
            durable_lsn: durable_lsn.to_string(),
            confirmed_flush_lsn: report.confirmed.max(slot.confirmed_flush).to_string(),
            slot_lag_bytes,
            slot_lag_seconds: lag_seconds(behind, last_commit_unix_us)
                .max(lost.unwrap_or_default().as_secs_f64()),
            retained_wal_bytes: slot.retained_bytes,
            wal_status: (!slot.wal_status.is_empty()).then_some(slot.wal_status),
            reconnects: report.reconnects,
            late_tables: report.late_tables,
            snapshot,
        }
    }

    fn log_view(&self, last_sequence: u64) -> LogView {
        let stats = self.log.stats();
        LogView {
            id: self.log.id().iter().map(|byte| format!("{byte:02x}")).collect(),
            bytes: stats.bytes,
            segments: stats.segments as u64,
            earliest_sequence: self.log.earliest_sequence(),
            last_sequence,
            blocked: stats.blocked.map(|blocked| blocked_text(&blocked)),
            fsyncs: stats.sync.count,
            fsync_seconds: stats.sync.nanos as f64 / 1e9,
        }
    }

    fn kafka_view(&self) -> Option<KafkaView> {
        let kafka = self.kafka.lock().unwrap_or_else(PoisonError::into_inner);
        let kafka = kafka.as_ref()?;
        let mut view = kafka_view(kafka.status());
        view.delivery.commit_seconds = histogram_view(&kafka.commit_duration());
        Some(view)
    }

    fn kafka_latency(&self) -> Option<Arc<Histogram>> {
        let kafka = self.kafka.lock().unwrap_or_else(PoisonError::into_inner);
        kafka.as_ref().map(KafkaSink::latency)
    }

    fn subscriber_views(&self, last_sequence: u64) -> Vec<SubscriberView> {
        let Some(grpc) = &self.grpc else { return Vec::new() };
        let view = |subscriber: offtake_sink_grpc::SubscriberStatus| SubscriberView {
            id: subscriber.id,
            peer: subscriber.peer.map_or_else(|| "-".to_owned(), |peer| peer.to_string()),
            streams: subscriber.streams,
            sequence: subscriber.sequence,
            lag_changes: last_sequence.saturating_sub(subscriber.sequence),
        };
        grpc.subscribers().into_iter().map(view).collect()
    }
}

fn histogram_view(histogram: &Histogram) -> HistogramView {
    let (counts, sum_seconds) = histogram.snapshot();
    HistogramView { counts, sum_seconds }
}

fn blocked_text(blocked: &offtake_log::Blocked) -> String {
    let seconds = blocked.since.elapsed().unwrap_or_default().as_secs();
    let reason = match &blocked.reason {
        offtake_log::BlockedReason::DiskFull => {
            "the disk is full; it goes on by itself when space returns".to_owned()
        }
        offtake_log::BlockedReason::RetainBytes { pin } => format!(
            "the log has its full size ([log] retain size) and {pin} has not read its oldest part; \
             it goes on by itself when that is read"
        ),
    };
    format!("for {seconds} s: {reason}")
}

/// The source's last error as the one that is in the way now, or as one that is past.
fn errors(last: String, disconnected: bool) -> (Option<String>, Option<String>) {
    match (last.is_empty(), disconnected) {
        (true, _) => (None, None),
        (false, true) => (Some(last), None),
        (false, false) => (None, Some(last)),
    }
}

fn is_connected(state: SourceState) -> bool {
    matches!(state, SourceState::Preparing | SourceState::Copying | SourceState::Streaming)
}

fn kafka_view(status: KafkaStatus) -> KafkaView {
    let name = status.state.name().to_owned();
    let delivery = DeliveryView::of(&status);
    let halted = match status.state {
        KafkaState::Halted(halted) => Some(Halt::new(halted.code, halted.cause, halted.next_step)),
        _ => None,
    };
    let waits = status.waits_for.map(|reason| {
        let cause = status.last_error.clone().unwrap_or_default();
        Halt::new(reason.code(), cause, reason.next_step())
    });
    KafkaView {
        state: name,
        waits,
        producers_replaced: status.rebuilds,
        client: status.client.into(),
        halted,
        sequence: status.cursor,
        lag_changes: status.lag,
        acknowledged: status.acknowledged,
        bytes: status.bytes,
        dead_letters: status.dead_letters,
        last_error: status.last_error,
        delivery,
    }
}

/// Age of the newest durable transaction, while more has been received than is durable.
fn lag_seconds(behind: bool, last_commit_unix_us: i64) -> f64 {
    if !behind || last_commit_unix_us == 0 {
        return 0.0;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    ((now - last_commit_unix_us) as f64 / 1e6).max(0.0)
}

#[cfg(test)]
use super::kafka::KafkaBrokerView;

#[cfg(test)]
impl Status {
    /// One with everything in it.
    pub fn sample() -> Status {
        Status {
            name: "shop".to_owned(),
            version: "0",
            state: State::Running,
            pid: 1,
            uptime_seconds: 1,
            source: SourceView {
                snapshot: Some(SnapshotView {
                    table: "public.t".to_owned(),
                    rows: 1,
                    estimate: 2,
                    rows_per_second: 1.0,
                    tables_left: 1,
                }),
                ..SourceView::default()
            },
            log: LogView {
                id: String::new(),
                bytes: 1,
                segments: 1,
                earliest_sequence: 1,
                last_sequence: 1,
                blocked: None,
                fsyncs: 1,
                fsync_seconds: 0.1,
            },
            changes: ChangesView { source: 1, logged: 1, transactions: 1 },
            commit_to_log: histogram_view(&Histogram::default()),
            commit_to_kafka: Some(histogram_view(&Histogram::default())),
            commit_to_subscriber: Some(histogram_view(&Histogram::default())),
            plugins: vec![PluginView {
                name: "mask".to_owned(),
                digest: String::new(),
                changes: 1,
                nanoseconds: 1,
                emitted: 0,
                failed: 0,
                restarts: 0,
                on_error: "halt",
                limits: super::plugin::LimitsView::default(),
                state: Some(super::plugin::StateView::default()),
            }],
            kafka: Some(KafkaView {
                state: "RUNNING".to_owned(),
                sequence: 1,
                lag_changes: 0,
                acknowledged: 1,
                bytes: 1,
                dead_letters: 0,
                last_error: None,
                halted: None,
                waits: None,
                producers_replaced: 0,
                client: KafkaClientView {
                    transaction_state: "Init".to_owned(),
                    brokers: vec![KafkaBrokerView::default()],
                    ..KafkaClientView::default()
                },
                delivery: DeliveryView {
                    delivery: Some("exactly_once"),
                    eos: "guarded",
                    transactions: crate::admin::delivery::TransactionsView {
                        committed: 1,
                        aborted: 1,
                        cut: 1,
                        doubtful: 1,
                    },
                    commit_seconds: histogram_view(&Histogram::default()),
                },
            }),
            subscribers: vec![SubscriberView {
                id: 1,
                peer: "127.0.0.1:1".to_owned(),
                streams: vec!["*".to_owned()],
                sequence: 1,
                lag_changes: 0,
            }],
            grpc: SentView { changes: 1, bytes: 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use offtake_sink_kafka::{ClientStatistics, WaitReason};

    use super::*;

    #[test]
    fn a_halt_of_kafka_has_its_fields_as_the_pipelines_own_has() {
        let status = |state| KafkaStatus {
            state,
            cursor: 7,
            lag: 1,
            sent: 0,
            acknowledged: 0,
            bytes: 0,
            dead_letters: 0,
            last_error: None,
            rebuilds: 0,
            waits_for: None,
            client: ClientStatistics::default(),
            delivery: None,
            level: offtake_sink_kafka::TransactionLevel::Off,
            transactions: offtake_sink_kafka::TransactionCounts::default(),
        };
        let halted = offtake_sink_kafka::Halted {
            code: "KAFKA_TOPIC",
            cause: "it is not there".to_owned(),
            next_step: "create it".to_owned(),
        };
        let view = kafka_view(status(KafkaState::Halted(halted)));
        let json = serde_json::to_value(view).unwrap();
        assert_eq!(json["state"], "HALTED");
        assert_eq!(json["code"], "KAFKA_TOPIC");
        assert_eq!(json["cause"], "it is not there");
        assert_eq!(json["next_step"], "create it");
        let json = serde_json::to_value(kafka_view(status(KafkaState::Running))).unwrap();
        assert!(json.get("code").is_none(), "{json}");
        let waiting = KafkaStatus {
            last_error: Some("refused".to_owned()),
            waits_for: Some(WaitReason::Login),
            ..status(KafkaState::Waiting)
        };
        let json = serde_json::to_value(kafka_view(waiting)).unwrap();
        assert_eq!((&json["code"], &json["cause"]), (&"KAFKA_LOGIN".into(), &"refused".into()));
        assert!(json["next_step"].is_string());
    }

    #[test]
    fn an_error_that_was_overcome_is_no_error_of_now() {
        let error = "PG_UNREACHABLE: x".to_owned();
        assert_eq!(errors(error.clone(), true), (Some(error.clone()), None));
        assert_eq!(errors(error.clone(), false), (None, Some(error)));
        assert_eq!(errors(String::new(), false), (None, None));
    }
}
